package bench

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

// cyrusBin is where Debian's packages put the programs of Cyrus.
const cyrusBin = "/usr/lib/cyrus/bin/"

// cyrus is Debian's Cyrus IMAP with JMAP, run from a folder of its own.
type cyrus struct {
	dir, config, imap, http, lmtp string
	key                           jose.JSONWebKey
	credential                    *syscall.Credential
}

// startCyrus runs Cyrus until the benchmark ends. It fails with what to install when Cyrus is not there.
func startCyrus(tb testing.TB) *cyrus {
	tb.Helper()
	if _, err := os.Stat(cyrusBin + "master"); err != nil {
		tb.Fatal("the peer is missing: apt-get install --no-install-recommends cyrus-imapd cyrus-caldav cyrus-admin nullmailer")
	}
	dir, err := os.MkdirTemp("", "cyrus-") //nolint:usetesting // the user of Cyrus has to reach it
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &cyrus{dir: dir, config: filepath.Join(dir, "imapd.conf")}
	c.imap, c.http, c.lmtp = loopback(tb), loopback(tb), loopback(tb)
	c.configure(tb)
	c.own(tb)
	master := c.command("master", "-M", filepath.Join(dir, "cyrus.conf"), "-p", filepath.Join(dir, "pid"), "-D", "-L", filepath.Join(dir, "log"))
	if err := master.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = master.Process.Signal(syscall.SIGTERM)
		_ = master.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", c.http)
		if err == nil {
			_ = conn.Close()
			return c
		}
		if time.Now().After(deadline) {
			tb.Fatalf("Cyrus does not start: %v", err)
		}
	}
}

func loopback(tb testing.TB) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(tb))) }

func (c *cyrus) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(cyrusBin+name, append([]string{"-C", c.config}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.credential}
	return cmd
}

func (c *cyrus) configure(tb testing.TB) {
	tb.Helper()
	for folder := range strings.FieldsSeq("conf/db conf/socket conf/log conf/msg conf/proc conf/ptclient conf/sieve conf/sync conf/lock conf/user conf/quota conf/backup spool search jwt") {
		if err := os.MkdirAll(filepath.Join(c.dir, folder), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	c.key = jose.JSONWebKey{Key: private, Algorithm: "RS256"}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		tb.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	write("jwt/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	write("imapd.conf", strings.ReplaceAll(`configdirectory: DIR/conf
partition-default: DIR/spool
defaultpartition: default
admins: cyrus
sasl_pwcheck_method: alwaystrue
sasl_mech_list: PLAIN
allowplaintext: yes
unixhierarchysep: yes
altnamespace: yes
servername: localhost
httpmodules: jmap
httpallowcompress: 1
conversations: 1
conversations_db: twoskip
search_engine: xapian
defaultsearchtier: t1
search_batchsize: 10000
t1searchpartition-default: DIR/search
sync_log: 1
sync_log_channels: squatter
jmap_pushpoll: 2s
jmap_preview_length: 256
jmap_nonstandard_extensions: yes
http_jwt_key_dir: DIR/jwt
sievedir: DIR/conf/sieve
duplicatesuppression: 0
`, "DIR", c.dir))
	write("cyrus.conf", fmt.Sprintf(`START { recover cmd="%[1]sctl_cyrusdb -C %[2]s -r" }
SERVICES {
  imap cmd="%[1]simapd -C %[2]s" listen="%[3]s" prefork=1
  http cmd="%[1]shttpd -C %[2]s" listen="%[4]s" prefork=1
  lmtp cmd="%[1]slmtpd -C %[2]s -a" listen="%[5]s" prefork=1
}
`, cyrusBin, c.config, c.imap, c.http, c.lmtp))
}

// own gives the folder to Debian's user of Cyrus, under which it runs when root starts it.
func (c *cyrus) own(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		return
	}
	account, err := user.Lookup("cyrus")
	if err != nil {
		tb.Fatal(err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		tb.Fatal(err)
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		tb.Fatal(err)
	}
	c.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	err = filepath.Walk(c.dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// mailbox makes a user's inbox and returns the endpoint of its JMAP account. Cyrus takes tokens of two claims only.
func (c *cyrus) mailbox(tb testing.TB, name string) *endpoint {
	tb.Helper()
	admin := dialIMAP(tb, c.imap, "cyrus")
	admin.command("CREATE user/" + name)
	admin.command("SETACL user/" + name + " " + name + " lrswipkxtecdan")
	admin.command("SETACL user/" + name + " anyone p")
	token := identitytest.Sign(tb, c.key, "JWT", map[string]any{"sub": name, "iat": time.Now().Unix()})
	return newEndpoint(tb, "http://"+c.http+"/jmap/", name, token, nil)
}

// index brings the search index up to date, as the daemon beside Cyrus does all the time.
func (c *cyrus) index(tb testing.TB) {
	tb.Helper()
	if out, err := c.command("squatter", "-u", "user").CombinedOutput(); err != nil {
		tb.Fatalf("squatter: %v: %s", err, out)
	}
}

// memory is the proportional set size of the processes of Cyrus, in octets.
func (c *cyrus) memory(tb testing.TB) int64 {
	tb.Helper()
	lists, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		tb.Fatal(err)
	}
	var sum int64
	for _, path := range lists {
		line, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(line), c.config) || !strings.Contains(string(line), "imapd\x00") {
			continue // it ended meanwhile, or is something else
		}
		sum += procNumber(tb, filepath.Join(filepath.Dir(path), "smaps_rollup"), "Pss:") << 10
	}
	return sum
}

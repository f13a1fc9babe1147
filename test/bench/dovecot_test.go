package bench

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dovecotRoot names the folder into which Debian's packages of Dovecot were extracted: they conflict with those of Cyrus,
// so that they cannot be installed beside them. Without it Dovecot is left out.
const dovecotRoot = "BENCH_DOVECOT"

// dovecotPreview is what a list shows of each message: Dovecot keeps previews of 200 characters beside its index.
const dovecotPreview = imapRow + " PREVIEW"

// dovecot is Debian's Dovecot, one IMAP process for each connection, as it runs them, without what is in front of them.
type dovecot struct {
	root, config string
	credential   *syscall.Credential
}

// startDovecot prepares a mailbox of Dovecot, or returns nil when it is not there.
func startDovecot(tb testing.TB) *dovecot {
	tb.Helper()
	root := os.Getenv(dovecotRoot)
	if root == "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "dovecot-") //nolint:usetesting // the user of Dovecot has to reach it
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &dovecot{root: root, config: filepath.Join(dir, "dovecot.conf")}
	account, err := user.Lookup("nobody") // Dovecot serves no mail to root
	if err != nil {
		tb.Fatal(err)
	}
	uid, gid := number(tb, account.Uid), number(tb, account.Gid)
	if os.Geteuid() == 0 {
		d.credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	config := strings.NewReplacer("DIR", dir, "ROOT", root).Replace(`first_valid_gid = 0
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
base_dir = DIR
libexec_dir = ROOT/usr/lib/dovecot
mail_plugin_dir = ROOT/usr/lib/dovecot/modules
mail_location = mdbox:DIR/mail
mail_home = DIR
mail_uid = nobody
mail_gid = nogroup
ssl = no
protocol imap {
  mail_plugins = imap_zlib
}
namespace inbox {
  inbox = yes
}
`)
	if err := os.WriteFile(d.config, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	for _, path := range []string{dir, d.config} {
		if err := os.Chown(path, int(uid), int(gid)); err != nil {
			tb.Fatal(err)
		}
	}
	return d
}

func number(tb testing.TB, text string) uint32 {
	tb.Helper()
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		tb.Fatal(err)
	}
	return uint32(n)
}

// dial begins an IMAP process, signed in.
func (d *dovecot) dial(tb testing.TB) *imapClient {
	tb.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	theirs, ours := os.NewFile(uintptr(pair[0]), "theirs"), os.NewFile(uintptr(pair[1]), "ours")
	conn, err := net.FileConn(ours)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(d.root, "usr/bin/doveconf"), "-c", d.config, "-f", "protocol=imap", "-f", "service=imap", "-e", filepath.Join(d.root, "usr/lib/dovecot/imap"))
	cmd.Env = append(os.Environ(), "USER=nobody", "LD_LIBRARY_PATH="+filepath.Join(d.root, "usr/lib/dovecot"))
	cmd.Stdin, cmd.Stdout = theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.credential}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	_, _ = theirs.Close(), ours.Close()
	tb.Cleanup(func() {
		_ = conn.Close()
		_ = cmd.Wait()
	})
	c := &imapClient{tb: tb, conn: conn, out: conn, flush: func() error { return nil }}
	c.in = bufio.NewReaderSize(counted{conn, &c.received}, 1<<16)
	if greeting, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "* PREAUTH") {
		tb.Fatalf("Dovecot does not start: %q, %v", greeting, err)
	}
	return c
}

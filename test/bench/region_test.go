package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

// buildDir holds the sync server that the benchmarks run; empty until one needs it.
var buildDir string

// program is the sync server, built once for all benchmarks.
var program = sync.OnceValues(func() (binary string, err error) {
	if buildDir, err = os.MkdirTemp("", "bailiwick-bench-"); err != nil {
		return "", err
	}
	binary = filepath.Join(buildDir, "bailiwick")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/bailiwick")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return binary, nil
})

// TestMain removes the program that the benchmarks built.
func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// region is a sync server that runs as a process of its own.
type region struct {
	url     string
	lmtp    string
	issuer  *identitytest.Issuer
	tls     *tls.Config
	dataDir string
	docs    string
	args    []string
	cmd     *exec.Cmd
}

// startRegion runs a region with a number of tenants until the benchmark ends. Tenant n has the domain
// "agency<n>.example", tenant 0 "agency.example".
func startRegion(tb testing.TB, tenants int) *region {
	tb.Helper()
	binary, err := program()
	if err != nil {
		tb.Fatal(err)
	}
	port := freePort(tb)
	r := &region{url: "https://127.0.0.1:" + strconv.Itoa(port), issuer: identitytest.New(tb), dataDir: tb.TempDir(), docs: tb.TempDir()}
	tlsDir := tb.TempDir()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(writeCertificate(tb, tlsDir))
	r.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	for n := range tenants {
		r.write(tb, n)
	}
	lmtp := freePort(tb)
	r.lmtp = net.JoinHostPort("127.0.0.1", strconv.Itoa(lmtp))
	r.args = []string{
		binary, "sync", "--region=regions/here", "--cloud=bench", "--geography=NAM", "--url=" + r.url, "--address=127.0.0.1", "--port=" + strconv.Itoa(port),
		"--metrics-port=0", "--tls-dir=" + tlsDir, "--data-dir=" + r.dataDir, "--documents-dir=" + r.docs, "--log-level=ERROR",
		"--lmtp-port=" + strconv.Itoa(lmtp), "--smtp-plaintext-networks=127.0.0.0/8",
	}
	tb.Cleanup(r.kill)
	r.launch(tb)
	return r
}

// launch starts the process and waits until it is ready.
func (r *region) launch(tb testing.TB) {
	tb.Helper()
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	var stderr bytes.Buffer
	r.cmd.Stderr = &stderr
	if err := r.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	r.awaitReady(tb, &stderr)
}

// kill ends the process without a warning.
func (r *region) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func (r *region) awaitReady(tb testing.TB, stderr *bytes.Buffer) {
	tb.Helper()
	transport := &http.Transport{TLSClientConfig: r.tls.Clone()}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(r.url + "/readyz")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	tb.Fatalf("the region does not become ready: %s", stderr)
}

func domain(tenant int) string {
	if tenant == 0 {
		return "agency.example"
	}
	return fmt.Sprintf("agency%d.example", tenant)
}

// write gives the region the document of a tenant.
func (r *region) write(tb testing.TB, tenant int) {
	tb.Helper()
	raw, err := tenantdoc.Encode(&tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: fmt.Sprintf("tenants/t%d", tenant), UID: fmt.Sprintf("uid-%d", tenant), Generation: 1, Cloud: "bench",
		Domains: []string{domain(tenant)}, Region: "regions/here",
		Regions: []tenantdoc.Region{{Name: "regions/here", Geography: "NAM", URL: r.url, Home: true}},
		Issuers: []tenantdoc.Issuer{r.issuer.Document()},
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.docs, fmt.Sprintf("t%d.json", tenant)), raw, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// user signs in and returns the endpoint of a user's account.
func (r *region) user(tb testing.TB, tenant int, name string) *endpoint {
	tb.Helper()
	token := r.issuer.Token(tb, time.Now(), map[string]any{"sub": fmt.Sprintf("%s-%d", name, tenant), "email": name + "@" + domain(tenant), "exp": time.Now().Add(5 * time.Hour).Unix()})
	e := newEndpoint(tb, r.url+"/jmap/api", "", token, r.tls.Clone())
	body, err := e.request(http.MethodGet, r.url+"/.well-known/jmap", "application/json", nil)
	if err != nil {
		tb.Fatal(err)
	}
	var session struct {
		PrimaryAccounts map[string]string `json:"primaryAccounts"`
	}
	if err := json.Unmarshal(body, &session); err != nil {
		tb.Fatal(err)
	}
	e.account = session.PrimaryAccounts["urn:ietf:params:jmap:mail"]
	return e
}

// upload keeps a message and returns its blob id.
func (r *region) upload(e *endpoint, message []byte) (string, error) {
	body, err := e.request(http.MethodPost, r.url+"/jmap/upload/"+e.account+"/", "message/rfc822", bytes.NewReader(message))
	if err != nil {
		return "", err
	}
	var out struct {
		BlobID string `json:"blobId"`
	}
	err = json.Unmarshal(body, &out)
	return out.BlobID, err
}

// fill imports messages as a migrating client does: uploads on several connections, imports by the hundred.
func (r *region) fill(tb testing.TB, e *endpoint, list [][]byte) {
	tb.Helper()
	const connections, batch = 4, 100
	inbox := e.inbox(tb)
	work := make(chan [][]byte)
	failed := make(chan error, connections)
	var group sync.WaitGroup
	for range connections {
		group.Go(func() {
			for part := range work {
				if err := r.importAll(e, inbox, part); err != nil {
					failed <- err
					for range work { // drained, so that nobody waits for this worker
					}
					return
				}
			}
		})
	}
	for at := 0; at < len(list); at += batch {
		work <- list[at:min(at+batch, len(list))]
	}
	close(work)
	group.Wait()
	select {
	case err := <-failed:
		tb.Fatal(err)
	default:
	}
}

func (r *region) importAll(e *endpoint, inbox string, part [][]byte) error {
	emails := object{}
	for i, m := range part {
		blob, err := r.upload(e, m)
		if err != nil {
			return err
		}
		emails[strconv.Itoa(i)] = object{"blobId": blob, "mailboxIds": object{inbox: true}}
	}
	answers, err := e.do(call{"Email/import", object{"emails": emails}})
	if err == nil && bytes.Contains(answers[0].Args, []byte(`"notCreated":{"`)) {
		err = fmt.Errorf("import: %s", answers[0].Args)
	}
	return err
}

// importOne delivers one message and returns the id of its email.
func (r *region) importOne(e *endpoint, inbox string, m []byte) (string, error) {
	blob, err := r.upload(e, m)
	if err != nil {
		return "", err
	}
	answers, err := e.do(call{"Email/import", object{"emails": object{"m": object{"blobId": blob, "mailboxIds": object{inbox: true}}}}})
	if err != nil {
		return "", err
	}
	var out struct {
		Created map[string]struct {
			ID string `json:"id"`
		} `json:"created"`
	}
	if err := json.Unmarshal(answers[0].Args, &out); err != nil || out.Created["m"].ID == "" {
		return "", fmt.Errorf("import: %s, %w", answers[0].Args, err)
	}
	return out.Created["m"].ID, nil
}

// written is how many octets the process gave to its disk so far, and resident its memory.
func (r *region) written(tb testing.TB) int64 {
	tb.Helper()
	return r.number(tb, "io", "write_bytes:")
}

func (r *region) resident(tb testing.TB) int64 {
	tb.Helper()
	return r.number(tb, "status", "VmRSS:") << 10
}

func (r *region) number(tb testing.TB, file, field string) int64 {
	tb.Helper()
	return procNumber(tb, fmt.Sprintf("/proc/%d/%s", r.cmd.Process.Pid, file), field)
}

// procNumber reads a field of a file below /proc.
func procNumber(tb testing.TB, path, field string) int64 {
	tb.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			n, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	tb.Fatalf("%s has no %s", path, field)
	return 0
}

func freePort(tb testing.TB) int {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("address %v", listener.Addr())
	}
	return address.Port
}

func writeCertificate(tb testing.TB, dir string) []byte {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return certificate
}

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

// asProgram is set in the environment of the test binary when it is to be the program itself.
const asProgram = "BAILIWICK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(postgrestest.Main{Runner: m})
}

// region is a sync server that runs from a folder of documents, with an issuer.
type region struct {
	flags  syncFlags
	issuer *identitytest.Issuer
	client *http.Client
	logs   *logBuffer

	cancel context.CancelFunc
	ended  chan error
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRegion(t *testing.T) *region {
	t.Helper()
	port, metricsPort := freePort(t), freePort(t)
	r := &region{
		issuer: identitytest.New(t),
		logs:   &logBuffer{},
		flags: syncFlags{
			region: "regions/virginia", cloud: "gcc-high", geography: "NAM", url: "https://127.0.0.1:" + strconv.Itoa(int(port)),
			address: "127.0.0.1", port: port, metricsPort: metricsPort, minimumTLS: "1.3",
			drainDelay: time.Second, drainTimeout: 20 * time.Second,
			tlsDir: t.TempDir(), documentsDir: t.TempDir(), storageFlags: storageFlags{dataDir: t.TempDir()},
		},
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(writeCertificate(t, r.flags.tlsDir))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	r.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r.write(t, r.document())
	return r
}

// document is that of a tenant with its home here and a second region.
func (r *region) document() *tenantdoc.Document {
	return &tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: "agency/agency", UID: "uid-1", Generation: 1, Cloud: "gcc-high",
		Domains: []string{"agency.example"}, Region: "regions/virginia",
		Regions: []tenantdoc.Region{
			{Name: "regions/virginia", Geography: "NAM", URL: r.flags.url, Home: true},
			{Name: "regions/paris", Geography: "EUR", URL: "https://paris.example"},
		},
		Issuers: []tenantdoc.Issuer{r.issuer.Document()},
	}
}

func (r *region) write(t *testing.T, d *tenantdoc.Document) {
	t.Helper()
	raw, err := tenantdoc.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	r.writeRaw(t, raw)
}

func (r *region) writeRaw(t *testing.T, raw []byte) {
	t.Helper()
	path := filepath.Join(r.flags.documentsDir, "agency.json")
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// start runs the server until stop, or the end of the test, and waits until it is
// ready.
func (r *region) start(t *testing.T) {
	t.Helper()
	r.begin(t)
	r.ready(t)
}

// begin runs the server until stop, or the end of the test.
func (r *region) begin(t *testing.T) {
	t.Helper()
	if err := r.flags.validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	ended := r.ended
	go func() { ended <- runReplica(ctx, &r.flags, slog.New(slog.NewJSONHandler(r.logs, nil))) }()
	t.Cleanup(func() { r.stop(t) })
}

func (r *region) ready(t *testing.T) {
	t.Helper()
	eventually(t, "the region is ready", func() bool {
		resp, err := r.client.Get(r.flags.url + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (r *region) stop(t *testing.T) {
	t.Helper()
	if r.cancel == nil {
		return
	}
	r.client.CloseIdleConnections()
	r.cancel()
	r.cancel = nil
	if err := <-r.ended; err != nil {
		t.Errorf("the region ended with: %v\n%s", err, r.logs)
	}
}

// do sends a request with a token.
func (r *region) do(t *testing.T, method, path, token, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.flags.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, content
}

// metrics are what the region exposes to Prometheus.
func (r *region) metrics(t *testing.T) string {
	t.Helper()
	resp, err := r.client.Get("http://127.0.0.1:" + strconv.Itoa(int(r.flags.metricsPort)) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (r *region) token(t *testing.T, changes map[string]any) string {
	t.Helper()
	return r.issuer.Token(t, time.Now(), changes)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ports counts the ports that were given out. They are below those that systems give to
// whoever asks for any: nobody else takes one between the test and the server.
var ports atomic.Uint32

func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 1000 {
		port := 20000 + (uint32(os.Getpid())*64+ports.Add(1))%12000
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(int(port)))
		if err != nil {
			continue
		}
		_ = listener.Close()
		return uint16(port)
	}
	t.Fatal("no port is free")
	return 0
}

func writeCertificate(t *testing.T, dir string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for name, content := range map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certPEM
}

func decodeObject(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	object := map[string]any{}
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatalf("body %q: %v", raw, err)
	}
	return object
}

func decodeJSON(r io.Reader, into any) error { return json.NewDecoder(r).Decode(into) }

// quoted lists ids as JSON does.
func quoted(ids map[string]bool) string {
	var list []string
	for id := range ids {
		list = append(list, strconv.Quote(id))
	}
	return strings.Join(list, ",")
}

package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// gate admits bearer tokens that name an account, unless it was told otherwise.
type gate struct {
	mu       sync.Mutex
	refusals map[string]*jmap.Refusal
	expires  time.Time
	// alone takes the shared account away.
	alone bool
}

func (g *gate) Admit(r *http.Request) (*jmap.Principal, *jmap.Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	account, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, &jmap.Refusal{
			Status:  http.StatusUnauthorized,
			Header:  http.Header{"Www-Authenticate": {`Bearer resource_metadata="x"`}},
			Problem: jmap.Problem{Detail: "no token"},
		}
	}
	if refusal := g.refusals[account]; refusal != nil {
		return nil, refusal
	}
	p := &jmap.Principal{Tenant: "agency/agency", AccountID: account, Address: account + "@agency.example", Expires: g.expires}
	if !g.alone {
		p.Shared = []jmap.SharedAccount{{AccountID: "shared", Name: "Team", ReadOnly: true}}
	}
	return p, nil
}

// leave ends the membership of everybody in the shared account.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alone = true
}

func (g *gate) refuse(account string, refusal *jmap.Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusals[account] = refusal
}

// memory is a mail service for tests.
type memory struct {
	mu        sync.Mutex
	blobs     map[string][]byte
	states    map[string]map[string]string
	watchers  map[string][]chan struct{}
	failure   error
	provision map[string]int // by account
}

func newMemory() *memory {
	return &memory{blobs: map[string][]byte{}, states: map[string]map[string]string{}, watchers: map[string][]chan struct{}{}, provision: map[string]int{}}
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = err
}

func (m *memory) failing() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

func (m *memory) Put(_ context.Context, account, _ string, r io.Reader) (string, int64, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return "", 0, err
	}
	if err := m.failing(); err != nil {
		return "", 0, err
	}
	sum := sha256.Sum256(content)
	id := "B" + hex.EncodeToString(sum[:8])
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[account+"/"+id] = content
	return id, int64(len(content)), nil
}

type openBlob struct{ *bytes.Reader }

func (openBlob) Close() error { return nil }

func (m *memory) Open(_ context.Context, account, id string) (io.ReadSeekCloser, int64, error) {
	if err := m.failing(); err != nil {
		return nil, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.blobs[account+"/"+id]
	if !ok {
		return nil, 0, jmap.ErrBlobNotFound
	}
	return openBlob{bytes.NewReader(content)}, int64(len(content)), nil
}

func (m *memory) Copy(context.Context, string, string, string) (string, error) {
	return "", jmap.ErrBlobNotFound
}

func (m *memory) Provision(_ context.Context, p *jmap.Principal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.provision[p.AccountID]++
	return m.failure
}

func (m *memory) States(_ context.Context, account string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := map[string]string{"Email": "0", "Mailbox": "0"}
	maps.Copy(states, m.states[account])
	return states, m.failure
}

func (m *memory) Subscribe(account string) (<-chan struct{}, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan struct{}, 1)
	m.watchers[account] = append(m.watchers[account], c)
	return c, func() {}
}

// watched is how many watch an account.
func (m *memory) watched(account string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.watchers[account])
}

func (m *memory) change(account, name, state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states[account] == nil {
		m.states[account] = map[string]string{}
	}
	m.states[account][name] = state
	for _, c := range m.watchers[account] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// running is a server under test.
type running struct {
	*Server

	url    string
	dir    string
	gate   *gate
	memory *memory
	pool   *x509.CertPool
	client *http.Client
	stop   func() error
	logs   *logBuffer
	gather prometheus.Gatherer
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

// start runs a server on a loopback port until the test ends.
func start(t *testing.T, change ...func(*Options)) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	r := &running{
		url: "https://" + listener.Addr().String(), dir: t.TempDir(), memory: newMemory(), pool: x509.NewCertPool(),
		gate: &gate{refusals: map[string]*jmap.Refusal{}, expires: time.Now().Add(time.Hour)}, logs: &logBuffer{}, gather: registry,
	}
	certPEM, keyPEM := newCertificate(t, 1, time.Now().Add(time.Hour))
	writePair(t, r.dir, certPEM, keyPEM)
	r.pool.AppendCertsFromPEM(certPEM)
	logger := slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	certificates, err := NewCertificates(t.Context(), CertificateOptions{Dir: r.dir, Hostname: "127.0.0.1", Logger: logger, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		BaseURL: r.url, Gate: r.gate, Blobs: r.memory, States: r.memory, Accounts: r.memory,
		Certificates: certificates, Logger: logger, Metrics: registry,
	}
	for _, c := range change {
		c(&o)
	}
	if r.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, listener) }()
	watched := make(chan error, 1)
	go func() { watched <- certificates.Watch(ctx) }()
	r.client = r.newClient(t, true)
	r.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-served, <-watched)
	})
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := r.stop(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return r
}

func (r *running) newClient(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.pool}, ForceAttemptHTTP2: http2, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// do sends a request as account "ada" and returns the answer with its body read.
func (r *running) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
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

func (r *running) call(t *testing.T, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	return r.do(t, http.MethodPost, jmap.PathAPI, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// wantProblem checks that an answer is a problem document and returns it.
func wantProblem(t *testing.T, resp *http.Response, body []byte, status int, kind, limit string) map[string]any {
	t.Helper()
	if resp.StatusCode != status {
		t.Errorf("status %d, want %d: %s", resp.StatusCode, status, body)
	}
	if got := resp.Header.Get("Content-Type"); got != jmap.ProblemContentType {
		t.Errorf("Content-Type %q", got)
	}
	problem := map[string]any{}
	if err := json.Unmarshal(body, &problem); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	if kind == "" {
		kind = jmap.ProblemBlank
	}
	got, _ := problem["limit"].(string)
	if problem["type"] != kind || got != limit || problem["status"] != float64(status) {
		t.Errorf("problem %s, want type %q, limit %q, status %d", body, kind, limit, status)
	}
	if detail, _ := problem["detail"].(string); detail == "" {
		t.Errorf("problem %s has no detail", body)
	}
	return problem
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// metric returns the value of a counter or gauge with the given label values.
func (r *running) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.gather.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, m := range family.GetMetric() {
			values := map[string]bool{}
			for _, pair := range m.GetLabel() {
				values[pair.GetValue()] = true
			}
			for _, label := range labels {
				if !values[label] {
					continue metrics
				}
			}
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

func newCertificate(t *testing.T, serial int64, notAfter time.Time) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "sync"}, NotBefore: notAfter.Add(-24 * time.Hour), NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func writePair(t *testing.T, dir string, certPEM, keyPEM []byte) {
	t.Helper()
	for name, content := range map[string][]byte{certificateFile: certPEM, keyFile: keyPEM} {
		temporary := filepath.Join(dir, name+".new")
		if err := os.WriteFile(temporary, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

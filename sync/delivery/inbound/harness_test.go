package inbound

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// loopback is where the peers of tests connect from.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// delivered is a message that the mailboxes got.
type delivered struct {
	envelope delivery.Envelope
	received time.Time
	message  string
}

// mailboxes are mailboxes in memory.
type mailboxes struct {
	mu       sync.Mutex
	checks   map[string]error
	results  map[string]delivery.Result
	messages []delivered
	// hold, when set, has Deliver wait until it is closed; entered gets a value before.
	hold    chan struct{}
	entered chan struct{}
}

func (m *mailboxes) Check(_ context.Context, address string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.checks[address]
}

func (m *mailboxes) Deliver(ctx context.Context, e *delivery.Envelope, received time.Time, message []byte) []delivery.Result {
	if m.hold != nil {
		m.entered <- struct{}{}
		select {
		case <-m.hold:
		case <-ctx.Done():
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var results []delivery.Result
	kept := *e
	kept.To = nil
	for _, to := range e.To {
		r, set := m.results[to.Address]
		if !set {
			r = delivery.Result{Outcome: delivery.Delivered}
		}
		if ctx.Err() != nil {
			r = delivery.Result{Outcome: delivery.Deferred}
		}
		r.Address = to.Address
		results = append(results, r)
		if r.Outcome == delivery.Delivered {
			kept.To = append(kept.To, to)
		}
	}
	if len(kept.To) > 0 {
		m.messages = append(m.messages, delivered{envelope: kept, received: received, message: string(message)})
	}
	return results
}

func (m *mailboxes) set(address string, r delivery.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.results[address] = r
}

func (m *mailboxes) got() []delivered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
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

// running is a server of a test.
type running struct {
	address  string
	boxes    *mailboxes
	logs     *logBuffer
	registry *prometheus.Registry
	roots    *x509.CertPool
	stop     context.CancelFunc
	// ended gets what Serve returned.
	ended chan error
}

// start runs a server that trusts the loopback network without TLS, unless it is told otherwise, until the test ends.
func start(t *testing.T, protocol Protocol, change ...func(*Options)) *running {
	t.Helper()
	certificate, roots := serverCertificate(t)
	r := &running{
		boxes:    &mailboxes{checks: map[string]error{}, results: map[string]delivery.Result{}, entered: make(chan struct{}, 100)},
		logs:     &logBuffer{},
		registry: prometheus.NewRegistry(),
		roots:    roots,
		ended:    make(chan error, 1),
	}
	o := Options{
		Hostname: "virginia.example", Mailboxes: r.boxes, PlaintextNetworks: loopback, ShutdownTimeout: patience,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil },
		Logger:      slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: r.registry,
	}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.ended <- s.Serve(ctx, listener, protocol) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-r.ended:
		case <-time.After(patience):
			t.Error("the server did not end")
		}
	})
	return r
}

// metric is the sum of a metric, narrowed to those with a label of a value.
func (r *running) metric(t *testing.T, name, value string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetValue() == value {
					total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return total
}

// peer is a raw connection to a server.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (r *running) dial(t *testing.T) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (p *peer) send(raw string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(raw)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// reply reads one reply, all its lines.
func (p *peer) reply() string {
	p.t.Helper()
	var lines []string
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.t.Fatalf("reply: %v after %q", err, lines)
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if len(line) < 4 || line[3] == ' ' {
			return strings.Join(lines, "\n")
		}
	}
}

// expect sends a line and wants a reply that begins with something.
func (p *peer) expect(line, want string) {
	p.t.Helper()
	p.send(line + "\r\n")
	p.want(want)
}

func (p *peer) want(want string) {
	p.t.Helper()
	if got := p.reply(); !strings.HasPrefix(got, want) {
		p.t.Fatalf("reply %q, want %q", got, want)
	}
}

// closed wants the connection to end, with nothing more said.
func (p *peer) closed() {
	p.t.Helper()
	if b, err := p.in.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatalf("the connection goes on: %q, %v", b, err)
	}
}

// ready greets and names a sender and recipients.
func (p *peer) ready(recipients ...string) {
	p.t.Helper()
	p.want("220 virginia.example ")
	p.expect("EHLO mx.example", "250-virginia.example")
	p.begin(recipients...)
}

func (p *peer) begin(recipients ...string) {
	p.t.Helper()
	p.expect("MAIL FROM:<bob@elsewhere.example>", "250 2.0.0 ")
	for _, to := range recipients {
		p.expect("RCPT TO:<"+to+">", "250 2.0.0 ")
	}
}

// startTLS goes over to TLS, with a client certificate if there is one.
func (p *peer) startTLS(roots *x509.CertPool, certificates ...tls.Certificate) error {
	p.t.Helper()
	p.expect("STARTTLS", "220 2.0.0 go ahead")
	conn := tls.Client(p.conn, &tls.Config{RootCAs: roots, ServerName: "virginia.example", Certificates: certificates})
	p.conn, p.in = conn, bufio.NewReader(conn)
	return conn.HandshakeContext(p.t.Context())
}

// authority is a certificate authority of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{}
	der, key := a.sign(t, template)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate: certificate, key: key}
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if a.certificate != nil {
		parent, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue makes a certificate with a name for a use.
func (a *authority) issue(t *testing.T, name string, use x509.ExtKeyUsage, notAfter time.Time) tls.Certificate {
	t.Helper()
	der, key := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
	})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serverCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	a := newAuthority(t)
	return a.issue(t, "virginia.example", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour)), a.pool()
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

package smarthost

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// host is a smart host of a test, which takes mail or fails as it is told to.
type host struct {
	t        *testing.T
	server   *smtp.Server
	address  string
	roots    *x509.CertPool
	registry *prometheus.Registry

	mu sync.Mutex
	// mail, rcpt and data say what a step answers; nil is yes.
	mail, data func() error
	rcpt       map[string]error
	messages   []sent
	sessions   int
	hellos     []string
	peers      [][]*x509.Certificate
	conns      []net.Conn
}

// sent is a message that the host got.
type sent struct {
	from    string
	options smtp.MailOptions
	to      map[string]smtp.RcptOptions
	content string
}

type session struct {
	sent

	host *host
	conn *smtp.Conn
}

func (h *host) NewSession(c *smtp.Conn) (smtp.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state, ok := c.TLSConnectionState(); ok {
		h.sessions++
		h.hellos = append(h.hellos, c.Hostname())
		h.peers = append(h.peers, state.PeerCertificates)
		h.conns = append(h.conns, c.Conn())
	}
	return &session{host: h, conn: c}, nil
}

func (s *session) Reset()        { s.sent = sent{to: map[string]smtp.RcptOptions{}} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.Reset()
	s.from, s.options = from, *o
	s.host.mu.Lock()
	mail := s.host.mail
	s.host.mu.Unlock()
	if mail != nil {
		return mail()
	}
	return nil
}

func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if err := s.host.rcpt[to]; err != nil {
		if errors.Is(err, net.ErrClosed) {
			_ = s.conn.Conn().Close()
		}
		return err
	}
	s.to[to] = *o
	return nil
}

func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.host.mu.Lock()
	s.content = string(content)
	s.host.messages = append(s.host.messages, s.sent)
	data := s.host.data
	s.host.mu.Unlock()
	if data == nil {
		return nil
	}
	err = data()
	if errors.Is(err, net.ErrClosed) {
		_ = s.conn.Conn().Close()
	}
	return err
}

func (h *host) got() []sent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.messages)
}

// newHost runs a smart host on a loopback port until the test ends.
func newHost(t *testing.T, implicit bool, change ...func(*smtp.Server)) *host {
	t.Helper()
	h := &host{t: t, rcpt: map[string]error{}, registry: prometheus.NewRegistry()}
	certificate := newCertificate(t)
	h.roots = x509.NewCertPool()
	h.roots.AddCert(certificate.Leaf)
	h.server = smtp.NewServer(h)
	h.server.Domain = "smart.example"
	h.server.ErrorLog = log.New(io.Discard, "", 0)
	h.server.EnableSMTPUTF8, h.server.EnableDSN, h.server.EnableREQUIRETLS = true, true, true
	h.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	h.server.ReadTimeout = patience
	for _, c := range change {
		c(h.server)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	if implicit {
		listener = tls.NewListener(listener, h.server.TLSConfig)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		_ = h.server.Close()
		<-ended
	})
	return h
}

// transport sends through the host.
func (h *host) transport(change ...func(*Options)) *Transport {
	h.t.Helper()
	o := Options{Address: h.address, Hostname: "virginia.example", RootCAs: h.roots, Metrics: h.registry, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	t, err := New(o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(t.Close)
	return t
}

// newCertificate makes a certificate of a host and client that is its own authority.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

const note = "Subject: hello\r\n\r\n.dot\r\nbye\r\n"

func envelope(to ...string) *delivery.Envelope {
	e := &delivery.Envelope{From: "ann@agency.example"}
	for _, address := range to {
		e.To = append(e.To, delivery.Recipient{Address: address})
	}
	return e
}

// send sends the note.
func send(t *testing.T, transport *Transport, e *delivery.Envelope) []delivery.Result {
	t.Helper()
	return transport.Send(t.Context(), e, strings.NewReader(note))
}

func (h *host) metric(name, value string) float64 {
	h.t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetValue() == value {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
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

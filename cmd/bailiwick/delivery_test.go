package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/delivery/inbound"
	"github.com/bailiwick-dev/bailiwick/sync/server"
)

func TestWrongDeliveryFlagsAreNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--smtp-client-ca, --smtp-allowed-networks or --smtp-plaintext-networks: missing, give one of them, or no server may bring mail": {"--smtp-port=25"},
		"--smtp-port or --lmtp-port: missing, give one of them, or nothing takes the mail that is allowed":                               {"--smtp-client-ca=ca.crt"},
		"--smtp-client-ca: missing, give the file of those who issue the certificates of --smtp-client-names":                            {"--smtp-port=25", "--smtp-allowed-networks=192.0.2.0/24", "--smtp-client-names=mx.example"},
		"--lmtp-port: 25 is that of --smtp-port too, give another one":                                                                   {"--smtp-port=25", "--lmtp-port=25", "--smtp-client-ca=ca.crt"},
		`--smtp-allowed-networks: "mx.example" is not a network such as 192.0.2.0/24`:                                                    {"--smtp-port=25", "--smtp-allowed-networks=mx.example"},
		`--smtp-plaintext-networks: "192.0.2.1" is not a network such as 192.0.2.0/24`:                                                   {"--smtp-port=25", "--smtp-plaintext-networks=192.0.2.1"},
		`--smtp-plaintext-networks: "::/0" is the whole internet, name the networks that are trusted without TLS`:                        {"--smtp-port=25", "--smtp-plaintext-networks=127.0.0.0/8,::/0"},
		"--smtp-max-message-size: 0 is not a number of octets above 0":                                                                   {"--smtp-port=25", "--smtp-client-ca=ca.crt", "--smtp-max-message-size=0"},
		`--smarthost: "smart.example" is not host:port`:                                                                                  {"--smarthost=smart.example"},
		`--smarthost-tls: "none" is not starttls or implicit`:                                                                            {"--smarthost=smart.example:25", "--smarthost-tls=none"},
		"--smarthost: missing, give the server for which --smarthost-ca and --smarthost-cert-dir are":                                    {"--smarthost-ca=ca.crt"},
	} {
		root := newRoot()
		root.SetArgs(append([]string{
			"sync", "--region=regions/virginia", "--cloud=c", "--geography=NAM", "--url=https://mail.example", "--address=127.0.0.1",
			"--tls-dir=/tls", "--data-dir=/data", "--documents-dir=/documents",
		}, args...))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if err := root.ExecuteContext(t.Context()); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestWaysOfMailThatCannotOpenNameTheirFlag(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*syncFlags){
		"--smarthost-ca: open":                                            func(f *syncFlags) { f.delivery.smartHostCA = empty + "-none" },
		"--smarthost-cert-dir: certificate in ":                           func(f *syncFlags) { f.delivery.smartHostCertificate = empty },
		"--smarthost-ca: \"" + empty + "\" holds no certificate in PEM":   func(f *syncFlags) { f.delivery.smartHostCA = empty },
		"--smtp-client-ca: \"" + empty + "\" holds no certificate in PEM": func(f *syncFlags) { f.delivery.clientCA = empty },
		"--address, --smtp-port: ":                                        func(f *syncFlags) { f.address = "192.0.2.1" },
	} {
		r := newMailReplica(t)
		r.flags.delivery.smartHost = "smart.example:25"
		change(r.flags)
		_, err := r.openOutbound(t.Context())
		if err == nil {
			_, err = r.openIncoming(t.Context(), &keptMail{})
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// keptMail are mailboxes in memory.
type keptMail struct {
	mu       sync.Mutex
	messages []string
}

func (k *keptMail) Check(context.Context, string) error { return nil }

func (k *keptMail) Deliver(_ context.Context, e *delivery.Envelope, _ time.Time, message []byte) []delivery.Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.messages = append(k.messages, string(message))
	results := make([]delivery.Result, 0, len(e.To))
	for _, to := range e.To {
		results = append(results, delivery.Result{Address: to.Address, Outcome: delivery.Delivered})
	}
	return results
}

// newMailReplica is a replica as far as the ways of mail need it.
func newMailReplica(t *testing.T) *replica {
	t.Helper()
	r := newRegion(t)
	r.flags.delivery = deliveryFlags{
		smtpPort: freePort(t), lmtpPort: freePort(t), plainNetworks: []string{"127.0.0.0/8"}, maxMessageSize: 1000, smartHostTLS: smartHostStartTLS,
	}
	logger := slog.New(slog.NewTextHandler(r.logs, nil))
	certificates, err := server.NewCertificates(t.Context(), server.CertificateOptions{Dir: r.flags.tlsDir})
	if err != nil {
		t.Fatal(err)
	}
	return &replica{flags: &r.flags, logger: logger, registry: newRegistry(&r.flags), certs: certificates}
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestNoMailComesInBeforeTheDomainsAreKnown(t *testing.T) {
	t.Parallel()
	r := newMailReplica(t)
	in, err := r.openIncoming(t.Context(), &keptMail{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, port := range in.ports {
		if err := in.serve(ctx, port, make(chan struct{})); err != nil {
			t.Error(err)
		}
		if _, err := port.listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the port is open: %v", port.protocol, err)
		}
	}
}

func TestMailComesInByBothProtocols(t *testing.T) {
	t.Parallel()
	r := newMailReplica(t)
	boxes := &keptMail{}
	in, err := r.openIncoming(t.Context(), boxes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, len(in.ports))
	for _, port := range in.ports {
		go func() { ended <- in.serve(ctx, port, closedChannel()) }()
	}
	for _, port := range in.ports {
		conn, err := net.Dial("tcp", port.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client := gosmtp.NewClient(conn)
		if port.protocol == inbound.LMTP {
			client = gosmtp.NewClientLMTP(conn)
		}
		if err := client.SendMail("bob@elsewhere.example", []string{"ann@agency.example"}, strings.NewReader("Subject: x\r\n\r\n")); err != nil {
			t.Errorf("%s: %v", port.protocol, err)
		}
		if err := client.Quit(); err != nil {
			t.Errorf("%s: %v", port.protocol, err)
		}
	}
	stop()
	for range in.ports {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if len(boxes.messages) != 2 || !strings.Contains(boxes.messages[0], "by [127.0.0.1] with ESMTP id ") || !strings.Contains(boxes.messages[1], " with LMTP id ") {
		t.Errorf("messages %q", boxes.messages)
	}
}

func TestMailIsShownTheCertificateOfTheRegion(t *testing.T) {
	t.Parallel()
	r := newMailReplica(t)
	r.flags.delivery.lmtpPort = 0
	in, err := r.openIncoming(t.Context(), &keptMail{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.serve(ctx, in.ports[0], closedChannel()) }()
	client, err := smtp.Dial(in.ports[0].listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(r.flags.tlsDir, "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	if err := client.StartTLS(&tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}); err != nil {
		t.Error(err)
	}
	if state, ok := client.TLSConnectionState(); !ok || state.Version != tls.VersionTLS13 {
		t.Errorf("connection %+v", state)
	}
	_ = client.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMailGoesOutByTheSmartHost(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "220 smart.example\r\n")
		line, _ := bufio.NewReader(conn).ReadString('\n')
		asked <- line
		_, _ = io.WriteString(conn, "250 smart.example\r\n")
	}()
	r := newMailReplica(t)
	r.flags.delivery.smartHost = listener.Addr().String()
	r.flags.delivery.smartHostCA = filepath.Join(r.flags.tlsDir, "tls.crt")
	r.flags.delivery.smartHostCertificate = r.flags.tlsDir
	out, err := r.openOutbound(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- out.run(ctx) }()
	results := out.way().Send(t.Context(), &delivery.Envelope{To: []delivery.Recipient{{Address: "bob@elsewhere.example"}}}, strings.NewReader("x"))
	// A host without TLS is given no mail.
	if <-asked == "" || results[0].Outcome != delivery.Deferred {
		t.Errorf("results %+v", results)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = listener.Close()
}

func TestMailStaysInWithoutASmartHost(t *testing.T) {
	t.Parallel()
	r := newMailReplica(t)
	out, err := r.openOutbound(t.Context())
	if err != nil || out.way() != nil {
		t.Fatalf("transport %v, %v", out.way(), err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := out.run(ctx); err != nil {
		t.Error(err)
	}
}

func TestARegionIsNamedAsMailServersAre(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://virginia.example": "virginia.example", "https://127.0.0.1:8443": "[127.0.0.1]", "https://[2001:db8::1]": "[IPv6:2001:db8::1]",
	} {
		if got := (&syncFlags{url: url}).mailName(); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

package inbound

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestPeersAreAdmittedByNetworkOrCertificate(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t), newAuthority(t)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	byCertificate := func(o *Options) { o.PlaintextNetworks, o.ClientCAs = nil, ours.pool() }
	byName := func(o *Options) { byCertificate(o); o.ClientNames = []string{"MX.example"} }
	const refused = "554 5.7.1 neither your client certificate nor your network is admitted"
	for name, test := range map[string]struct {
		options     func(*Options)
		certificate *tls.Certificate
		want        string
	}{
		"network":                   {func(o *Options) { o.PlaintextNetworks, o.AllowedNetworks = nil, loopback }, nil, "250-virginia.example"},
		"certificate":               {byCertificate, new(ours.issue(t, "mx.example", x509.ExtKeyUsageClientAuth, soon)), "250-virginia.example"},
		"certificate with the name": {byName, new(ours.issue(t, "mx.example", x509.ExtKeyUsageClientAuth, soon)), "250-virginia.example"},
		"certificate, other name":   {byName, new(ours.issue(t, "web.example", x509.ExtKeyUsageClientAuth, soon)), refused},
		"certificate, wildcard":     {byName, new(ours.issue(t, "*.example", x509.ExtKeyUsageClientAuth, soon)), refused},
		"no certificate":            {byCertificate, nil, refused},
		"certificate of others":     {byCertificate, new(others.issue(t, "mx.example", x509.ExtKeyUsageClientAuth, soon)), refused},
		"certificate of a server":   {byCertificate, new(ours.issue(t, "mx.example", x509.ExtKeyUsageServerAuth, soon)), refused},
		"expired certificate":       {byCertificate, new(ours.issue(t, "mx.example", x509.ExtKeyUsageClientAuth, past)), refused},
		"network beside a certificate of others": {func(o *Options) {
			byCertificate(o)
			o.AllowedNetworks = loopback
		}, new(others.issue(t, "mx.example", x509.ExtKeyUsageClientAuth, soon)), "250-virginia.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, SMTP, test.options)
			p := r.dial(t)
			p.want("220 ")
			var certificates []tls.Certificate
			if test.certificate != nil {
				certificates = append(certificates, *test.certificate)
			}
			if err := p.startTLS(r.roots, certificates...); err != nil {
				t.Fatal(err)
			}
			p.expect("EHLO mx.example", test.want)
			if test.want == refused {
				p.closed()
				if got := r.metric(t, "bailiwick_sync_inbound_refusals_total", "certificate"); got != 1 {
					t.Errorf("refusals counted: %v", got)
				}
				return
			}
			p.begin("ann@agency.example")
		})
	}
}

func TestPeersOfOtherNetworksAreToldBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP, func(o *Options) {
		o.PlaintextNetworks, o.AllowedNetworks = nil, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	p := r.dial(t)
	p.want("554 5.7.1 mail is not taken from your network")
	p.closed()
	if got := r.metric(t, "bailiwick_sync_inbound_refusals_total", "network"); got != 1 {
		t.Errorf("refusals counted: %v", got)
	}
}

func TestMailNeedsTLS(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP, func(o *Options) { o.PlaintextNetworks, o.AllowedNetworks = nil, loopback })
	p := r.dial(t)
	p.want("220 ")
	for _, line := range []string{"MAIL FROM:<a@b.example>", "RCPT TO:<a@b.example>", "DATA", "RSET", "VRFY ann", "AUTH PLAIN AGEAYg==", "BDAT 3", "HELP", "XYZZY"} {
		p.expect(line, "530 5.7.0 issue STARTTLS first")
	}
	p.expect("NOOP", "250 ")
	p.send("EHLO mx.example\r\n")
	if got := p.reply(); !strings.Contains(got, "STARTTLS") || strings.Contains(got, "AUTH") || strings.Contains(got, "REQUIRETLS") {
		t.Errorf("extensions %q", got)
	}
	if err := p.startTLS(r.roots); err != nil {
		t.Fatal(err)
	}
	p.expect("MAIL FROM:<a@b.example>", "503 5.5.1 greet first")
	p.send("EHLO mx.example\r\n")
	want := "250-virginia.example\n250-PIPELINING\n250-8BITMIME\n250-SMTPUTF8\n250-DSN\n250-SIZE 52428800\n250-LIMITS RCPTMAX=100\n250-REQUIRETLS\n250 ENHANCEDSTATUSCODES"
	if got := p.reply(); got != want {
		t.Errorf("extensions %q, want %q", got, want)
	}
	p.expect("STARTTLS", "503 5.5.1 TLS runs already")
	p.begin("ann@agency.example")
}

func TestNothingIsSmuggledIntoTLS(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	p := r.dial(t)
	p.want("220 ")
	p.send("STARTTLS\r\nMAIL FROM:<evil@elsewhere.example>\r\n")
	p.want("503 5.5.1 nothing may follow STARTTLS before its reply")
	p.closed()
}

func TestAFailedHandshakeEndsTheConnection(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	p := r.dial(t)
	p.want("220 ")
	p.expect("STARTTLS", "220 ")
	p.send("MAIL FROM:<evil@elsewhere.example>\r\n")
	eventually(t, "the failure is counted", func() bool { return r.metric(t, "bailiwick_sync_inbound_refusals_total", "tls") == 1 })
	eventually(t, "the connection is closed", func() bool { return r.metric(t, "bailiwick_sync_inbound_connections", "smtp") == 0 })
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP, func(o *Options) { o.MinimumTLS = tls.VersionTLS10 })
	p := r.dial(t)
	p.want("220 ")
	p.expect("STARTTLS", "220 ")
	conn := tls.Client(p.conn, &tls.Config{RootCAs: r.roots, ServerName: "virginia.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := conn.HandshakeContext(t.Context()); err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
		t.Errorf("handshake: %v", err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	for want, limits := range map[string]Limits{
		"421 4.3.2 too many connections are open, try again later":          {Connections: 1},
		"421 4.7.0 too many connections of yours are open, try again later": {PeerConnections: 1},
	} {
		r := start(t, SMTP, func(o *Options) { o.Limits = limits })
		first := r.dial(t)
		first.want("220 ")
		second := r.dial(t)
		second.want(want)
		second.closed()
		first.expect("QUIT", "221 ")
		eventually(t, "the place is free again", func() bool {
			third := r.dial(t)
			return strings.HasPrefix(third.reply(), "220 ")
		})
	}
}

func TestAPeerWithIPv6IsItsNetwork(t *testing.T) {
	t.Parallel()
	p := newPeers(10, 1)
	if refused := p.enter(netip.MustParseAddr("2001:db8::1")); refused != nil {
		t.Fatal(refused.text)
	}
	if refused := p.enter(netip.MustParseAddr("2001:db8::2")); refused == nil {
		t.Error("a neighbour in the same /64 counts as another peer")
	}
	if refused := p.enter(netip.MustParseAddr("2001:db8:0:1::1")); refused != nil {
		t.Error(refused.text)
	}
	p.leave(netip.MustParseAddr("2001:db8::1"))
	if refused := p.enter(netip.MustParseAddr("2001:db8::2")); refused != nil {
		t.Error(refused.text)
	}
}

package smarthost

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

func TestMailIsRelayedWithItsParameters(t *testing.T) {
	t.Parallel()
	for _, implicit := range []bool{false, true} {
		h := newHost(t, implicit)
		transport := h.transport(func(o *Options) { o.ImplicitTLS = implicit })
		e := &delivery.Envelope{
			From: "jürgen@agency.example", ID: "q+1", Return: "HDRS", RequireTLS: true, SMTPUTF8: true,
			To: []delivery.Recipient{
				{Address: `"a> b"@x.example`, Notify: []string{"success", "FAILURE", "SUCCESS"}, Original: "rfc822;a+b@x.example"},
				{Address: "joe@x.example", Notify: []string{"SUCCESS", "NEVER"}, Original: "utf-8;jürgen@x.example"},
				{Address: "eve@x.example", Notify: []string{"odd"}, Original: "x400;?"},
			},
		}
		reply := "250 2.0.0 OK: queued"
		want := []delivery.Result{
			{Address: `"a> b"@x.example`, Outcome: delivery.Relayed, Reply: reply, Server: "127.0.0.1"},
			{Address: "joe@x.example", Outcome: delivery.Relayed, Reply: reply, Server: "127.0.0.1"},
			{Address: "eve@x.example", Outcome: delivery.Relayed, Reply: reply, Server: "127.0.0.1"},
		}
		if diff := cmp.Diff(want, send(t, transport, e)); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
		wantSent := []sent{{
			from:    "jürgen@agency.example",
			options: smtp.MailOptions{Body: smtp.Body8BitMIME, Size: int64(len(note)), RequireTLS: true, UTF8: true, Return: smtp.DSNReturnHeaders, EnvelopeID: "q+1"},
			to: map[string]smtp.RcptOptions{
				"a> b@x.example": {Notify: []smtp.DSNNotify{"SUCCESS", "FAILURE"}, OriginalRecipientType: "RFC822", OriginalRecipient: "a+b@x.example"},
				"joe@x.example":  {Notify: []smtp.DSNNotify{"NEVER"}, OriginalRecipientType: "UTF-8", OriginalRecipient: "jürgen@x.example"},
				"eve@x.example":  {},
			},
			content: note,
		}}
		if diff := cmp.Diff(wantSent, h.got(), cmp.AllowUnexported(sent{})); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"virginia.example"}, h.hellos); diff != "" {
			t.Errorf("names that the region gave by TLS (-want +got):\n%s", diff)
		}
	}
}

func TestRepliesAreToldPerRecipient(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	h.rcpt["gone@x.example"] = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "gone for good"}
	h.rcpt["busy@x.example"] = &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "busy"}
	got := send(t, h.transport(), envelope("ann@x.example", "gone@x.example", "busy@x.example", "not an address"))
	want := []delivery.Result{
		{Address: "ann@x.example", Outcome: delivery.Relayed, Reply: "250 2.0.0 OK: queued", Server: "127.0.0.1"},
		{Address: "gone@x.example", Outcome: delivery.Failed, Reply: "550 5.1.1 gone for good", Server: "127.0.0.1"},
		{Address: "busy@x.example", Outcome: delivery.Deferred, Reply: "450 4.2.1 busy", Server: "127.0.0.1"},
		{Address: "not an address", Outcome: delivery.Failed, Reply: "550 5.1.3 the address is malformed"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	for outcome, n := range map[string]float64{"relayed": 1, "failed": 2, "deferred": 1} {
		if got := h.metric("bailiwick_sync_smarthost_recipients_total", outcome); got != n {
			t.Errorf("%s: %v counted", outcome, got)
		}
	}
}

func TestEachFailureOfTheHostHasItsResult(t *testing.T) {
	t.Parallel()
	refuse := func(code int, enhanced smtp.EnhancedCode) func() error {
		return func() error { return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "no"} }
	}
	for name, test := range map[string]struct {
		prepare func(*host)
		change  func(*smtp.Server)
		edit    func(*delivery.Envelope)
		content string
		outcome delivery.Outcome
		reply   string
		sent    int
	}{
		"sender refused":   {prepare: func(h *host) { h.mail = refuse(550, smtp.EnhancedCode{5, 7, 1}) }, outcome: delivery.Failed, reply: "550 5.7.1 no"},
		"sender deferred":  {prepare: func(h *host) { h.mail = refuse(451, smtp.EnhancedCode{4, 7, 1}) }, outcome: delivery.Deferred, reply: "451 4.7.1 no"},
		"closing":          {prepare: func(h *host) { h.mail = refuse(421, smtp.EnhancedCode{4, 3, 2}) }, outcome: delivery.Deferred, reply: "421 4.3.2 no"},
		"content refused":  {prepare: func(h *host) { h.data = refuse(554, smtp.EnhancedCode{5, 6, 0}) }, outcome: delivery.Failed, reply: "554 5.6.0 no", sent: 1},
		"content deferred": {prepare: func(h *host) { h.data = refuse(452, smtp.EnhancedCode{4, 3, 1}) }, outcome: delivery.Deferred, reply: "452 4.3.1 no", sent: 1},
		"other 2xx":        {prepare: func(h *host) { h.data = refuse(251, smtp.EnhancedCode{2, 0, 0}) }, outcome: delivery.Relayed, reply: "251 2.0.0 no", sent: 1},
		"nonsense":         {prepare: func(h *host) { h.data = refuse(354, smtp.EnhancedCode{3, 0, 0}) }, outcome: delivery.Deferred, reply: ambiguous, sent: 1},
		"lost at RCPT":     {prepare: func(h *host) { h.rcpt["joe@x.example"] = net.ErrClosed }, outcome: delivery.Deferred, reply: interrupted},
		"lost at the end":  {prepare: func(h *host) { h.data = func() error { return net.ErrClosed } }, outcome: delivery.Deferred, reply: ambiguous, sent: 1},
		"no REQUIRETLS": {
			change: func(s *smtp.Server) { s.EnableREQUIRETLS = false }, edit: func(e *delivery.Envelope) { e.RequireTLS = true }, outcome: delivery.Failed,
			reply: "550 5.7.30 the message requires TLS on its whole way, which the smart host does not promise (REQUIRETLS)",
		},
		"no SMTPUTF8": {
			change: func(s *smtp.Server) { s.EnableSMTPUTF8 = false }, edit: func(e *delivery.Envelope) { e.SMTPUTF8 = true }, outcome: delivery.Failed,
			reply: "550 5.6.7 the message needs SMTPUTF8, which the smart host does not offer",
		},
		"too large": {
			change: func(s *smtp.Server) { s.MaxMessageBytes = 10 }, outcome: delivery.Failed,
			reply: "552 5.3.4 the message is larger than the smart host takes",
		},
		"too large here": {content: strings.Repeat("x", 1001), outcome: delivery.Failed, reply: "552 5.3.4 the message is larger than the region sends"},
		"UTF-8 sender":   {edit: func(e *delivery.Envelope) { e.From = "jürgen@x.example" }, outcome: delivery.Failed, reply: "550 5.6.7 the address needs SMTPUTF8, which the message does not ask for"},
		"broken sender":  {edit: func(e *delivery.Envelope) { e.From = "a\r\nDATA@x.example" }, outcome: delivery.Failed, reply: "550 5.1.7 the address of the sender is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, false, func(s *smtp.Server) {
				if test.change != nil {
					test.change(s)
				}
			})
			if test.prepare != nil {
				test.prepare(h)
			}
			e := envelope("ann@x.example", "joe@x.example")
			if test.edit != nil {
				test.edit(e)
			}
			content := test.content
			if content == "" {
				content = note
			}
			got := h.transport(func(o *Options) { o.MaxSize = 1000 }).Send(t.Context(), e, strings.NewReader(content))
			for _, r := range got {
				if r.Outcome != test.outcome || r.Reply != test.reply {
					t.Errorf("%s: outcome %d, reply %q, want %d, %q", r.Address, r.Outcome, r.Reply, test.outcome, test.reply)
				}
			}
			if n := len(h.got()); n != test.sent {
				t.Errorf("sent %d times, want %d", n, test.sent)
			}
		})
	}
}

func TestAMessageThatCannotBeReadIsDeferred(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	got := h.transport().Send(t.Context(), envelope("ann@x.example"), brokenReader{})
	if got[0].Outcome != delivery.Deferred || got[0].Reply != "451 4.3.0 the message could not be read" || h.sessions != 0 {
		t.Errorf("results %+v, %d connections", got, h.sessions)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestTheHostIsVerified(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	other := newHost(t, false)
	for name, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"authority of others": {func(o *Options) { o.RootCAs = other.roots }, "authority unknown"},
		"system's":            {func(o *Options) { o.RootCAs = nil }, "authority unknown"},
		"other name":          {func(o *Options) { o.Address = strings.Replace(o.Address, "127.0.0.1", "localhost", 1) }, "certificate of another host"},
		"TLS at once":         {func(o *Options) { o.ImplicitTLS = true }, "connection failed"},
		"nobody there":        {func(o *Options) { o.Address = closedPort(t) }, "connection failed"},
	} {
		got := send(t, h.transport(test.change, func(o *Options) { o.Metrics = nil }), envelope("ann@x.example"))
		if want := "451 4.4.1 the smart host cannot be reached: " + test.want; got[0].Outcome != delivery.Deferred || got[0].Reply != want {
			t.Errorf("%s: %+v, want %q", name, got[0], want)
		}
	}
	if n := len(h.got()); n != 0 {
		t.Errorf("%d messages reached the host", n)
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestAHostWithoutTLSGetsNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t, false, func(s *smtp.Server) { s.TLSConfig = nil })
	got := send(t, h.transport(), envelope("ann@x.example"))
	if got[0].Outcome != delivery.Deferred || len(h.got()) != 0 {
		t.Errorf("results %+v, messages %+v", got, h.got())
	}
}

func TestClientCertificateIsShown(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	certificate := newCertificate(t)
	send(t, h.transport(func(o *Options) {
		o.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }
	}), envelope("ann@x.example"))
	if diff := cmp.Diff([][]*x509.Certificate{{certificate.Leaf}}, h.peers, cmp.Comparer(func(a, b *x509.Certificate) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
}

func TestConnectionsAreReusedAndReplaced(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	transport := h.transport(func(o *Options) { o.Timeouts.Idle = time.Hour })
	relayed := func() {
		t.Helper()
		if got := send(t, transport, envelope("joe@x.example")); got[0].Outcome != delivery.Relayed {
			t.Fatalf("results %+v", got)
		}
	}
	relayed()
	relayed()
	if h.sessions != 1 || h.metric("bailiwick_sync_smarthost_connections_total", "reused") != 1 {
		t.Errorf("%d connections for two messages", h.sessions)
	}
	h.rcpt["gone@x.example"] = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "gone"}
	send(t, transport, envelope("gone@x.example"))
	relayed()
	if h.sessions != 1 {
		t.Errorf("%d connections after a refusal", h.sessions)
	}
	_ = h.conns[0].Close()
	relayed()
	if h.sessions != 2 || len(h.got()) != 4 {
		t.Errorf("%d connections, %d messages after the host closed one", h.sessions, len(h.got()))
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	transport := h.transport(func(o *Options) { o.Timeouts.Idle = time.Millisecond })
	send(t, transport, envelope("joe@x.example"))
	eventually(t, "the connection is dropped", func() bool {
		transport.mu.Lock()
		defer transport.mu.Unlock()
		return len(transport.idle) == 0
	})
	transport.Close()
	send(t, transport, envelope("joe@x.example"))
	if n := len(transport.idle); n != 0 {
		t.Errorf("%d connections are kept after the end", n)
	}
}

func TestTheContextEndsASend(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(h *host, reached chan struct{}, stop <-chan struct{}){
		"command": func(h *host, reached chan struct{}, stop <-chan struct{}) {
			h.mail = func() error { close(reached); <-stop; return nil }
		},
		"end": func(h *host, reached chan struct{}, stop <-chan struct{}) {
			h.data = func() error { close(reached); <-stop; return nil }
		},
	} {
		h := newHost(t, false)
		ctx, cancel := context.WithCancel(t.Context())
		reached, stop := make(chan struct{}), make(chan struct{})
		at(h, reached, stop)
		go func() { <-reached; cancel() }()
		got := h.transport().Send(ctx, envelope("ann@x.example"), strings.NewReader(note))
		close(stop)
		want := map[string]string{"command": interrupted, "end": ambiguous}[name]
		if got[0].Outcome != delivery.Deferred || got[0].Reply != want {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
		cancel()
	}
}

func TestSilentHostsAreLeft(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	transport, err := New(Options{Address: listener.Addr().String(), Hostname: "virginia.example", Timeouts: Timeouts{Connect: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if got := send(t, transport, envelope("ann@x.example")); got[0].Outcome != delivery.Deferred || got[0].Reply != "451 4.4.1 the smart host cannot be reached: timeout" {
		t.Errorf("results %+v", got)
	}
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	transport := h.transport(func(o *Options) { o.Connections = 1 })
	transport.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := transport.Send(ctx, envelope("ann@x.example"), strings.NewReader(note))
	if got[0].Outcome != delivery.Deferred || !strings.HasPrefix(got[0].Reply, "451 4.4.1 the time was over") {
		t.Errorf("results %+v", got)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		`smart host: "smart.example" is not host:port`:  {Address: "smart.example", Hostname: "virginia.example"},
		`smart host: ":25" is not host:port`:            {Address: ":25", Hostname: "virginia.example"},
		`smart host: the name of the region is missing`: {Address: "smart.example:25"},
	} {
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestLineEndsAreMended(t *testing.T) {
	t.Parallel()
	h := newHost(t, false)
	h.transport().Send(t.Context(), envelope("ann@x.example"), strings.NewReader("a\n.\nb\r.\rc\r\n.\r\n\r\rd"))
	if got := h.got(); len(got) != 1 || got[0].content != "a\r\n.\r\nb\r\n.\r\nc\r\n.\r\n\r\n\r\nd\r\n" {
		t.Errorf("sent %+v", got)
	}
}

func TestEightBitContentNeedsAHostThatTakesIt(t *testing.T) {
	t.Parallel()
	content, err := readContent(strings.NewReader("Grüße\r\n"), 100)
	if err != nil || !content.eightBit {
		t.Fatalf("content %+v, %v", content, err)
	}
	client := smtp.NewClient(script(t, "220 smart.example\r\n250 smart.example\r\n"))
	l := &link{client: client}
	if err := client.Hello("virginia.example"); err != nil {
		t.Fatal(err)
	}
	if got := l.lacks(envelope("ann@x.example"), content); got != "554 5.6.3 the message needs 8BITMIME, which the smart host does not offer" {
		t.Errorf("reply %q", got)
	}
}

// script is a connection on which a host has said everything already.
func script(t *testing.T, said string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	go func() {
		_, _ = theirs.Write([]byte(said))
	}()
	go func() {
		b := make([]byte, 100)
		for {
			if _, err := theirs.Read(b); err != nil {
				return
			}
		}
	}()
	return ours
}

func TestRepliesAreWrittenOnOneLine(t *testing.T) {
	t.Parallel()
	for want, reply := range map[string]smtp.SMTPError{
		"550 5.1.1 gone for good": {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "gone\nfor good"},
		"250 2.6.0 queued twice":  {Code: 250, Message: "2.6.0 queued\n2.6.0 twice"},
		"250 2.0.0 2. Stock":      {Code: 250, Message: "2. Stock"},
		"451 4.0.0 no text":       {Code: 451},
		"550 5.0.0 Gr??e ?":       {Code: 550, EnhancedCode: smtp.EnhancedCode{4, 1, 1}, Message: "Grüße \x00"},
	} {
		if got := oneLine(reply.Code, reply.EnhancedCode, reply.Message); got != want {
			t.Errorf("reply %q, want %q", got, want)
		}
	}
}

func FuzzReplies(f *testing.F) {
	f.Add(550, 5, 1, 1, "no\nsuch")
	f.Add(250, 0, 0, 0, "2.0.0 queued\n2.0.0 twice")
	f.Add(550, 0, 0, 0, "5.x")
	f.Fuzz(func(t *testing.T, code, a, b, c int, text string) {
		if code < 200 || code > 599 {
			return
		}
		got := oneLine(code, smtp.EnhancedCode{a, b, c}, text)
		words := strings.SplitN(got, " ", 3)
		if len(words) != 3 || words[2] == "" || strings.Count(words[1], ".") != 2 || words[1][0] != words[0][0] {
			t.Errorf("reply %q", got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("reply %q is not printable", got)
		}
	})
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte("a\n.\nb\r.\rc\r\n.\r\n\r\r"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := string(canonical(raw))
		if !strings.HasSuffix(got, "\r\n") || strings.ContainsAny(strings.ReplaceAll(got, "\r\n", ""), "\r\n") {
			t.Errorf("%q is sent as %q", raw, got)
		}
		if again := string(canonical([]byte(got))); again != got {
			t.Errorf("%q changes a second time: %q", got, again)
		}
	})
}

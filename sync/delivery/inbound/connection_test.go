package inbound

import (
	"strings"
	"testing"
	"time"
)

func TestAMessageThatIsCutOffIsNotDelivered(t *testing.T) {
	t.Parallel()
	for _, protocol := range []Protocol{SMTP, LMTP} {
		r := start(t, protocol)
		p := r.dial(t)
		p.want("220 ")
		hello := "EHLO mx.example"
		if protocol == LMTP {
			hello = "LHLO mx.example"
		}
		p.expect(hello, "250-")
		p.begin("ann@agency.example")
		p.expect("DATA", "354 ")
		p.send("Subject: half\r\n\r\nof a mess")
		_ = p.conn.Close()
		eventually(t, "the message is counted as aborted", func() bool { return r.metric(t, "bailiwick_sync_inbound_messages_total", "aborted") == 1 })
		eventually(t, "the connection is forgotten", func() bool { return r.metric(t, "bailiwick_sync_inbound_connections", string(protocol)) == 0 })
		if got := r.boxes.got(); len(got) != 0 {
			t.Errorf("%s: delivered %+v", protocol, got)
		}
	}
}

func TestSlowPeersAreLetGo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limits Limits
		data   bool
		want   string
	}{
		"no command":      {Limits{Command: time.Millisecond}, false, "421 4.4.2 no command came in time"},
		"stalled message": {Limits{Block: time.Millisecond}, true, "421 4.4.2 the message did not arrive whole"},
		"endless message": {Limits{Message: time.Millisecond}, true, "421 4.4.2 the message did not arrive whole"},
		"lasting session": {Limits{Session: time.Nanosecond}, false, "421 4.7.0 the connection is open for too long, connect again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, SMTP, func(o *Options) { o.Limits = test.limits })
			p := r.dial(t)
			if test.data {
				p.ready("ann@agency.example")
				p.expect("DATA", "354 ")
			} else {
				p.want("220 ")
			}
			p.want(test.want)
			p.closed()
			if got := r.boxes.got(); len(got) != 0 {
				t.Errorf("delivered %+v", got)
			}
		})
	}
}

func TestCommandsAndErrorsAreLimited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limits            Limits
		line, reply, want string
	}{
		"commands":              {Limits{Commands: 5}, "NOOP", "250 ", "421 4.7.0 too many commands, connect again"},
		"errors of the wire":    {Limits{Errors: 4}, "AUTH LOGIN", "502 ", "421 4.7.0 too many errors"},
		"errors of the library": {Limits{Errors: 4}, "RCPT TO:<ann@agency.example>", "503 ", "421 4.7.0 too many errors"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, SMTP, func(o *Options) { o.Limits = test.limits })
			p := r.dial(t)
			p.want("220 ")
			for range 5 {
				p.expect(test.line, test.reply)
			}
			p.expect(test.line, test.want)
			p.closed()
		})
	}
}

func TestShutdownEndsIdleConnectionsAndFinishesTransactions(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	r.boxes.hold = make(chan struct{})
	idle, secure, busy := r.dial(t), r.dial(t), r.dial(t)
	idle.want("220 ")
	idle.expect("EHLO mx.example", "250-")
	secure.want("220 ")
	if err := secure.startTLS(r.roots); err != nil {
		t.Fatal(err)
	}
	secure.expect("EHLO mx.example", "250-")
	busy.ready("ann@agency.example")
	busy.expect("DATA", "354 ")
	busy.send("Subject: last\r\n")
	r.stop()
	for _, p := range []*peer{idle, secure} {
		p.want("421 4.3.2 the server is shutting down, try again later")
		p.closed()
	}
	busy.send("\r\n.\r\n")
	<-r.boxes.entered
	close(r.boxes.hold)
	busy.want("250 2.0.0 delivered, ")
	busy.want("421 4.3.2 the server is shutting down, try again later")
	busy.closed()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	r.ended <- nil
	if got := r.boxes.got(); len(got) != 1 {
		t.Errorf("delivered %+v", got)
	}
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP, func(o *Options) { o.ShutdownTimeout = time.Millisecond })
	r.boxes.hold = make(chan struct{})
	p := r.dial(t)
	p.ready("ann@agency.example")
	p.expect("DATA", "354 ")
	p.send(stuffed(note))
	<-r.boxes.entered
	r.stop()
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "smtp transactions still run after 1ms") {
		t.Errorf("shutdown: %v", err)
	}
	r.ended <- nil
	if got := r.boxes.got(); len(got) != 0 {
		t.Errorf("delivered %+v", got)
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	t.Parallel()
	r := start(t, SMTP)
	s, err := New(Options{Hostname: "virginia.example", Mailboxes: r.boxes, PlaintextNetworks: loopback, Certificate: noCertificate})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), failing{}, LMTP); err == nil || !strings.HasPrefix(err.Error(), "serve lmtp: ") {
		t.Errorf("serve: %v", err)
	}
}

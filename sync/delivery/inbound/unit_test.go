package inbound

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

func noCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }

// failing is a listener that accepts nothing.
type failing struct{}

func (failing) Accept() (net.Conn, error) { return nil, errors.New("broken") }
func (failing) Close() error              { return nil }
func (failing) Addr() net.Addr            { return &net.TCPAddr{} }

func TestOptionsThatAdmitNobodyAreRefused(t *testing.T) {
	t.Parallel()
	good := Options{Hostname: "virginia.example", Mailboxes: &mailboxes{}, Certificate: noCertificate, AllowedNetworks: loopback}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"inbound mail: the host name is missing":                                                       func(o *Options) { o.Hostname = "" },
		"inbound mail: mailboxes are needed":                                                           func(o *Options) { o.Mailboxes = nil },
		"inbound mail: a certificate is needed":                                                        func(o *Options) { o.Certificate = nil },
		"inbound mail: no peer could be admitted: name authorities of client certificates or networks": func(o *Options) { o.AllowedNetworks = nil },
		"inbound mail: names of client certificates need the authorities that issue them":              func(o *Options) { o.ClientNames = []string{"mx.example"} },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	o := good
	o.ClientCAs, o.AllowedNetworks = x509.NewCertPool(), nil
	if _, err := New(o); err != nil {
		t.Error(err)
	}
}

func TestTraceTellsNoInternals(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 3600))
	for want, tr := range map[string]*trace{
		"Received: from mx.example\r\n\tby virginia.example with ESMTPS id X;\r\n\tMon, 23 Nov 2026 09:00:00 +0000\r\n":                     {helo: "mx.example", with: "ESMTPS"},
		"Received: from [192.0.2.1] ([IPv6:2001:db8::1])\r\n\tby virginia.example with LMTP id X;\r\n\tMon, 23 Nov 2026 09:00:00 +0000\r\n": {helo: "[192.0.2.1]", with: "LMTP", peer: "IPv6:2001:db8::1"},
		"Received: from unknown\r\n\tby virginia.example with ESMTP id X;\r\n\tMon, 23 Nov 2026 09:00:00 +0000\r\n":                         {helo: "mx(evil;\tby", with: "ESMTP"},
	} {
		tr.id, tr.by, tr.at = "X", "virginia.example", at
		if diff := cmp.Diff(want, string(tr.fields())); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
	}
	for peer, want := range map[string]string{"10.1.2.3": "", "127.0.0.1": "", "fd00::1": "", "fe80::1": "", "198.51.100.7": "198.51.100.7", "2001:db8::1": "IPv6:2001:db8::1"} {
		if got := publicLiteral(netip.MustParseAddr(peer)); got != want {
			t.Errorf("%s: %q, want %q", peer, got, want)
		}
	}
}

func TestOldFactsAboutSplitMessagesAreForgotten(t *testing.T) {
	t.Parallel()
	s := newSplits()
	s.remember(senderKey("first@x.example"))
	s.remember(senderKey("first@x.example"))
	for i := range splitMemory {
		if !s.oneByOne("first@x.example") {
			t.Fatalf("forgotten after %d others", i)
		}
		s.remember(recipientKey(digest{byte(i), byte(i >> 8), byte(i >> 16)}, "x"))
	}
	if s.oneByOne("first@x.example") || len(s.facts) != splitMemory {
		t.Errorf("%d facts are remembered", len(s.facts))
	}
}

// strictEnd finds the end of content: the first CRLF "." CRLF, counting the beginning as a line start.
func strictEnd(raw []byte) int {
	i := bytes.Index(append([]byte("\r\n"), raw...), []byte(endOfContent))
	if i < 0 {
		return -1
	}
	return i + len(endOfContent) - 2
}

func FuzzContent(f *testing.F) {
	for _, seed := range []string{"a\r\n.\r\n", ".\r\n", "a\n.\n", "a\r\r\n.\r\n", "\r\n.\rx\r\n.\r\n", ".\n.\r\n\r\n.\r\n", "..\r\n.\r\nQUIT\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := newContent(time.Time{})
		var out []byte
		end := -1
		for i, octet := range raw {
			if out = c.step(out, octet); c.ended {
				end = i + 1
				break
			}
		}
		if want := strictEnd(raw); end != want {
			t.Fatalf("%q ends at %d, want %d", raw, end, want)
		}
		if whole := strings.ReplaceAll(string(out), "\r\n", ""); strings.ContainsAny(whole, "\r\n") {
			t.Errorf("%q is passed on with a bare CR or LF: %q", raw, out)
		}
		if end < 0 {
			return
		}
		if strictEnd(out) != len(out) {
			t.Errorf("%q is passed on as %q, which does not end where it ends", raw, out)
		}
		spoilt := strings.ContainsAny(strings.ReplaceAll(string(raw[:end]), "\r\n", ""), "\r\n")
		if c.bare != spoilt {
			t.Errorf("%q: bare %v", raw, c.bare)
		}
		if !c.bare && !bytes.Equal(out, raw[:end]) {
			t.Errorf("%q is passed on as %q", raw, out)
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{"550 5.1.1 no such mailbox", "250 2.0.0 ok", "550 5.1", "551 4.0.0 x", "550 5.1.1 a\r\nb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, outcome := range []delivery.Outcome{delivery.Failed, delivery.Deferred} {
			reply := replyOf(delivery.Result{Outcome: outcome, Reply: s})
			if wantClass := map[delivery.Outcome]int{delivery.Failed: 5, delivery.Deferred: 4}[outcome]; reply.Code/100 != wantClass || reply.EnhancedCode[0] != wantClass {
				t.Errorf("%q: %+v", s, reply)
			}
			if strings.ContainsAny(reply.Message, "\r\n") {
				t.Errorf("%q: text %q", s, reply.Message)
			}
		}
	})
}

func FuzzHops(f *testing.F) {
	f.Add([]byte("Received: a\r\nreceived : b\r\n\r\nReceived: c\r\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		if n := hops(message); n > bytes.Count(bytes.ToLower(message), []byte("received")) {
			t.Errorf("%d hops in %q", n, message)
		}
	})
}

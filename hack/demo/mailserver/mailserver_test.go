package mailserver

import (
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// region is an LMTP server that gives one reply to each line, and tells what it was sent.
type region struct {
	listener net.Listener
	config   *tls.Config
	greeting string
	done     chan []string
}

// open starts a region for one connection, and gives the server that brings it mail.
func open(t *testing.T, greeting string) (*region, Server) {
	t.Helper()
	authority, err := identity.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Serving("region.example")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	r := &region{
		listener: listener, greeting: greeting, done: make(chan []string, 1),
		config: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	go r.serve()
	return r, Server{Source: net.IPv4(127, 88, 0, 25), Target: listener.Addr().String(), Name: "region.example", Roots: authority.Pool()}
}

func (r *region) serve() {
	var seen []string
	defer func() { r.done <- seen }()
	conn, err := r.listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	seen = append(seen, host)
	c := textproto.NewConn(conn)
	if c.PrintfLine("%s", r.greeting) != nil {
		return
	}
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		seen = append(seen, line)
		reply := "250 2.0.0 yes"
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "STARTTLS":
			if c.PrintfLine("220 2.0.0 go on") != nil {
				return
			}
			c = textproto.NewConn(tls.Server(conn, r.config))
			continue
		case "DATA":
			if c.PrintfLine("354 go on") != nil {
				return
			}
			content, err := c.ReadDotBytes()
			if err != nil {
				return
			}
			seen, reply = append(seen, string(content)), "250 2.0.0 delivered"
		case "QUIT":
			reply = "221 2.0.0 bye"
		}
		if c.PrintfLine("%s", reply) != nil {
			return
		}
	}
}

func TestAMessageIsBroughtByTLSFromTheAddressOfTheServer(t *testing.T) {
	r, s := open(t, "220 region.example")
	reply, err := s.Deliver(t.Context(), "iris@elsewhere.example", "ada@contoso.example", []byte("Subject: x\r\n\r\n.text\r\n"))
	if err != nil || reply != "2.0.0 delivered" {
		t.Errorf("reply %q, %v", reply, err)
	}
	want := []string{
		"127.88.0.25", "LHLO relay.example", "STARTTLS", "LHLO relay.example", "MAIL FROM:<iris@elsewhere.example>", "RCPT TO:<ada@contoso.example>",
		"DATA", "Subject: x\n\n.text\n", "QUIT",
	}
	if diff := cmp.Diff(want, <-r.done); diff != "" {
		t.Errorf("what the region was sent (-want +got):\n%s", diff)
	}
}

func TestARefusalIsTold(t *testing.T) {
	r, s := open(t, "554 5.7.1 not from there")
	_, err := s.Deliver(t.Context(), "", "ada@contoso.example", nil)
	var refused *textproto.Error
	if !errors.As(err, &refused) || refused.Code != 554 || refused.Msg != "5.7.1 not from there" {
		t.Errorf("got %v", err)
	}
	<-r.done
}

func TestARegionOfAnotherNameGetsNoMail(t *testing.T) {
	r, s := open(t, "220 region.example")
	s.Name = "other.example"
	if _, err := s.Deliver(t.Context(), "", "ada@contoso.example", nil); err == nil || !strings.Contains(err.Error(), `TLS with "other.example"`) {
		t.Errorf("got %v", err)
	}
	if seen := <-r.done; seen[len(seen)-1] != "STARTTLS" {
		t.Errorf("the region was sent %q", seen)
	}
}

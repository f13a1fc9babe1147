package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"
)

// smartHost is the smart host of a region in a test.
type smartHost struct{ messages chan string }

func (h smartHost) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return h, nil }
func (smartHost) Reset()                                            {}
func (smartHost) Logout() error                                     { return nil }
func (smartHost) Mail(string, *gosmtp.MailOptions) error            { return nil }
func (smartHost) Rcpt(string, *gosmtp.RcptOptions) error            { return nil }

func (h smartHost) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	h.messages <- string(raw)
	return err
}

func TestMailComesIntoARegionAndLeavesIt(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	certificate, err := tls.LoadX509KeyPair(filepath.Join(r.flags.tlsDir, "tls.crt"), filepath.Join(r.flags.tlsDir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	host := smartHost{messages: make(chan string, 10)}
	server := gosmtp.NewServer(host)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	defer func() {
		_ = listener.Close()
		_ = server.Close()
		<-ended
	}()
	r.flags.delivery = deliveryFlags{
		smtpPort: freePort(t), plainNetworks: []string{"127.0.0.0/8"}, maxMessageSize: 10_000,
		smartHost: listener.Addr().String(), smartHostTLS: smartHostStartTLS, smartHostCA: filepath.Join(r.flags.tlsDir, "tls.crt"),
	}
	r.start(t)
	ada := r.user(t, "ada")
	client, err := gosmtp.Dial(fmt.Sprintf("127.0.0.1:%d", r.flags.delivery.smtpPort))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SendMail("bob@elsewhere.example", []string{"ada@agency.example"}, strings.NewReader("Subject: in\r\n\r\nhello\r\n")); err != nil {
		t.Fatal(err)
	}
	if !ada.inboxHolds(t, 1) {
		t.Error("the message was acknowledged and is not in the inbox")
	}
	for to, want := range map[string]string{"none@agency.example": "no such mailbox here", "bob@elsewhere.example": "the domain is not homed here"} {
		if err := client.SendMail("bob@elsewhere.example", []string{to}, strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err := client.Reset(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Quit(); err != nil {
		t.Error(err)
	}
	ada.sends(t, "bob@elsewhere.example", 0)
	if got := <-host.messages; !strings.Contains(got, "At noon?") {
		t.Errorf("the smart host got %q", got)
	}
	ada.sends(t, "ada@agency.example", 0)
	eventually(t, "the message to a mailbox of the region is there", func() bool { return ada.inboxHolds(t, 2) })
	if len(host.messages) != 0 {
		t.Error("a message to a mailbox of the region left it")
	}
}

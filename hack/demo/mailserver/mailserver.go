// Package mailserver is the server of the demonstration that stands in front of a region
// and brings mail to it by LMTP (RFC 2033), with TLS (RFC 3207).
package mailserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"time"
)

// patience bounds one delivery.
const patience = 30 * time.Second

// Server brings mail from one address to one region.
type Server struct {
	// Source is the address from which it connects.
	Source net.IP
	// Target is where the region listens, "address:port", and Name is what its
	// certificate has to name.
	Target, Name string
	// Roots verify the region.
	Roots *x509.CertPool
}

// Deliver brings a message to one recipient and returns the reply. A refusal is a
// *textproto.Error.
func (s Server) Deliver(ctx context.Context, from, to string, message []byte) (reply string, err error) {
	dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: s.Source}}
	conn, err := dialer.DialContext(ctx, "tcp", s.Target)
	if err != nil {
		return "", fmt.Errorf("connect to %q: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, closed(conn)) }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", fmt.Errorf("connect to %q: %w", s.Name, err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends what waits for an answer
	if err := startTLS(textproto.NewConn(conn)); err != nil {
		return "", err
	}
	secure := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Name, RootCAs: s.Roots})
	if err := secure.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("TLS with %q: %w", s.Name, err)
	}
	return transact(textproto.NewConn(secure), from, to, message)
}

// closed closes a connection that may be closed already.
func closed(conn net.Conn) error {
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// startTLS goes as far as the server asks for the handshake.
func startTLS(c *textproto.Conn) error {
	if _, _, err := c.ReadResponse(220); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if err := command(c, 250, "LHLO relay.example"); err != nil {
		return err
	}
	return command(c, 220, "STARTTLS")
}

// transact brings a message. Its reply is that for the one recipient.
func transact(c *textproto.Conn, from, to string, message []byte) (string, error) {
	for _, step := range []struct {
		code int
		line string
	}{
		{250, "LHLO relay.example"}, {250, "MAIL FROM:<" + from + ">"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"},
	} {
		if err := command(c, step.code, step.line); err != nil {
			return "", err
		}
	}
	content := c.DotWriter()
	if _, err := content.Write(message); err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	if err := content.Close(); err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	_, reply, err := c.ReadResponse(250)
	if err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	return reply, command(c, 221, "QUIT")
}

// command sends a line and reads the answer.
func command(c *textproto.Conn, code int, line string) error {
	if err := c.PrintfLine("%s", line); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	if _, _, err := c.ReadResponse(code); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	return nil
}

package smarthost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// link is one connection to the host.
type link struct {
	client *smtp.Client
	conn   net.Conn
	// expiry closes a link that waits for too long.
	expiry *time.Timer
}

// timed is a connection whose writes end: the library bounds what it reads only.
type timed struct {
	net.Conn

	block time.Duration
}

// Write sends within the bound.
func (c timed) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.block)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// connect opens a connection, verifies the host and introduces the region. There is no way round TLS: a host that
// does not offer STARTTLS, or somebody in the middle who hides it, gets nothing to read.
func (t *Transport) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, t.options.Timeouts.Connect)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", t.options.Address)
	if err != nil {
		t.metrics.connections.WithLabelValues("failed").Inc()
		return nil, err
	}
	l := &link{conn: raw}
	defer l.cutWith(ctx)()
	if l.client, err = t.greet(ctx, timed{Conn: raw, block: t.options.Timeouts.Block}); err != nil {
		t.metrics.connections.WithLabelValues("failed").Inc()
		return nil, errors.Join(err, ctx.Err(), raw.Close())
	}
	t.metrics.connections.WithLabelValues("opened").Inc()
	return l, nil
}

func (t *Transport) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	var client *smtp.Client
	var err error
	if t.options.ImplicitTLS {
		secure := tls.Client(conn, t.tlsConfig())
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("handshake: %w", err)
		}
		client = smtp.NewClient(secure)
	} else if client, err = smtp.NewClientStartTLS(conn, t.tlsConfig()); err != nil {
		return nil, fmt.Errorf("STARTTLS: %w", err)
	}
	client.CommandTimeout, client.SubmissionTimeout = t.options.Timeouts.Command, t.options.Timeouts.End
	if err := client.Hello(t.options.Hostname); err != nil {
		return nil, fmt.Errorf("EHLO: %w", err)
	}
	if _, secure := client.TLSConnectionState(); !secure {
		return nil, errors.New("the connection is not secure")
	}
	return client, nil
}

func (t *Transport) tlsConfig() *tls.Config {
	config := &tls.Config{MinVersion: t.options.MinimumTLS, ServerName: t.host, RootCAs: t.options.RootCAs}
	if certificate := t.options.Certificate; certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate(nil)
		}
	}
	return config
}

// cutWith closes the connection when a context ends, until the function that it returns is called.
func (l *link) cutWith(ctx context.Context) func() {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	return func() { stop() }
}

// reset readies a connection that waited for the next message. The library forgets the greeting with it, so that the
// host is asked anew for what it offers.
func (t *Transport) reset(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, t.options.Timeouts.Connect)
	defer cancel()
	defer l.cutWith(ctx)()
	if err := l.client.Reset(); err != nil {
		return err
	}
	return l.client.Hello(t.options.Hostname)
}

func (l *link) close() { _ = l.conn.Close() }

// transact sends a message and notes what the host said of each recipient. It tells whether the connection is fit
// for another message.
func (l *link) transact(ctx context.Context, d *dispatch, m *content) bool {
	defer l.cutWith(ctx)()
	if reply := l.lacks(d.envelope, m); reply != "" {
		d.here(delivery.Failed, reply)
		return true
	}
	if err := l.client.Mail(d.from, mailOptions(d.envelope, m)); err != nil {
		return d.fail(err, interrupted)
	}
	accepted := false
	for i := range d.to {
		if d.results[i].Outcome != 0 {
			continue
		}
		err := l.client.Rcpt(d.to[i], recipientOptions(&d.envelope.To[i]))
		switch {
		case err == nil:
			accepted = true
		case !d.note(i, err):
			return d.fail(err, interrupted)
		}
	}
	if !accepted {
		return true
	}
	return l.data(d, m)
}

// interrupted is said when the connection ended before the whole message was sent: the host cannot have taken it.
const interrupted = "451 4.4.2 the connection to the smart host ended"

// ambiguous is said when the connection ended between the end of the message and the reply to it: whether the host
// took it is not known. Losing mail is worse than sending it twice, so it counts as not taken; the next try is a
// matter of the outbox.
const ambiguous = "451 4.4.2 the smart host did not say whether it took the message"

func (l *link) data(d *dispatch, m *content) bool {
	w, err := l.client.Data()
	if err != nil {
		return d.fail(err, interrupted)
	}
	if _, err := io.Copy(w, m.reader()); err != nil {
		// The message is not ended: closing the writer would do that.
		return d.fail(err, interrupted)
	}
	response, err := w.CloseWithResponse()
	var said *smtp.SMTPError
	switch {
	case err == nil:
		d.rest(delivery.Relayed, oneLine(250, smtp.EnhancedCode{}, response.StatusText))
		return true
	case errors.As(err, &said) && said.Code/100 == 2:
		d.rest(delivery.Relayed, oneLine(said.Code, said.EnhancedCode, said.Message))
		return true
	default:
		return d.fail(err, ambiguous)
	}
}

// lacks tells what a message needs and the host does not offer: no later try would change that.
func (l *link) lacks(e *delivery.Envelope, m *content) string {
	offers := func(name string) bool {
		ok, _ := l.client.Extension(name)
		return ok
	}
	largest, bounded := l.client.MaxMessageSize()
	switch {
	case e.RequireTLS && !offers("REQUIRETLS"):
		return "550 5.7.30 the message requires TLS on its whole way, which the smart host does not promise (REQUIRETLS)"
	case e.SMTPUTF8 && !offers("SMTPUTF8"):
		return "550 5.6.7 the message needs SMTPUTF8, which the smart host does not offer"
	case m.eightBit && !offers("8BITMIME"):
		return "554 5.6.3 the message needs 8BITMIME, which the smart host does not offer"
	case bounded && largest > 0 && len(m.octets) > largest:
		return "552 5.3.4 the message is larger than the smart host takes"
	}
	return ""
}

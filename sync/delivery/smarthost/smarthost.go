// Package smarthost carries mail out of a region by SMTP (RFC 5321) through one host, which takes it further.
//
// The host is reached by TLS alone, its certificate and name are verified, and the only credential is a client
// certificate. What the host says for each recipient is told as it is. A message is deferred, and so may be sent a
// second time, whenever it is not known whether the host took it; it is never sent twice by one call.
package smarthost

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// Options are what a Transport is made of.
type Options struct {
	// Address is the host, as host:port.
	Address string
	// ImplicitTLS begins with TLS (RFC 8314); otherwise STARTTLS goes over to it before anything else.
	ImplicitTLS bool
	// Hostname is the name by which the region introduces itself.
	Hostname string
	// RootCAs verify the host; nil means those of the system.
	RootCAs *x509.CertPool
	// Certificate gives the client certificate; nil shows none.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// MinimumTLS is the lowest protocol version, tls.VersionTLS12 or later; zero means TLS 1.2.
	MinimumTLS uint16
	// MaxSize is the largest message that is read; zero means 100 MiB.
	MaxSize int64
	// Connections is how many messages are sent at a time; zero means 4.
	Connections int
	// Timeouts bound each step; zero fields mean those of DefaultTimeouts.
	Timeouts Timeouts
	// Logger receives structured logs without addresses or content; nil discards them.
	Logger *slog.Logger
	// Metrics receives the metrics; nil keeps them private.
	Metrics prometheus.Registerer
}

// Timeouts bound the steps of sending.
type Timeouts struct {
	// Connect is for the connection with TLS and greeting, Command for the reply to a command, Block for the host to
	// take a piece of the message, and End for its reply to the whole message.
	Connect, Command, Block, End time.Duration
	// Idle is how long a connection is kept for the next message.
	Idle time.Duration
}

// DefaultTimeouts are those of RFC 5321 section 4.5.3.2, the connection aside.
func DefaultTimeouts() Timeouts {
	return Timeouts{Connect: time.Minute, Command: 5 * time.Minute, Block: 3 * time.Minute, End: 10 * time.Minute, Idle: 30 * time.Second}
}

// Transport sends mail through the host.
type Transport struct {
	options Options
	host    string
	metrics *metrics
	// slots bounds connections.
	slots chan struct{}

	mu     sync.Mutex
	idle   []*link
	closed bool
}

// New makes a transport. It connects to nothing yet.
func New(o Options) (*Transport, error) {
	host, port, err := net.SplitHostPort(o.Address)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("smart host: %q is not host:port", o.Address)
	}
	if o.Hostname == "" {
		return nil, errors.New("smart host: the name of the region is missing")
	}
	d := DefaultTimeouts()
	o.Timeouts = Timeouts{
		Connect: cmp.Or(o.Timeouts.Connect, d.Connect), Command: cmp.Or(o.Timeouts.Command, d.Command), Block: cmp.Or(o.Timeouts.Block, d.Block),
		End: cmp.Or(o.Timeouts.End, d.End), Idle: cmp.Or(o.Timeouts.Idle, d.Idle),
	}
	o.MinimumTLS = max(o.MinimumTLS, tls.VersionTLS12)
	o.MaxSize = cmp.Or(o.MaxSize, 100<<20)
	o.Connections = cmp.Or(o.Connections, 4)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	return &Transport{options: o, host: host, metrics: m, slots: make(chan struct{}, o.Connections)}, nil
}

// Send hands a message to the host. It tells Relayed only of recipients for whom the host took the message.
func (t *Transport) Send(ctx context.Context, e *delivery.Envelope, message io.Reader) []delivery.Result {
	started := time.Now()
	d := newDispatch(t.host, e)
	t.send(ctx, d, message)
	results := d.results
	counts := map[delivery.Outcome]int{}
	for _, r := range results {
		counts[r.Outcome]++
		t.metrics.recipients.WithLabelValues(outcomeNames[r.Outcome]).Inc()
	}
	t.metrics.duration.Observe(time.Since(started).Seconds())
	t.options.Logger.InfoContext(ctx, "message sent", slog.Int("relayed", counts[delivery.Relayed]), slog.Int("deferred", counts[delivery.Deferred]),
		slog.Int("failed", counts[delivery.Failed]), slog.Duration("took", time.Since(started)))
	return results
}

func (t *Transport) send(ctx context.Context, d *dispatch, message io.Reader) {
	content, err := readContent(message, t.options.MaxSize)
	switch {
	case errors.Is(err, delivery.ErrTooLarge):
		d.here(delivery.Failed, "552 5.3.4 the message is larger than the region sends")
		return
	case err != nil:
		d.here(delivery.Deferred, "451 4.3.0 the message could not be read")
		return
	}
	if !d.pending() {
		return
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		d.here(delivery.Deferred, "451 4.4.1 the time was over before a connection to the smart host was free")
		return
	}
	l, err := t.take(ctx)
	if err != nil {
		t.options.Logger.WarnContext(ctx, "the smart host cannot be reached", slog.String("cause", causeOf(err)))
		// Whatever the host says before it knows of a message is not about the message.
		d.here(delivery.Deferred, "451 4.4.1 the smart host cannot be reached: "+causeOf(err))
		return
	}
	if l.transact(ctx, d, content) {
		t.keep(l)
		return
	}
	l.close()
}

// take returns a connection that is greeted and in no transaction.
func (t *Transport) take(ctx context.Context) (*link, error) {
	for {
		l := t.pop()
		if l == nil {
			return t.connect(ctx)
		}
		// A host may close a connection that waits. Whether it did is asked before anything of the message is sent.
		if t.reset(ctx, l) == nil {
			t.metrics.connections.WithLabelValues("reused").Inc()
			return l, nil
		}
		l.close()
	}
}

func (t *Transport) pop() *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 {
		return nil
	}
	l := t.idle[n-1]
	t.idle = t.idle[:n-1]
	l.expiry.Stop()
	return l
}

// keep keeps a connection for the next message, for a while.
func (t *Transport) keep(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		l.close()
		return
	}
	l.expiry = time.AfterFunc(t.options.Timeouts.Idle, func() { t.drop(l) })
	t.idle = append(t.idle, l)
}

// drop closes a connection if it still waits.
func (t *Transport) drop(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.idle {
		if other == l {
			t.idle = append(t.idle[:i], t.idle[i+1:]...)
			l.close()
			return
		}
	}
}

// Close closes the connections that wait. Messages that are being sent go on.
func (t *Transport) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, l := range t.idle {
		l.expiry.Stop()
		l.close()
	}
	t.idle = nil
}

var _ delivery.Transport = (*Transport)(nil)

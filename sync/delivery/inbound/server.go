// Package inbound takes mail into a region by SMTP (RFC 5321) and LMTP (RFC 2033).
//
// It is no public mail exchanger: the peers are the few servers that stand in front of the region. A peer is admitted
// by the network that it connects from, or by a client certificate; passwords do not exist. Each mailbox is checked
// when it is named, and a message is acknowledged only when it is durable, so that nothing is ever bounced later.
//
// github.com/emersion/go-smtp reads the commands. Below it lies the wire (wire.go), which keeps what the library
// leaves open: one command at a time, strict line ends, TLS before mail, admission, bounds and deadlines.
package inbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// Protocol is what a port speaks.
type Protocol string

const (
	// SMTP gives one reply for all recipients of a message.
	SMTP Protocol = "smtp"
	// LMTP gives one reply for each recipient of a message.
	LMTP Protocol = "lmtp"
)

// Options are what a Server is made of.
type Options struct {
	// Hostname is the public name of the region: peers are greeted with it, and it stands in trace fields.
	Hostname string
	// Mailboxes takes the mail.
	Mailboxes delivery.Mailboxes
	// Certificate gives the serving certificate.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// MinimumTLS is the lowest protocol version, tls.VersionTLS12 or later; zero means TLS 1.2.
	MinimumTLS uint16
	// ClientCAs admits peers that show a certificate of one of these authorities; nil admits nobody by certificate.
	ClientCAs *x509.CertPool
	// ClientNames narrows ClientCAs to certificates that carry one of these DNS names or URIs; empty means all.
	ClientNames []string
	// AllowedNetworks admits peers by where they connect from. They still need TLS.
	AllowedNetworks []netip.Prefix
	// PlaintextNetworks admits peers by where they connect from and takes mail from them without TLS: the pod itself,
	// or a network that is encrypted below.
	PlaintextNetworks []netip.Prefix
	// Limits bound what peers may use; zero fields mean those of DefaultLimits.
	Limits Limits
	// ShutdownTimeout bounds the wait for running transactions at shutdown; zero means 20 seconds.
	ShutdownTimeout time.Duration
	// Logger receives structured logs without addresses or content; nil discards them.
	Logger *slog.Logger
	// Metrics receives the metrics; nil keeps them private.
	Metrics prometheus.Registerer
}

// Limits bound what peers may use.
type Limits struct {
	// Connections is how many connections are open in all, PeerConnections how many by one peer: an IPv4 address, or
	// the /64 of an IPv6 address.
	Connections, PeerConnections int
	// Recipients is how many recipients a message has.
	Recipients int
	// Commands is how many commands a connection brings, Errors how many of them fail.
	Commands, Errors int
	// MessageSize is the largest message in octets; MemorySize is how much all messages that are being read take up.
	MessageSize, MemorySize int64
	// Command is how long a command may take to arrive, Block how long a message may stall, Message how long it may
	// take in all, and Session how long a connection lives.
	Command, Block, Message, Session time.Duration
	// Check is how long a mailbox may take to be checked, Deliver how long a message may take to become durable.
	Check, Deliver time.Duration
}

// DefaultLimits are generous to the few servers in front of a region, and keep each of them from using it up. The
// times are those of RFC 5321 section 4.5.3.2, as seen from the server.
func DefaultLimits() Limits {
	return Limits{
		Connections: 200, PeerConnections: 50,
		Recipients: 100, Commands: 10_000, Errors: 100,
		MessageSize: 50 << 20, MemorySize: 512 << 20,
		Command: 5 * time.Minute, Block: 3 * time.Minute, Message: 20 * time.Minute, Session: time.Hour,
		Check: 30 * time.Second, Deliver: 5 * time.Minute,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		Connections: cmp.Or(l.Connections, d.Connections), PeerConnections: cmp.Or(l.PeerConnections, d.PeerConnections),
		Recipients: cmp.Or(l.Recipients, d.Recipients), Commands: cmp.Or(l.Commands, d.Commands), Errors: cmp.Or(l.Errors, d.Errors),
		MessageSize: cmp.Or(l.MessageSize, d.MessageSize), MemorySize: cmp.Or(l.MemorySize, d.MemorySize),
		Command: cmp.Or(l.Command, d.Command), Block: cmp.Or(l.Block, d.Block),
		Message: cmp.Or(l.Message, d.Message), Session: cmp.Or(l.Session, d.Session),
		Check: cmp.Or(l.Check, d.Check), Deliver: cmp.Or(l.Deliver, d.Deliver),
	}
}

// Server takes mail in.
type Server struct {
	options Options
	logger  *slog.Logger
	metrics *metrics
	peers   *peers
	memory  *budget
	splits  *splits
}

// New makes a server. It refuses options by which no peer could be admitted.
func New(o Options) (*Server, error) {
	switch {
	case o.Hostname == "":
		return nil, errors.New("inbound mail: the host name is missing")
	case o.Mailboxes == nil:
		return nil, errors.New("inbound mail: mailboxes are needed")
	case o.Certificate == nil:
		return nil, errors.New("inbound mail: a certificate is needed")
	case o.ClientCAs == nil && len(o.AllowedNetworks) == 0 && len(o.PlaintextNetworks) == 0:
		return nil, errors.New("inbound mail: no peer could be admitted: name authorities of client certificates or networks")
	case o.ClientCAs == nil && len(o.ClientNames) > 0:
		return nil, errors.New("inbound mail: names of client certificates need the authorities that issue them")
	}
	o.Limits = o.Limits.withDefaults()
	o.MinimumTLS = max(o.MinimumTLS, tls.VersionTLS12)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, 20*time.Second)
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
	return &Server{
		options: o,
		logger:  o.Logger,
		metrics: m,
		peers:   newPeers(o.Limits.Connections, o.Limits.PeerConnections),
		memory:  &budget{left: o.Limits.MemorySize},
		splits:  newSplits(),
	}, nil
}

// Serve speaks a protocol on a TCP listener until the context ends. Then it takes no new connection or transaction,
// lets running transactions finish within ShutdownTimeout, and closes. It closes the listener. The error is nil after
// an orderly shutdown. One server may serve several listeners at once; they share its limits.
func (s *Server) Serve(ctx context.Context, listener net.Listener, protocol Protocol) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p := newPort(base, s, listener, protocol)
	engine := p.engine()
	ended := make(chan error, 1)
	go func() { ended <- engine.Serve(p) }()
	var failure error
	select {
	case err := <-ended:
		failure = fmt.Errorf("serve %s: %w", protocol, err)
		_ = listener.Close()
	case <-ctx.Done():
		s.logger.InfoContext(ctx, "draining", slog.String("protocol", string(protocol)))
		failure = listener.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			failure = errors.Join(failure, err)
		}
	}
	return errors.Join(failure, p.drain(cancel))
}

package inbound

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// refusalTimeout bounds the write of a refusal to a connection that is closed right after it.
const refusalTimeout = time.Second

// port is one listener with its connections.
type port struct {
	net.Listener

	server   *Server
	protocol Protocol
	// within derives a context for work that outlives the context that ends the server: it is drained.
	within func(limit time.Duration) (context.Context, context.CancelFunc)
	// open are the connections.
	open sync.WaitGroup

	mu    sync.Mutex
	wires map[*wire]struct{}
	// stopped says that no more work may begin.
	stopped bool
	work    sync.WaitGroup
}

func newPort(base context.Context, s *Server, listener net.Listener, protocol Protocol) *port {
	return &port{
		Listener: listener,
		server:   s,
		protocol: protocol,
		within: func(limit time.Duration) (context.Context, context.CancelFunc) {
			return context.WithTimeout(base, limit)
		},
		wires: map[*wire]struct{}{},
	}
}

// engine is the library's server. It has neither a certificate nor sizes: the wire and the session see to them.
func (p *port) engine() *smtp.Server {
	engine := smtp.NewServer(p)
	engine.LMTP = p.protocol == LMTP
	engine.Domain = p.server.options.Hostname
	engine.MaxLineLength = 0
	engine.EnableSMTPUTF8, engine.EnableREQUIRETLS, engine.EnableDSN = true, true, true
	engine.ErrorLog = engineLog{logger: p.server.logger, protocol: p.protocol}
	return engine
}

// NewSession begins what the library calls a session: the first EHLO of a connection.
func (p *port) NewSession(c *smtp.Conn) (smtp.Session, error) {
	w, ok := c.Conn().(*wire)
	if !ok {
		return nil, fmt.Errorf("connection is a %T", c.Conn())
	}
	return &session{port: p, wire: w, conn: c}, nil
}

// Accept returns the next connection that may stay. Others are told why not, before anything else.
func (p *port) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := peerOf(conn)
		if refused := p.server.refusePeer(peer); refused != nil {
			p.turnAway(conn, refused)
			continue
		}
		if refused := p.server.peers.enter(peer); refused != nil {
			p.turnAway(conn, refused)
			continue
		}
		w := newWire(p, conn, peer)
		p.open.Add(1)
		p.mu.Lock()
		p.wires[w] = struct{}{}
		p.mu.Unlock()
		p.server.metrics.connections.WithLabelValues(string(p.protocol)).Inc()
		return w, nil
	}
}

func (p *port) turnAway(conn net.Conn, r *refusal) {
	p.count(r)
	_ = conn.SetDeadline(time.Now().Add(refusalTimeout))
	_, _ = conn.Write([]byte(r.line()))
	_ = conn.Close()
}

// count counts a refusal by its reason.
func (p *port) count(r *refusal) {
	p.server.metrics.refusals.WithLabelValues(string(p.protocol), r.reason).Inc()
}

// leave forgets a connection that closed.
func (p *port) leave(w *wire) {
	p.mu.Lock()
	delete(p.wires, w)
	p.mu.Unlock()
	p.server.peers.leave(w.peer)
	p.server.metrics.connections.WithLabelValues(string(p.protocol)).Dec()
	p.open.Done()
}

// begin tells whether work for a peer may begin; done ends it.
func (p *port) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.work.Add(1)
	}
	return !p.stopped
}

func (p *port) done() { p.work.Done() }

// drain ends the connections: idle ones at once, those within a transaction after it, and what is left when the time
// is over by force. It returns when no work runs any more, so that the store can be closed.
func (p *port) drain(cancel context.CancelFunc) error {
	p.each((*wire).drain)
	closed := make(chan struct{})
	go func() {
		p.open.Wait()
		close(closed)
	}()
	timer := time.NewTimer(p.server.options.ShutdownTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-closed:
	case <-timer.C:
		err = fmt.Errorf("shutdown: %s transactions still run after %s", p.protocol, p.server.options.ShutdownTimeout)
	}
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	if err != nil {
		cancel()
		p.each(func(w *wire) { _ = w.Close() })
	}
	<-closed
	p.work.Wait()
	return err
}

func (p *port) each(do func(*wire)) {
	p.mu.Lock()
	wires := make([]*wire, 0, len(p.wires))
	for w := range p.wires {
		wires = append(wires, w)
	}
	p.mu.Unlock()
	for _, w := range wires {
		do(w)
	}
}

// engineLog takes what the library logs. Its lines carry addresses of peers, and may carry what they sent: only that
// something happened is passed on, and the stack of a panic, which is a defect.
type engineLog struct {
	logger   *slog.Logger
	protocol Protocol
}

// Printf logs that a connection ended in an error, or that serving one panicked.
func (l engineLog) Printf(_ string, v ...any) {
	if len(v) < 3 {
		l.logger.Debug("connection ended", slog.String("protocol", string(l.protocol)))
		return
	}
	stack, _ := v[2].([]byte)
	l.logger.Error("serving a connection panicked", slog.String("protocol", string(l.protocol)), slog.String("stack", string(stack)))
}

// Println is never called by the library.
func (l engineLog) Println(...any) { l.Printf("") }

func peerOf(conn net.Conn) netip.Addr {
	address, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap().WithZone("")
}

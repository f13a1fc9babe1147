// Package balancer makes Services of this machine reachable: it forwards TCP connections from an address of each
// Service to its ready pods.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// dialTimeout bounds the wait for one pod before the next one is tried.
	dialTimeout = 5 * time.Second
	// drainTime is what connections have after their Service is gone.
	drainTime = 5 * time.Second
	// privileged is the first port that every user may listen on, and shift is added to a port below it that this
	// user may not have: 443 becomes 8443.
	privileged = 1024
	shift      = 8000
)

// backends gives the addresses of the pods that may take a connection now.
type backends func() []string

// forwarder passes the connections of one port on. It does not look into them, so TLS ends at the pod.
type forwarder struct {
	listener net.Listener
	bound    uint16
	targets  backends
	life     context.Context //nolint:containedctx // it is the life of the forwarder, not of a call
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu    sync.Mutex
	next  int
	conns map[net.Conn]bool
}

// listen starts to forward from an address. When the port is privileged and cannot be had, the port 8000 higher is
// taken if shifted allows it. The error says why neither can be listened on.
func listen(ctx context.Context, address netip.Addr, port uint16, shifted bool, targets backends) (*forwarder, error) {
	var config net.ListenConfig
	bound := port
	listener, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(address, bound).String())
	if err != nil && shifted && port < privileged {
		bound = port + shift
		var second error
		listener, second = config.Listen(ctx, "tcp", netip.AddrPortFrom(address, bound).String())
		if second == nil {
			err = nil
		} else {
			err = errors.Join(err, second)
		}
	}
	if err != nil {
		return nil, err
	}
	f := &forwarder{listener: listener, bound: bound, targets: targets, conns: map[net.Conn]bool{}}
	f.life, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	f.work.Go(f.accept)
	return f, nil
}

func (f *forwarder) accept() {
	const pause = 50 * time.Millisecond
	for {
		client, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: the next moment may be better
			select {
			case <-f.life.Done():
				return
			case <-time.After(pause):
				continue
			}
		}
		f.work.Go(func() { f.forward(client) })
	}
}

// forward connects a client to a pod and copies both ways until both have ended. Without a pod the client's
// connection is reset, as an address without a listener would do.
func (f *forwarder) forward(client net.Conn) {
	if !f.keep(client) {
		return
	}
	defer f.drop(client)
	server, err := f.dial(source(client))
	if err != nil {
		if tcp, ok := client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // makes the close below a reset
		}
		return
	}
	if !f.keep(server) {
		return
	}
	defer f.drop(server)
	var pair sync.WaitGroup
	pair.Go(func() { pass(server, client) })
	pair.Go(func() { pass(client, server) })
	pair.Wait()
}

// pass copies one direction and hands its end on, so that the other direction can still be used.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok && err == nil {
		_ = tcp.CloseWrite() // the peer may have closed already
		return
	}
	_, _ = to.Close(), from.Close()
}

// source is the address of a client on this machine, without its port: the pod shall see who connects, as it does by a
// cluster IP and by a load balancer with the policy Local. It is nil for others.
func source(client net.Conn) *net.TCPAddr {
	peer, ok := client.RemoteAddr().(*net.TCPAddr)
	if !ok || !peer.IP.IsLoopback() {
		return nil
	}
	return &net.TCPAddr{IP: peer.IP}
}

// dial connects to the next pod in turn, or to one after it when that does not answer, from an address unless it is nil.
func (f *forwarder) dial(from *net.TCPAddr) (net.Conn, error) {
	dialer := net.Dialer{}
	if from != nil {
		dialer.LocalAddr, dialer.Control = from, choosePortLate
	}
	targets := f.targets()
	f.mu.Lock()
	first := f.next
	f.next++
	f.mu.Unlock()
	err := errors.New("no pod is ready")
	for i := range targets {
		ctx, cancel := context.WithTimeout(f.life, dialTimeout)
		var conn net.Conn
		conn, err = dialer.DialContext(ctx, "tcp", targets[(first+i)%len(targets)])
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, fmt.Errorf("no pod takes the connection: %w", err)
}

// keep remembers a connection, or closes it when the forwarder has ended.
func (f *forwarder) keep(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		_ = conn.Close()
		return false
	}
	f.conns[conn] = true
	return true
}

func (f *forwarder) drop(conn net.Conn) {
	_ = conn.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, conn)
}

// close takes no new connections, gives those there are the drain time, and closes what is left then.
func (f *forwarder) close(drain time.Duration) {
	_ = f.listener.Close() // only a second close gives an error
	finished := make(chan struct{})
	go func() {
		f.work.Wait()
		close(finished)
	}()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	}
	f.cancel()
	f.mu.Lock()
	for conn := range f.conns {
		_ = conn.Close()
	}
	f.conns = nil
	f.mu.Unlock()
	<-finished
}

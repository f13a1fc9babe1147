package server

import (
	"net"
	"net/netip"
	"sync"
)

// guard bounds the connections of each client address, when the options do.
func (s *Server) guard(listener net.Listener) net.Listener {
	if s.options.Load.ConnectionsPerAddress <= 0 {
		return listener
	}
	return &guardedListener{Listener: listener, server: s, open: newLimiter(int64(s.options.Load.ConnectionsPerAddress))}
}

// guardedListener closes connections that are more than one address may have open: no
// handshake is made, so that they cost nothing.
type guardedListener struct {
	net.Listener

	server *Server
	open   *limiter
}

// Accept returns the next connection that is within the limit.
func (l *guardedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		release, ok := l.open.acquire(network(conn.RemoteAddr()))
		if ok {
			return &guardedConn{Conn: conn, release: sync.OnceFunc(release)}, nil
		}
		l.server.metrics.limited.WithLabelValues(limitConnections).Inc()
		// There is nobody to tell: the client sees its connection closed.
		_ = conn.Close()
	}
}

// guardedConn gives its place back when it is closed.
type guardedConn struct {
	net.Conn

	release func()
}

// Close closes the connection.
func (c *guardedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// network is what counts as one client: an IPv4 address, or an IPv6 network of 64 bits,
// which a single client has for itself.
func network(address net.Addr) string {
	parsed, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return address.String()
	}
	ip := parsed.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}

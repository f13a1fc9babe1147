package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// goAwayTime is how long clients have between being told that a connection ends and
	// its end. Requests that they have sent meanwhile are answered, or known not to be.
	goAwayTime = time.Second
	// goAwayShare is which part of the time for the shutdown that is at most.
	goAwayShare = 4
	// goAwayPoll is how often it is looked whether connections are open still.
	goAwayPoll = 10 * time.Millisecond
)

// leave asks a client that is answered while the server drains to send what follows over
// a new connection, which reaches another replica: by the header in HTTP/1.1 (RFC 9112
// §9.6), in place of which HTTP/2 sends a GOAWAY frame.
func (s *Server) leave(h http.Header) {
	if s.unready.Load() {
		h.Set("Connection", "close")
	}
}

// farewell takes leave of the HTTP/2 connections of a server: a GOAWAY frame tells which
// requests were taken (RFC 9113 §6.8), so that a client sends any other again. Shutdown of
// net/http would close idle ones at the same moment, and a request that is on its way
// would fail.
type farewell struct {
	// protocols knows the connections of HTTP/2, and has none of its own.
	protocols *http.Server
	// open counts the connections.
	open atomic.Int64
}

// newFarewell has the HTTP/2 connections of a server known to a second one, which can
// therefore take leave of them while the first goes on.
func newFarewell(srv *http.Server) *farewell {
	protocols := &http.Server{ //nolint:gosec // G112: it serves no connection
		TLSConfig: srv.TLSConfig, HTTP2: srv.HTTP2, IdleTimeout: srv.IdleTimeout, ErrorLog: srv.ErrorLog,
	}
	// With nothing to accept, all that it does is to set up its protocols.
	_ = protocols.ServeTLS(nobody{}, "", "")
	srv.TLSNextProto = protocols.TLSNextProto
	f := &farewell{protocols: protocols}
	srv.ConnState = f.count
	return f
}

func (f *farewell) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		f.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		f.open.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// say takes leave and returns once no connection is open, or once clients had a while to
// read it.
func (f *farewell) say(ctx context.Context, while time.Duration) error {
	if err := f.protocols.Shutdown(ctx); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	timer := time.NewTimer(min(while, goAwayTime))
	defer timer.Stop()
	poll := time.NewTicker(goAwayPoll)
	defer poll.Stop()
	for f.open.Load() > 0 {
		select {
		case <-timer.C:
			return nil
		case <-poll.C:
		case <-ctx.Done():
			return errors.Join(errors.New("shutdown"), ctx.Err())
		}
	}
	return nil
}

// nobody is a listener to which nobody connects.
type nobody struct{}

// Accept says that the listener is closed.
func (nobody) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Close does nothing.
func (nobody) Close() error { return nil }

// Addr is no address.
func (nobody) Addr() net.Addr { return &net.TCPAddr{} }

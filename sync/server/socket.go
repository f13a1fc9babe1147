package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// socket is one open WebSocket. Each of its parts runs in its own goroutine: what
// reads, what pushes, what pings, and each request; what watches over them runs in
// the handler's. Responses are sent in the order in which they are ready
// (RFC 8887 §4.3.2).
type socket struct {
	server    *Server
	conn      *websocket.Conn
	request   *http.Request
	principal *jmap.Principal
	// orders go to the part that pushes; nil ends pushing.
	orders chan *jmap.PushOrder
	// answers holds a place for each answer that is being sent.
	answers chan struct{}
	// followed tells that an order is in force.
	followed chan struct{}
	// ended holds why a part ended first.
	ended chan error
	// writing is how many messages are being written.
	writing atomic.Int64

	mu      sync.Mutex
	ending  bool
	running sync.WaitGroup
}

// closure is the end of a WebSocket of which the client is told.
type closure struct {
	code   websocket.StatusCode
	reason string
}

// Error tells the code and the reason.
func (c *closure) Error() string { return fmt.Sprintf("closed with %d: %s", int(c.code), c.reason) }

func newSocket(s *Server, conn *websocket.Conn, r *http.Request, p *jmap.Principal) *socket {
	// A message that is too large is refused and read over; one that is twice as
	// large ends the connection.
	conn.SetReadLimit(2 * s.options.Limits.MaxSizeRequest)
	return &socket{
		server: s, conn: conn, request: r, principal: p,
		orders:   make(chan *jmap.PushOrder),
		answers:  make(chan struct{}, s.options.Limits.MaxConcurrentRequests),
		followed: make(chan struct{}),
		ended:    make(chan error, 1),
	}
}

// run serves until the WebSocket ends, and tells why it did. Nothing of it runs on.
func (c *socket) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	for _, part := range []func(context.Context) error{c.read, c.push, c.ping} {
		parts.Go(func() { c.end(part(ctx)) })
	}
	reason := c.watch(ctx)
	if closed, ok := errors.AsType[*closure](reason); ok {
		c.finish(ctx, closed)
	}
	c.admitNoMore()
	cancel()
	// The client has been told what there is to tell, or it is gone.
	_ = c.conn.CloseNow()
	parts.Wait()
	c.running.Wait()
	return reason
}

// end says why a part ended. The first one counts.
func (c *socket) end(reason error) {
	select {
	case c.ended <- reason:
	default:
	}
}

// watch waits for the end, and verifies the credentials again until then.
func (c *socket) watch(ctx context.Context) error {
	recheck := time.NewTicker(c.server.options.Push.Recheck)
	defer recheck.Stop()
	expired := time.NewTimer(time.Until(c.principal.Expires))
	defer expired.Stop()
	judged, cancel := c.server.options.Watch(c.principal.Tenant)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case reason := <-c.ended:
			return reason
		case <-c.server.draining:
			return &closure{websocket.StatusGoingAway, "the server shuts down: connect again"}
		case <-expired.C:
			return &closure{websocket.StatusPolicyViolation, "the access token has expired: connect with a new one"}
		case <-recheck.C:
			if closed := c.recheck(); closed != nil {
				return closed
			}
		case <-judged:
			if closed := c.recheck(); closed != nil {
				return closed
			}
		}
	}
}

// recheck asks the gate about the handshake again. A client that is told to connect
// again learns there what has changed.
func (c *socket) recheck() *closure {
	p, refusal := c.server.options.Gate.Admit(c.request)
	switch {
	case refusal != nil && refusal.Status == http.StatusServiceUnavailable:
		return &closure{websocket.StatusTryAgainLater, "the access token cannot be judged now: connect again later"}
	case refusal != nil:
		return &closure{websocket.StatusPolicyViolation, "the access token is no longer accepted: connect again to learn why"}
	case !reflect.DeepEqual(p, wholeOnly(c.principal)):
		return &closure{websocket.StatusPolicyViolation, "the mailbox of the access token has changed: connect again"}
	}
	return nil
}

// finish lets running requests end and sends what they answer, then closes.
func (c *socket) finish(ctx context.Context, closed *closure) {
	c.admitNoMore()
	done := make(chan struct{})
	go func() {
		c.running.Wait()
		close(done)
	}()
	grace := time.NewTimer(c.server.options.ShutdownTimeout / 2)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
	case <-ctx.Done():
	}
	// An error means that the client is gone already.
	_ = c.conn.Close(closed.code, closed.reason)
}

// admitNoMore lets no further request begin: what a client sends now is not answered.
func (c *socket) admitNoMore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
}

// begin counts a request as running, unless the WebSocket ends.
func (c *socket) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return false
	}
	c.running.Add(1)
	return true
}

// ping drops a client that is gone without a word. One that a message is being sent to
// is left alone: that has a deadline of its own, and its pong may have to wait.
func (c *socket) ping(ctx context.Context) error {
	interval := c.server.options.Push.KeepAlive
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for missed := 0; missed < 2; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		missed++
		if c.writing.Load() > 0 || c.pong(ctx, interval) || c.writing.Load() > 0 {
			missed = 0
		}
	}
	return errors.New("the client does not answer pings")
}

func (c *socket) pong(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return c.conn.Ping(ctx) == nil
}

// send sends one message.
func (c *socket) send(ctx context.Context, kind string, message []byte) error {
	c.writing.Add(1)
	defer c.writing.Add(-1)
	if err := c.conn.Write(ctx, websocket.MessageText, message); err != nil {
		return fmt.Errorf("send %s: %w", kind, err)
	}
	c.server.metrics.messages.WithLabelValues(kind).Inc()
	return nil
}

// refuse answers a message with a problem (RFC 8887 §4.3.4).
func (c *socket) refuse(ctx context.Context, id *string, problem *jmap.Problem) error {
	raw, err := jmap.EncodeRequestError(id, problem)
	if err != nil {
		return err
	}
	c.server.logger.DebugContext(ctx, "message refused", slog.Int("status", problem.Status), slog.String("type", problem.Type), slog.String("limit", problem.Limit))
	return c.send(ctx, jmap.MessageError, raw)
}

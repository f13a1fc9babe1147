package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// read takes messages until the client leaves or breaks the protocol.
func (c *socket) read(ctx context.Context) error {
	most := c.server.options.Limits.MaxSizeRequest
	for {
		body, err := c.receive(ctx)
		switch {
		case errors.Is(err, websocket.ErrMessageTooBig):
			return &closure{websocket.StatusMessageTooBig, "the message is far larger than maxSizeRequest"}
		case err != nil:
			return err
		case int64(len(body)) > most:
			err = c.refuse(ctx, jmap.MessageID(body), jmap.NewLimitProblem(http.StatusBadRequest, "maxSizeRequest", fmt.Sprintf("the message has more than %d octets: split it, or upload blobs", most)))
		case !utf8.Valid(body):
			return &closure{websocket.StatusInvalidFramePayloadData, "text frames are UTF-8"}
		default:
			err = c.handle(ctx, body)
		}
		if err != nil {
			return err
		}
	}
}

// receive reads one message. Of one that is too large, it returns more than
// maxSizeRequest octets, and reads over the rest.
func (c *socket) receive(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kind, r, err := c.conn.Reader(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, &closure{websocket.StatusUnsupportedData, "binary frames are not taken: upload blobs over HTTP"}
	}
	// A message that has begun must make progress; before, there is no hurry.
	paced := &pacedReader{Reader: r, progress: c.server.options.Progress, stalled: time.AfterFunc(c.server.options.Progress, cancel)}
	defer paced.stalled.Stop()
	buf := &bytes.Buffer{}
	if _, err := buf.ReadFrom(io.LimitReader(paced, c.server.options.Limits.MaxSizeRequest+1)); err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, paced)
	return buf.Bytes(), err
}

// pacedReader gives each part of a message its own deadline.
type pacedReader struct {
	io.Reader

	progress time.Duration
	stalled  *time.Timer
}

// Read reads the next part.
func (r *pacedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.stalled.Reset(r.progress)
	return n, err
}

// handle starts what a message asks for. An error ends the WebSocket.
func (c *socket) handle(ctx context.Context, body []byte) error {
	m, problem := jmap.ParseMessage(body)
	if problem != nil {
		return c.refuse(ctx, m.ID, problem)
	}
	c.server.metrics.messages.WithLabelValues(m.Type).Inc()
	if m.Request != nil {
		return c.start(ctx, m)
	}
	select {
	case c.orders <- m.Push:
	case <-ctx.Done():
		return ctx.Err()
	}
	// What a later request changes is pushed: the order is in force before it runs.
	select {
	case <-c.followed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start runs a request beside those that run already, within the limit that the API
// over HTTP counts towards too.
func (c *socket) start(ctx context.Context, m *jmap.Message) error {
	if over := c.server.checkRequests(c.principal); over != nil {
		return c.limit(ctx, m.ID, over)
	}
	release, ok := c.server.requests.acquire(c.principal.AccountID)
	if !ok {
		return c.limit(ctx, m.ID, c.server.tooManyRequests())
	}
	if !c.begin() {
		release()
		return nil
	}
	go func() {
		defer c.running.Done()
		free := sync.OnceFunc(release)
		defer free()
		if err := c.answer(ctx, m, free); err != nil {
			c.end(err)
		}
	}()
	return nil
}

// limit refuses a request beyond a limit. While that is held back nothing is read, so
// that the client is held back too.
func (c *socket) limit(ctx context.Context, id *string, over *overLimit) error {
	c.server.hold(ctx, c.principal.AccountID, over.name)
	return c.refuse(ctx, id, over.problem())
}

// answer processes a request and sends its response or its problem. The place of the
// request is freed before the client can see the answer, which may be the sign for its
// next request. Answers that wait to be sent are bounded, so that a client that does
// not read cannot gather them here.
func (c *socket) answer(ctx context.Context, m *jmap.Message, free func()) error {
	answer, problem := c.process(ctx, m.Request)
	select {
	case c.answers <- struct{}{}:
		defer func() { <-c.answers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	free()
	if problem != nil {
		return c.refuse(ctx, m.ID, problem)
	}
	message, err := jmap.EncodeResponse(m.ID, answer)
	if err != nil {
		return err
	}
	return c.send(ctx, jmap.MessageResponse, message)
}

// process answers a request, even if that panics: one request must not end the
// process.
func (c *socket) process(ctx context.Context, req *jmap.Request) (answer []byte, problem *jmap.Problem) {
	defer func() {
		if recover() != nil {
			c.server.logger.ErrorContext(ctx, "handler panicked", slog.String("resource", resourceWebSocket), slog.String("stack", string(debug.Stack())))
			problem = jmap.NewProblem(http.StatusInternalServerError, "internal error, see the server's log")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	p, err := c.server.withShares(ctx, c.principal)
	if err != nil {
		c.server.logger.ErrorContext(ctx, "shares could not be read", slog.Any("error", err))
		return nil, jmap.NewProblem(http.StatusServiceUnavailable, "the mailbox is not available now, try again later")
	}
	if over := c.server.work(ctx, p, limitRequests, func() {
		answer, problem = c.server.service.Answer(ctx, p, req)
	}); over != nil {
		c.server.hold(ctx, c.principal.AccountID, over.name)
		return nil, over.problem()
	}
	return answer, problem
}

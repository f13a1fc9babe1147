package postgres

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// channel is the name under which notifications pass.
	channel = "bailiwick"
	// maxPayload is how many octets of topics go into one notification; the server takes less than 8000.
	maxPayload = 7000
	// quiet is how long nothing may come before the listener asks whether the connection is alive.
	quiet = 30 * time.Second
	// reconnectFirst and reconnectMost bound the wait before another attempt.
	reconnectFirst, reconnectMost = 50 * time.Millisecond, 5 * time.Second
)

// hints are store.Hints over NOTIFY. Topics that are published while a notification is under way go together in the
// next one, so that a busy process sends few: the server commits notifications one at a time.
type hints struct {
	engine *Engine
	config *pgx.ConnConfig
	bus    store.Bus
	// tag marks what this process sent, whose listeners know already.
	tag  string
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	pending map[string]struct{}
	wake    chan struct{}
}

// newHints listens before it returns, so that no hint of another process is missed from then on.
func newHints(ctx context.Context, e *Engine, config *pgx.ConnConfig) (*hints, error) {
	config = config.Copy()
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}
	}
	h := &hints{engine: e, config: config, tag: rand.Text(), pending: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	conn, err := h.connect(ctx)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	h.done.Go(func() { h.listen(running, conn) })
	h.done.Go(func() { h.send(running) })
	return h, nil
}

// Publish wakes the listeners of a topic here at once, and those of other processes soon.
func (h *hints) Publish(ctx context.Context, topic string) error {
	if err := h.bus.Publish(ctx, topic); err != nil {
		return err
	}
	h.mu.Lock()
	h.pending[topic] = struct{}{}
	h.mu.Unlock()
	h.signal()
	return nil
}

// Listen returns a channel of hints for a topic.
func (h *hints) Listen(topic string) (hints <-chan struct{}, cancel func()) {
	return h.bus.Listen(topic)
}

func (h *hints) close() {
	h.stop()
	h.done.Wait()
	h.bus.Close()
}

func (h *hints) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// connect opens the connection that listens.
func (h *hints) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, h.config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// listen passes on what comes, and connects again when the connection breaks. Hints may have been lost meanwhile, so
// that everybody is woken then.
func (h *hints) listen(ctx context.Context, conn *pgx.Conn) {
	for wait := reconnectFirst; ctx.Err() == nil; {
		if conn != nil {
			h.receive(ctx, conn)
			wait = reconnectFirst
		}
		if !sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, reconnectMost)
		var err error
		if conn, err = h.connect(ctx); err == nil {
			h.bus.PublishAll()
		}
	}
	if conn != nil {
		hangUp(ctx, conn)
	}
}

func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// receive passes on what comes until the connection breaks or the context ends.
func (h *hints) receive(ctx context.Context, conn *pgx.Conn) {
	defer hangUp(ctx, conn)
	for {
		waiting, cancel := context.WithTimeout(ctx, quiet)
		n, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			h.deliver(ctx, n.Payload)
		case ctx.Err() != nil || !alive(ctx, conn):
			return
		}
	}
}

// alive says whether a connection that was silent still answers.
func alive(ctx context.Context, conn *pgx.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return conn.Ping(ctx) == nil
}

// deliver wakes the listeners of the topics that another process named.
func (h *hints) deliver(ctx context.Context, payload string) {
	tag, topics, _ := strings.Cut(payload, " ")
	if tag == h.tag {
		return
	}
	for word := range strings.FieldsSeq(topics) {
		if topic, err := base64.RawURLEncoding.DecodeString(word); err == nil {
			_ = h.bus.Publish(ctx, string(topic))
		}
	}
}

// send notifies other processes of what was published, until the context ends. What could not be sent is kept.
func (h *hints) send(ctx context.Context) {
	wait := reconnectFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		topics := h.take()
		err := h.notify(ctx, topics)
		if err == nil {
			wait = reconnectFirst
			continue
		}
		h.mu.Lock()
		for _, topic := range topics {
			h.pending[topic] = struct{}{}
		}
		h.mu.Unlock()
		h.signal()
		if !sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, reconnectMost)
	}
}

func (h *hints) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	topics := slices.Collect(maps.Keys(h.pending))
	clear(h.pending)
	return topics
}

// notify sends topics. A hint need not outlive a crash, so that its commit waits for no disk.
func (h *hints) notify(ctx context.Context, topics []string) error {
	if len(topics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue("SELECT set_config('synchronous_commit', 'off', true)")
	batch.Queue("SELECT pg_notify($1, p) FROM unnest($2::text[]) AS p", channel, h.payloads(topics))
	if err := h.engine.work.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// payloads packs topics into as few notifications as their size allows. One that is too long for any is left out.
func (h *hints) payloads(topics []string) []string {
	var out []string
	var line strings.Builder
	for _, topic := range topics {
		word := " " + base64.RawURLEncoding.EncodeToString([]byte(topic))
		if len(word) > maxPayload {
			continue
		}
		if line.Len()+len(word) > maxPayload {
			out = append(out, h.tag+line.String())
			line.Reset()
		}
		line.WriteString(word)
	}
	return append(out, h.tag+line.String())
}

// sleep waits and tells whether the context is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

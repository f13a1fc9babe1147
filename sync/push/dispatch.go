package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// dispatch is a message on its way.
type dispatch struct {
	sub      *subscription
	key      *signer
	progress *progress
	// stored is the progress as it is in the store.
	stored  []byte
	message *message
	// current are the states that the message was made from.
	current states
}

// send takes the lease, sends the message and takes down what became of it. A message
// that is on its way is brought to its end although the context ends.
func (w *worker) send(ctx context.Context, d *dispatch) (wait time.Duration, over bool, err error) {
	s := w.service
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	defer func() { <-s.slots }()
	if err := w.claim(ctx, d); err != nil {
		if errors.Is(err, store.ErrConflict) {
			// Another replica sends, or the subscription is gone.
			return s.o.Window, false, nil
		}
		return 0, false, err
	}
	ctx = context.WithoutCancel(ctx)
	r, err := w.post(ctx, d)
	if err != nil {
		return 0, false, err
	}
	return w.conclude(ctx, d, r)
}

// claim takes the lease of the subscription.
func (w *worker) claim(ctx context.Context, d *dispatch) error {
	s := w.service
	d.progress.Sender, d.progress.Until = s.o.Owner, s.o.Clock.Now().Add(s.o.Lease)
	raw, err := json.Marshal(d.progress)
	if err != nil {
		return fmt.Errorf("lease push subscription: %w", err)
	}
	key := w.records.progress(w.at.id)
	b := &store.Batch{}
	b.Assert(key, d.stored)
	b.Set(key, raw)
	if err := s.o.Engine.Commit(ctx, b); err != nil {
		return fmt.Errorf("lease push subscription: %w", err)
	}
	d.stored = raw
	return nil
}

func (w *worker) post(ctx context.Context, d *dispatch) (reply, error) {
	s := w.service
	now := s.o.Clock.Now()
	authorization, err := d.key.authorization(d.sub.URL, s.o.Contact, now)
	if err != nil {
		return reply{}, err
	}
	header, body, err := d.message.request(d.sub, authorization, now)
	if err != nil {
		return reply{}, err
	}
	status, answer, err := s.o.Endpoints.Post(ctx, d.sub.URL, header, body)
	now = s.o.Clock.Now()
	r := judge(status, answer, err, now)
	s.metrics.messages.WithLabelValues(d.message.kind, string(r.outcome)).Inc()
	if r.outcome == accepted && d.message.kind == jmap.MessageStateChange && !w.heard.IsZero() {
		s.metrics.latency.Observe(now.Sub(w.heard).Seconds())
	}
	w.log(ctx, slog.LevelDebug, "push sent", slog.String("type", d.message.kind), slog.String("outcome", string(r.outcome)), slog.Int("status", status), slog.String("problem", kindOf(err)))
	return r, nil
}

// kindOf names the kind of a failure, without the host.
func kindOf(err error) string {
	if own := (*egress.Error)(nil); errors.As(err, &own) {
		return own.Kind.Error()
	}
	return ""
}

// conclude takes down what became of the message.
func (w *worker) conclude(ctx context.Context, d *dispatch, r reply) (wait time.Duration, over bool, err error) {
	s, key := w.service, w.records.progress(w.at.id)
	reason := d.progress.after(d.message, r, d.current, s.o.Clock.Now())
	if reason != "" {
		return w.end(ctx, reason, key, d.stored)
	}
	b := &store.Batch{}
	b.Assert(key, d.stored)
	if err := write(b, key, d.progress); err != nil {
		return 0, false, err
	}
	err = s.o.Engine.Commit(ctx, b)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return 0, false, fmt.Errorf("conclude push: %w", err)
	}
	if r.outcome == accepted && d.message.kind == jmap.MessageStateChange {
		w.heard = time.Time{}
	}
	// There may be more to tell by now. It gathers for a while, like anything else.
	return s.o.Window, false, nil
}

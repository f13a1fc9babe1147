package push

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// idleFactor is how many polls pass until a worker looks although it was told of
	// nothing.
	idleFactor = 10
	// retryStore is how long a worker waits after the store failed.
	retryStore = 30 * time.Second
)

// worker sends to one subscription, one message at a time. It keeps nothing between two
// looks but the time since when there has been something to tell.
type worker struct {
	service *Service
	at      place
	records records
	// hints are of the accounts that are followed.
	hints chan struct{}
	// followed ends the following of each account.
	followed   map[string]context.CancelFunc
	forwarders sync.WaitGroup
	// heard is when the first change was heard of that the client does not know.
	heard time.Time
}

func newWorker(s *Service, at place) *worker {
	return &worker{service: s, at: at, records: records(at.account), hints: make(chan struct{}, 1), followed: map[string]context.CancelFunc{}}
}

// run looks at the subscription whenever there may be something to send, until it is
// gone or the context ends.
func (w *worker) run(ctx context.Context) {
	defer w.forwarders.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.follow(ctx, []string{w.at.account})
	for ctx.Err() == nil {
		wait, over, err := w.look(ctx)
		if over {
			return
		}
		if err != nil && ctx.Err() == nil {
			wait = retryStore
			w.log(ctx, slog.LevelError, "push subscription could not be served", slog.Any("error", err))
		}
		w.pause(ctx, wait)
	}
}

// pause waits for a change, of which it lets further ones gather, or for the time.
func (w *worker) pause(ctx context.Context, wait time.Duration) {
	clock := w.service.o.Clock
	fires, stop := clock.After(wait)
	defer stop()
	select {
	case <-ctx.Done():
		return
	case <-fires:
		return
	case <-w.hints:
	}
	if w.heard.IsZero() {
		w.heard = clock.Now()
	}
	gathered, stop := clock.After(w.service.o.Window)
	defer stop()
	select {
	case <-ctx.Done():
	case <-gathered:
	}
	// What came meanwhile will be seen in the states.
	select {
	case <-w.hints:
	default:
	}
}

// follow listens to changes of these accounts and no others. Each account is listened to
// before its states are read, so that no change falls between the two.
func (w *worker) follow(ctx context.Context, accounts []string) {
	wanted := map[string]bool{w.at.account: true}
	for _, account := range accounts {
		wanted[account] = true
	}
	for account, cancel := range w.followed {
		if !wanted[account] {
			cancel()
			delete(w.followed, account)
		}
	}
	for account := range wanted {
		if w.followed[account] == nil {
			w.listen(ctx, account)
		}
	}
}

func (w *worker) listen(ctx context.Context, account string) {
	ctx, cancel := context.WithCancel(ctx)
	w.followed[account] = cancel
	changes, release := w.service.o.States.Subscribe(account)
	w.forwarders.Go(func() {
		defer release()
		jmap.PassHints(ctx, changes, w.hints)
	})
}

// look does what there is to do now, and tells how long nothing is to be done unless
// something changes, or that the subscription is over.
func (w *worker) look(ctx context.Context) (wait time.Duration, over bool, err error) {
	s := w.service
	sub := &subscription{}
	raw, err := read(ctx, s.o.Engine, w.records.record(w.at.id), sub)
	if err != nil {
		return 0, false, err
	}
	if raw == nil {
		return 0, true, w.forget(ctx)
	}
	if !s.o.Clock.Now().Before(sub.Expires) {
		return w.end(ctx, reasonExpired, w.records.record(w.at.id), raw)
	}
	key, err := s.keys.signer(ctx, sub.Signer)
	if errors.Is(err, errRetired) {
		return w.end(ctx, reasonRetired, w.records.record(w.at.id), raw)
	}
	if err != nil {
		return 0, false, err
	}
	p := &progress{}
	praw, err := read(ctx, s.o.Engine, w.records.progress(w.at.id), p)
	if err != nil {
		return 0, false, err
	}
	if wait := p.held(s.o.Clock.Now()); wait > 0 {
		return min(wait, w.left(sub)), false, nil
	}
	m, current, wait, err := w.next(ctx, sub, p)
	if m == nil || err != nil {
		return wait, false, err
	}
	return w.send(ctx, &dispatch{sub: sub, key: key, progress: p, stored: praw, message: m, current: current})
}

// left is how long the subscription lasts.
func (w *worker) left(sub *subscription) time.Duration {
	return sub.Expires.Sub(w.service.o.Clock.Now())
}

// held is how long nothing may be sent: a replica is sending, or the last message
// failed.
func (p *progress) held(now time.Time) time.Duration {
	held := p.NotBefore.Sub(now)
	if p.Sender != "" {
		held = max(held, p.Until.Sub(now))
	}
	return held
}

// next makes the message that is due, or tells how long there is none.
func (w *worker) next(ctx context.Context, sub *subscription, p *progress) (m *message, current states, wait time.Duration, err error) {
	s := w.service
	accounts := s.o.Standing.Accounts(sub.Holder)
	if len(accounts) == 0 {
		return nil, nil, min(s.o.Poll, w.left(sub)), nil
	}
	if !p.Introduced {
		m, err = verification(sub)
		return m, nil, 0, err
	}
	idle := min(idleFactor*s.o.Poll, w.left(sub))
	if !sub.Verified {
		return nil, nil, idle, nil
	}
	w.follow(ctx, accounts)
	if current, err = s.statesOf(ctx, accounts); err != nil {
		return nil, nil, 0, err
	}
	if m, err = stateChange(sub, p.Told, current); m == nil {
		w.heard = time.Time{}
	}
	return m, current, idle, err
}

// end destroys the subscription unless what was read of it has changed.
func (w *worker) end(ctx context.Context, reason string, key, raw []byte) (wait time.Duration, over bool, err error) {
	b := &store.Batch{}
	b.Assert(key, raw)
	w.records.remove(b, w.at.id)
	err = w.service.o.Engine.Commit(ctx, b)
	if errors.Is(err, store.ErrConflict) {
		return w.service.o.Window, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	w.service.destroyed(ctx, w.at, reason)
	return 0, true, nil
}

// forget removes what is left of a subscription that went with its account.
func (w *worker) forget(ctx context.Context) error {
	b := &store.Batch{}
	b.Assert(w.records.record(w.at.id), nil)
	w.records.remove(b, w.at.id)
	return w.service.o.Engine.Commit(ctx, b)
}

func (w *worker) log(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.String("account", w.at.account), slog.String("subscription", w.at.id)}, attrs...)
	w.service.o.Logger.LogAttrs(ctx, level, text, attrs...)
}

package push

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// sender follows the subscriptions of the region, each with a worker of its own.
type sender struct {
	service *Service
	workers sync.WaitGroup

	mu       sync.Mutex
	followed map[place]bool
}

// Run sends until the context ends and what is on its way has arrived. It is called once.
func (s *Service) Run(ctx context.Context) error {
	f := &sender{service: s, followed: map[place]bool{}}
	defer f.workers.Wait()
	replaced, cancel := s.o.Engine.Hints().Listen(ringTopic)
	defer cancel()
	for {
		f.followAll(ctx)
		if !f.await(ctx, replaced) {
			return nil
		}
	}
}

// await follows what is made here until it is time to look for what is made elsewhere.
func (f *sender) await(ctx context.Context, replaced <-chan struct{}) bool {
	s := f.service
	fires, stop := s.o.Clock.After(s.o.Poll)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-fires:
			return true
		case <-s.freshMet:
			for _, at := range s.takeFresh() {
				f.follow(ctx, at)
			}
		case _, open := <-replaced:
			if !open {
				replaced = nil // the store is closing
				continue
			}
			f.refreshKeys(ctx)
		}
	}
}

// followAll follows every subscription of the index that is not followed yet, and takes
// over keys that others replaced.
func (f *sender) followAll(ctx context.Context) {
	f.refreshKeys(ctx)
	err := f.service.each(ctx, func(at place) { f.follow(ctx, at) })
	if err != nil && ctx.Err() == nil {
		f.service.o.Logger.ErrorContext(ctx, "push subscriptions could not be listed", slog.Any("error", err))
	}
}

func (f *sender) refreshKeys(ctx context.Context) {
	if err := f.service.keys.refresh(ctx); err != nil && ctx.Err() == nil {
		f.service.o.Logger.ErrorContext(ctx, "the keys of push could not be read", slog.Any("error", err))
	}
}

// each reads the index.
func (s *Service) each(ctx context.Context, fn func(at place)) error {
	prefix := indexKey()
	for p, err := range s.o.Engine.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return err
		}
		account, rest, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return fmt.Errorf("index of push subscriptions: %w", err)
		}
		id, _, err := store.CutString(rest)
		if err != nil {
			return fmt.Errorf("index of push subscriptions: %w", err)
		}
		fn(place{account, id})
	}
	return nil
}

// follow starts the worker of a subscription unless it has one.
func (f *sender) follow(ctx context.Context, at place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followed[at] {
		return
	}
	f.followed[at] = true
	f.service.metrics.subscriptions.Inc()
	f.workers.Go(func() {
		newWorker(f.service, at).run(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.followed, at)
		f.service.metrics.subscriptions.Dec()
	})
}

// follow has a subscription that was made here followed at once.
func (s *Service) follow(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh[at] = true
	select {
	case s.freshMet <- struct{}{}:
	default:
	}
}

func (s *Service) takeFresh() []place {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := make([]place, 0, len(s.fresh))
	for at := range s.fresh {
		taken = append(taken, at)
	}
	clear(s.fresh)
	return taken
}

package pebble

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// snapshot is a store.Snapshot on a Pebble snapshot.
type snapshot struct {
	snap  *pebble.Snapshot
	leave func()
	once  sync.Once
}

// Get returns a copy of the value of key in the snapshot.
func (s *snapshot) Get(ctx context.Context, key []byte) ([]byte, error) { return get(ctx, s.snap, key) }

// Scan yields the pairs of a range in the snapshot.
func (s *snapshot) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) { scan(ctx, s.snap, r, o, yield) }
}

// Close releases the snapshot.
func (s *snapshot) Close() (err error) {
	s.once.Do(func() {
		err = s.snap.Close()
		s.leave()
	})
	return err
}

func get(ctx context.Context, r pebble.Reader, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	out := append(make([]byte, 0, len(value)), value...)
	return out, closer.Close()
}

func scan(ctx context.Context, r pebble.Reader, rng store.Range, o store.ScanOptions, yield func(store.Pair, error) bool) {
	if len(rng.End) > 0 && string(rng.Start) >= string(rng.End) {
		return
	}
	it, err := r.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: rng.Start, UpperBound: rng.End})
	if err != nil {
		yield(store.Pair{}, fmt.Errorf("scan: %w", err))
		return
	}
	done, err := walk(ctx, it, o, yield)
	if err = errors.Join(err, it.Close()); err != nil && !done {
		yield(store.Pair{}, fmt.Errorf("scan: %w", err))
	}
}

// walk yields pairs until the end, the limit, or the consumer's wish, which it reports as done.
func walk(ctx context.Context, it *pebble.Iterator, o store.ScanOptions, yield func(store.Pair, error) bool) (done bool, err error) {
	first, next := it.First, it.Next
	if o.Reverse {
		first, next = it.Last, it.Prev
	}
	n := 0
	for ok := first(); ok; ok = next() {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return false, err
		}
		if !yield(store.Pair{Key: it.Key(), Value: value}, nil) {
			return true, nil
		}
		if n++; n == o.Limit {
			return false, nil
		}
	}
	return false, it.Error()
}

// gate counts what uses the database, because Pebble panics when a closed one is used.
type gate struct {
	mu     sync.Mutex
	cond   *sync.Cond
	active int
	closed bool
}

func (g *gate) enter() (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, store.ErrClosed
	}
	g.active++
	return g.leave, nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.active--; g.active == 0 {
		g.cond.Broadcast()
	}
}

// close refuses new users and waits for the present ones.
func (g *gate) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return store.ErrClosed
	}
	g.closed = true
	for g.active > 0 {
		g.cond.Wait()
	}
	return nil
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

var (
	errExpired        = fmt.Errorf("%w: the snapshot was read for too long", store.ErrUnavailable)
	errSnapshotClosed = fmt.Errorf("%w: the snapshot was closed", store.ErrInvalid)
)

// snapshot is a store.Snapshot in a read-only transaction, whose connection it holds.
type snapshot struct {
	mu    sync.Mutex
	conn  *pgxpool.Conn
	timer *time.Timer
	// err is why it can no longer be read.
	err error
}

// Snapshot returns a view that later commits do not change. It waits for a free connection. Close of the engine
// waits until the snapshot is closed.
func (e *Engine) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if err := e.usable(ctx); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	conn, err := e.snapshots.Acquire(wait)
	if err != nil {
		return nil, e.classify(err)
	}
	// The first statement after the beginning fixes what the transaction sees; both go in one message.
	if _, err := conn.Conn().PgConn().Exec(wait, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT 1").ReadAll(); err != nil {
		conn.Release()
		return nil, fmt.Errorf("snapshot: %w", e.classify(err))
	}
	s := &snapshot{conn: conn}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(e.opts.SnapshotLifetime, func() { s.end(errExpired) }) //nolint:contextcheck // it ends by itself, whoever waits
	return s, nil
}

// Get returns a copy of the value of key in the snapshot.
func (s *snapshot) Get(ctx context.Context, key []byte) (value []byte, err error) {
	err = s.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		value, err = get(ctx, c, key)
		return err
	})
	return value, err
}

// Scan yields the pairs of a range in the snapshot. Between pages the snapshot is free for other reads.
func (s *snapshot) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		for w := newWalk(r, o); !w.done; {
			if err := s.read(ctx, func(ctx context.Context, c *pgx.Conn) error { return w.fetch(ctx, c) }); err != nil {
				yield(store.Pair{}, err)
				return
			}
			if !w.yieldPage(ctx, yield) {
				return
			}
		}
	}
}

// read runs one query. A query that failed ends the transaction, and with it the snapshot.
func (s *snapshot) read(ctx context.Context, query func(context.Context, *pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	err := query(ctx, s.conn.Conn())
	if err == nil || errors.Is(err, store.ErrNotFound) {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		err = errors.Join(ended, err)
	}
	s.err = classify(err)
	return s.err
}

// Close releases the snapshot.
func (s *snapshot) Close() error {
	s.end(errSnapshotClosed)
	return nil
}

// end gives the connection back. A transaction that cannot be ended in order is ended by closing the connection.
func (s *snapshot) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return
	}
	s.timer.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if _, err := s.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = s.conn.Conn().Close(ctx)
	}
	s.conn.Release()
	s.conn, s.err = nil, errors.Join(why, s.err)
}

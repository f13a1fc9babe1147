// Package postgres is the engine of the store that several replicas share: one table of keys on PostgreSQL, large
// objects in chunks of another, change hints by NOTIFY.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Options are the choices of an engine. The zero value is right for a database of its own.
type Options struct {
	// MaxConns bounds the connections of this process, beside the one that listens; 0 means 24. Half of them are
	// for snapshots, so that whoever holds one can always commit.
	MaxConns int
	// SnapshotLifetime is how long a snapshot may be read before it is closed; 0 means two minutes. A snapshot
	// that is forgotten keeps the server from removing old rows.
	SnapshotLifetime time.Duration
}

// Engine is a store.Engine on PostgreSQL.
type Engine struct {
	opts Options
	// work is for what takes one statement or commit, snapshots for what holds a connection for longer.
	work, snapshots *pgxpool.Pool
	objects         objects
	hints           *hints
	closing         sync.Mutex
	closed          atomic.Bool
	// troubled says that the last commit failed for a reason that only a commit can find gone.
	troubled atomic.Bool
}

var _ store.Engine = (*Engine)(nil)

// Open connects to the database and makes the tables when they do not exist. store.ErrFormat says that a newer
// version made them; the errors of this package say what is wrong with the database.
func Open(ctx context.Context, dsn string, o Options) (*Engine, error) {
	if o.MaxConns == 0 {
		o.MaxConns = 24
	}
	if o.SnapshotLifetime == 0 {
		o.SnapshotLifetime = 2 * time.Minute
	}
	config, err := parseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	config.MaxConns = int32(max(o.MaxConns/2, 2)) //nolint:gosec // bounded by what a server can take
	config.MinConns = 0
	e := &Engine{opts: o}
	if err := e.open(ctx, config); err != nil {
		return nil, fmt.Errorf("open database: %w", errors.Join(classify(err), e.Close()))
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context, config *pgxpool.Config) (err error) {
	if e.work, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	e.objects = objects{engine: e}
	if e.snapshots, err = pgxpool.NewWithConfig(ctx, config.Copy()); err != nil {
		return err
	}
	if err := e.work.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return migrate(ctx, c.Conn()) }); err != nil {
		return err
	}
	if e.hints, err = newHints(ctx, e, config.ConnConfig); err != nil {
		return err
	}
	return store.CheckFormat(ctx, e)
}

// Get returns a copy of the value of key, or store.ErrNotFound.
func (e *Engine) Get(ctx context.Context, key []byte) (value []byte, err error) {
	if err := e.usable(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	err = e.work.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		value, err = get(ctx, c.Conn(), key)
		return err
	})
	return value, e.classify(err)
}

// Scan yields the pairs of a range. What does not fit into one page is read from a snapshot.
func (e *Engine) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		w := newWalk(r, o)
		if err := e.usable(ctx); err != nil {
			yield(store.Pair{}, err)
			return
		}
		err := e.work.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return w.fetch(ctx, c.Conn()) })
		if err != nil {
			yield(store.Pair{}, e.classify(err))
			return
		}
		if w.done {
			w.yieldPage(ctx, yield)
			return
		}
		snap, err := e.Snapshot(ctx)
		if err != nil {
			yield(store.Pair{}, err)
			return
		}
		defer snap.Close() //nolint:errcheck // returns no error
		for p, err := range snap.Scan(ctx, r, o) {
			if !yield(p, err) {
				return
			}
		}
	}
}

// Objects returns the table of large values.
func (e *Engine) Objects() store.Objects { return e.objects }

// Hints returns the hints that cross processes.
func (e *Engine) Hints() store.Hints { return e.hints }

// Ready says what is wrong with the database, in words that name no host and no user.
func (e *Engine) Ready(ctx context.Context) error {
	if e.closed.Load() {
		return store.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	err := e.work.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return checkServer(ctx, c.Conn()) })
	if err = e.classify(err); err == nil && e.troubled.Load() {
		probe := &store.Batch{}
		probe.Set(store.NewKey("!").String("probe"), []byte(rand.Text()))
		err = e.Commit(ctx, probe)
	}
	if err != nil {
		return meaning(err)
	}
	return nil
}

// Size is how many octets the tables and their indexes take.
func (e *Engine) Size(ctx context.Context) (size int64, err error) {
	if err := e.usable(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	err = e.work.QueryRow(ctx, `SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relkind = 'r' AND starts_with(relname, 'bailiwick_') AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'bailiwick_kv'::regclass)`).Scan(&size)
	return size, e.classify(err)
}

// Close waits for what runs and for snapshots that are open, closes the channels of listeners and the connections.
// A second Close returns store.ErrClosed.
func (e *Engine) Close() error {
	e.closing.Lock()
	defer e.closing.Unlock()
	if e.closed.Swap(true) {
		return store.ErrClosed
	}
	if e.hints != nil {
		e.hints.close()
	}
	for _, pool := range []*pgxpool.Pool{e.snapshots, e.work} {
		if pool != nil {
			pool.Close()
		}
	}
	return nil
}

// usable returns why an operation cannot begin.
func (e *Engine) usable(ctx context.Context) error {
	if e.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// note remembers how a commit went. It forgets the connections to a server that takes no writes any more, so that the
// next ones find the primary.
func (e *Engine) note(err error) {
	e.troubled.Store(errors.Is(err, ErrDiskFull) || errors.Is(err, ErrReadOnly))
	if errors.Is(err, ErrReadOnly) {
		e.work.Reset()
		e.snapshots.Reset()
	}
}

// querier is a connection.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

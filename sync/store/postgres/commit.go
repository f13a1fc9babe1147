package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// The statements of a commit. Each takes its keys as arrays, in order.
const (
	insertAbsent = `INSERT INTO bailiwick_kv (owner, key, value)
SELECT o, k, v FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS a(o, k, v) ON CONFLICT DO NOTHING`
	lockKeys = `SELECT kv.owner, kv.key, kv.value FROM unnest($1::bytea[], $2::bytea[]) AS a(o, k)
JOIN bailiwick_kv kv ON kv.owner = a.o AND kv.key = a.k ORDER BY kv.owner, kv.key `
	upsert = `INSERT INTO bailiwick_kv (owner, key, value)
SELECT o, k, v FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS a(o, k, v)
ON CONFLICT (owner, key) DO UPDATE SET value = EXCLUDED.value`
	deleteKeys = `DELETE FROM bailiwick_kv kv USING unnest($1::bytea[], $2::bytea[]) AS a(o, k)
WHERE kv.owner = a.o AND kv.key = a.k`
	// addCounters leaves NULL, which the column refuses, where the value is no counter.
	addCounters = `INSERT INTO bailiwick_kv AS kv (owner, key, value)
SELECT o, k, int8send(d) FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS a(o, k, d)
ON CONFLICT (owner, key) DO UPDATE SET value = CASE length(kv.value)
	WHEN 0 THEN EXCLUDED.value
	WHEN 8 THEN int8send(('x' || encode(kv.value, 'hex'))::bit(64)::bigint + ('x' || encode(EXCLUDED.value, 'hex'))::bit(64)::bigint)
END`
	deleteZeros = deleteKeys + ` AND kv.value = int8send(0)`
)

// commitAttempts bounds how often a commit starts over that the server chose to give way.
const commitAttempts = 20

// Commit applies a batch and returns when it is durable. It goes on when the context ends meanwhile, so that its
// outcome is known.
func (e *Engine) Commit(ctx context.Context, b *store.Batch) error {
	if err := errors.Join(e.usable(ctx), b.Validate()); err != nil {
		return err
	}
	if b.Empty() {
		return nil
	}
	p := newPlan(b)
	if p.contradictory {
		return fmt.Errorf("assert: %w: two values for one key", store.ErrConflict)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTimeout)
	defer cancel()
	err := e.commit(ctx, p)
	for attempt := 1; retryable(err) && attempt < commitAttempts; attempt++ {
		// At random, so that the same commits do not meet again.
		time.Sleep(rand.N(time.Millisecond << min(attempt, 6))) //nolint:gosec // spreads attempts, keeps no secret
		err = e.commit(ctx, p)
	}
	err = e.classify(err)
	if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrInvalid) {
		e.note(err)
	}
	return err
}

func (e *Engine) commit(ctx context.Context, p *plan) error {
	return e.work.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if p.simple() {
			// The statements of one message are one transaction.
			return send(ctx, c.Conn(), p.apply(&pgx.Batch{}))
		}
		err := p.check(ctx, c.Conn())
		if err == nil {
			batch := p.apply(&pgx.Batch{})
			batch.Queue("COMMIT")
			err = send(ctx, c.Conn(), batch)
		}
		if err != nil && !c.Conn().IsClosed() {
			_, _ = c.Exec(ctx, "ROLLBACK")
		}
		return err
	})
}

func send(ctx context.Context, c *pgx.Conn, batch *pgx.Batch) error {
	if err := c.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// check begins the transaction, locks every asserted key and compares. A key that must not exist is locked by
// inserting it: whoever inserts it too waits for this transaction. A key that must exist is locked as a row, for
// itself when it is written and shared when it is not. A later statement sees whatever was committed before the
// locks were had.
func (p *plan) check(ctx context.Context, c *pgx.Conn) error {
	batch := &pgx.Batch{}
	batch.Queue("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE")
	found := 0
	for _, lock := range []struct {
		written  bool
		strength string
	}{{true, "FOR UPDATE OF kv"}, {false, "FOR SHARE OF kv"}} {
		if keys := p.locks(lock.written); keys.len() > 0 {
			batch.Queue(lockKeys+lock.strength, keys.owners, keys.keys).Query(func(rows pgx.Rows) error {
				n, err := p.compare(rows)
				found += n
				return err
			})
		}
	}
	inserted := int64(0)
	if keys := p.placeholders(); keys.len() > 0 {
		batch.Queue(insertAbsent, keys.owners, keys.keys, keys.values).Exec(func(tag pgconn.CommandTag) error {
			inserted = tag.RowsAffected()
			return nil
		})
	}
	if err := c.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("check assertions: %w", err)
	}
	if found != len(p.held) || inserted != int64(len(p.absent)) {
		return fmt.Errorf("assert: %w", store.ErrConflict)
	}
	return nil
}

// compare counts the rows that hold what is asserted.
func (p *plan) compare(rows pgx.Rows) (n int, err error) {
	for rows.Next() {
		var owner, rest, value []byte
		if err := rows.Scan(&owner, &rest, &value); err != nil {
			return 0, err
		}
		if bytes.Equal(p.held[string(owner)+string(rest)], value) {
			n++
		}
	}
	return n, rows.Err()
}

// apply queues the writes.
func (p *plan) apply(batch *pgx.Batch) *pgx.Batch {
	for _, r := range p.ranges {
		where, args := whereRange(r)
		batch.Queue("DELETE FROM bailiwick_kv WHERE "+where, args...)
	}
	if sets := p.sets(); sets.len() > 0 {
		batch.Queue(upsert, sets.owners, sets.keys, sets.values)
	}
	if deletes := p.deletes(); deletes.len() > 0 {
		batch.Queue(deleteKeys, deletes.owners, deletes.keys)
	}
	if len(p.adds) == 0 {
		return batch
	}
	var counters columns
	var deltas []int64
	for _, key := range slices.Sorted(maps.Keys(p.adds)) {
		counters.add(key, nil)
		deltas = append(deltas, p.adds[key])
	}
	batch.Queue(addCounters, counters.owners, counters.keys, deltas)
	batch.Queue(deleteZeros, counters.owners, counters.keys)
	return batch
}

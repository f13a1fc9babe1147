package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// firstPage is how many rows the first query of a scan asks for, and maxPage any later one.
	firstPage = 64
	maxPage   = 1024
	// pageBytes is about how many octets a page holds at most, judged by the one before.
	pageBytes = 1 << 20
)

// split parts a key into its owner, with the terminator, and the rest. A key without a terminator is all owner.
func split(key []byte) (owner, rest []byte) {
	at := bytes.IndexByte(key, 0) + 1
	if at == 0 {
		at = len(key)
	}
	return key[:at:at], present(key[at:])
}

// present makes nil an empty value, which is not NULL.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func get(ctx context.Context, q querier, key []byte) (value []byte, err error) {
	owner, rest := split(key)
	err = q.QueryRow(ctx, "SELECT value FROM bailiwick_kv WHERE owner = $1 AND key = $2", present(owner), rest).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return present(value), nil
}

// walk reads a range page by page. Each page begins where the one before ended.
type walk struct {
	rng     store.Range
	reverse bool
	// left is how many pairs are still wanted; negative means all.
	left int
	next int
	page []store.Pair
	// done says that no page follows the present one.
	done bool
}

func newWalk(r store.Range, o store.ScanOptions) *walk {
	w := &walk{rng: r, reverse: o.Reverse, left: -1, next: firstPage}
	if o.Limit > 0 {
		w.left, w.next = o.Limit, min(o.Limit, maxPage)
	}
	return w
}

// fetch reads the next page.
func (w *walk) fetch(ctx context.Context, q querier) error {
	if len(w.rng.End) > 0 && string(w.rng.Start) >= string(w.rng.End) {
		w.page, w.done = nil, true
		return nil
	}
	sql, args := selectRange(w.rng, w.reverse)
	rows, err := q.Query(ctx, sql, append(args, w.next)...)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	octets := 0
	w.page = w.page[:0]
	for rows.Next() {
		var owner, rest, value []byte
		if err := rows.Scan(&owner, &rest, &value); err != nil {
			rows.Close()
			return fmt.Errorf("scan: %w", err)
		}
		w.page = append(w.page, store.Pair{Key: append(owner, rest...), Value: present(value)})
		octets += len(owner) + len(rest) + len(value)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	w.advance(octets)
	return nil
}

// advance sets where the next page begins and how long it is.
func (w *walk) advance(octets int) {
	n := len(w.page)
	if w.left >= 0 {
		w.left -= n
	}
	if w.done = n < w.next || w.left == 0; w.done {
		return
	}
	last := w.page[n-1].Key
	if w.reverse {
		w.rng.End = bytes.Clone(last)
	} else {
		w.rng.Start = append(bytes.Clone(last), 0)
	}
	w.next = min(max(1, pageBytes/(octets/n+1)), maxPage, 4*w.next)
	if w.left > 0 {
		w.next = min(w.next, w.left)
	}
}

// yieldPage passes a page on and tells whether the consumer wants more.
func (w *walk) yieldPage(ctx context.Context, yield func(store.Pair, error) bool) bool {
	for _, p := range w.page {
		if err := ctx.Err(); err != nil {
			yield(store.Pair{}, err)
			return false
		}
		if !yield(p, nil) {
			return false
		}
	}
	return true
}

// selectRange returns the query of a range but for its last argument, the limit.
func selectRange(r store.Range, reverse bool) (sql string, args []any) {
	where, args := whereRange(r)
	direction := ""
	if reverse {
		direction = " DESC"
	}
	return fmt.Sprintf("SELECT owner, key, value FROM bailiwick_kv WHERE %s ORDER BY owner%[2]s, key%[2]s LIMIT $%d", where, direction, len(args)+1), args
}

// whereRange returns the condition of a range. Within one owner it names that owner, so that one partition is read.
func whereRange(r store.Range) (sql string, args []any) {
	owner, rest := split(r.Start)
	if within(owner, r) {
		args = []any{owner, rest}
		sql = "owner = $1 AND key >= $2"
		if bytes.HasPrefix(r.End, owner) {
			args = append(args, r.End[len(owner):])
			sql += " AND key < $3"
		}
		return sql, args
	}
	args = []any{present(owner), rest}
	parts := []string{"(owner, key) >= ($1, $2)"}
	if len(r.End) > 0 {
		owner, rest := split(r.End)
		args = append(args, owner, rest)
		parts = append(parts, "(owner, key) < ($3, $4)")
	}
	return strings.Join(parts, " AND "), args
}

// within says whether every key of a range has the owner, which ends with a terminator then.
func within(owner []byte, r store.Range) bool {
	if len(owner) == 0 || owner[len(owner)-1] != 0 || len(r.End) == 0 {
		return false
	}
	after := append(bytes.Clone(owner[:len(owner)-1]), 1)
	return bytes.Compare(r.End, after) <= 0
}

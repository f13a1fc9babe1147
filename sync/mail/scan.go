package mail

import (
	"bytes"
	"context"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// scanKeys returns the keys of a range, which are few, so that they can be changed while nothing is scanned.
func scanKeys(ctx context.Context, r store.Reader, in store.Range, o store.ScanOptions) ([][]byte, error) {
	var found [][]byte
	for p, err := range r.Scan(ctx, in, o) {
		if err != nil {
			return nil, err
		}
		found = append(found, bytes.Clone(p.Key))
	}
	return found, nil
}

// dueEntries returns the entries of a queue, which goes by seconds since 1970, whose time has come.
func dueEntries(ctx context.Context, r store.Reader, queue store.Key, now time.Time) ([][]byte, error) {
	due := store.Range{Start: queue, End: queue.Uint(orderly(now.Unix() + 1))}
	return scanKeys(ctx, r, due, store.ScanOptions{})
}

// deleteAll deletes the keys of a range, which are few.
func deleteAll(ctx context.Context, tx *store.Tx, in store.Range) error {
	found, err := scanKeys(ctx, tx, in, store.ScanOptions{})
	if err != nil {
		return err
	}
	for _, key := range found {
		tx.Delete(key)
	}
	return nil
}

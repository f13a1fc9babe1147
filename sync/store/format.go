package store

import (
	"context"
	"errors"
	"fmt"
)

// Format is the version of the records that this code writes. Version 1 has no compressed blobs; everything else in it
// is as it is in 2, so that raising the number is all that migrating takes: old records stay as they are.
const Format = "2"

// formatBefore is the version from which Format is reached.
const formatBefore = "1"

// systemOwner owns the keys of the store itself. No account or tenant has this name.
const systemOwner = "!"

// CheckFormat marks an empty engine with Format, migrates one of the version before, and returns ErrFormat for one that
// carries another version. Engines call it when they open.
func CheckFormat(ctx context.Context, e Engine) error {
	key := NewKey(systemOwner).String("format")
	have, err := readFormat(ctx, e, key)
	if err == nil && (have == nil || string(have) == formatBefore) {
		b := &Batch{}
		b.Assert(key, have)
		b.Set(key, []byte(Format))
		if err = e.Commit(ctx, b); !errors.Is(err, ErrConflict) {
			return err
		}
		have, err = readFormat(ctx, e, key) // another process opened the engine at the same time
	}
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if string(have) != Format {
		return fmt.Errorf("%w: the data has format %q, this version reads %q: run the version that wrote it", ErrFormat, have, Format)
	}
	return nil
}

// readFormat returns the version that an engine carries, or nil when it is empty.
func readFormat(ctx context.Context, e Engine, key []byte) ([]byte, error) {
	have, err := e.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return have, err
}

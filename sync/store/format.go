package store

import (
	"context"
	"errors"
	"fmt"
)

// Format is the version of the key layout that this code reads and writes.
const Format = "1"

// systemOwner owns the keys of the store itself. No account or tenant has this name.
const systemOwner = "!"

// CheckFormat marks an empty engine with Format and returns ErrFormat for one that carries another version.
// Engines call it when they open.
func CheckFormat(ctx context.Context, e Engine) error {
	key := NewKey(systemOwner).String("format")
	have, err := e.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		b := &Batch{}
		b.Assert(key, nil)
		b.Set(key, []byte(Format))
		if err = e.Commit(ctx, b); !errors.Is(err, ErrConflict) {
			return err
		}
		have, err = e.Get(ctx, key) // another process opened the empty engine at the same time
	}
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if string(have) != Format {
		return fmt.Errorf("%w: the data has format %q, this version reads %q: run the version that wrote it", ErrFormat, have, Format)
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
)

// The versions of the records of a store. Version 1 has no compressed blobs; everything else in it is as it is in 2, so
// that raising the number is all that migrating takes: old records stay as they are.
const (
	formatPlain  = "1"
	formatPacked = "2"
)

// FormatOf is the version of the records that this code writes to an engine. One that compresses for itself stays at
// version 1, which processes of earlier versions beside this one can open.
func FormatOf(e Engine) string {
	if Packs(e) {
		return formatPacked
	}
	return formatPlain
}

// systemOwner owns the keys of the store itself. No account or tenant has this name.
const systemOwner = "!"

// CheckFormat marks an empty engine with FormatOf it, migrates one of an earlier version, and returns ErrFormat for one
// that carries another version. Engines call it when they open.
func CheckFormat(ctx context.Context, e Engine) error {
	want := FormatOf(e)
	key := NewKey(systemOwner).String("format")
	have, err := readFormat(ctx, e, key)
	if err == nil && (have == nil || string(have) == formatPlain && want != formatPlain) {
		b := &Batch{}
		b.Assert(key, have)
		b.Set(key, []byte(want))
		if err = e.Commit(ctx, b); !errors.Is(err, ErrConflict) {
			return err
		}
		have, err = readFormat(ctx, e, key) // another process opened the engine at the same time
	}
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if string(have) != want {
		return fmt.Errorf("%w: the data has format %q, this version reads %q: run the version that wrote it", ErrFormat, have, want)
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

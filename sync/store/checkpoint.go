package store

import (
	"context"
	"errors"
	"fmt"
)

// ErrNoCheckpoint says that an engine cannot be copied while it serves: what keeps its data has means of its own for that.
var ErrNoCheckpoint = errors.New("the store cannot be copied from here")

// Checkpoint makes a consistent copy of an engine in a folder, which must not exist, while it serves.
func Checkpoint(ctx context.Context, e Engine, dir string) error {
	c, ok := e.(interface {
		Checkpoint(ctx context.Context, dir string) error
	})
	if !ok {
		return fmt.Errorf("checkpoint: %w", ErrNoCheckpoint)
	}
	return c.Checkpoint(ctx, dir)
}

// Checkpoint copies the engine, and not the objects that lie elsewhere.
func (e elsewhere) Checkpoint(ctx context.Context, dir string) error {
	return Checkpoint(ctx, e.Engine, dir)
}

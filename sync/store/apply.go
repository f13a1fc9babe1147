package store

import "context"

// Applier is an engine that can tell when a batch is applied before it is durable.
type Applier interface {
	// Apply applies a batch atomically, with the errors of Commit. What it wrote is seen at once, and durable when wait,
	// which is to be called once, has returned nil. Batches become durable in the order in which they were applied: when
	// one is, so is each before it.
	Apply(ctx context.Context, b *Batch) (wait func() error, err error)
}

// Apply applies a batch, and leaves it to wait until it is durable where the engine can.
func Apply(ctx context.Context, e Engine, b *Batch) (wait func() error, err error) {
	if a, ok := e.(Applier); ok {
		return a.Apply(ctx, b)
	}
	return settled, e.Commit(ctx, b)
}

// settled is the wait for what is durable.
func settled() error { return nil }

// pending is a commit that others may see already, until it is durable.
type pending struct {
	done chan struct{}
	err  error
}

// wait returns when the commit is durable, or with the reason why it is not. Nothing is pending when p is nil.
func (p *pending) wait(ctx context.Context) error {
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

package store

import "context"

// WithObjects returns an engine that keeps its large values elsewhere. Close leaves the objects alone.
func WithObjects(e Engine, o Objects) Engine { return elsewhere{Engine: e, objects: o} }

// elsewhere is an engine with the objects of another.
type elsewhere struct {
	Engine

	objects Objects
}

// Objects returns the space for large values.
func (e elsewhere) Objects() Objects { return e.objects }

// Apply applies a batch to the engine.
func (e elsewhere) Apply(ctx context.Context, b *Batch) (wait func() error, err error) {
	return Apply(ctx, e.Engine, b)
}

// Packs says whether small blobs are compressed in the engine.
func (e elsewhere) Packs() bool { return Packs(e.Engine) }

// Ready tells why the engine cannot be used at the moment, when it can tell.
func (e elsewhere) Ready(ctx context.Context) error { return Ready(ctx, e.Engine) }

// Size tells how much the engine takes, when it can tell.
func (e elsewhere) Size(ctx context.Context) (int64, error) { return Size(ctx, e.Engine) }

// Packs says whether small blobs are compressed before they are written to an engine: one that writes values as they
// come. Compressed blobs are read wherever they lie.
func Packs(e Engine) bool {
	p, ok := e.(interface{ Packs() bool })
	return ok && p.Packs()
}

// Ready returns nil when an engine can be used at the moment, or why not, without secrets. An engine that has no
// way to tell counts as ready.
func Ready(ctx context.Context, e Engine) error {
	if r, ok := e.(interface {
		Ready(ctx context.Context) error
	}); ok {
		return r.Ready(ctx)
	}
	return nil
}

// Size returns how many octets an engine takes where it keeps its data, objects that lie elsewhere not counted. An
// engine that cannot tell counts as empty.
func Size(ctx context.Context, e Engine) (int64, error) {
	if s, ok := e.(interface {
		Size(ctx context.Context) (int64, error)
	}); ok {
		return s.Size(ctx)
	}
	return 0, nil
}

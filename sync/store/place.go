package store

import "context"

// Place is where the keys of an owner lie when an engine is made of several.
type Place struct {
	// Engine keeps the owner's keys.
	Engine Engine
	// Suffix ends the names of the owners that share batches with this one, such as the scope of its blobs, so
	// that they lie in the same place.
	Suffix string
}

// Placer is an engine that spreads owners over several engines. A batch may touch the keys of one of them only.
type Placer interface {
	// Place returns the place of an owner and chooses one, for good, when there is none yet.
	Place(ctx context.Context, owner string) (Place, error)
	// Find returns the place of an owner without choosing one.
	Find(ctx context.Context, owner string) (Place, error)
}

// PlaceOf returns where an owner is written: in the engine itself unless that is a Placer.
func PlaceOf(ctx context.Context, e Engine, owner string) (Place, error) {
	if p, ok := e.(Placer); ok {
		return p.Place(ctx, owner)
	}
	return Place{Engine: e}, nil
}

// FindPlace returns where an owner is read.
func FindPlace(ctx context.Context, e Engine, owner string) (Place, error) {
	if p, ok := e.(Placer); ok {
		return p.Find(ctx, owner)
	}
	return Place{Engine: e}, nil
}

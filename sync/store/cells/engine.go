package cells

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Get returns a copy of the value of key, or store.ErrNotFound.
func (e *Engine) Get(ctx context.Context, key []byte) ([]byte, error) {
	name, err := e.locate(ctx, key, e.live)
	if err != nil {
		return nil, err
	}
	return e.cells[name].Get(ctx, key)
}

// live reads a cell as it is now.
func (e *Engine) live(name string) store.Reader { return e.cells[name] }

// locate returns the cell in which a key is read.
func (e *Engine) locate(ctx context.Context, key []byte, reader func(name string) store.Reader) (string, error) {
	of := owner(key)
	if e.isSpread(of) {
		return e.holder(ctx, key, reader)
	}
	name, err := e.find(ctx, of)
	return cmp.Or(name, e.founder), err
}

// Scan yields the pairs of a range. One of several owners is read from all cells, each as it was at one moment.
func (e *Engine) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return e.scan(ctx, r, o, e.live)
}

func (e *Engine) scan(ctx context.Context, r store.Range, o store.ScanOptions, reader func(name string) store.Reader) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		name, one := single(r)
		if !one || e.isSpread(name) {
			e.merge(ctx, r, o, reader)(yield)
			return
		}
		cell, err := e.find(ctx, name)
		if err != nil {
			yield(store.Pair{}, err)
			return
		}
		reader(cmp.Or(cell, e.founder)).Scan(ctx, r, o)(yield)
	}
}

// source is the scan of one cell within a merge.
type source struct {
	next func() (store.Pair, error, bool)
	pair store.Pair
	more bool
}

// step reads the next pair, which is kept until the one after.
func (s *source) step() error {
	p, err, more := s.next()
	s.more = more
	if err != nil || !more {
		return err
	}
	s.pair = store.Pair{Key: bytes.Clone(p.Key), Value: bytes.Clone(p.Value)}
	return nil
}

// merge walks all cells in step. What cells know of themselves is seen of the founder only.
func (e *Engine) merge(ctx context.Context, r store.Range, o store.ScanOptions, reader func(name string) store.Reader) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		var sources []*source
		each := o
		if string(r.Start) < systemOwner+"\x01" {
			// Some of what a cell yields is left out.
			each.Limit = 0
		}
		for _, name := range e.names {
			next, stop := iter.Pull2(own(reader(name).Scan(ctx, r, each), name == e.founder))
			defer stop()
			s := &source{next: next}
			if err := s.step(); err != nil {
				yield(store.Pair{}, err)
				return
			}
			sources = append(sources, s)
		}
		for n := 0; o.Limit == 0 || n < o.Limit; n++ {
			s := foremost(sources, o.Reverse)
			if s == nil || !yield(s.pair, nil) {
				return
			}
			if err := s.step(); err != nil {
				yield(store.Pair{}, err)
				return
			}
		}
	}
}

// own leaves out the system's keys, unless they are the founder's.
func own(pairs iter.Seq2[store.Pair, error], founder bool) iter.Seq2[store.Pair, error] {
	if founder {
		return pairs
	}
	return func(yield func(store.Pair, error) bool) {
		for p, err := range pairs {
			if err == nil && owner(p.Key) == systemOwner {
				continue
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// foremost returns the source whose pair comes first, or nil at the end.
func foremost(sources []*source, reverse bool) *source {
	var best *source
	for _, s := range sources {
		if s.more && (best == nil || (bytes.Compare(s.pair.Key, best.pair.Key) < 0) != reverse) {
			best = s
		}
	}
	return best
}

// Snapshot returns a view of every cell, each at its own moment. Whoever reads one account takes the snapshot of its
// place instead.
func (e *Engine) Snapshot(ctx context.Context) (store.Snapshot, error) {
	s := &snapshot{engine: e, cells: map[string]store.Snapshot{}}
	for _, name := range e.names {
		snap, err := e.cells[name].Snapshot(ctx)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.cells[name] = snap
	}
	return s, nil
}

// snapshot is a view of every cell.
type snapshot struct {
	engine *Engine
	cells  map[string]store.Snapshot
}

// Get returns a copy of the value of key, or store.ErrNotFound.
func (s *snapshot) Get(ctx context.Context, key []byte) ([]byte, error) {
	name, err := s.engine.locate(ctx, key, s.at)
	if err != nil {
		return nil, err
	}
	return s.cells[name].Get(ctx, key)
}

// at reads a cell as it was.
func (s *snapshot) at(name string) store.Reader { return s.cells[name] }

// Scan yields the pairs of a range.
func (s *snapshot) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return s.engine.scan(ctx, r, o, s.at)
}

// Close releases the views.
func (s *snapshot) Close() error {
	var errs []error
	for _, snap := range s.cells {
		errs = append(errs, snap.Close())
	}
	return errors.Join(errs...)
}

// Commit applies a batch to the cell in which all its keys lie. store.ErrInvalid says that they lie in several.
func (e *Engine) Commit(ctx context.Context, b *store.Batch) error {
	if err := b.Validate(); err != nil {
		return err
	}
	parts, err := partsOf(b)
	if err != nil {
		return err
	}
	cell, err := e.cellOf(ctx, parts)
	if err != nil {
		return err
	}
	return e.cells[cell].Commit(ctx, b)
}

// cellOf returns the one cell of the owners of a batch, of each of whom a key is given. Owners that are spread go where
// the others are. Alone, they go where their keys are.
func (e *Engine) cellOf(ctx context.Context, parts map[string][]byte) (cell string, err error) {
	alone := true
	for of := range parts {
		alone = alone && e.isSpread(of)
	}
	for of, key := range parts {
		var at string
		switch {
		case alone:
			at, err = e.holder(ctx, key, e.live)
		case e.isSpread(of):
			continue
		default:
			var place store.Place
			place, err = e.Place(ctx, of)
			at = e.nameOf(place)
		}
		if err != nil {
			return "", err
		}
		if cell != "" && cell != at {
			return "", fmt.Errorf("commit: %w: a batch has keys in the cells %q and %q", store.ErrInvalid, min(cell, at), max(cell, at))
		}
		cell = at
	}
	return cmp.Or(cell, e.founder), nil
}

// nameOf returns the name of the cell of a place.
func (e *Engine) nameOf(p store.Place) string {
	if p.Suffix == "" {
		return e.founder
	}
	return p.Suffix[1:]
}

// partsOf returns whose keys a batch writes and asserts, with one key of each.
func partsOf(b *store.Batch) (map[string][]byte, error) {
	parts := map[string][]byte{}
	for _, op := range b.Ops() {
		if op.Kind == store.OpDeleteRange {
			if _, one := single(store.Range{Start: op.Key, End: op.Value}); !one {
				return nil, fmt.Errorf("delete range: %w: it has keys of several owners", store.ErrInvalid)
			}
		}
		parts[owner(op.Key)] = op.Key
	}
	for _, a := range b.Assertions() {
		parts[owner(a.Key)] = a.Key
	}
	for key := range b.Adds() {
		parts[owner([]byte(key))] = []byte(key)
	}
	return parts, nil
}

// Objects returns the founder's space for large values. Blobs lie in that of their own place.
func (e *Engine) Objects() store.Objects { return e.cells[e.founder].Objects() }

// Hints returns the hints of the founder, which all cells use.
func (e *Engine) Hints() store.Hints { return e.cells[e.founder].Hints() }

// Packs says whether small blobs are compressed in the cells, which are engines of one kind.
func (e *Engine) Packs() bool { return store.Packs(e.cells[e.founder]) }

// Ready returns nil when any cell can be used: those whose accounts lie in it are to be served.
func (e *Engine) Ready(ctx context.Context) error {
	var errs []error
	for _, name := range e.names {
		err := store.Ready(ctx, e.cells[name])
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("cell %q: %w", name, err))
	}
	return errors.Join(errs...)
}

// Size is what all cells take.
func (e *Engine) Size(ctx context.Context) (int64, error) {
	var total int64
	for _, name := range e.names {
		n, err := store.Size(ctx, e.cells[name])
		if err != nil {
			return 0, fmt.Errorf("cell %q: %w", name, err)
		}
		total += n
	}
	return total, nil
}

// Close releases every cell.
func (e *Engine) Close() error {
	var errs []error
	for _, name := range e.names {
		errs = append(errs, e.cells[name].Close())
	}
	return errors.Join(errs...)
}

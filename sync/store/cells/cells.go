// Package cells is an engine made of several: accounts are spread over databases, the cells, of which each holds all
// that belongs to its accounts.
//
// One cell, the founder, keeps the directory: which account lies in which cell. An account gets its cell when it is
// first written, by rendezvous hashing, and keeps it, so that adding a cell moves nobody. An account that is not in
// the directory though the founder has data of it was there before there were other cells, and stays.
//
// Owners that share batches with an account, such as the blobs of its tenant, have the suffix of its cell in their
// names: nothing for the founder, "@" and the name of the cell for others. Owners of what all accounts of a region
// write and processes read as one, such as a queue, are spread: each key lies in the cell of its account.
package cells

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// maxKnown bounds how many places of accounts are remembered.
const maxKnown = 1 << 20

// systemOwner owns the keys by which a cell knows itself and the founder its directory. It is the founder's.
const systemOwner = "!"

var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Engine is a store.Engine made of cells.
type Engine struct {
	cells   map[string]store.Engine
	names   []string
	founder string
	spread  []string

	mu sync.Mutex
	// known are the cells of accounts that were looked up. They never change.
	known map[string]string
}

var (
	_ store.Engine = (*Engine)(nil)
	_ store.Placer = (*Engine)(nil)
)

// CheckName returns store.ErrInvalid for a name that a cell cannot have.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("cell %q: %w: a name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or digit", name, store.ErrInvalid)
	}
	return nil
}

// Open makes one engine of cells by name, which it closes. It refuses a cell under another name than it had before,
// and to go without one that has accounts.
//
// Spread names owners, or with a slash at the end the beginnings of owners, whose keys lie in the cell of the account
// with which they are written, and are read from all cells. One key may then be in several cells: a scan yields it
// from each.
func Open(ctx context.Context, cells map[string]store.Engine, spread ...string) (*Engine, error) {
	e := &Engine{cells: maps.Clone(cells), spread: spread, names: slices.Sorted(maps.Keys(cells)), known: map[string]string{}}
	if len(e.names) == 0 {
		return nil, fmt.Errorf("open cells: %w: there is none", store.ErrInvalid)
	}
	for _, name := range e.names {
		if err := CheckName(name); err != nil {
			return nil, fmt.Errorf("open cells: %w", err)
		}
		if err := settle(ctx, cells[name], nameKey(), name); err != nil {
			return nil, fmt.Errorf("open cells: cell %q: %w", name, err)
		}
	}
	if err := e.findFounder(ctx); err != nil {
		return nil, fmt.Errorf("open cells: %w", err)
	}
	if err := e.register(ctx); err != nil {
		return nil, fmt.Errorf("open cells: %w", err)
	}
	return e, nil
}

// OpenOne takes the only cell under its name, and returns it as it is. It refuses one that has others beside it.
func OpenOne(ctx context.Context, name string, cell store.Engine) (store.Engine, error) {
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("open cell: %w", err)
	}
	if err := settle(ctx, cell, nameKey(), name); err != nil {
		return nil, fmt.Errorf("open cell %q: %w", name, err)
	}
	_, err := cell.Get(ctx, founderKey())
	switch {
	case err == nil:
		return nil, fmt.Errorf("open cell %q: %w: it is one of several: give the others too", name, store.ErrInvalid)
	case !errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("open cell %q: %w", name, err)
	}
	return cell, nil
}

// settle writes what a key is to hold, unless it holds that, and refuses anything else.
func settle(ctx context.Context, cell store.Engine, key []byte, want string) error {
	b := &store.Batch{}
	b.Assert(key, nil)
	b.Set(key, []byte(want))
	have, err := cell.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		if err = cell.Commit(ctx, b); err == nil {
			return nil
		}
	}
	if errors.Is(err, store.ErrConflict) {
		have, err = cell.Get(ctx, key)
	}
	if err == nil && string(have) != want {
		err = fmt.Errorf("%w: it has %q where %q is expected: give each cell under its own name, and cells of one region only", store.ErrInvalid, have, want)
	}
	return err
}

// findFounder reads from the cells which of them keeps the directory. The first time, that is the one that has
// accounts already, or else the first by name; from then on every cell knows it. A cell that joins must be empty.
func (e *Engine) findFounder(ctx context.Context) error {
	var used []string
	for _, name := range e.names {
		founder, err := e.cells[name].Get(ctx, founderKey())
		if err == nil {
			e.founder = cmp.Or(e.founder, string(founder))
			continue
		}
		if !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("cell %q: %w", name, err)
		}
		has, err := hasAny(ctx, e.cells[name], store.Range{Start: []byte{systemOwner[0] + 1}})
		if err != nil {
			return fmt.Errorf("cell %q: %w", name, err)
		}
		if has {
			used = append(used, name)
		}
	}
	if e.founder == "" && len(used) > 0 {
		e.founder, used = used[0], used[1:]
	}
	e.founder = cmp.Or(e.founder, e.names[0])
	switch {
	case len(used) > 0:
		return fmt.Errorf("%w: the cells %q have data that was written apart from cell %q: a cell that joins others must be empty", store.ErrInvalid, used, e.founder)
	case e.cells[e.founder] == nil:
		return fmt.Errorf("%w: the cell %q, which keeps the directory, is missing", store.ErrInvalid, e.founder)
	}
	for _, name := range e.names {
		if err := settle(ctx, e.cells[name], founderKey(), e.founder); err != nil {
			return fmt.Errorf("cell %q: %w", name, err)
		}
	}
	return nil
}

// register enters the cells into the directory, and finds those that are missing.
func (e *Engine) register(ctx context.Context) error {
	founder := e.cells[e.founder]
	for _, name := range e.names {
		if err := settle(ctx, founder, memberKey().String(name), name); err != nil {
			return err
		}
	}
	for p, err := range founder.Scan(ctx, memberKey().Range(), store.ScanOptions{}) {
		if err != nil {
			return err
		}
		if e.cells[string(p.Value)] == nil {
			return fmt.Errorf("%w: the cell %q, which has accounts, is missing", store.ErrInvalid, p.Value)
		}
	}
	return nil
}

func hasAny(ctx context.Context, r store.Reader, rng store.Range) (bool, error) {
	for _, err := range r.Scan(ctx, rng, store.ScanOptions{Limit: 1}) {
		return err == nil, err
	}
	return false, nil
}

// rendezvous returns the cell that an account gets when it has none: the one whose hash with it is greatest.
func (e *Engine) rendezvous(account string) string {
	best, most := "", uint64(0)
	for _, name := range e.names {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name + "\x00" + account))
		if score := mix(h.Sum64()); best == "" || score > most {
			best, most = name, score
		}
	}
	return best
}

// mix spreads a hash over all bits: FNV changes the upper ones little by the last octets (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func nameKey() []byte      { return store.NewKey(systemOwner).String("cell") }
func founderKey() []byte   { return store.NewKey(systemOwner).String("founder") }
func memberKey() store.Key { return store.NewKey(systemOwner).String("cells") }

// placeKey is an entry of the directory.
func placeKey(account string) []byte { return store.NewKey("directory/" + account).String("cell") }

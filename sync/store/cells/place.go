package cells

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Place returns the cell of an owner, and chooses one for an account that has none.
func (e *Engine) Place(ctx context.Context, owner string) (store.Place, error) {
	name, err := e.find(ctx, owner)
	if err == nil && name == "" {
		name, err = e.choose(ctx, owner)
	}
	return e.place(name), err
}

// Find returns the cell of an owner. An account that has none is looked for in the founder, where it was before there
// were other cells, if it ever was.
func (e *Engine) Find(ctx context.Context, owner string) (store.Place, error) {
	name, err := e.find(ctx, owner)
	if name == "" {
		name = e.founder
	}
	return e.place(name), err
}

func (e *Engine) place(name string) store.Place {
	p := store.Place{Engine: e.cells[name]}
	if name != e.founder {
		p.Suffix = "@" + name
	}
	return p
}

// Cells returns the engine of each cell, in the order of their names.
func (e *Engine) Cells() []store.Engine {
	out := make([]store.Engine, 0, len(e.names))
	for _, name := range e.names {
		out = append(out, e.cells[name])
	}
	return out
}

// find returns the name of an owner's cell, or nothing for an account that has none.
func (e *Engine) find(ctx context.Context, owner string) (string, error) {
	if !isAccount(owner) {
		return e.named(owner)
	}
	e.mu.Lock()
	name, ok := e.known[owner]
	e.mu.Unlock()
	if ok {
		return name, nil
	}
	value, err := e.cells[e.founder].Get(ctx, placeKey(owner))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up the cell of an account: %w", err)
	}
	return e.remember(owner, string(value))
}

// isAccount tells accounts from owners that name their cell themselves. No account has one of these characters.
func isAccount(owner string) bool { return owner != "" && !strings.ContainsAny(owner, "/!@") }

// named returns the cell that the name of an owner ends with.
func (e *Engine) named(owner string) (string, error) {
	at := strings.LastIndexByte(owner, '@')
	if at < 0 {
		return e.founder, nil
	}
	name := owner[at+1:]
	if e.cells[name] == nil {
		return "", fmt.Errorf("owner %q: %w: there is no cell %q", owner, store.ErrInvalid, name)
	}
	return name, nil
}

// isSpread says whether the keys of an owner lie in many cells.
func (e *Engine) isSpread(owner string) bool {
	return slices.ContainsFunc(e.spread, func(s string) bool {
		return owner == s || (strings.HasSuffix(s, "/") && strings.HasPrefix(owner, s))
	})
}

// holder returns the cell that has a spread key, or the founder when none has.
func (e *Engine) holder(ctx context.Context, key []byte, reader func(name string) store.Reader) (string, error) {
	for _, name := range e.names {
		_, err := reader(name).Get(ctx, key)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return "", fmt.Errorf("cell %q: %w", name, err)
		}
	}
	return e.founder, nil
}

// remember keeps where an account lies. A cell that joined since this process started is not known to it.
func (e *Engine) remember(account, name string) (string, error) {
	if e.cells[name] == nil {
		return "", fmt.Errorf("%w: the account lies in cell %q, which joined since this process started: start it again with all cells", store.ErrUnavailable, name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.known) >= maxKnown {
		clear(e.known)
	}
	e.known[account] = name
	return name, nil
}

// choose records the cell of an account that has none, unless another process was faster.
func (e *Engine) choose(ctx context.Context, account string) (string, error) {
	founder, name := e.cells[e.founder], e.rendezvous(account)
	here, err := hasAny(ctx, founder, store.NewKey(account).Range())
	if err != nil {
		return "", fmt.Errorf("choose the cell of an account: %w", err)
	}
	if here {
		name = e.founder
	}
	b := &store.Batch{}
	b.Assert(placeKey(account), nil)
	b.Set(placeKey(account), []byte(name))
	err = founder.Commit(ctx, b)
	if errors.Is(err, store.ErrConflict) {
		return e.find(ctx, account)
	}
	if err != nil {
		return "", fmt.Errorf("choose the cell of an account: %w", err)
	}
	return e.remember(account, name)
}

// owner returns the first segment of a key. What is not a key of segments belongs to nobody, and lies in the founder.
func owner(key []byte) string {
	name, _, err := store.CutString(key)
	if err != nil {
		return ""
	}
	return name
}

// single returns the owner of every key of a range. False says that there may be several.
func single(r store.Range) (string, bool) {
	at := bytes.IndexByte(r.Start, 0)
	if at < 0 || len(r.End) == 0 {
		return "", false
	}
	after := append(bytes.Clone(r.Start[:at]), 1)
	return owner(r.Start), bytes.Compare(r.End, after) <= 0
}

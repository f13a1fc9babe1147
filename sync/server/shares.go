package server

import (
	"context"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// withShares returns a principal with what others share with it at present. What they
// shared before is forgotten, so that one who asks again sees what was revoked.
func (s *Server) withShares(ctx context.Context, p *jmap.Principal) (*jmap.Principal, error) {
	if s.options.Shares == nil {
		return p, nil
	}
	partial, err := s.options.Shares.SharedWith(ctx, p)
	if err != nil {
		return nil, err
	}
	whole := wholeOnly(p)
	if len(partial) == 0 {
		return whole, nil
	}
	next := *whole
	next.Shared = slices.Clip(whole.Shared)
	for _, account := range partial {
		if !whole.CanRead(account.AccountID) {
			next.Shared = append(next.Shared, account)
		}
	}
	return &next, nil
}

// wholeOnly returns a principal without the accounts of which only parts are shared.
func wholeOnly(p *jmap.Principal) *jmap.Principal {
	isPartial := func(a jmap.SharedAccount) bool { return a.Partial }
	if !slices.ContainsFunc(p.Shared, isPartial) {
		return p
	}
	next := *p
	next.Shared = slices.DeleteFunc(slices.Clone(p.Shared), isPartial)
	if len(next.Shared) == 0 {
		next.Shared = nil
	}
	return &next
}

// blobsFor returns the blobs as far as a principal may use them.
func (s *Server) blobsFor(p *jmap.Principal) jmap.Blobs {
	if s.options.Shares == nil {
		return s.options.Blobs
	}
	return s.options.Shares.BlobsFor(p)
}

// watch follows the accounts of a principal until its context ends.
type watch struct {
	server *Server
	// own receives after something may have changed in the principal's own account, which
	// is the only one of nearly all: waiting for it takes no goroutine.
	own <-chan struct{}
	// changes receives after something may have changed in one of the others.
	changes chan struct{}
	// accounts are those that are followed.
	accounts map[string]bool
}

func (s *Server) newWatch() *watch {
	return &watch{server: s, changes: make(chan struct{}, 1), accounts: map[string]bool{}}
}

// states reads the states of every account of a principal, those that are shared with
// it by now included. Each is followed before it is read, so that no change falls
// between the two.
func (w *watch) states(ctx context.Context, p *jmap.Principal) (accountStates, error) {
	p, err := w.server.withShares(ctx, p)
	if err != nil {
		return nil, err
	}
	states := accountStates{}
	for _, account := range p.Visible() {
		w.follow(ctx, account)
		of, err := w.server.statesOf(ctx, p, account)
		if err != nil {
			return nil, err
		}
		states[account] = of
	}
	return states, nil
}

func (s *Server) statesOf(ctx context.Context, p *jmap.Principal, account string) (map[string]string, error) {
	if s.options.Shares == nil {
		return s.options.States.States(ctx, account)
	}
	return s.options.Shares.StatesFor(ctx, p, account)
}

// heard tells whether what was received from own is a hint. A channel that was closed
// has none any more.
func (w *watch) heard(open bool) bool {
	if !open {
		w.own = nil
	}
	return open
}

// follow has hints of changes in an account come until the context ends.
func (w *watch) follow(ctx context.Context, account string) {
	if w.accounts[account] {
		return
	}
	changes, cancel := w.server.options.States.Subscribe(account)
	if len(w.accounts) == 0 {
		w.own = changes
		context.AfterFunc(ctx, cancel)
	} else {
		go func() {
			defer cancel()
			jmap.PassHints(ctx, changes, w.changes)
		}()
	}
	w.accounts[account] = true
}

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Scopes lists the scopes that hold blobs, in order.
func (s *Blobs) Scopes(ctx context.Context) ([]string, error) {
	var scopes []string
	rest := scopesRange()
	for {
		owner := ""
		for p, err := range s.engine.Scan(ctx, rest, ScanOptions{Limit: 1}) {
			if err != nil {
				return nil, fmt.Errorf("list scopes: %w", err)
			}
			if owner, _, err = CutString(p.Key); err != nil {
				return nil, fmt.Errorf("list scopes: %w", err)
			}
		}
		if owner == "" {
			return scopes, nil
		}
		scopes = append(scopes, owner[len("tenant/"):])
		rest.Start = NewKey(owner).after()
	}
}

// Collect removes the blobs of a scope that have had no reference for the grace period, and objects whose
// writing never ended. It looks at candidates only, and returns how many blobs it removed.
func (s *Blobs) Collect(ctx context.Context, scope string, grace time.Duration) (int, error) {
	removed := 0
	candidates, err := s.due(ctx, scope, "candidate", grace)
	if err != nil {
		return 0, err
	}
	for _, c := range candidates {
		gone, err := s.collect(ctx, scope, c)
		if err != nil && !errors.Is(err, ErrConflict) {
			return removed, err
		}
		if gone && err == nil {
			removed++
		}
	}
	pending, err := s.due(ctx, scope, "pending", grace)
	if err != nil {
		return removed, err
	}
	for _, p := range pending {
		if err := s.abandon(ctx, scope, p); err != nil && !errors.Is(err, ErrConflict) {
			return removed, err
		}
	}
	return removed, nil
}

// candidate is something that may be removed, and the stamp that it must still carry then.
type candidate struct {
	id    string
	stamp []byte
}

func (s *Blobs) due(ctx context.Context, scope, kind string, grace time.Duration) ([]candidate, error) {
	var out []candidate
	prefix := scopeKey(scope).String(kind)
	limit := s.now().Add(-grace).Unix()
	for p, err := range s.engine.Scan(ctx, prefix.Range(), ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("list candidates: %w", err)
		}
		id, _, err := CutString(p.Key[len(prefix):])
		if err != nil {
			return nil, fmt.Errorf("list candidates: %w", err)
		}
		at, _, err := CutUint(p.Value)
		if err != nil {
			return nil, fmt.Errorf("list candidates: %w", err)
		}
		if int64(at) <= limit { //nolint:gosec // written from a time after 1970
			out = append(out, candidate{id: id, stamp: bytes.Clone(p.Value)})
		}
	}
	return out, nil
}

// abandon removes an object that was never published. Its stamp is changed first, so that it cannot be any more.
func (s *Blobs) abandon(ctx context.Context, scope string, c candidate) error {
	b := &Batch{}
	b.Assert(s.pendingKey(scope, c.id), c.stamp)
	b.Set(s.pendingKey(scope, c.id), s.stamp())
	if err := s.engine.Commit(ctx, b); err != nil {
		return err
	}
	return s.discard(ctx, scope, c.id)
}

// collect removes one candidate when nothing refers to it. ErrConflict says that it came into use meanwhile.
func (s *Blobs) collect(ctx context.Context, scope string, c candidate) (gone bool, err error) {
	b := &Batch{}
	b.Assert(s.candidateKey(scope, c.id), c.stamp)
	b.Delete(s.candidateKey(scope, c.id))
	_, err = s.engine.Get(ctx, s.refKey(scope, c.id))
	if err == nil {
		return false, s.engine.Commit(ctx, b)
	}
	if !errors.Is(err, ErrNotFound) {
		return false, err
	}
	info, meta, err := s.stat(ctx, s.engine, scope, c.id)
	if errors.Is(err, ErrNotFound) {
		return false, s.engine.Commit(ctx, b)
	}
	if err != nil {
		return false, err
	}
	b.Assert(s.refKey(scope, c.id), nil)
	b.Assert(s.metaKey(scope, c.id), meta)
	b.Delete(s.metaKey(scope, c.id))
	b.Delete(s.dataKey(scope, c.id))
	if info.Object != "" {
		b.Set(s.pendingKey(scope, info.Object), s.stamp())
	}
	if err := s.engine.Commit(ctx, b); err != nil {
		return false, err
	}
	if info.Object == "" {
		return true, nil
	}
	return true, s.discard(ctx, scope, info.Object)
}

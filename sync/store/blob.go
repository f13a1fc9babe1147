package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"
)

// putAttempts bounds how often Put tries again when the collector removes the same content meanwhile.
const putAttempts = 8

// Blobs keeps immutable content by its hash. A scope, a tenant, holds each content once; scopes share nothing,
// so that one can be erased and none can learn what another holds.
type Blobs struct {
	engine Engine
	now    func() time.Time
}

// BlobInfo describes a blob of a scope.
type BlobInfo struct {
	// Hash is the SHA-256 of the content in base32hex, lower case, 52 characters.
	Hash string `json:"-"`
	// Size is the length in octets.
	Size int64 `json:"size"`
	// Object is the name of the object that holds the content; empty when it lies among the keys.
	Object string `json:"object,omitempty"`
	// Packed says that the content among the keys is compressed. Size and Hash are those of the content as it came.
	Packed bool `json:"-"`
}

// Writer collects writes; Batch and Tx are Writers.
type Writer interface {
	Set(key, value []byte)
	Delete(key []byte)
	Add(key []byte, delta int64)
	Assert(key, value []byte)
}

// NewBlobs returns the blobs of an engine. The clock dates candidates for collection; nil means time.Now.
func NewBlobs(e Engine, now func() time.Time) *Blobs {
	if now == nil {
		now = time.Now
	}
	return &Blobs{engine: e, now: now}
}

// Put keeps what r yields. A new blob has no reference; it stays until the collector's grace is over.
func (s *Blobs) Put(ctx context.Context, scope string, r io.Reader) (BlobInfo, error) {
	c, err := s.Prepare(ctx, scope, r)
	if err != nil {
		return BlobInfo{}, err
	}
	for range putAttempts {
		b := &Batch{}
		err := s.Publish(ctx, s.engine, b, c, 0)
		if err == nil {
			err = s.engine.Commit(ctx, b)
		}
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err == nil {
			err = s.Discard(ctx, c)
		}
		if err != nil {
			return BlobInfo{}, fmt.Errorf("publish blob: %w", err)
		}
		return c.blob, nil
	}
	return BlobInfo{}, fmt.Errorf("publish blob %q: %w", c.info.Hash, ErrConflict)
}

// Stat describes a blob, or returns ErrNotFound.
func (s *Blobs) Stat(ctx context.Context, r Reader, scope, hash string) (BlobInfo, error) {
	info, _, err := s.stat(ctx, r, scope, hash)
	return info, err
}

// Open opens a blob for reading any range of it, or returns ErrNotFound.
func (s *Blobs) Open(ctx context.Context, scope, hash string) (Object, error) {
	info, err := s.Stat(ctx, s.engine, scope, hash)
	if err != nil {
		return nil, err
	}
	if info.Object != "" {
		objects, err := s.objects(ctx, scope)
		if err != nil {
			return nil, err
		}
		return objects.Open(ctx, info.Object)
	}
	data, err := s.engine.Get(ctx, s.dataKey(scope, hash))
	if err == nil && info.Packed {
		data, err = unpack(data, info.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %q: %w", hash, err)
	}
	return inline{Reader: bytes.NewReader(data)}, nil
}

// Ref adds delta references to a blob as part of a batch, which then fails with ErrConflict when the blob was
// collected meanwhile. A blob without references becomes a candidate for collection.
func (s *Blobs) Ref(ctx context.Context, r Reader, w Writer, scope, hash string, delta int64) error {
	_, meta, err := s.stat(ctx, r, scope, hash)
	if err != nil {
		return err
	}
	w.Assert(s.metaKey(scope, hash), meta)
	w.Add(s.refKey(scope, hash), delta)
	if delta < 0 {
		w.Set(s.candidateKey(scope, hash), s.stamp())
	}
	return nil
}

// discard removes an object that no blob holds, and its announcement.
func (s *Blobs) discard(ctx context.Context, scope, object string) error {
	objects, err := s.objects(ctx, scope)
	if err != nil {
		return err
	}
	if err := objects.Remove(ctx, object); err != nil {
		return err
	}
	b := &Batch{}
	b.Delete(s.pendingKey(scope, object))
	return s.engine.Commit(ctx, b)
}

// objects returns where the large blobs of a scope lie: beside its keys.
func (s *Blobs) objects(ctx context.Context, scope string) (Objects, error) {
	place, err := FindPlace(ctx, s.engine, scopeOwner(scope))
	if err != nil {
		return nil, fmt.Errorf("blobs of scope %q: %w", scope, err)
	}
	return place.Engine.Objects(), nil
}

func (s *Blobs) stat(ctx context.Context, r Reader, scope, hash string) (info BlobInfo, meta []byte, err error) {
	meta, err = r.Get(ctx, s.metaKey(scope, hash))
	if err != nil {
		return BlobInfo{}, nil, fmt.Errorf("blob %q: %w", hash, err)
	}
	if info, err = decodeBlobInfo(meta); err != nil {
		return BlobInfo{}, nil, fmt.Errorf("blob %q: %w", hash, err)
	}
	info.Hash = hash
	return info, meta, nil
}

// stamp is the present time and a nonce, so that a candidate that was renewed is never taken for the old one.
func (s *Blobs) stamp() []byte {
	return append(Key(nil).Uint(uint64(s.now().Unix())), rand.Text()...) //nolint:gosec // after 1970
}

// scopesRange holds every scope's keys.
func scopesRange() Range { return Range{Start: []byte("tenant/"), End: []byte("tenant0")} }

func scopeOwner(scope string) string { return "tenant/" + scope }

func scopeKey(scope string) Key { return NewKey(scopeOwner(scope)) }

func (s *Blobs) metaKey(scope, hash string) []byte {
	return scopeKey(scope).String("blob").String(hash)
}

func (s *Blobs) dataKey(scope, hash string) []byte {
	return scopeKey(scope).String("data").String(hash)
}

func (s *Blobs) refKey(scope, hash string) []byte { return scopeKey(scope).String("refs").String(hash) }

func (s *Blobs) candidateKey(scope, hash string) []byte {
	return scopeKey(scope).String("candidate").String(hash)
}

func (s *Blobs) pendingKey(scope, object string) []byte {
	return scopeKey(scope).String("pending").String(object)
}

// inline is a small blob in memory.
type inline struct{ *bytes.Reader }

// Close does nothing.
func (inline) Close() error { return nil }

package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// InlineLimit is the size in octets from which on a blob is kept as an object rather than among the keys.
const InlineLimit = 64 << 10

// hashes names blobs with lower-case letters and digits only, which every protocol takes as they are.
var hashes = base32.HexEncoding.WithPadding(base32.NoPadding)

func name(sum hash.Hash) string { return strings.ToLower(hashes.EncodeToString(sum.Sum(nil))) }

// Content is what a blob is to hold, before it is one. It is not safe for concurrent use.
type Content struct {
	scope string
	info  BlobInfo
	// data is a small content, as it came and as it is kept.
	data, kept []byte
	// stamp is that under which the object of a large one was announced.
	stamp []byte
	// blob is what the scope has once the batch is committed with which it was published last.
	blob BlobInfo
}

// Hash is the hash of the blob that it becomes.
func (c *Content) Hash() string { return c.info.Hash }

// Size is the length in octets.
func (c *Content) Size() int64 { return c.info.Size }

// Prepare reads the content of a blob. One that is large is written at once; when it is never published, the collector
// removes it.
func (s *Blobs) Prepare(ctx context.Context, scope string, r io.Reader) (*Content, error) {
	head, err := io.ReadAll(io.LimitReader(r, InlineLimit))
	if err != nil {
		return nil, fmt.Errorf("read blob: %w", err)
	}
	c := &Content{scope: scope}
	sum := sha256.New()
	if len(head) < InlineLimit {
		sum.Write(head)
		c.data, c.info = head, BlobInfo{Hash: name(sum), Size: int64(len(head))}
		return c, nil
	}
	c.info.Object, c.stamp = strings.ToLower(rand.Text()), s.stamp()
	pending := &Batch{}
	pending.Set(s.pendingKey(scope, c.info.Object), c.stamp)
	if err := s.engine.Commit(ctx, pending); err != nil {
		return nil, fmt.Errorf("announce blob: %w", err)
	}
	objects, err := s.objects(ctx, scope)
	if err != nil {
		return nil, err
	}
	c.info.Size, err = objects.Write(ctx, c.info.Object, io.TeeReader(io.MultiReader(bytes.NewReader(head), r), sum))
	c.info.Hash = name(sum)
	return c, err
}

// Publish makes content a blob as part of a batch, unless its scope has it already, and adds references to it. The batch
// fails with ErrConflict when the scope gets or loses it meanwhile: publish it anew then. It must not be published twice
// in one batch. A blob without a reference becomes a candidate for collection.
func (s *Blobs) Publish(ctx context.Context, r Reader, w Writer, c *Content, references int64) error {
	have, meta, err := s.stat(ctx, r, c.scope, c.info.Hash)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	w.Assert(s.metaKey(c.scope, c.info.Hash), meta)
	if c.blob = have; meta == nil {
		if err := s.write(w, c); err != nil {
			return err
		}
	}
	if references > 0 {
		w.Add(s.refKey(c.scope, c.info.Hash), references)
	} else {
		w.Set(s.candidateKey(c.scope, c.info.Hash), s.stamp())
	}
	return nil
}

// write writes a new blob.
func (s *Blobs) write(w Writer, c *Content) error {
	if c.info.Object == "" && c.kept == nil {
		c.kept = c.data
		if Packs(s.engine) {
			c.kept, c.info.Packed = pack(c.data)
		}
	}
	meta, err := c.info.encode()
	if err != nil {
		return err
	}
	c.blob = c.info
	w.Set(s.metaKey(c.scope, c.info.Hash), meta)
	if c.info.Object == "" {
		w.Set(s.dataKey(c.scope, c.info.Hash), c.kept)
		return nil
	}
	w.Assert(s.pendingKey(c.scope, c.info.Object), c.stamp)
	w.Delete(s.pendingKey(c.scope, c.info.Object))
	return nil
}

// Discard removes what was written of a large content, when the batch with which it was published is committed and the
// scope had it already.
func (s *Blobs) Discard(ctx context.Context, c *Content) error {
	if c.info.Object == c.blob.Object {
		return nil
	}
	return s.discard(ctx, c.scope, c.info.Object)
}

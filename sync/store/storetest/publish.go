package storetest

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func prepare(t *testing.T, b *store.Blobs, content string) *store.Content {
	t.Helper()
	c, err := b.Prepare(t.Context(), "s", strings.NewReader(content))
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return c
}

func publish(t *testing.T, e store.Engine, b *store.Blobs, c *store.Content, references int64) *store.Batch {
	t.Helper()
	batch := &store.Batch{}
	if err := b.Publish(t.Context(), e, batch, c, references); err != nil {
		t.Fatalf("publish: %v", err)
	}
	return batch
}

// contentIsPublishedWithABatch finds content with the commit of its batch and not before, once, and kept by the
// references that came with it.
func contentIsPublishedWithABatch(t *testing.T, f Factory) {
	e := open(t, f)
	b := store.NewBlobs(e, nil)
	for _, text := range []string{"", "small", strings.Repeat("x", store.InlineLimit-1), strings.Repeat("y", store.InlineLimit)} {
		first, second := prepare(t, b, text), prepare(t, b, text)
		one, two := publish(t, e, b, first, 1), publish(t, e, b, second, 1)
		_, err := b.Open(t.Context(), "s", first.Hash())
		wantErr(t, "open before the commit", err, store.ErrNotFound)
		if err := e.Commit(t.Context(), one); err != nil {
			t.Fatalf("commit: %v", err)
		}
		wantErr(t, "publish what came meanwhile", e.Commit(t.Context(), two), store.ErrConflict)
		if err := e.Commit(t.Context(), publish(t, e, b, second, 1)); err != nil {
			t.Fatalf("commit anew: %v", err)
		}
		for _, c := range []*store.Content{first, second} {
			if err := b.Discard(t.Context(), c); err != nil {
				t.Errorf("discard: %v", err)
			}
		}
		if content(t, b, "s", first.Hash()) != text {
			t.Errorf("content of %d octets differs", len(text))
		}
		equal(t, "size", first.Size(), int64(len(text)))
		endBoth(t, e, b, first.Hash())
	}
}

// endBoth ends the two references to a blob, which is collected then and not before.
func endBoth(t *testing.T, e store.Engine, b *store.Blobs, hash string) {
	t.Helper()
	for left := range 3 {
		want := left / 2
		if n, err := b.Collect(t.Context(), "s", -grace); err != nil || n != want {
			t.Errorf("collected %d blobs with %d references, want %d: %v", n, 2-left, want, err)
		}
		if left == 2 {
			return
		}
		if err := ref(t, e, b, hash, -1); err != nil {
			t.Fatalf("end a reference: %v", err)
		}
	}
}

// brokenContentIsNoBlob refuses content that ends in an error, also one that readers use for an early end.
func brokenContentIsNoBlob(t *testing.T, f Factory) {
	b := store.NewBlobs(open(t, f), nil)
	for _, size := range []int{0, 5, store.InlineLimit - 1, store.InlineLimit, store.InlineLimit + 5} {
		cut := io.MultiReader(strings.NewReader(strings.Repeat("x", size)), iotest.ErrReader(io.ErrUnexpectedEOF))
		_, err := b.Put(t.Context(), "s", cut)
		wantErr(t, "content that is cut off", err, io.ErrUnexpectedEOF)
	}
}

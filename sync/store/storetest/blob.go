package storetest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const grace = time.Hour

func put(t *testing.T, b *store.Blobs, scope, content string) store.BlobInfo {
	t.Helper()
	info, err := b.Put(t.Context(), scope, strings.NewReader(content))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	return info
}

func content(t *testing.T, b *store.Blobs, scope, hash string) string {
	t.Helper()
	o, err := b.Open(t.Context(), scope, hash)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	data, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err = errors.Join(err, o.Close()); err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(data)
}

func ref(t *testing.T, e store.Engine, b *store.Blobs, hash string, delta int64) error {
	t.Helper()
	batch := &store.Batch{}
	if err := b.Ref(t.Context(), e, batch, "s", hash, delta); err != nil {
		return err
	}
	return e.Commit(t.Context(), batch)
}

func blobsAreSharedWithinAScope(t *testing.T, f Factory) {
	e := open(t, f)
	b := store.NewBlobs(e, nil)
	for _, text := range []string{"", "small", strings.Repeat("x", store.InlineLimit-1), strings.Repeat("y", store.InlineLimit), strings.Repeat("z", 3*store.InlineLimit)} {
		first, second := put(t, b, "one", text), put(t, b, "one", text)
		equal(t, "same content", second, first)
		equal(t, "size", first.Size, int64(len(text)))
		equal(t, "is an object", first.Object != "", len(text) >= store.InlineLimit)
		if content(t, b, "one", first.Hash) != text {
			t.Errorf("content of %d octets differs", len(text))
		}
		_, err := b.Open(t.Context(), "two", first.Hash)
		wantErr(t, "another scope", err, store.ErrNotFound)
		other := put(t, b, "two", text)
		if other.Object != "" && other.Object == first.Object {
			t.Errorf("scopes share the object %q", other.Object)
		}
	}
	_, err := b.Put(t.Context(), "one", io.MultiReader(strings.NewReader(strings.Repeat("q", store.InlineLimit)), failing{}))
	wantErr(t, "failing content", err, errRead)
	scopes, err := b.Scopes(t.Context())
	if err != nil {
		t.Fatalf("scopes: %v", err)
	}
	equal(t, "scopes", scopes, []string{"one", "two"})
}

func unreferencedBlobsAreCollected(t *testing.T, f Factory) {
	e, at := open(t, f), newClock()
	b := store.NewBlobs(e, at.now)
	small, large := put(t, b, "s", "small"), put(t, b, "s", strings.Repeat("x", store.InlineLimit))
	collect(t, b, 0)
	at.at = at.at.Add(grace)
	collect(t, b, 2)
	collect(t, b, 0)
	for _, hash := range []string{small.Hash, large.Hash} {
		_, err := b.Open(t.Context(), "s", hash)
		wantErr(t, "collected blob", err, store.ErrNotFound)
	}
	_, err := e.Objects().Open(t.Context(), large.Object)
	wantErr(t, "collected object", err, store.ErrNotFound)
	equal(t, "keys left", list(t, e, store.NewKey("tenant/s").Range(), store.ScanOptions{}), []string{})
	wantErr(t, "reference to a collected blob", ref(t, e, b, small.Hash, 1), store.ErrNotFound)
}

func collectionSparesReferences(t *testing.T, f Factory) {
	e, at := open(t, f), newClock()
	b := store.NewBlobs(e, at.now)
	info := put(t, b, "s", "kept")
	for range 2 {
		if err := ref(t, e, b, info.Hash, 1); err != nil {
			t.Fatalf("ref: %v", err)
		}
	}
	at.at = at.at.Add(grace)
	collect(t, b, 0)
	if err := ref(t, e, b, info.Hash, -1); err != nil {
		t.Fatalf("unref: %v", err)
	}
	at.at = at.at.Add(grace)
	collect(t, b, 0)
	equal(t, "content", content(t, b, "s", info.Hash), "kept")
	if err := ref(t, e, b, info.Hash, -1); err != nil {
		t.Fatalf("unref: %v", err)
	}
	collect(t, b, 0)
	at.at = at.at.Add(grace)
	put(t, b, "s", "kept")
	collect(t, b, 0)
	at.at = at.at.Add(grace)
	collect(t, b, 1)
}

func collect(t *testing.T, b *store.Blobs, want int) {
	t.Helper()
	n, err := b.Collect(t.Context(), "s", grace)
	if err != nil {
		t.Fatalf("collect: %v", err)
	}
	equal(t, "collected", n, want)
}

// blobsRaceWithTheirCollector checks that a reference that was committed is never to a blob that is gone.
func blobsRaceWithTheirCollector(t *testing.T, f Factory) {
	e := open(t, f)
	b := store.NewBlobs(e, nil)
	text := strings.Repeat("r", store.InlineLimit)
	for range 15 {
		var info store.BlobInfo
		referred := false
		parallel(2, func(i int) {
			if i == 0 {
				if _, err := b.Collect(t.Context(), "s", 0); err != nil {
					t.Errorf("collect: %v", err)
				}
				return
			}
			var err error
			if info, err = b.Put(t.Context(), "s", strings.NewReader(text)); err != nil {
				if !errors.Is(err, store.ErrConflict) {
					t.Errorf("put: %v", err)
				}
				return
			}
			err = ref(t, e, b, info.Hash, 1)
			if referred = err == nil; !referred && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("ref: %v", err)
			}
		})
		if !referred {
			continue
		}
		if content(t, b, "s", info.Hash) != text {
			t.Fatal("content differs")
		}
		if err := ref(t, e, b, info.Hash, -1); err != nil {
			t.Fatalf("unref: %v", err)
		}
	}
}

package storetest

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func keysAreReadAsWritten(t *testing.T, f Factory) {
	e := open(t, f)
	_, err := e.Get(t.Context(), []byte("a\x00k"))
	wantErr(t, "absent key", err, store.ErrNotFound)
	commit(t, e, set("a\x00k", "v", "a\x00empty", "", "a\x00bin\xff\x00", "\x00\xff"))
	for key, want := range map[string]string{"a\x00k": "v", "a\x00empty": "", "a\x00bin\xff\x00": "\x00\xff"} {
		got, err := e.Get(t.Context(), []byte(key))
		if err != nil {
			t.Fatalf("get %q: %v", key, err)
		}
		equal(t, key, string(got), want)
	}
	commit(t, e, func(b *store.Batch) { b.Delete([]byte("a\x00k")); b.Delete([]byte("a\x00never")) })
	_, err = e.Get(t.Context(), []byte("a\x00k"))
	wantErr(t, "deleted key", err, store.ErrNotFound)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = e.Get(ended, []byte("a\x00k"))
	wantErr(t, "get after the end of its context", err, context.Canceled)
	wantErr(t, "commit after the end of its context", try(ended, e, set("a\x00k", "v")), context.Canceled)
}

func scansFollowTheOrderOfKeys(t *testing.T, f Factory) {
	e := open(t, f)
	commit(t, e, set("k3", "3", "k1", "1", "k2", "2", "k2\x00", "2+", "j", "before", "l", "after"))
	all := store.Range{Start: []byte("k"), End: []byte("l")}
	for _, c := range []struct {
		name string
		r    store.Range
		o    store.ScanOptions
		want []string
	}{
		{"forward", all, store.ScanOptions{}, []string{"k1", "1", "k2", "2", "k2\x00", "2+", "k3", "3"}},
		{"reverse", all, store.ScanOptions{Reverse: true}, []string{"k3", "3", "k2\x00", "2+", "k2", "2", "k1", "1"}},
		{"limit", all, store.ScanOptions{Limit: 2}, []string{"k1", "1", "k2", "2"}},
		{"reverse limit", all, store.ScanOptions{Reverse: true, Limit: 1}, []string{"k3", "3"}},
		{"start is in, end is not", store.Range{Start: []byte("k1"), End: []byte("k2")}, store.ScanOptions{}, []string{"k1", "1"}},
		{"no end", store.Range{Start: []byte("k3")}, store.ScanOptions{}, []string{"k3", "3", "l", "after"}},
		{"empty", store.Range{Start: []byte("k2"), End: []byte("k2")}, store.ScanOptions{}, []string{}},
		{"inverted", store.Range{Start: []byte("l"), End: []byte("k")}, store.ScanOptions{}, []string{}},
	} {
		equal(t, c.name, list(t, e, c.r, c.o), c.want)
	}
	ended, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range e.Scan(ended, all, store.ScanOptions{}) {
		last = err
		cancel()
	}
	wantErr(t, "scan after the end of its context", last, context.Canceled)
}

func batchesApplyWholeOrNotAtAll(t *testing.T, f Factory) {
	e := open(t, f)
	a, b2, c := []byte("o\x00a"), []byte("o\x00b"), []byte("o\x00c")
	commit(t, e, func(b *store.Batch) { b.Assert(a, nil); b.Set(a, []byte("1")) })
	for _, check := range []struct {
		name string
		fill func(*store.Batch)
	}{
		{"assert absent", func(b *store.Batch) { b.Set(b2, a); b.Assert(a, nil) }},
		{"assert other value", func(b *store.Batch) { b.Assert(a, []byte("2")); b.Delete(a) }},
		{"assert absent key's value", func(b *store.Batch) { b.Assert(c, []byte("1")); b.Delete(a) }},
		{"assert empty value of absent key", func(b *store.Batch) { b.Assert(c, []byte{}); b.Add(b2, 1) }},
		{"one of several", func(b *store.Batch) { b.Assert(a, []byte("1")); b.Assert(a, []byte("2")); b.Set(c, c) }},
	} {
		wantErr(t, check.name, try(t.Context(), e, check.fill), store.ErrConflict)
	}
	all := store.NewKey("o").Range()
	equal(t, "after conflicts", list(t, e, all, store.ScanOptions{}), []string{"o\x00a", "1"})
	commit(t, e, func(b *store.Batch) {
		b.Assert(a, []byte("1"))
		b.Set(b2, []byte("gone"))
		b.DeleteRange(store.Range{Start: a, End: c})
		b.Set(a, []byte("3"))
		b.Set(c, []byte("kept"))
	})
	equal(t, "in order", list(t, e, all, store.ScanOptions{}), []string{"o\x00a", "3", "o\x00c", "kept"})
	commit(t, e, func(b *store.Batch) { b.Assert(a, []byte("3")) })
}

func invalidBatchesAreRefused(t *testing.T, f Factory) {
	e := open(t, f)
	k := []byte("k")
	for name, fill := range map[string]func(*store.Batch){
		"empty key":            func(b *store.Batch) { b.Set(nil, k) },
		"empty assertion":      func(b *store.Batch) { b.Assert(nil, k) },
		"empty counter":        func(b *store.Batch) { b.Add(nil, 1) },
		"set and add":          func(b *store.Batch) { b.Add(k, 1); b.Set(k, k) },
		"delete range and add": func(b *store.Batch) { b.Add(k, 1); b.DeleteRange(store.Range{Start: []byte("j"), End: []byte("l")}) },
		"endless range":        func(b *store.Batch) { b.DeleteRange(store.Range{Start: k}) },
		"inverted range":       func(b *store.Batch) { b.DeleteRange(store.Range{Start: k, End: []byte("a")}) },
	} {
		wantErr(t, name, try(t.Context(), e, fill), store.ErrInvalid)
	}
	commit(t, e, set("k", "no counter"))
	wantErr(t, "add to what is no counter", try(t.Context(), e, func(b *store.Batch) { b.Add(k, 1) }), store.ErrInvalid)
}

func countersAddUp(t *testing.T, f Factory) {
	e := open(t, f)
	k := []byte("n")
	for _, delta := range []int64{5, -2, -10} {
		commit(t, e, func(b *store.Batch) { b.Add(k, delta); b.Add(k, 0) })
	}
	equal(t, "sum", counter(t, e, k), int64(-7))
	commit(t, e, func(b *store.Batch) { b.Add(k, 3); b.Add(k, 4) })
	_, err := e.Get(t.Context(), k)
	wantErr(t, "zero counter", err, store.ErrNotFound)
}

func counter(t *testing.T, r store.Reader, key []byte) int64 {
	t.Helper()
	value, err := r.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("read counter: %v", err)
	}
	n, err := store.DecodeCounter(value)
	if err != nil {
		t.Fatalf("read counter: %v", err)
	}
	return n
}

func snapshotsDoNotMove(t *testing.T, f Factory) {
	e := open(t, f)
	commit(t, e, set("a", "1", "b", "1"))
	snap, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	commit(t, e, func(b *store.Batch) { b.Set([]byte("a"), []byte("2")); b.Delete([]byte("b")); b.Set([]byte("c"), nil) })
	r := store.Range{Start: []byte("a"), End: []byte("z")}
	equal(t, "snapshot", list(t, snap, r, store.ScanOptions{}), []string{"a", "1", "b", "1"})
	equal(t, "engine", list(t, e, r, store.ScanOptions{}), []string{"a", "2", "c", ""})
	if err := snap.Close(); err != nil {
		t.Errorf("close snapshot: %v", err)
	}
}

func oneOfManyConflictingWins(t *testing.T, f Factory) {
	e := open(t, f)
	key := []byte("k")
	const rounds, writers = 20, 8
	for round := range rounds {
		old := []byte(strconv.Itoa(round))
		commit(t, e, func(b *store.Batch) { b.Set(key, old) })
		var won atomic.Int64
		parallel(writers, func(i int) {
			err := try(t.Context(), e, func(b *store.Batch) { b.Assert(key, old); b.Set(key, []byte("w"+strconv.Itoa(i))) })
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("commit: %v", err)
			}
		})
		equal(t, "winners", won.Load(), int64(1))
	}
}

func concurrentAddsAreAllCounted(t *testing.T, f Factory) {
	e := open(t, f)
	const writers, times = 8, 25
	parallel(writers, func(int) {
		for range times {
			if err := try(t.Context(), e, func(b *store.Batch) { b.Add([]byte("n"), 1) }); err != nil {
				t.Errorf("add: %v", err)
			}
		}
	})
	equal(t, "sum", counter(t, e, []byte("n")), int64(writers*times))
}

func parallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func objectsKeepContent(t *testing.T, f Factory) {
	o := open(t, f).Objects()
	content := strings.Repeat("0123456789", 20_000)
	size, err := o.Write(t.Context(), "object-1", strings.NewReader(content))
	if err != nil || size != int64(len(content)) {
		t.Fatalf("write: %d, %v", size, err)
	}
	obj, err := o.Open(t.Context(), "object-1")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	part := make([]byte, 10)
	if _, err := obj.ReadAt(part, 100_005); err != nil {
		t.Errorf("read range: %v", err)
	}
	equal(t, "range", string(part), "5678901234")
	equal(t, "size", obj.Size(), int64(len(content)))
	if err := obj.Close(); err != nil {
		t.Errorf("close object: %v", err)
	}
	for range 2 {
		if err := o.Remove(t.Context(), "object-1"); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	_, err = o.Open(t.Context(), "object-1")
	wantErr(t, "removed object", err, store.ErrNotFound)
	broken := io.MultiReader(strings.NewReader("half"), failing{})
	_, err = o.Write(t.Context(), "object-2", broken)
	wantErr(t, "failing content", err, errRead)
	_, err = o.Open(t.Context(), "object-2")
	wantErr(t, "half an object", err, store.ErrNotFound)
}

var errRead = errors.New("read failed")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errRead }

func hintsWakeListeners(t *testing.T, f Factory) {
	e := open(t, f)
	hints, cancel := e.Hints().Listen("a")
	other, cancelOther := e.Hints().Listen("b")
	defer cancelOther()
	for range 3 {
		if err := e.Hints().Publish(t.Context(), "a"); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
	select {
	case <-hints:
	case <-time.After(10 * time.Second):
		t.Fatal("no hint arrived")
	}
	select {
	case <-other:
		t.Error("a hint arrived for another topic")
	default:
	}
	cancel()
	cancel()
	for range hints {
	}
}

func closedEnginesSaySo(t *testing.T, f Factory) {
	e := open(t, f)
	hints, cancel := e.Hints().Listen("a")
	defer cancel()
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	_, open := <-hints
	equal(t, "hints are open", open, false)
	_, err := e.Get(t.Context(), []byte("a"))
	wantErr(t, "get", err, store.ErrClosed)
	wantErr(t, "commit", try(t.Context(), e, set("a", "1")), store.ErrClosed)
	for _, err := range e.Scan(t.Context(), store.Range{}, store.ScanOptions{}) {
		wantErr(t, "scan", err, store.ErrClosed)
	}
	_, err = e.Snapshot(t.Context())
	wantErr(t, "snapshot", err, store.ErrClosed)
	wantErr(t, "publish", e.Hints().Publish(t.Context(), "a"), store.ErrClosed)
	wantErr(t, "close", e.Close(), store.ErrClosed)
}

func commitsOutliveACrash(t *testing.T, f Factory) {
	if f.Reopen == nil {
		t.Skip("the engine does not lie in this process")
	}
	e := open(t, f)
	const writers, times = 4, 10
	parallel(writers, func(i int) {
		for n := range times {
			key := "k" + strconv.Itoa(i) + "-" + strconv.Itoa(n)
			if err := try(t.Context(), e, func(b *store.Batch) { b.Set([]byte(key), []byte("v")); b.Add([]byte("sum"), 1) }); err != nil {
				t.Errorf("commit: %v", err)
			}
		}
	})
	again := f.Reopen(t, e)
	t.Cleanup(func() {
		if err := again.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	equal(t, "sum", counter(t, again, []byte("sum")), int64(writers*times))
	keys := list(t, again, store.Range{Start: []byte("k"), End: []byte("l")}, store.ScanOptions{})
	equal(t, "keys", len(keys)/2, writers*times)
}

func unknownFormatsAreRefused(t *testing.T, f Factory) {
	e := open(t, f)
	if err := store.CheckFormat(t.Context(), e); err != nil {
		t.Fatalf("own format: %v", err)
	}
	commit(t, e, func(b *store.Batch) { b.Set(store.NewKey("!").String("format"), []byte("999")) })
	wantErr(t, "other format", store.CheckFormat(t.Context(), e), store.ErrFormat)
}

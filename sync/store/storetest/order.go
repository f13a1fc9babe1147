package storetest

import (
	"bytes"
	"errors"
	"strconv"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// longScansCrossPages checks scans that are longer than what an engine reads at once, of small and of large values.
func longScansCrossPages(t *testing.T, f Factory) {
	e := open(t, f)
	prefix := store.NewKey("acc").String("long")
	const total = 3000
	commit(t, e, func(b *store.Batch) {
		for i := range uint64(total) {
			value := []byte(strconv.FormatUint(i, 10))
			if i%100 == 7 {
				value = bytes.Repeat(value, 10_000)
			}
			b.Set(prefix.Uint(i), value)
		}
	})
	for _, o := range []store.ScanOptions{{}, {Reverse: true}, {Limit: 1500}, {Limit: 2999, Reverse: true}, {Limit: total + 1}} {
		n := uint64(0)
		for p, err := range e.Scan(t.Context(), prefix.Range(), o) {
			if err != nil {
				t.Fatalf("scan: %v", err)
			}
			want := n
			if o.Reverse {
				want = total - 1 - n
			}
			if !bytes.Equal(p.Key, prefix.Uint(want)) || !bytes.HasPrefix(p.Value, []byte(strconv.FormatUint(want, 10))) {
				t.Fatalf("pair %d of %+v is %q", n, o, p.Key)
			}
			n++
		}
		want := uint64(total)
		if o.Limit > 0 {
			want = uint64(min(o.Limit, total))
		}
		equal(t, "pairs", n, want)
	}
}

// writtenAssertionsCannotSkew checks that of two commits, each of which writes what the other asserts, one wins.
func writtenAssertionsCannotSkew(t *testing.T, f Factory) {
	e := open(t, f)
	for round := range 20 {
		keys := [][]byte{store.NewKey("o").Uint(uint64(2 * round)), store.NewKey("o").Uint(uint64(2*round + 1))}
		var before []byte
		if round%2 == 1 {
			before = []byte("free")
			commit(t, e, func(b *store.Batch) { b.Set(keys[0], before); b.Set(keys[1], before) })
		}
		var errs [2]error
		parallel(2, func(i int) {
			b := &store.Batch{}
			b.Assert(keys[i], before)
			b.Set(keys[1-i], []byte("taken"))
			errs[i] = e.Commit(t.Context(), b)
		})
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs[:]...), store.ErrConflict) {
			t.Fatalf("round %d: got errors %v and %v, want one conflict", round, errs[0], errs[1])
		}
	}
}

func rangesAndWritesKeepTheirOrder(t *testing.T, f Factory) {
	e := open(t, f)
	key := func(s string) []byte { return store.NewKey("o").String(s) }
	rng := store.Range{Start: key("b"), End: key("d")}
	commit(t, e, func(b *store.Batch) {
		for _, s := range []string{"a", "b", "c", "d"} {
			b.Set(key(s), []byte("old"))
		}
	})
	commit(t, e, func(b *store.Batch) {
		b.Assert(key("bb"), nil)
		b.Assert(key("c"), []byte("old"))
		b.Assert(key("e"), nil)
		b.Set(key("a"), []byte("1"))
		b.Set(key("b"), []byte("swept"))
		b.DeleteRange(rng)
		b.Set(key("bb"), []byte("2"))
		b.Set(key("x"), []byte("gone"))
		b.Delete(key("x"))
		b.Add(key("e"), 7)
	})
	want := []string{string(key("a")), "1", string(key("bb")), "2", string(key("d")), "old", string(key("e")), string(store.EncodeCounter(7))}
	equal(t, "keys", list(t, e, store.NewKey("o").Range(), store.ScanOptions{}), want)
	commit(t, e, func(b *store.Batch) { b.Assert(key("f"), nil); b.Assert(key("g"), nil); b.Delete(key("g")) })
	equal(t, "keys after assertions alone", list(t, e, store.NewKey("o").Range(), store.ScanOptions{}), want)
}

package cells

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
	"github.com/bailiwick-dev/bailiwick/sync/store/storetest"
)

// homes are where cells lie that can be opened again.
type homes map[string]*home

type home struct {
	fs  *vfs.MemFS
	dir string
}

func (h homes) cells(t *testing.T, names ...string) map[string]store.Engine {
	t.Helper()
	out := map[string]store.Engine{}
	for _, name := range names {
		if h[name] == nil {
			h[name] = &home{fs: vfs.NewCrashableMem(), dir: t.TempDir()}
		}
		e, err := pebble.Open(t.Context(), h[name].dir, pebble.Options{FS: h[name].fs, CacheBytes: 1 << 20})
		if err != nil {
			t.Fatalf("open cell %q: %v", name, err)
		}
		out[name] = e
	}
	return out
}

func (h homes) open(t *testing.T, names ...string) *Engine {
	t.Helper()
	e, err := Open(t.Context(), h.cells(t, names...))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return e
}

func closeEngine(t *testing.T, e store.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestEngineKeepsTheContract(t *testing.T) {
	t.Parallel()
	lie := map[store.Engine]homes{}
	storetest.Run(t, storetest.Factory{
		Spread: true,
		Open: func(t *testing.T) store.Engine {
			h := homes{}
			e := h.open(t, "a", "b", "c")
			lie[e] = h
			return e
		},
		Reopen: func(t *testing.T, e store.Engine) store.Engine {
			crashed := homes{}
			for name, h := range lie[e] {
				crashed[name] = &home{fs: h.fs.CrashClone(vfs.CrashCloneCfg{}), dir: h.dir}
			}
			return crashed.open(t, "a", "b", "c")
		},
	})
}

func places(t *testing.T, e *Engine, accounts int) map[string]int {
	t.Helper()
	count := map[string]int{}
	for i := range accounts {
		place, err := e.Place(t.Context(), "account"+strconv.Itoa(i))
		if err != nil {
			t.Fatalf("place: %v", err)
		}
		count[e.nameOf(place)]++
	}
	return count
}

func TestAccountsSpreadAndStayWhenACellJoins(t *testing.T) {
	t.Parallel()
	h := homes{}
	e := h.open(t, "a", "b")
	before := places(t, e, 300)
	for _, name := range []string{"a", "b"} {
		if before[name] < 100 {
			t.Errorf("cell %q has %d of 300 accounts", name, before[name])
		}
	}
	closeEngine(t, e)
	e = h.open(t, "0", "a", "b")
	if diff := cmp.Diff(before, places(t, e, 300)); diff != "" {
		t.Errorf("accounts moved (-before +after):\n%s", diff)
	}
	if after := places(t, e, 600); after["0"] < 50 {
		t.Errorf("the new cell has %d of 300 new accounts", after["0"])
	}
	closeEngine(t, e)
}

func TestAccountsOfASingleCellStayInIt(t *testing.T) {
	t.Parallel()
	h := homes{}
	one, err := OpenOne(t.Context(), "m", h.cells(t, "m")["m"])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		b := &store.Batch{}
		b.Set(store.NewKey("account"+strconv.Itoa(i)).String("k"), []byte("v"))
		b.Set(store.NewKey("tenant/t").Uint(uint64(i)), []byte("v"))
		if err := one.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	closeEngine(t, one)
	e := h.open(t, "a", "m")
	for i := range 50 {
		if _, err := e.Get(t.Context(), store.NewKey("account"+strconv.Itoa(i)).String("k")); err != nil {
			t.Errorf("account %d before it is written: %v", i, err)
		}
	}
	if diff := cmp.Diff(map[string]int{"m": 50}, places(t, e, 50)); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if place, err := e.Place(t.Context(), "account1"); err != nil || place.Suffix != "" {
		t.Errorf("the founder's suffix is %q, %v", place.Suffix, err)
	}
	if places(t, e, 200)["a"] == 0 {
		t.Error("no new account is in the new cell")
	}
	closeEngine(t, e)
	cell := h.cells(t, "m")["m"]
	if _, err := OpenOne(t.Context(), "m", cell); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("one of several cells opened alone: %v", err)
	}
	closeEngine(t, cell)
}

func TestTwoProcessesChooseTheSameCell(t *testing.T) {
	t.Parallel()
	h := homes{}
	cells := h.cells(t, "a", "b")
	var engines []*Engine
	for range 2 {
		e, err := Open(t.Context(), cells)
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, e)
	}
	defer closeEngine(t, engines[0])
	// The second process believes in another choice.
	engines[1].names = []string{"b"}
	for i := range 20 {
		account := "account" + strconv.Itoa(i)
		first, err := engines[0].Place(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		name, err := engines[1].choose(t.Context(), account)
		if err != nil || name != engines[0].nameOf(first) {
			t.Errorf("account %d: the second process chose %q, the first %q: %v", i, name, engines[0].nameOf(first), err)
		}
	}
}

func TestBatchOfSeveralCellsIsRefused(t *testing.T) {
	t.Parallel()
	e := homes{}.open(t, "a", "b")
	defer closeEngine(t, e)
	b := &store.Batch{}
	for i := range 20 {
		b.Set(store.NewKey("account"+strconv.Itoa(i)).String("k"), nil)
	}
	err := e.Commit(t.Context(), b)
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), `the cells "a" and "b"`) {
		t.Errorf("got error %v", err)
	}
	wide := &store.Batch{}
	wide.DeleteRange(store.Range{Start: []byte("a"), End: []byte("z")})
	if err := e.Commit(t.Context(), wide); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("range of several owners: %v", err)
	}
	if _, err := e.Get(t.Context(), store.NewKey("tenant/t@c").String("k")); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("owner of an unknown cell: %v", err)
	}
}

func TestWrongCellsAreRefused(t *testing.T) {
	t.Parallel()
	h := homes{}
	closeEngine(t, h.open(t, "a", "b"))
	used := homes{}
	cell := used.cells(t, "c")["c"]
	b := &store.Batch{}
	b.Set(store.NewKey("account").String("k"), nil)
	if err := cell.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, cell)
	other := homes{}
	closeEngine(t, other.open(t, "c", "d"))
	for _, c := range []struct {
		name  string
		homes homes
		cells []string
		want  string
	}{
		{"swapped", homes{"a": h["b"], "b": h["a"]}, []string{"a", "b"}, `it has "b" where "a" is expected`},
		{"founder missing", h, []string{"b", "x"}, `the cell "a", which keeps the directory, is missing`},
		{"member missing", h, []string{"a", "y"}, `the cell "b", which has accounts, is missing`},
		{"joins with data", homes{"a": h["a"], "b": h["b"], "c": used["c"]}, []string{"a", "b", "c"}, "a cell that joins others must be empty"},
		{"of another region", homes{"a": h["a"], "b": h["b"], "d": other["d"]}, []string{"a", "b", "d"}, "cells of one region only"},
		{"bad name", homes{}, []string{"A_"}, "lower-case letters"},
		{"none", homes{}, nil, "there is none"},
	} {
		cells := c.homes.cells(t, c.cells...)
		_, err := Open(t.Context(), cells)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
		for _, cell := range cells {
			closeEngine(t, cell)
		}
	}
}

func TestOneCellOfSeveralIsEnoughToServe(t *testing.T) {
	t.Parallel()
	cells := homes{}.cells(t, "a", "b")
	e, err := Open(t.Context(), map[string]store.Engine{"a": broken{cells["a"]}, "b": cells["b"]})
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e)
	if err := e.Ready(t.Context()); err != nil {
		t.Errorf("one cell is left: %v", err)
	}
	e.names = []string{"a"}
	if err := e.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), `cell "a"`) {
		t.Errorf("no cell is left: %v", err)
	}
	e.names = []string{"a", "b"}
}

// broken is an engine that is not ready.
type broken struct{ store.Engine }

func (broken) Ready(context.Context) error { return store.ErrUnavailable }

func TestSpreadOwnersAreReadAsOne(t *testing.T) {
	t.Parallel()
	h := homes{}
	e, err := Open(t.Context(), h.cells(t, "a", "b"), "queue", "lists/")
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e)
	want := []string{}
	in := map[string]int{}
	for i := range 20 {
		account := fmt.Sprintf("account%02d", i)
		b := &store.Batch{}
		b.Set(store.NewKey(account).String("k"), nil)
		b.Set(store.NewKey("queue").String(account), []byte(account))
		b.Add(store.NewKey("lists/x").String("n"), 1)
		if err := e.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		place, err := e.Find(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		in[e.nameOf(place)]++
		want = append(want, account)
	}
	read := func(r store.Reader, owner string) (values []string) {
		t.Helper()
		for p, err := range r.Scan(t.Context(), store.NewKey(owner).Range(), store.ScanOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, string(p.Value))
		}
		return values
	}
	if diff := cmp.Diff(want, read(e, "queue")); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}
	sum := map[string]int{}
	for i, value := range read(e, "lists/x") {
		n, err := store.DecodeCounter([]byte(value))
		if err != nil {
			t.Fatal(err)
		}
		sum[e.names[i]] = int(n)
	}
	if diff := cmp.Diff(in, sum); diff != "" {
		t.Errorf("counters by cell (-want +got):\n%s", diff)
	}
	snap, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for _, account := range want {
		key := store.NewKey("queue").String(account)
		b := &store.Batch{}
		b.Assert(key, []byte(account))
		b.Delete(key)
		if err := e.Commit(t.Context(), b); err != nil {
			t.Errorf("delete alone: %v", err)
		}
		if value, err := snap.Get(t.Context(), key); err != nil || string(value) != account {
			t.Errorf("snapshot: %q, %v", value, err)
		}
	}
	if left := read(e, "queue"); len(left) != 0 {
		t.Errorf("left in the queue: %v", left)
	}
}

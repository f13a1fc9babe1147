package storetest

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

var errStop = errors.New("stop")

func journal(t *testing.T, e store.Engine, o store.Options) *store.Journal {
	t.Helper()
	if o.Owner == "" {
		o.Owner = "test"
	}
	j, err := store.NewJournal(e, o)
	if err != nil {
		t.Fatalf("journal: %v", err)
	}
	return j
}

func update(t *testing.T, j *store.Journal, changes ...store.Change) {
	t.Helper()
	if err := tryUpdate(t, j, changes...); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func tryUpdate(t *testing.T, j *store.Journal, changes ...store.Change) error {
	t.Helper()
	return j.Update(t.Context(), "acc", func(tx *store.Tx) error {
		for _, c := range changes {
			tx.Changed(c)
		}
		return nil
	})
}

func mail(kind store.ChangeKind, id string) store.Change {
	return store.Change{Type: "Email", ID: id, Kind: kind}
}

func changes(t *testing.T, e store.Engine, kind, since string, limit int) store.Changes {
	t.Helper()
	c, err := store.ChangesSince(t.Context(), e, "acc", kind, since, limit)
	if err != nil {
		t.Fatalf("changes since %q: %v", since, err)
	}
	return c
}

func state(t *testing.T, e store.Engine, kind string) string {
	t.Helper()
	s, err := store.State(t.Context(), e, "acc", kind)
	if err != nil {
		t.Fatalf("state: %v", err)
	}
	return s
}

func changesFollowTheSequence(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	equal(t, "first state", state(t, e, "Email"), "0")
	update(t, j, mail(store.Created, "a"), mail(store.Created, "b"), mail(store.Updated, "a"))
	update(t, j, store.Change{Type: "Mailbox", ID: "m", Kind: store.Updated, Minor: true})
	update(t, j, mail(store.Updated, "b"), mail(store.Destroyed, "a"), mail(store.Created, "x"), mail(store.Destroyed, "x"))
	update(t, j, store.Change{Type: "Mailbox", ID: "m", Kind: store.Updated})
	equal(t, "state of Email", state(t, e, "Email"), "3")
	equal(t, "state of Mailbox", state(t, e, "Mailbox"), "4")
	none := []string{}
	for _, c := range []struct {
		kind, since string
		want        store.Changes
	}{
		{"Email", "0", store.Changes{Created: []string{"b"}, Updated: none, Destroyed: none}},
		{"Email", "1", store.Changes{Created: none, Updated: []string{"b"}, Destroyed: []string{"a"}}},
		{"Email", "3", store.Changes{Created: none, Updated: none, Destroyed: none, OnlyMinor: true}},
		{"Email", "4", store.Changes{Created: none, Updated: none, Destroyed: none, OnlyMinor: true}},
		{"Mailbox", "1", store.Changes{Created: none, Updated: []string{"m"}, Destroyed: none}},
	} {
		c.want.Old, c.want.New = c.since, state(t, e, c.kind)
		equal(t, c.kind+" since "+c.since, changes(t, e, c.kind, c.since, 0), c.want)
	}
	for _, since := range []string{"5", "", "x", "-1", "1-", "01", "4-1", "1--1", "1-0", "99999999999999999999"} {
		_, err := store.ChangesSince(t.Context(), e, "acc", "Email", since, 0)
		wantErr(t, "state "+strconv.Quote(since), err, store.ErrTooOld)
	}
}

func changesComeInPortions(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	const total = 25
	var batch []store.Change
	for i := range total {
		batch = append(batch, mail(store.Created, "e"+strconv.Itoa(i)))
		if i%10 == 9 {
			update(t, j, batch...)
			batch = nil
		}
	}
	update(t, j, batch...)
	for _, limit := range []int{1, 3, 7, 10, 24, 25, 26} {
		got, at := []string{}, "0"
		for more := true; more; {
			c := changes(t, e, "Email", at, limit)
			if len(c.Created) > limit || (c.HasMore && c.New == at) {
				t.Fatalf("limit %d: %d ids from %q to %q", limit, len(c.Created), at, c.New)
			}
			got, at, more = append(got, c.Created...), c.New, c.HasMore
		}
		equal(t, "last state", at, state(t, e, "Email"))
		want := []string{}
		for i := range total {
			want = append(want, "e"+strconv.Itoa(i))
		}
		equal(t, "ids with limit "+strconv.Itoa(limit), got, want)
	}
}

func typesChangeInStep(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	as := func(kind store.ChangeKind, typ, id string) store.Change {
		return store.Change{Type: typ, ID: id, Kind: kind}
	}
	err := j.Update(t.Context(), "acc", func(tx *store.Tx) error {
		seq, err := tx.Seq()
		equal(t, "sequence", seq, uint64(1))
		tx.Changed(as(store.Created, "A", "x"))
		return err
	})
	wantErr(t, "update", err, nil)
	update(t, j, as(store.Destroyed, "A", "x"), as(store.Created, "B", "x"), as(store.Created, "B", "y"))
	// What leaves and comes back within a commit was there before and after.
	update(t, j, as(store.Destroyed, "B", "y"), as(store.Created, "B", "y"), as(store.Created, "C", "z"))
	kinds := []string{"A", "B"}
	last, err := store.LastState(t.Context(), e, "acc", kinds)
	equal(t, "state", last, "3")
	wantErr(t, "state", err, nil)
	all, err := store.ChangesByType(t.Context(), e, "acc", kinds, "1", 0)
	wantErr(t, "changes", err, nil)
	equal(t, "A", all["A"].Destroyed, []string{"x"})
	equal(t, "B", all["B"].Created, []string{"x", "y"})
	equal(t, "states", []string{all["A"].New, all["B"].New, all["B"].Old}, []string{"3", "3", "1"})
	back, err := store.ChangesByType(t.Context(), e, "acc", kinds, "2", 0)
	wantErr(t, "changes", err, nil)
	equal(t, "back", back["B"].Updated, []string{"y"})
	part, err := store.ChangesByType(t.Context(), e, "acc", kinds, "1", 1)
	wantErr(t, "changes", err, nil)
	equal(t, "one id of two types", []int{len(part["A"].Destroyed), len(part["B"].Created)}, []int{1, 1})
	equal(t, "more", part["A"].HasMore && part["B"].HasMore && part["A"].New == part["B"].New, true)
	_, err = store.ChangesByType(t.Context(), e, "acc", kinds, "9", 0)
	wantErr(t, "unknown state", err, store.ErrTooOld)
}

func trimmedLogsSaySo(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{KeepLog: 8})
	for i := range 20 {
		update(t, j, mail(store.Created, "e"+strconv.Itoa(i)))
	}
	_, err := store.ChangesSince(t.Context(), e, "acc", "Email", "11", 0)
	wantErr(t, "state before the floor", err, store.ErrTooOld)
	equal(t, "changes since the floor", len(changes(t, e, "Email", "12", 0).Created), 8)
}

func failedUpdatesLeaveNothing(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	err := j.Update(t.Context(), "acc", func(tx *store.Tx) error {
		tx.Set(store.NewKey("acc").String("k"), []byte("v"))
		tx.Changed(mail(store.Created, "a"))
		return errStop
	})
	wantErr(t, "failing function", err, errStop)
	err = j.Update(t.Context(), "acc", func(tx *store.Tx) error {
		tx.Changed(mail(store.Created, "a"))
		tx.Assert(store.NewKey("acc").String("k"), []byte("v"))
		return nil
	})
	wantErr(t, "failing assertion", err, store.ErrConflict)
	if err := tryUpdate(t, j); err != nil {
		t.Errorf("update without a write: %v", err)
	}
	equal(t, "keys", list(t, e, store.NewKey("acc").Range(), store.ScanOptions{}), []string{})
	update(t, j, mail(store.Created, "a"))
	equal(t, "state", state(t, e, "Email"), "1")
	if _, err := store.NewJournal(e, store.Options{}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("journal without an owner: %v", err)
	}
}

func leasesFenceWriters(t *testing.T, f Factory) {
	e, at := open(t, f), newClock()
	one := journal(t, e, store.Options{Owner: "one", Now: at.now, LeaseTTL: time.Minute})
	two := journal(t, e, store.Options{Owner: "two", Now: at.now, LeaseTTL: time.Minute})
	update(t, one, mail(store.Created, "a"))
	wantErr(t, "second writer", tryUpdate(t, two, mail(store.Created, "b")), store.ErrLeased)
	at.at = at.at.Add(45 * time.Second)
	update(t, one, mail(store.Created, "c"))
	at.at = at.at.Add(45 * time.Second)
	wantErr(t, "second writer after a renewal", tryUpdate(t, two, mail(store.Created, "b")), store.ErrLeased)
	at.at = at.at.Add(16 * time.Second)
	update(t, two, mail(store.Created, "b"))
	at.at = at.at.Add(-75 * time.Second)
	wantErr(t, "writer that was paused", tryUpdate(t, one, mail(store.Created, "d")), store.ErrConflict)
	wantErr(t, "writer that lost its lease", tryUpdate(t, one, mail(store.Created, "d")), store.ErrLeased)
	restarted := journal(t, e, store.Options{Owner: "two", Now: at.now, LeaseTTL: time.Minute})
	update(t, restarted, mail(store.Created, "f"))
	wantErr(t, "writer that was replaced", tryUpdate(t, two, mail(store.Created, "g")), store.ErrConflict)
	equal(t, "created", changes(t, e, "Email", "0", 0).Created, []string{"a", "c", "b", "f"})
}

func updatesReadTheirOwnWrites(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	commit(t, e, set("acc\x00b", "old", "acc\x00d", "old", "acc\x00f", "old", "acc\x00h", ""))
	rng := store.Range{Start: []byte("acc\x00a"), End: []byte("acc\x00i")}
	err := j.Update(t.Context(), "acc", func(tx *store.Tx) error {
		tx.Set([]byte("acc\x00a"), []byte("new"))
		tx.Set([]byte("acc\x00d"), []byte("new"))
		tx.Delete([]byte("acc\x00f"))
		tx.Set([]byte("acc\x00g"), nil)
		forward := []string{"acc\x00a", "new", "acc\x00b", "old", "acc\x00d", "new", "acc\x00g", "", "acc\x00h", ""}
		equal(t, "forward", list(t, tx, rng, store.ScanOptions{}), forward)
		equal(t, "limited", list(t, tx, rng, store.ScanOptions{Limit: 3}), forward[:6])
		equal(t, "reverse", list(t, tx, rng, store.ScanOptions{Reverse: true, Limit: 3}),
			[]string{"acc\x00h", "", "acc\x00g", "", "acc\x00d", "new"})
		_, err := tx.Get(t.Context(), []byte("acc\x00f"))
		wantErr(t, "deleted", err, store.ErrNotFound)
		got, err := tx.Get(t.Context(), []byte("acc\x00d"))
		equal(t, "written", string(got), "new")
		return err
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	equal(t, "committed", list(t, e, rng, store.ScanOptions{})[:2], []string{"acc\x00a", "new"})
}

func concurrentUpdatesAreSerial(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	const writers, times = 6, 10
	key := store.NewKey("acc").String("n")
	parallel(writers, func(i int) {
		for n := range times {
			err := j.Update(t.Context(), "acc", func(tx *store.Tx) error {
				value, err := tx.Get(t.Context(), key)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				sum, err := store.DecodeCounter(value)
				tx.Set(key, store.EncodeCounter(sum+1))
				tx.Changed(mail(store.Created, strconv.Itoa(i)+"-"+strconv.Itoa(n)))
				return err
			})
			if err != nil {
				t.Errorf("update: %v", err)
			}
		}
	})
	equal(t, "sum", counter(t, e, key), int64(writers*times))
	equal(t, "state", state(t, e, "Email"), strconv.Itoa(writers*times))
	equal(t, "log", len(changes(t, e, "Email", "0", 0).Created), writers*times)
}

func erasedAccountsLeaveNothing(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	update(t, j, mail(store.Created, "a"))
	commit(t, e, set("acc\x01", "neighbour"))
	if err := j.Erase(t.Context(), "acc"); err != nil {
		t.Fatalf("erase: %v", err)
	}
	equal(t, "keys", list(t, e, store.Range{Start: []byte("acc"), End: []byte("acd")}, store.ScanOptions{}), []string{"acc\x01", "neighbour"})
	update(t, j, mail(store.Created, "a"))
	view := ""
	err := j.View(t.Context(), "acc", func(r store.Reader) (err error) {
		view, err = store.State(t.Context(), r, "acc", "Email")
		return err
	})
	if err != nil {
		t.Fatalf("view: %v", err)
	}
	equal(t, "state", view, "1")
}

// panicsLeaveNothingOpen checks that a function that panics neither holds the account nor keeps the engine from
// closing.
func panicsLeaveNothingOpen(t *testing.T, f Factory) {
	e := open(t, f)
	j := journal(t, e, store.Options{})
	for name, call := range map[string]func() error{
		"update": func() error { return j.Update(t.Context(), "acc", func(*store.Tx) error { panic(errStop) }) },
		"view":   func() error { return j.View(t.Context(), "acc", func(store.Reader) error { panic(errStop) }) },
	} {
		func() {
			defer func() { equal(t, name+" passes the panic on", recover() == any(errStop), true) }()
			err := call()
			t.Errorf("%s returned %v", name, err)
		}()
	}
	update(t, j, mail(store.Created, "a"))
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

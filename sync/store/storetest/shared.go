package storetest

import (
	"errors"
	"strconv"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func sharedJournals(t *testing.T, e store.Engine, n int) []*store.Journal {
	t.Helper()
	var out []*store.Journal
	for i := range n {
		out = append(out, journal(t, e, store.Options{Owner: "replica-" + strconv.Itoa(i), Shared: true}))
	}
	return out
}

// sharedJournalsTakeTurns checks that a process writes right after another one, and that its views see both.
func sharedJournalsTakeTurns(t *testing.T, f Factory) {
	e := open(t, f)
	journals := sharedJournals(t, e, 2)
	want := []string{}
	for i := range 10 {
		id := "e" + strconv.Itoa(i)
		update(t, journals[i%2], mail(store.Created, id))
		want = append(want, id)
		seen := ""
		err := journals[(i+1)%2].View(t.Context(), "acc", func(r store.Reader) (err error) {
			seen, err = store.State(t.Context(), r, "acc", "Email")
			return err
		})
		if err != nil {
			t.Fatalf("view: %v", err)
		}
		equal(t, "state that the other sees", seen, strconv.Itoa(i+1))
	}
	equal(t, "created", changes(t, e, "Email", "0", 0).Created, want)
}

// sharedUpdatesStartOver checks that an update that another process overtakes sees what that one wrote.
func sharedUpdatesStartOver(t *testing.T, f Factory) {
	e := open(t, f)
	journals := sharedJournals(t, e, 2)
	calls := 0
	err := journals[0].Update(t.Context(), "acc", func(tx *store.Tx) error {
		before, err := store.State(t.Context(), tx, "acc", "Email")
		if err != nil {
			return err
		}
		if calls++; calls <= 3 {
			update(t, journals[1], mail(store.Created, "other"+strconv.Itoa(calls)))
		}
		tx.Changed(mail(store.Created, "after"+before))
		return nil
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	equal(t, "calls", calls, 4)
	equal(t, "created", changes(t, e, "Email", "0", 0).Created, []string{"other1", "other2", "other3", "after3"})
	err = journals[0].Update(t.Context(), "acc", func(tx *store.Tx) error {
		tx.Assert(store.NewKey("acc").String("never"), []byte("there"))
		tx.Changed(mail(store.Created, "refused"))
		return nil
	})
	wantErr(t, "assertion that never holds", err, store.ErrConflict)
}

func sharedWritersLoseNothing(t *testing.T, f Factory) {
	e := open(t, f)
	const writers, times = 4, 10
	journals := sharedJournals(t, e, writers)
	key := store.NewKey("acc").String("n")
	parallel(writers, func(i int) {
		for n := range times {
			err := journals[i].Update(t.Context(), "acc", func(tx *store.Tx) error {
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

// sharedErasureIsWhole checks that an account that is erased while another process writes it is either gone or has
// only what was written after.
func sharedErasureIsWhole(t *testing.T, f Factory) {
	e := open(t, f)
	journals := sharedJournals(t, e, 2)
	for round := range 10 {
		update(t, journals[0], mail(store.Created, "first"))
		parallel(2, func(i int) {
			if i == 0 {
				if err := journals[0].Erase(t.Context(), "acc"); err != nil {
					t.Errorf("erase: %v", err)
				}
				return
			}
			update(t, journals[1], mail(store.Created, "second"))
		})
		pairs := list(t, e, store.NewKey("acc").Range(), store.ScanOptions{})
		if len(pairs) == 0 {
			continue
		}
		equal(t, "state in round "+strconv.Itoa(round), state(t, e, "Email"), "1")
		equal(t, "created", changes(t, e, "Email", "0", 0).Created, []string{"second"})
		if err := journals[0].Erase(t.Context(), "acc"); err != nil {
			t.Fatalf("erase: %v", err)
		}
	}
}

package storetest

import (
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// restored begins a new epoch, as after a restore, and returns a journal that was opened after it.
func restored(t *testing.T, e store.Engine, c *clock) *store.Journal {
	t.Helper()
	if _, err := store.BeginEpoch(t.Context(), e, c.now()); err != nil {
		t.Fatalf("begin epoch: %v", err)
	}
	return journal(t, e, store.Options{})
}

func tooOld(t *testing.T, e store.Engine, since string) {
	t.Helper()
	_, err := store.ChangesSince(t.Context(), e, "acc", "Email", since, 0)
	wantErr(t, "changes since "+since, err, store.ErrTooOld)
}

// statesOfLostCommitsAreRefused checks that after a restore states from before the backup hold, and that those of
// commits that were lost do not, though the account grow past them.
func statesOfLostCommitsAreRefused(t *testing.T, f Factory) {
	e, c := open(t, f), newClock()
	j := journal(t, e, store.Options{})
	update(t, j, mail(store.Created, "a"))
	update(t, j, mail(store.Created, "b"))
	// The clients saw states up to 5 of a store that is now back at 2.
	j = restored(t, e, c)
	equal(t, "state right after the restore", state(t, e, "Email"), "2")
	tooOld(t, e, "3")
	for _, id := range []string{"c", "d", "e", "f"} {
		update(t, j, mail(store.Created, id))
	}
	for _, lost := range []string{"2-1", "3", "4-1", "5", "6"} {
		tooOld(t, e, lost)
	}
	now := state(t, e, "Email")
	epoch, number, _ := strings.Cut(now, ".")
	equal(t, "number of the state", number, "6")
	equal(t, "created since before the backup", changes(t, e, "Email", "1", 0).Created, []string{"b", "c", "d", "e", "f"})
	equal(t, "created since the backup", changes(t, e, "Email", "2", 0).Created, []string{"c", "d", "e", "f"})
	equal(t, "created since the restore", changes(t, e, "Email", epoch+".4", 0).Created, []string{"e", "f"})
	for _, never := range []string{epoch + ".7", "zz" + epoch + ".3", "." + number, "0." + number, "!." + number, epoch + "."} {
		tooOld(t, e, never)
	}
	if _, err := store.BeginEpoch(t.Context(), e, c.now()); err != nil {
		t.Fatalf("begin epoch: %v", err)
	}
	equal(t, "state after another restore", state(t, e, "Email"), now)
	j = journal(t, e, store.Options{})
	update(t, j, mail(store.Created, "g"))
	tooOld(t, e, epoch+".7")
	for since, want := range map[string][]string{"2": {"c", "d", "e", "f", "g"}, epoch + ".5": {"f", "g"}} {
		equal(t, "created since "+since, changes(t, e, "Email", since, 0).Created, want)
	}
}

// portionsCrossEpochs checks that changes in portions lead from before a restore to the present.
func portionsCrossEpochs(t *testing.T, f Factory) {
	e, c := open(t, f), newClock()
	j := journal(t, e, store.Options{})
	want := []string{"a", "b", "c", "d", "e", "f", "g"}
	update(t, j, mail(store.Created, "a"), mail(store.Created, "b"), mail(store.Created, "c"))
	j = restored(t, e, c)
	update(t, j, mail(store.Created, "d"), mail(store.Created, "e"))
	j = restored(t, e, c)
	update(t, j, mail(store.Created, "f"), mail(store.Created, "g"))
	for limit := 1; limit <= len(want); limit++ {
		var got []string
		at := "0"
		for more := true; more; {
			one := changes(t, e, "Email", at, limit)
			got, at, more = append(got, one.Created...), one.New, one.HasMore
		}
		equal(t, "created", got, want)
		equal(t, "last state", at, state(t, e, "Email"))
	}
}

// newEpochOfAnAccountIsItsOwn checks that an account alone can begin an epoch, as after it was imported.
func newEpochOfAnAccountIsItsOwn(t *testing.T, f Factory) {
	e, c := open(t, f), newClock()
	j := journal(t, e, store.Options{})
	update(t, j, mail(store.Created, "a"))
	if err := j.Update(t.Context(), "acc", func(tx *store.Tx) error { return tx.BeginEpoch(c.now()) }); err != nil {
		t.Fatalf("begin epoch: %v", err)
	}
	equal(t, "state", state(t, e, "Email"), "1")
	update(t, j, mail(store.Created, "b"))
	tooOld(t, e, "2")
	equal(t, "created", changes(t, e, "Email", "1", 0).Created, []string{"b"})
	err := j.Update(t.Context(), "other", func(tx *store.Tx) error { tx.Changed(mail(store.Created, "x")); return nil })
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	s, err := store.State(t.Context(), e, "other", "Email")
	equal(t, "state of another account", s, "1")
	wantErr(t, "state", err, nil)
}

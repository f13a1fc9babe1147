package mail

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/cells"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

// newCells returns a desk on a store of two cells, and a colleague whose account lies in the other one.
func newCells(t *testing.T) (d, other *desk) {
	t.Helper()
	parts := map[string]store.Engine{}
	for _, name := range []string{"one", "two"} {
		e, err := pebble.Open(t.Context(), t.TempDir(), pebble.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		parts[name] = e
	}
	e, err := cells.Open(t.Context(), parts, SpreadOwners()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	d = &desk{
		using: map[string]bool{PrincipalsCapabilityURI: true},
		tb:    t, engine: e, limits: jmap.DefaultLimits(), created: map[string]string{}, at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		principal: &jmap.Principal{Tenant: "agency/agency", AccountID: "a1", Address: "ann@agency.us"},
	}
	if d.service, err = New(e, Options{Now: func() time.Time { return d.at }}); err != nil {
		t.Fatal(err)
	}
	if err := d.service.Provision(t.Context(), d.principal); err != nil {
		t.Fatal(err)
	}
	own, err := e.Find(t.Context(), "a1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		account := "n" + strconv.Itoa(i)
		other = d.colleague(account)
		place, err := e.Find(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		if place.Suffix != own.Suffix {
			return d, other
		}
	}
	t.Fatal("all accounts are in one cell")
	return nil, nil
}

func TestMailboxesAreSharedBetweenCells(t *testing.T) {
	t.Parallel()
	d, v := newCells(t)
	inbox, account := d.role("inbox"), v.principal.AccountID
	id := d.add(inbox, mime("hello", "Subject: hello"))
	d.share(inbox, account, mayReadItems|mayAddItems)
	equal(t, "shared", len(list(v.call("Email/get", d.in(object{"ids": []string{id}}))["list"])), 1)
	equal(t, "told", len(list(v.call("ShareNotification/get", object{"ids": nil})["list"])), 1)
	equal(t, "principal", len(list(v.call("Principal/get", object{"ids": []string{"pa1"}})["list"])), 1)
	out := v.call("Email/copy", object{"fromAccountId": "a1", "create": object{"x": object{"id": id, "mailboxIds": object{v.role("inbox"): true}}}})
	equal(t, "copied out", refusedAs(out), "")
	blob, _, err := d.service.BlobsFor(v.visiting()).Put(t.Context(), "a1", "", strings.NewReader("Subject: new\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "imported", refusedAs(v.call("Email/import", d.in(object{"emails": object{"x": object{"blobId": blob, "mailboxIds": object{inbox: true}}}}))), "")
	d.share(inbox, account, 0)
	equal(t, "revoked", len(v.visiting().Shared), 0)
	equal(t, "nothing to tell", len(list(v.call("ShareNotification/get", object{"ids": nil})["list"])), 0)
}

// TestWordThatWasNotSentGoesWithTheNext takes the offer away, as if the process had ended after the commit.
func TestWordThatWasNotSentGoesWithTheNext(t *testing.T) {
	t.Parallel()
	d, v := newCells(t)
	inbox, archive, account := d.role("inbox"), d.role("archive"), v.principal.AccountID
	place, err := store.FindPlace(t.Context(), d.engine, account)
	if err != nil {
		t.Fatal(err)
	}
	scope := "agency/agency" + place.Suffix
	err = d.service.journal.Update(t.Context(), "a1", func(tx *store.Tx) error {
		e := newEdit(t.Context(), d.service, tx, "a1", "agency/agency")
		box, err := e.mailbox(inbox)
		if err != nil {
			return err
		}
		box.Shares = map[string]rights{account: mayReadItems}
		return e.flush()
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "not told", len(v.visiting().Shared), 0)
	d.share(archive, account, mayReadItems|mayAddItems)
	equal(t, "both", len(list(v.call("Mailbox/get", d.in(object{"ids": nil}))["list"])), 2)
	equal(t, "both told", len(list(v.call("ShareNotification/get", object{"ids": nil})["list"])), 2)
	equal(t, "no word is left", words(t, d), 0)
	// Of what waits for a principal already, the last change is told since the first.
	b := &store.Batch{}
	first := notification{Account: "a1", Mailbox: inbox, Old: mayAddItems, New: mayReadItems}
	if err := d.service.addNotice(t.Context(), b, offerNotices(scope, account).String("a1").String(inbox), first); err != nil {
		t.Fatal(err)
	}
	if err := d.engine.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	second := &store.Batch{}
	if err := d.service.addNotice(t.Context(), second, offerNotices(scope, account).String("a1").String(inbox), notification{Account: "a1", Mailbox: inbox, New: mayDelete}); err != nil {
		t.Fatal(err)
	}
	merged, err := decodeRecord[notification](store.Pair{Value: second.Ops()[0].Value})
	equal(t, "merged", []any{merged.Old, merged.New, err}, []any{mayAddItems, mayDelete, nil})
	if err := d.service.sendWord(t.Context(), "agency/agency", "a1", account); err != nil && !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
}

func words(t *testing.T, d *desk) (n int) {
	t.Helper()
	for _, err := range d.engine.Scan(t.Context(), keys("a1").words().Range(), store.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

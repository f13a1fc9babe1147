package mail

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// holds says in how many values of the store a text is, but for blobs and their like.
func (d *desk) holds(text string) int {
	d.tb.Helper()
	n := 0
	for p, err := range d.engine.Scan(d.tb.Context(), store.Range{}, store.ScanOptions{}) {
		if err != nil {
			d.tb.Fatal(err)
		}
		if bytes.Contains(p.Value, []byte(text)) || bytes.Contains(p.Key, []byte(text)) {
			n++
		}
	}
	return n
}

// nothingIn fails for every key that is left below one of some others.
func (d *desk) nothingIn(prefixes ...store.Key) {
	d.tb.Helper()
	for _, prefix := range prefixes {
		left, err := scanKeys(d.tb.Context(), d.engine, prefix.Range(), store.ScanOptions{})
		if err != nil {
			d.tb.Fatal(err)
		}
		for _, key := range left {
			d.tb.Errorf("%q is left", key)
		}
	}
}

func TestWordsOfDestroyedEmailsLeaveTheStore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	random := rand.New(rand.NewPCG(2, 2))
	secret := d.add(inbox, mime("zzyzx", "Subject: zzyzx"))
	d.addMany(random, inbox, indexAfter)
	equal(t, "found", d.query(object{"filter": object{"text": "zzyzx"}}), []string{secret})
	loose := d.add(inbox, mime("zzyzx", "Subject: zzyzx"))
	before := d.segments("a1")
	d.call("Email/set", object{"destroy": []string{secret, loose}})
	equal(t, "found", d.query(object{"filter": object{"text": "zzyzx"}}), []string{})
	if d.holds("zzyzx") == 0 {
		t.Error("the index is clean before it is purged: the test shows nothing")
	}
	for range 2 {
		d.at = d.at.Add(25 * time.Hour)
		if err := d.service.Collect(t.Context()); err != nil {
			t.Fatalf("collect: %v", err)
		}
	}
	equal(t, "values with the word", d.holds("zzyzx"), 0)
	after := d.segments("a1")
	if len(before) != 1 || len(after) != 1 || after[0].Emails != before[0].Emails-1 {
		t.Errorf("segments %+v became %+v", before, after)
	}
	d.nothingIn(keys("a1").indexGone(), purgeQueue("agency/agency"))
}

func TestMergedSegmentsForgetDestroyedEmails(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	random := rand.New(rand.NewPCG(3, 3))
	secret := d.add(inbox, mime("zzyzx", "Subject: s"))
	d.addMany(random, inbox, indexAfter)
	d.query(object{"filter": object{"text": "zzyzx"}})
	d.call("Email/set", object{"destroy": []string{secret}})
	d.addMany(random, inbox, 4*indexAfter)
	d.query(object{"filter": object{"text": "zzyzx"}})
	equal(t, "segments", len(d.segments("a1")), 1)
	gone, err := goneEmails(t.Context(), d.engine, "a1")
	if err != nil || len(gone) > 0 {
		t.Errorf("%d emails are still to be forgotten: %v", len(gone), err)
	}
	if _, err := d.service.blobs.Collect(t.Context(), "agency/agency", 0); err != nil {
		t.Fatal(err)
	}
	segment, err := readSegment(t.Context(), d.engine, "a1", d.segments("a1")[0].ID)
	if err != nil || bytes.Contains(bytes.Join(segment.Fields[indexFields[textBody]], nil), []byte("zzyzx")) {
		t.Errorf("the word is in the merged segment: %v", err)
	}
}

func TestErasedAccountsLeaveNoPostings(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	ids := d.addMany(rand.New(rand.NewPCG(4, 4)), inbox, indexAfter+1)
	d.query(object{"filter": object{"text": "plan"}})
	d.call("Email/set", object{"destroy": ids[:1]})
	if err := d.service.journal.Erase(t.Context(), "a1"); err != nil {
		t.Fatalf("erase: %v", err)
	}
	d.at = d.at.Add(25 * time.Hour)
	if err := d.service.purgeDue(t.Context(), "agency/agency"); err != nil {
		t.Fatalf("purge: %v", err)
	}
	d.nothingIn(store.NewKey("a1"), purgeQueue("agency/agency"))
}

func TestPurgeOfADamagedIndexMakesItAnew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	ids := d.addMany(rand.New(rand.NewPCG(6, 6)), inbox, indexAfter)
	d.query(object{"filter": object{"text": "plan"}})
	d.call("Email/set", object{"destroy": ids[:1]})
	d.write(keys("a1").segment(0).dictionary('s').Uint(0), []byte{0, 255, 255})
	d.at = d.at.Add(25 * time.Hour)
	if err := d.service.Collect(t.Context()); err != nil {
		t.Fatalf("collect: %v", err)
	}
	equal(t, "segments", len(d.segments("a1")), 0)
}

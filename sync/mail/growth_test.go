package mail

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// grow adds so many emails to a mailbox, each a thread of its own and one a second, in commits of many: as mail that
// came over the years, but for its content, which all of them share.
func (d *desk) grow(mailbox string, emails int) {
	d.tb.Helper()
	const together = 250
	blob, ok := parseBlobID(d.upload(benchMessage(0)))
	if !ok {
		d.tb.Fatal("no blob")
	}
	begin := d.at.UnixMilli() - int64(emails)*1000
	for at := 0; at < emails; at += together {
		err := d.service.journal.Update(d.tb.Context(), d.principal.AccountID, func(tx *store.Tx) error {
			e := newEdit(d.tb.Context(), d.service, tx, d.principal.AccountID, d.principal.Tenant)
			for n := at; n < min(at+together, emails); n++ {
				data := mime("A short text.\r\n", fmt.Sprintf("Message-ID: <%d@x>", n), "From: Ann Example <ann@agency.us>", fmt.Sprintf("Subject: Message %d", n))
				in := &incoming{data: []byte(data), blob: blob.hash, mailboxes: []string{mailbox}, received: begin + int64(n)*1000, dated: true}
				if _, err := e.addMessage(in); err != nil {
					return err
				}
			}
			return e.flush()
		})
		if err != nil {
			d.tb.Fatal(err)
		}
	}
}

// tally is an engine that counts what is read from it.
type tally struct {
	store.Engine

	reads *atomic.Int64
}

func (t tally) Get(ctx context.Context, key []byte) ([]byte, error) {
	t.reads.Add(1)
	return t.Engine.Get(ctx, key)
}

func (t tally) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return counted(t.reads, t.Engine.Scan(ctx, r, o))
}

func (t tally) Snapshot(ctx context.Context) (store.Snapshot, error) {
	snap, err := t.Engine.Snapshot(ctx)
	return tallied{snap, t.reads}, err
}

// tallied is a snapshot of it.
type tallied struct {
	store.Snapshot

	reads *atomic.Int64
}

func (t tallied) Get(ctx context.Context, key []byte) ([]byte, error) {
	t.reads.Add(1)
	return t.Snapshot.Get(ctx, key)
}

func (t tallied) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return counted(t.reads, t.Snapshot.Scan(ctx, r, o))
}

// counted counts a scan as one read, and each pair that it yields as another.
func counted(reads *atomic.Int64, pairs iter.Seq2[store.Pair, error]) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		reads.Add(1)
		for p, err := range pairs {
			reads.Add(1)
			if !yield(p, err) {
				return
			}
		}
	}
}

// costs are how many reads the requests of a day take in an inbox that holds so many emails.
func costs(t *testing.T, emails int) map[string]int64 {
	t.Helper()
	d := newDesk(t)
	inbox := d.role("inbox")
	d.grow(inbox, emails)
	reads := &atomic.Int64{}
	var err error
	if d.service, err = New(tally{d.engine, reads}, d.service.opts); err != nil {
		t.Fatal(err)
	}
	d.at = d.at.Add(1)
	state := map[string]string{"Email": d.state("Email/get"), "Thread": d.state("Thread/get"), "Mailbox": d.state("Mailbox/get")}
	blob := d.upload(benchMessage(1))
	d.call("Email/import", object{"emails": object{"x": object{"blobId": blob, "mailboxIds": object{inbox: true}, "receivedAt": utcDate(d.at.UnixMilli())}}})
	out := map[string]int64{}
	count := func(name string, run func()) {
		before := reads.Load()
		run()
		if out[name] = reads.Load() - before; out[name] == 0 {
			t.Errorf("%s: nothing was read", name)
		}
	}
	for kind, since := range state {
		count(kind+"/changes", func() {
			changes := d.call(kind+"/changes", object{"sinceState": since})
			created, _ := changes["created"].([]any)
			updated, _ := changes["updated"].([]any)
			if len(created)+len(updated) != 1 {
				t.Errorf("%s: %v", kind, changes)
			}
		})
	}
	page := object{"filter": object{"inMailbox": inbox}, "sort": []object{{"property": "receivedAt", "isAscending": false}}, "limit": 50, "calculateTotal": true}
	var ids []string
	count("the newest page", func() { ids = d.query(page) })
	page["collapseThreads"] = true
	count("the newest page of threads", func() { ids = d.query(page) })
	if len(ids) != 50 {
		t.Fatalf("%d ids", len(ids))
	}
	count("its rows", func() {
		d.call("Email/get", object{"ids": ids, "properties": []string{"threadId", "mailboxIds", "keywords", "receivedAt", "from", "subject", "preview"}})
	})
	return out
}

// TestRequestsOfADayReadAsMuchInAMailboxOfAnySize has the promise by which a large mailbox is as quick as a small one:
// what changed, and what a page shows, are found without looking at anything else.
func TestRequestsOfADayReadAsMuchInAMailboxOfAnySize(t *testing.T) {
	t.Parallel()
	few, many := costs(t, 1000), costs(t, 10_000)
	if diff := cmp.Diff(few, many); diff != "" {
		t.Errorf("reads in a mailbox of 1,000 and in one of 10,000 emails (-few +many):\n%s", diff)
	}
	for name, reads := range few {
		if reads > 3*50 {
			t.Errorf("%s: %d reads", name, reads)
		}
	}
}

// TestNothingSharedIsReadOnceOnly has the promise that sharing costs those nothing with whom nobody shares.
func TestNothingSharedIsReadOnceOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	reads := &atomic.Int64{}
	for shared, want := range map[bool]int64{false: 0, true: 1} {
		opts := d.service.opts
		opts.Shared = shared
		service, err := New(tally{d.engine, reads}, opts)
		if err != nil {
			t.Fatal(err)
		}
		look := func() int64 {
			before := reads.Load()
			accounts, err := service.SharedWith(t.Context(), &jmap.Principal{Tenant: "agency/agency", AccountID: "a1"})
			if err != nil || len(accounts) != 0 {
				t.Fatal(accounts, err)
			}
			return reads.Load() - before
		}
		if first := look(); first != 1 {
			t.Errorf("shared %v: %d reads at first", shared, first)
		}
		if again := look(); again != want {
			t.Errorf("shared %v: %d reads when asked again, want %d", shared, again, want)
		}
	}
}

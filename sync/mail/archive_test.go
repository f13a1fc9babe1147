package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

var (
	virginia = archive.Origin{Cloud: "gcc-high", Region: "regions/virginia"}
	texas    = archive.Origin{Cloud: "gcc-high", Region: "regions/texas"}
)

// everything reads all of an account that JMAP shows, and the content of every email.
func (d *desk) everything() object {
	d.tb.Helper()
	out := object{}
	for _, method := range []string{"Mailbox/get", "Identity/get", "VacationResponse/get", "EmailSubmission/get", "Quota/get"} {
		out[method] = d.call(method, object{"ids": nil})
	}
	ids := d.query(object{"sort": []object{{"property": "receivedAt"}, {"property": "subject"}}})
	emails := d.call("Email/get", object{"ids": ids, "properties": []string{
		"id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "subject", "from", "to", "preview", "hasAttachment",
	}})
	out["Email/get"] = emails
	contents, threads := object{}, []string{}
	for _, email := range list(emails["list"]) {
		contents[str(email["id"])] = d.blobContent(str(email["blobId"]))
		threads = append(threads, str(email["threadId"]))
	}
	out["contents"], out["Thread/get"] = contents, d.call("Thread/get", object{"ids": threads})
	return out
}

// export writes an archive of the account of a desk.
func (d *desk) export() []byte {
	d.tb.Helper()
	var out bytes.Buffer
	if err := d.service.Export(d.tb.Context(), d.principal.AccountID, virginia, &out); err != nil {
		d.tb.Fatalf("export: %v", err)
	}
	return out.Bytes()
}

// rich is an office in which the mailbox of ann has some of everything.
func rich(t *testing.T) *office {
	t.Helper()
	o := newOffice(t)
	projects := o.ann.newMailbox("Projects", nil)
	o.ann.add(projects, note(), "$seen", "urgent")
	o.ann.add(o.ann.role("inbox"), mime("again", "From: bob@agency.us", "Subject: Re: hello", "In-Reply-To: <n1@agency.us>", "References: <n1@agency.us>", "Message-ID: <n2@agency.us>"))
	o.ann.add(o.ann.role("inbox"), mime(strings.Repeat("a large letter ", 20_000), "From: far@far.example", "Subject: large"))
	o.ann.add(o.ann.role("archive"), mime("zanzibar", "From: far@far.example", "Subject: to be found"))
	gone := o.ann.add(o.ann.role("trash"), mime("x", "Subject: gone"))
	o.ann.call("Email/set", object{"destroy": []string{gone}})
	o.ann.vacation(object{"subject": "Away", "textBody": "back soon"})
	o.ann.call("Identity/set", object{"create": object{"i": object{"email": "ann@agency.us", "name": "Ann of Projects"}}})
	o.ann.share(projects, "a2", reading|maySetSeen)
	o.ann.upload("an upload that nothing refers to")
	o.ann.mail(note(), nil)
	o.send()
	return o
}

// elsewhere is another region with bob, and without ann, who has a desk there all the same.
func elsewhere(t *testing.T, from *office) *office {
	t.Helper()
	o := newOffice(t)
	o.erase("a1")
	o.at, o.ann.at = from.at, from.ann.at
	o.ann.service = o.start(o.options)
	o.bob.service = o.ann.service
	return o
}

// erase removes an account that has nothing but what comes with it, and all that tells of it.
func (o *office) erase(account string) {
	o.tb.Helper()
	b := &store.Batch{}
	for _, r := range []store.Range{store.NewKey(account).Range(), directory().String("ann@agency.us").Range(), register("agency/agency").log().Range()} {
		b.DeleteRange(r)
	}
	b.Delete(register("agency/agency").record(account))
	b.Add(census("").String("agency/agency"), -1)
	if err := o.engine.Commit(o.tb.Context(), b); err != nil {
		o.tb.Fatal(err)
	}
}

// take imports an archive into the region of a desk.
func (d *desk) take(data []byte, o Import) (*Imported, error) {
	d.tb.Helper()
	if o.Into == (archive.Origin{}) {
		o.Into = virginia
	}
	return d.service.Import(d.tb.Context(), bytes.NewReader(data), o)
}

func TestAnImportedAccountIsWhatItWas(t *testing.T) {
	t.Parallel()
	from := rich(t)
	want, data := from.ann.everything(), from.ann.export()
	to := elsewhere(t, from)
	ann, bob := to.ann, to.bob
	if _, err := ann.take(data, Import{}); err != nil {
		t.Fatalf("import: %v", err)
	}
	if diff := cmp.Diff(want, ann.everything()); diff != "" {
		t.Errorf("the account (-exported +imported):\n%s", diff)
	}
	equal(t, "found by a word", len(ann.query(object{"filter": object{"text": "zanzibar"}})), 1)
	equal(t, "changes since the export", ann.call("Email/changes", object{"sinceState": want["Email/get"].(object)["state"]})["created"], any([]any{}))

	// It lives on: its user signs in, mail comes, and the colleague sees what is shared.
	if err := ann.service.Provision(t.Context(), ann.principal); err != nil {
		t.Fatalf("sign in: %v", err)
	}
	bob.mail(strings.Replace(note(), "ann@agency.us", "bob@agency.us", 1), object{"mailFrom": object{"email": "bob@agency.us"}, "rcptTo": []object{{"email": "ann@agency.us"}}})
	to.send()
	equal(t, "letters in the inbox", len(ann.inbox()), len(from.ann.inbox())+1)
	shared := list(bob.call("Mailbox/get", object{"accountId": "a1", "ids": nil})["list"])
	equal(t, "what bob sees", []any{len(shared), shared[0]["name"]}, []any{1, "Projects"})
	counts, err := ann.service.Count(t.Context())
	if err != nil || counts["agency/agency"] != 2 {
		t.Errorf("the census counts %v, %v", counts, err)
	}
	// Uploads end, and content goes with the last that refers to it.
	ann.call("Email/set", object{"destroy": ann.query(object{})})
	to.at = to.at.AddDate(0, 0, 7)
	if err := ann.service.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann.nothingIn(store.NewKey("a1").String("blob"), store.NewKey("a1").String("upload"))
}

func TestStatesFromAfterAnExportAreTooOldOnceItIsImported(t *testing.T) {
	t.Parallel()
	from := rich(t)
	known, data := from.ann.state("Email/get"), from.ann.export()
	from.ann.add(from.ann.role("inbox"), mime("lost", "Subject: lost"))
	lost := from.ann.state("Email/get")
	ann := elsewhere(t, from).ann
	if _, err := ann.take(data, Import{}); err != nil {
		t.Fatalf("import: %v", err)
	}
	equal(t, "right after the import", ann.refused("Email/changes", object{"sinceState": lost}), jmap.ErrorCannotCalculateChanges)
	id := ann.add(ann.role("inbox"), mime("new", "Subject: new"))
	ann.add(ann.role("inbox"), mime("newer", "Subject: newer"))
	equal(t, "once the account has grown", ann.refused("Email/changes", object{"sinceState": lost}), jmap.ErrorCannotCalculateChanges)
	equal(t, "since the export", strs(ann.call("Email/changes", object{"sinceState": known})["created"])[0], id)
}

func TestWhatWaitedToBeSentIsSentFromOnePlace(t *testing.T) {
	t.Parallel()
	from := newOffice(t)
	held := from.ann.mail(note(), hold("3600"))
	data := from.ann.export()
	for send, want := range map[bool][3]any{
		false: {"canceled", [2]string{replyImported, "unknown"}, 0},
		true:  {"final", [2]string{"250 2.1.5 delivered", "yes"}, 1},
	} {
		to := elsewhere(t, from)
		ann, bob := to.ann, to.bob
		if _, err := ann.take(data, Import{Send: send}); err != nil {
			t.Fatalf("import: %v", err)
		}
		to.at = to.at.Add(2 * time.Hour)
		to.send()
		got := [3]any{ann.submission(held)["undoStatus"], ann.status(held, "bob@agency.us"), len(bob.inbox())}
		equal(t, fmt.Sprintf("send is %t", send), got, want)
		ann.nothingIn(keys("a1").outbox())
	}
}

// kept returns the keys of an account.
func (d *desk) kept() []string {
	d.tb.Helper()
	found, err := scanKeys(d.tb.Context(), d.engine, store.NewKey(d.principal.AccountID).Range(), store.ScanOptions{})
	if err != nil {
		d.tb.Fatal(err)
	}
	out := []string{}
	for _, key := range found {
		kind, _, err := kindOf(store.NewKey(d.principal.AccountID), key)
		if err != nil {
			d.tb.Fatal(err)
		}
		out = append(out, kind)
	}
	return out
}

func TestAnArchiveOfAnotherPlaceIsRefused(t *testing.T) {
	t.Parallel()
	from := newOffice(t)
	data := from.ann.export()
	ann := elsewhere(t, from).ann
	gone := errors.New("the mailbox lives in texas")
	for name, o := range map[string]Import{
		"another cloud":         {Into: archive.Origin{Cloud: "worldwide", Region: virginia.Region}, Lives: func(*archive.Manifest) error { return nil }},
		"another region":        {Into: texas},
		"a region that it left": {Lives: func(*archive.Manifest) error { return gone }},
	} {
		if _, err := ann.take(data, o); !errors.Is(err, archive.ErrResidency) {
			t.Errorf("%s: got error %v", name, err)
		}
		equal(t, name, ann.kept(), []string{})
	}
	if _, err := ann.take(data, Import{Into: texas, Lives: func(*archive.Manifest) error { return nil }}); err != nil {
		t.Errorf("a region that it lives in: got error %v", err)
	}
}

func TestAnArchiveIsImportedOnce(t *testing.T) {
	t.Parallel()
	from := rich(t)
	data := from.ann.export()
	if _, err := from.ann.take(data, Import{}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "before its user signs in") {
		t.Errorf("over the account itself: got error %v", err)
	}
	ann := elsewhere(t, from).ann
	if out, err := ann.take(data, Import{}); err != nil || out.Already {
		t.Fatalf("import: %+v, %v", out, err)
	}
	before := ann.everything()
	if out, err := ann.take(data, Import{}); err != nil || !out.Already {
		t.Errorf("the same again: %+v, %v", out, err)
	}
	from.at = from.at.Add(time.Second)
	if _, err := ann.take(from.ann.export(), Import{}); !errors.Is(err, ErrExists) {
		t.Errorf("another archive of it: got error %v", err)
	}
	if err := ann.service.DiscardImport(t.Context(), "a1"); !errors.Is(err, ErrNoImport) {
		t.Errorf("discard of what is complete: got error %v", err)
	}
	if diff := cmp.Diff(before, ann.everything()); diff != "" {
		t.Errorf("the account changed (-before +after):\n%s", diff)
	}
}

// cutOff reads like a source that fails.
type cutOff struct{ err error }

func (c cutOff) Read([]byte) (int, error) { return 0, c.err }

func TestAnImportThatBrokeOffShowsNothingAndGoesOn(t *testing.T) {
	t.Parallel()
	from := rich(t)
	for n := range 200 {
		from.ann.add(from.ann.role("inbox"), mime(fmt.Sprint("number ", n), "Subject: one of many"))
	}
	want, data := from.ann.everything(), from.ann.export()
	broke := errors.New("the connection broke")
	for name, test := range map[string]struct {
		rest io.Reader
		want error
	}{
		"the source fails":   {cutOff{broke}, broke},
		"the end is missing": {strings.NewReader(""), archive.ErrTruncated},
	} {
		ann := elsewhere(t, from).ann
		for _, part := range []int{20, 3, 2} {
			_, err := ann.service.Import(t.Context(), io.MultiReader(bytes.NewReader(data[:len(data)-len(data)/part]), test.rest), Import{Into: virginia})
			if !errors.Is(err, test.want) {
				t.Errorf("%s: got error %v", name, err)
			}
			if err := ann.service.Provision(t.Context(), ann.principal); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: its user signs in: got error %v", name, err)
			}
			if _, err := ann.service.AccountOf(t.Context(), "ann@agency.us"); !isNotFound(err) {
				t.Errorf("%s: its address is known: got error %v", name, err)
			}
			// What nothing refers to is collected meanwhile.
			if err := ann.service.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ann.take(from.bob.export(), Import{}); !errors.Is(err, ErrExists) {
			t.Errorf("another account: got error %v", err)
		}
		out, err := ann.take(data, Import{})
		if err != nil || out.Resumed < 64 {
			t.Fatalf("%s: resumed at %d, %v", name, out.Resumed, err)
		}
		if diff := cmp.Diff(want, ann.everything()); diff != "" {
			t.Errorf("%s: the account (-exported +imported):\n%s", name, diff)
		}
	}
}

func TestAnImportCanBeDiscarded(t *testing.T) {
	t.Parallel()
	from := rich(t)
	for n := range 200 {
		from.ann.add(from.ann.role("inbox"), mime(fmt.Sprint("number ", n), "Subject: one of many"))
	}
	data := from.ann.export()
	to := elsewhere(t, from)
	ann := to.ann
	if _, err := ann.take(data[:len(data)-len(data)/20], Import{}); !errors.Is(err, archive.ErrTruncated) {
		t.Fatalf("got error %v", err)
	}
	from.at = from.at.Add(time.Second)
	if _, err := ann.take(from.ann.export(), Import{}); !errors.Is(err, ErrImporting) {
		t.Errorf("another archive meanwhile: got error %v", err)
	}
	for _, account := range []string{"a2", "a9", "", "../a"} {
		if err := ann.service.DiscardImport(t.Context(), account); !errors.Is(err, ErrNoImport) {
			t.Errorf("discard of %q: got error %v", account, err)
		}
	}
	if err := ann.service.DiscardImport(t.Context(), "a1"); err != nil {
		t.Fatalf("discard: %v", err)
	}
	to.nothingLeft()
	if _, err := ann.take(data, Import{}); err != nil {
		t.Errorf("import after that: %v", err)
	}
}

// nothingLeft fails unless the account of ann is gone, and so is content that only it referred to.
func (o *office) nothingLeft() {
	o.tb.Helper()
	o.ann.nothingIn(store.NewKey("a1"))
	o.at = o.at.Add(2 * blobGrace)
	if err := o.ann.service.Collect(o.tb.Context()); err != nil {
		o.tb.Fatal(err)
	}
	if n := o.ann.holds("one of many"); n > 0 {
		o.tb.Errorf("content is left in %d values", n)
	}
}

func TestAnAddressThatAnotherAccountHasStaysWithIt(t *testing.T) {
	t.Parallel()
	from := newOffice(t)
	data := from.ann.export()
	to := elsewhere(t, from)
	ann, bob := to.ann, to.bob
	taker := *bob.principal
	taker.AccountID, taker.Address = "a7", "ann@agency.us"
	if err := bob.service.Provision(t.Context(), &taker); err != nil {
		t.Fatal(err)
	}
	out, err := ann.take(data, Import{})
	if err != nil || !out.AddressTaken {
		t.Errorf("got %+v, %v", out, err)
	}
	if holder, err := ann.service.AccountOf(t.Context(), "ann@agency.us"); err != nil || holder != "a7" {
		t.Errorf("the address is of %q, %v", holder, err)
	}
}

func TestAnAccountWithUnknownRecordsIsNotExported(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.write(store.NewKey("a1").String("novel"), []byte("x"))
	if err := o.ann.service.Export(t.Context(), "a1", virginia, io.Discard); err == nil || !strings.Contains(err.Error(), `kind "novel"`) {
		t.Errorf("got error %v", err)
	}
	if err := o.ann.service.Export(t.Context(), "a9", virginia, io.Discard); !isNotFound(err) {
		t.Errorf("no such account: got error %v", err)
	}
}

func TestAccountsAreImportedIntoEachCell(t *testing.T) {
	t.Parallel()
	from, _ := newCells(t)
	to, _ := newCells(t)
	used := map[string]bool{}
	for n := range 16 {
		ann := from.colleague(fmt.Sprint("z", n))
		ann.add(ann.role("inbox"), mime("the same for all", "Subject: one"))
		want, data := ann.everything(), ann.export()
		there := *to
		there.principal = ann.principal
		if _, err := there.take(data, Import{}); err != nil {
			t.Fatalf("import: %v", err)
		}
		if diff := cmp.Diff(want, there.everything()); diff != "" {
			t.Errorf("the account (-exported +imported):\n%s", diff)
		}
		place, err := store.FindPlace(t.Context(), to.engine, ann.principal.AccountID)
		if err != nil {
			t.Fatal(err)
		}
		used[place.Suffix] = true
	}
	equal(t, "cells", len(used), 2)
}

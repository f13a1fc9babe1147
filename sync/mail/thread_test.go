package mail

import (
	"fmt"
	"testing"
)

func (d *desk) threadOf(id string) string {
	d.tb.Helper()
	return str(d.get(id, nil, "threadId")["threadId"])
}

func TestRepliesJoinTheirThread(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	first := d.add(inbox, mime("x", "Subject: Plan", "Message-ID: <1@x>"))
	for name, c := range map[string]struct {
		header []string
		joins  bool
	}{
		"in reply to":          {[]string{"Subject: Re: Plan", "In-Reply-To: <1@x>", "Message-ID: <2@x>"}, true},
		"references":           {[]string{"Subject: AW: Plan", "References: <0@x> <1@x> <7@x>"}, false},
		"references, forwards": {[]string{"Subject: Fwd: [list] plan (fwd)", "References: <0@x> <1@x> <7@x>"}, true},
		"white space":          {[]string{"Subject: P l a n", "References: <1@x>"}, true},
		"other subject":        {[]string{"Subject: Other", "In-Reply-To: <1@x>"}, false},
		"same subject only":    {[]string{"Subject: Plan", "Message-ID: <3@x>"}, false},
		"shared reference":     {[]string{"Subject: Plan", "References: <1@x> <never-seen@x>"}, true},
	} {
		id := d.add(inbox, mime("x", c.header...))
		equal(t, name, d.threadOf(id) == d.threadOf(first), c.joins)
	}
}

func TestThreadsListTheirEmailsOldestFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	a := d.add(inbox, mime("a", "Subject: s", "Message-ID: <1@x>"))
	b := d.add(inbox, mime("b", "Subject: s", "References: <1@x>"))
	d.at = d.at.Add(-1e12)
	c := d.add(inbox, mime("c", "Subject: s", "References: <1@x>"))
	thread := d.threadOf(a)
	get := func() object {
		return d.call("Thread/get", object{"ids": []string{thread, "t999"}})
	}
	equal(t, "emails", list(get()["list"]), []object{{"id": thread, "emailIds": []any{c, a, b}}})
	equal(t, "not found", strs(get()["notFound"]), []string{"t999"})
	state := d.state("Thread/get")
	d.call("Email/set", object{"update": object{a: object{"keywords/x": true}}})
	equal(t, "keywords do not change a thread", d.state("Thread/get"), state)
	d.call("Email/set", object{"destroy": []string{a, b}})
	equal(t, "what is left", list(get()["list"])[0]["emailIds"], any([]any{c}))
	equal(t, "updated", strs(d.call("Thread/changes", object{"sinceState": state})["updated"]), []string{thread})
	d.call("Email/set", object{"destroy": []string{c}})
	equal(t, "destroyed", strs(d.call("Thread/changes", object{"sinceState": state})["destroyed"]), []string{thread})
	again := d.add(inbox, mime("a", "Subject: s", "References: <1@x>"))
	if d.threadOf(again) == thread {
		t.Error("the id of a destroyed thread was used again")
	}
}

func TestUnreadThreadsTreatTheTrashApart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox, trash, archive := d.role("inbox"), d.role("trash"), d.role("archive")
	read := d.add(inbox, mime("x", "Subject: s", "Message-ID: <1@x>"), "$seen")
	deleted := d.add(trash, mime("x", "Subject: s", "References: <1@x>"))
	equal(t, "inbox with an unread reply in the trash", d.counts(inbox), [4]int{1, 0, 1, 0})
	equal(t, "trash", d.counts(trash), [4]int{1, 1, 1, 1})
	d.call("Email/set", object{"update": object{deleted: object{"mailboxIds/" + archive: true}}})
	equal(t, "inbox with an unread reply in the trash and elsewhere", d.counts(inbox), [4]int{1, 0, 1, 1})
	d.call("Email/set", object{"update": object{deleted: object{"mailboxIds/" + archive: nil}}})
	d.call("Mailbox/set", object{"update": object{trash: object{"role": nil}}})
	equal(t, "inbox when there is no trash", d.counts(inbox), [4]int{1, 0, 1, 1})
	d.call("Mailbox/set", object{"update": object{inbox: object{"sortOrder": 1}, trash: object{"role": "trash"}}})
	equal(t, "inbox when there is one again", d.counts(inbox), [4]int{1, 0, 1, 0})
	d.call("Email/set", object{"update": object{read: object{"keywords": object{"$draft": true}}}})
	equal(t, "drafts are not unread", d.counts(inbox), [4]int{1, 0, 1, 0})
}

func TestLargeThreadsAreContinuedInAnother(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	emails, blob := object{}, d.upload(mime("x", "Subject: s", "References: <1@x>"))
	for i := range maxThreadSize + 3 {
		emails[fmt.Sprintf("e%04d", i)] = object{"blobId": blob, "mailboxIds": object{inbox: true}}
	}
	out := d.call("Email/import", object{"emails": emails})
	equal(t, "not created", out["notCreated"], nil)
	equal(t, "counts", d.counts(inbox), [4]int{maxThreadSize + 3, maxThreadSize + 3, 2, 2})
}

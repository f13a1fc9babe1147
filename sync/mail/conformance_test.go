package mail

import (
	"errors"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func TestDeliveryStateChangesWithNewEmailsOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	state := func() string {
		states, err := d.service.States(t.Context(), "a1")
		if err != nil {
			t.Fatal(err)
		}
		return states["EmailDelivery"]
	}
	empty := state()
	id := d.add(d.role("inbox"), mime("hello", "Subject: hello"))
	delivered := state()
	if delivered == empty {
		t.Error("a new email did not change the state")
	}
	d.call("Email/set", object{"update": object{id: object{"keywords/$seen": true}}})
	d.call("Email/set", object{"destroy": []string{id}})
	d.call("Mailbox/set", object{"create": object{"k": object{"name": "Project"}}})
	if got := state(); got != delivered {
		t.Errorf("state %q, want %q: nothing was delivered", got, delivered)
	}
	d.call("Email/set", object{"create": object{"k": object{"mailboxIds": object{d.role("drafts"): true}}}})
	if state() == delivered {
		t.Error("a new draft did not change the state")
	}
}

func TestMailboxesAreJudgedByWhereACallLeadsTo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args func(d *desk) object
		// names are those of mailboxes by role afterwards.
		names map[string]string
	}{
		"two swap names": {func(d *desk) object {
			return object{"update": object{d.role("drafts"): object{"name": "Sent"}, d.role("sent"): object{"name": "Drafts"}}}
		}, map[string]string{"drafts": "Sent", "sent": "Drafts"}},
		"three swap roles, whatever else is wrong": {func(d *desk) object {
			return object{"update": object{
				d.role("junk"): object{"role": "trash"}, d.role("trash"): object{"role": "archive"}, d.role("archive"): object{"role": "junk"},
				d.role("sent"): object{"name": "Inbox"},
			}}
		}, map[string]string{"trash": "Junk", "archive": "Trash", "junk": "Archive", "sent": "Sent"}},
		"names move in a chain": {func(d *desk) object {
			return object{"update": object{
				d.role("drafts"): object{"name": "Sent"}, d.role("sent"): object{"name": "Archive"}, d.role("archive"): object{"name": "Old"},
			}}
		}, map[string]string{"drafts": "Sent", "sent": "Archive", "archive": "Old"}},
		"a role moves to a new mailbox": {func(d *desk) object {
			return object{"create": object{"k": object{"name": "Spam", "role": "junk"}}, "update": object{d.role("junk"): object{"role": nil}}}
		}, map[string]string{"junk": "Spam"}},
		"a mailbox is replaced": {func(d *desk) object {
			return object{"create": object{"k": object{"name": "Archive", "role": "archive"}, "c": object{"name": "Child", "parentId": "#k", "role": "memos"}}, "destroy": []string{d.role("archive")}}
		}, map[string]string{"archive": "Archive", "memos": "Child"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.call("Mailbox/set", test.args(d))
			got := map[string]string{}
			for _, box := range list(d.call("Mailbox/get", object{"ids": nil})["list"]) {
				if _, asked := test.names[str(box["role"])]; asked {
					got[str(box["role"])] = str(box["name"])
				}
			}
			equal(t, "names by role", got, test.names)
			for role := range test.names {
				ids := strs(d.call("Mailbox/query", object{"filter": object{"role": role}})["ids"])
				equal(t, "mailboxes with the role "+role, len(ids), 1)
			}
		})
	}
}

func TestMailboxesThatCannotSwapStayAsTheyAre(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	drafts, sent, state := d.role("drafts"), d.role("sent"), d.state("Mailbox/get")
	out := d.call("Mailbox/set", object{"update": object{drafts: object{"role": "sent", "name": "Trash"}, sent: object{"role": "drafts"}}})
	for _, id := range []string{drafts, sent} {
		kind, _ := setError(out, "notUpdated", id)
		equal(t, "kind", kind != "", true)
	}
	equal(t, "roles", []string{d.role("drafts"), d.role("sent")}, []string{drafts, sent})
	out = d.call("Mailbox/set", object{"update": object{drafts: object{"role": "inbox"}, sent: object{"role": "trash"}}})
	kind, properties := setError(out, "notUpdated", drafts)
	equal(t, "role of a mailbox that stays", []any{kind, properties}, []any{"invalidProperties", []string{"role"}})
	equal(t, "inboxes", len(strs(d.call("Mailbox/query", object{"filter": object{"role": "inbox"}})["ids"])), 1)
	equal(t, "state", d.state("Mailbox/get"), state)
	out = d.call("Mailbox/set", object{"update": object{drafts: object{"role": nil}}})
	equal(t, "a role can still be given up", out["notUpdated"], nil)
	out = d.call("Mailbox/set", object{"update": object{sent: object{"role": "drafts"}}})
	equal(t, "and be taken", out["notUpdated"], nil)
}

func TestAllMailboxesAreListedWithinTheLimitOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.limits.MaxObjectsInGet = 6
	equal(t, "within", len(list(d.call("Mailbox/get", object{"ids": nil})["list"])), 6)
	d.newMailbox("Project", nil)
	equal(t, "beyond", d.refused("Mailbox/get", object{"ids": nil}), jmap.ErrorRequestTooLarge)
}

func TestLongSearchesAreNotSupported(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, property := range []string{"text", "from", "to", "cc", "bcc", "subject", "body"} {
		d.call("Email/query", object{"filter": object{property: strings.Repeat("x", maxSearch)}})
		equal(t, property, d.refused("Email/query", object{"filter": object{property: strings.Repeat(`"`, maxSearch+1)}}), jmap.ErrorUnsupportedFilter)
	}
	equal(t, "header", d.refused("Email/query", object{"filter": object{"header": []string{"X", strings.Repeat("x", maxSearch+1)}}}), jmap.ErrorUnsupportedFilter)
}

func TestTheBeginningOfTimeIsADate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const epoch = "1970-01-01T00:00:00Z"
	out := d.call("Email/import", object{"emails": object{"k": object{
		"blobId": d.upload(mime("x", "Received: x; Mon, 23 Nov 2026 10:00:00 +0000")), "mailboxIds": object{d.role("inbox"): true}, "receivedAt": epoch,
	}}})
	id := str(out["created"].(object)["k"].(object)["id"])
	equal(t, "receivedAt", list(d.call("Email/get", object{"ids": []string{id}, "properties": []string{"receivedAt"}})["list"])[0]["receivedAt"], any(epoch))
}

func TestAnswersHoldABoundedAmountOfMail(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	text := strings.Repeat("x", 1000)
	id := d.add(d.role("inbox"), mime(text, "Subject: s"))
	for name, c := range map[string]struct {
		body  bodyArguments
		least int64
		most  int64
	}{
		"nothing": {bodyArguments{}, 0, 0},
		"whole":   {bodyArguments{FetchAllBodyValues: true}, 1000, 1100},
		"cut":     {bodyArguments{FetchAllBodyValues: true, MaxBodyValueBytes: 10}, 10, 10},
	} {
		sel, err := newSelection([]string{"bodyValues"}, nil, c.body)
		if err != nil {
			t.Fatal(err)
		}
		err = d.service.view(t.Context(), "a1", func(r store.Reader) error {
			m := &email{ID: id}
			if _, err := readJSON(t.Context(), r, keys("a1").email(id), m); err != nil {
				return err
			}
			_, err := d.service.emailObject(t.Context(), r, "a1", d.principal.Tenant, m, sel)
			return err
		})
		if err != nil || sel.octets < c.least || sel.octets > c.most {
			t.Errorf("%s: %d octets counted, %v", name, sel.octets, err)
		}
	}
	sel := &selection{octets: maxContent + 1}
	equal(t, "one email", sel.tooMuch(1), nil)
	refused, ok := errors.AsType[*jmap.MethodError](sel.tooMuch(2))
	equal(t, "two emails", ok && refused.Type == jmap.ErrorRequestTooLarge, true)
}

func TestAnErrorAfterACommitTellsOfPartialSuccess(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		octets  int
		partial bool
	}{"within the first commit": {1, false}, "after it": {commitSize, true}} {
		d := newDesk(t)
		w := &setter{service: d.service, account: "a1", kind: typeEmail}
		err := w.run(t.Context(), []func(*edit) error{
			func(e *edit) error { e.tx.Set(keys("a1").row("m1"), make([]byte, c.octets)); return nil },
			func(*edit) error { return broken },
		})
		refused, ok := errors.AsType[*jmap.MethodError](err)
		if ok != c.partial || (ok && refused.Type != jmap.ErrorServerPartialFail) || !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatesTellOfOwnChangesOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before := d.state("Email/get")
	out := d.call("Email/set", object{"destroy": []string{"m9"}})
	equal(t, "states of a call that changed nothing", []any{out["oldState"], out["newState"]}, []any{before, before})
	id := d.add(d.role("inbox"), mime("hello", "Subject: hello"))
	between := d.state("Email/get")
	out = d.call("Email/set", object{"destroy": []string{id}})
	equal(t, "states of a change", []any{out["oldState"], out["newState"]}, []any{between, d.state("Email/get")})

	// Between two commits of a call somebody else made a change.
	w := &setter{service: d.service, account: "a1", kind: typeEmail, oldState: &before, newState: before}
	for _, c := range []struct {
		state string
		known bool
	}{{d.state("Email/get"), true}, {between, false}} {
		w.oldState, w.newState = &before, c.state
		if err := d.service.journal.Update(t.Context(), "a1", func(tx *store.Tx) error { return w.begin(t.Context(), tx, nil, false) }); err != nil {
			t.Fatal(err)
		}
		equal(t, "old state is known", w.oldState != nil, c.known)
	}
}

package mail

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// colleague provisions another user of the tenant, to whose account the desk's principal has no access. Its desk shares
// the clock only when the desk is copied.
func (d *desk) colleague(account string) *desk {
	d.tb.Helper()
	other := *d
	other.created = map[string]string{}
	other.principal = &jmap.Principal{Tenant: d.principal.Tenant, AccountID: account, Address: account + "@agency.us", Name: "User " + account}
	if err := d.service.Provision(d.tb.Context(), other.principal); err != nil {
		d.tb.Fatalf("provision: %v", err)
	}
	return &other
}

// share gives a colleague rights to a mailbox; none takes them away.
func (d *desk) share(mailbox, account string, given rights) {
	d.tb.Helper()
	with, _ := list(d.call("Mailbox/get", object{"ids": []string{mailbox}})["list"])[0]["shareWith"].(object)
	if with == nil {
		with = object{}
	}
	with[principalID(account)] = given.object()
	if given == 0 {
		delete(with, principalID(account))
	}
	out := d.call("Mailbox/set", object{"update": object{mailbox: object{"shareWith": with}}})
	if out["notUpdated"] != nil {
		d.tb.Fatalf("share: %v", out)
	}
}

// in adds the account of the desk's principal to arguments for others.
func (d *desk) in(args object) object {
	out := maps.Clone(args)
	out["accountId"] = d.principal.AccountID
	return out
}

// refusedAs returns the type of the only SetError of an answer.
func refusedAs(out object) string {
	for _, name := range []string{"notCreated", "notUpdated", "notDestroyed"} {
		failed, _ := out[name].(object)
		for _, e := range failed {
			return str(e.(object)["type"])
		}
	}
	return ""
}

func TestSharedMailboxIsAllThatAVisitorSees(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox, archive := d.role("inbox"), d.role("archive")
	visible := d.add(inbox, mime("hello there", "Subject: hello", "Message-ID: <1@x>"))
	hidden := d.add(archive, mime("secret", "Subject: hello", "Message-ID: <2@x>", "In-Reply-To: <1@x>"))
	thread := str(d.get(visible, nil, "threadId")["threadId"])
	equal(t, "one thread", d.get(hidden, nil, "threadId")["threadId"], any(thread))
	equal(t, "before", v.refused("Email/get", d.in(object{"ids": []string{visible}})), jmap.ErrorAccountNotFound)
	d.share(inbox, "a2", mayReadItems)

	boxes := list(v.call("Mailbox/get", d.in(object{"ids": nil}))["list"])
	equal(t, "mailboxes", len(boxes), 1)
	equal(t, "counts", []any{boxes[0]["totalEmails"], boxes[0]["totalThreads"], boxes[0]["unreadThreads"]}, []any{1.0, 1.0, 1.0})
	equal(t, "rights", boxes[0]["myRights"], normal(t, mayReadItems.object()))
	equal(t, "shareWith", boxes[0]["shareWith"], nil)
	equal(t, "hidden mailbox", strs(v.call("Mailbox/get", d.in(object{"ids": []string{archive}}))["notFound"]), []string{archive})
	out := v.call("Email/get", d.in(object{"ids": []string{visible, hidden}, "properties": []string{"mailboxIds", "threadId", "blobId"}}))
	equal(t, "not found", strs(out["notFound"]), []string{hidden})
	equal(t, "mailboxIds", list(out["list"])[0]["mailboxIds"], any(object{inbox: true}))
	equal(t, "thread", list(v.call("Thread/get", d.in(object{"ids": []string{thread}}))["list"])[0]["emailIds"], any([]any{visible}))
	for name, filter := range map[string]any{
		"all": nil, "by text": object{"text": "hello"}, "not in the shared one": object{"operator": "NOT", "conditions": []object{{"inMailbox": archive}}},
		"the shared one": object{"inMailbox": inbox},
	} {
		out := v.call("Email/query", d.in(object{"filter": filter, "calculateTotal": true}))
		equal(t, name, []any{strs(out["ids"]), out["total"]}, []any{[]string{visible}, 1.0})
	}
	for name, filter := range map[string]any{
		"hidden mailbox": object{"inMailbox": archive}, "elsewhere": object{"inMailboxOtherThan": []string{inbox}}, "hidden text": object{"text": "secret"},
	} {
		out := v.call("Email/query", d.in(object{"filter": filter, "calculateTotal": true}))
		equal(t, name, []any{strs(out["ids"]), out["total"]}, []any{[]string{}, 0.0})
	}
	snippets := v.call("SearchSnippet/get", d.in(object{"filter": object{"text": "hello"}, "emailIds": []string{visible, hidden}}))
	equal(t, "snippets", []any{len(list(snippets["list"])), strs(snippets["notFound"])}, []any{1, []string{hidden}})
	equal(t, "read only", v.refused("Email/set", d.in(object{"destroy": []string{visible}})), jmap.ErrorAccountReadOnly)
	equal(t, "quota", v.refused("Quota/get", d.in(object{"ids": nil})), jmap.ErrorAccountNotSupportedByMethod)
	equal(t, "principals", v.refused("Principal/get", d.in(object{"ids": nil})), jmap.ErrorAccountNotSupportedByMethod)
	d.share(inbox, "a2", 0)
	equal(t, "after", v.refused("Email/get", d.in(object{"ids": []string{visible}})), jmap.ErrorAccountNotFound)
}

// TestRevokedShareIsGoneWithinARequest calls with a principal that was looked up before.
func TestRevokedShareIsGoneWithinARequest(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox := d.role("inbox")
	id := d.add(inbox, mime("hello", "Subject: hello"))
	d.share(inbox, "a2", mayReadItems)
	stale := v.visiting()
	blob := str(list(v.call("Email/get", d.in(object{"ids": []string{id}}))["list"])[0]["blobId"])
	r, _, err := d.service.BlobsFor(stale).Open(t.Context(), "a1", blob)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	d.share(inbox, "a2", 0)
	if _, _, err := d.service.BlobsFor(stale).Open(t.Context(), "a1", blob); !errors.Is(err, jmap.ErrBlobNotFound) {
		t.Errorf("blob: %v", err)
	}
	states, err := d.service.StatesFor(t.Context(), stale, "a1")
	equal(t, "states", []any{len(states), err}, []any{0, nil})
	_, err = d.service.emailGet(t.Context(), &jmap.Call{Principal: stale, Limits: &d.limits}, &emailGetArguments{GetArguments: jmap.GetArguments{AccountID: "a1", IDs: []string{id}}})
	refused, _ := errors.AsType[*jmap.MethodError](err)
	if refused == nil || refused.Type != jmap.ErrorAccountNotFound {
		t.Errorf("get: %v", err)
	}
}

func TestSessionListsSharedAccounts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox := d.role("inbox")
	service, err := jmap.NewService(jmap.Options{Limits: d.limits, Blobs: d.service, Shares: d.service, Capabilities: d.capabilities()})
	if err != nil {
		t.Fatal(err)
	}
	accounts := func() map[string]jmap.SessionAccount {
		session, err := service.Session(v.visiting())
		if err != nil {
			t.Fatal(err)
		}
		if _, has := session.Capabilities[PrincipalOwnerCapabilityURI]; has {
			t.Error("the owner capability is of accounts only")
		}
		return session.Accounts
	}
	own := accounts()["a2"]
	equal(t, "own", own.AccountCapabilities[PrincipalsCapabilityURI], any(map[string]string{"currentUserPrincipalId": "pa2"}))
	equal(t, "own principal", own.AccountCapabilities[PrincipalOwnerCapabilityURI], any(map[string]string{"accountIdForPrincipal": "a2", "principalId": "pa2"}))
	equal(t, "nothing shared", len(accounts()), 1)
	d.share(inbox, "a2", mayReadItems)
	shared := accounts()["a1"]
	equal(t, "shared", []any{shared.Name, shared.IsPersonal, shared.IsReadOnly}, []any{"ann@agency.us", false, true})
	equal(t, "owner", shared.AccountCapabilities[PrincipalOwnerCapabilityURI], any(map[string]string{"accountIdForPrincipal": "a2", "principalId": "pa1"}))
	equal(t, "capabilities", slices.Sorted(maps.Keys(shared.AccountCapabilities)), []string{BlobCapabilityURI, jmap.CoreCapability, CapabilityURI, PrincipalOwnerCapabilityURI})
	equal(t, "no mailboxes at the top", shared.AccountCapabilities[CapabilityURI], any(accountLimits(false)))
	d.share(inbox, "a2", mayReadItems|maySetSeen)
	equal(t, "writable", accounts()["a1"].IsReadOnly, false)
	// RFC 9670 section 1.5: what nobody subscribes to is not in the session, and can still be used.
	d.share(inbox, "a2", mayReadItems)
	v.call("Mailbox/set", d.in(object{"update": object{inbox: object{"isSubscribed": false}}}))
	equal(t, "unsubscribed", len(accounts()), 1)
	equal(t, "owner subscribes still", list(d.call("Mailbox/get", object{"ids": []string{inbox}})["list"])[0]["isSubscribed"], any(true))
	answer := v.requests([]string{jmap.CoreCapability, PrincipalsCapabilityURI}, []any{"Principal/get", object{"accountId": "a2", "ids": []string{"pa1"}}, "c"})
	account := list(answer[0][1].(object)["list"])[0]["accounts"].(object)["a1"].(object)
	equal(t, "found by the principal", account["name"], any("ann@agency.us"))
	v.call("Mailbox/set", d.in(object{"update": object{inbox: object{"isSubscribed": true}}}))
	equal(t, "subscribed again", len(accounts()), 2)
	d.share(inbox, "a2", 0)
	equal(t, "revoked", len(accounts()), 1)
}

// TestRightsAreEnforced has one line for each right and each method that needs it.
func TestRightsAreEnforced(t *testing.T) {
	t.Parallel()
	type world struct {
		sharedWorld

		one, two, child, hidden string
		email, both             string
	}
	tests := map[string]struct {
		needs rights
		call  func(w *world) object
	}{
		"create an email": {mayAddItems, func(w *world) object {
			return w.set(w.v, "create", object{"x": object{"mailboxIds": object{w.one: true}}})
		}},
		"create a seen one": {mayAddItems | maySetSeen, func(w *world) object {
			return w.set(w.v, "create", object{"x": object{"mailboxIds": object{w.one: true}, "keywords": object{"$seen": true}}})
		}},
		"create a flagged one": {mayAddItems | maySetKeywords, func(w *world) object {
			return w.set(w.v, "create", object{"x": object{"mailboxIds": object{w.one: true}, "keywords": object{"$flagged": true}}})
		}},
		"destroy an email": {mayRemoveItems, func(w *world) object { return w.v.call("Email/set", w.d.in(object{"destroy": []string{w.email}})) }},
		"set seen":         {maySetSeen, func(w *world) object { return w.set(w.v, "update", object{w.email: object{"keywords/$seen": true}}) }},
		"set a keyword":    {maySetKeywords, func(w *world) object { return w.set(w.v, "update", object{w.email: object{"keywords/work": true}}) }},
		"move an email": {mayRemoveItems | mayAddItems, func(w *world) object {
			return w.set(w.v, "update", object{w.email: object{"mailboxIds": object{w.two: true}}})
		}},
		"put it in two": {mayAddItems, func(w *world) object {
			return w.set(w.v, "update", object{w.email: object{"mailboxIds/" + w.two: true}})
		}},
		"import": {mayAddItems, func(w *world) object {
			id, _, err := w.d.service.BlobsFor(w.v.visiting()).Put(w.d.tb.Context(), "a1", "", strings.NewReader("Subject: x\r\n\r\n"))
			if err != nil {
				w.d.tb.Fatal(err)
			}
			return w.v.call("Email/import", w.d.in(object{"emails": object{"x": object{"blobId": id, "mailboxIds": object{w.one: true}}}}))
		}},
		"copy into": {mayAddItems, func(w *world) object {
			id := w.v.add(w.v.role("inbox"), "Subject: x\r\n\r\n")
			return w.v.call("Email/copy", w.d.in(object{"fromAccountId": "a2", "create": object{"x": object{"id": id, "mailboxIds": object{w.one: true}}}}))
		}},
		"create a child": {mayCreateChild, func(w *world) object {
			return w.v.call("Mailbox/set", w.d.in(object{"create": object{"x": object{"name": "New", "parentId": w.one}}}))
		}},
		"rename a mailbox": {mayRename, func(w *world) object {
			return w.v.call("Mailbox/set", w.d.in(object{"update": object{w.one: object{"name": "New"}}}))
		}},
		"move a mailbox": {mayRename | mayCreateChild, func(w *world) object {
			return w.v.call("Mailbox/set", w.d.in(object{"update": object{w.two: object{"parentId": w.one}}}))
		}},
		"destroy a mailbox": {mayDelete, func(w *world) object { return w.v.call("Mailbox/set", w.d.in(object{"destroy": []string{w.child}})) }},
		"destroy one with emails": {mayDelete | mayRemoveItems, func(w *world) object {
			w.d.add(w.child, "Subject: x\r\n\r\n")
			return w.v.call("Mailbox/set", w.d.in(object{"destroy": []string{w.child}, "onDestroyRemoveEmails": true}))
		}},
		"share": {mayShare, func(w *world) object {
			return w.v.call("Mailbox/set", w.d.in(object{"update": object{w.one: object{"shareWith": object{"pa3": mayReadItems.object()}}}}))
		}},
		"set what is hidden too": {1 << 15, func(w *world) object { return w.set(w.v, "update", object{w.both: object{"keywords/$seen": true}}) }},
		"destroy what is hidden": {1 << 15, func(w *world) object { return w.v.call("Email/set", w.d.in(object{"destroy": []string{w.both}})) }},
		"change a role": {1 << 15, func(w *world) object {
			return w.v.call("Mailbox/set", w.d.in(object{"update": object{w.one: object{"role": "memos"}}}))
		}},
		"create at the top": {1 << 15, func(w *world) object {
			return w.v.call("Mailbox/set", w.d.in(object{"create": object{"x": object{"name": "Top"}}}))
		}},
		"move to the top": {1 << 15, func(w *world) object {
			return w.v.call("Mailbox/set", w.d.in(object{"update": object{w.child: object{"parentId": nil}}}))
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, given := range []rights{allRights, tc.needs | mayReadItems, 0} {
				for bit := rights(1); bit < allRights; bit <<= 1 {
					// Each needed right is missing in turn; with none missing, the call succeeds.
					missing := rights(0)
					if given == 0 {
						if missing = bit; !tc.needs.has(bit) || tc.needs > allRights {
							continue
						}
					}
					d := newDesk(t)
					d.colleague("a3")
					w := &world{sharedWorld: sharedWorld{d: d, v: d.colleague("a2")}, hidden: d.role("archive")}
					made := d.call("Mailbox/set", object{"create": object{"1": object{"name": "One"}, "2": object{"name": "Two"}, "3": object{"name": "Child", "parentId": "#1"}}})["created"].(object)
					id := func(creation string) string { return str(made[creation].(object)["id"]) }
					w.one, w.two, w.child = id("1"), id("2"), id("3")
					w.email, w.both = d.add(w.one, "Subject: a\r\n\r\n"), d.add(w.one, "Subject: b\r\n\r\n")
					d.call("Email/set", object{"update": object{w.both: object{"mailboxIds/" + w.hidden: true}}})
					mine := given
					if given == 0 {
						mine = (tc.needs | mayReadItems | maySubmit | maySetSeen | maySetKeywords | mayAddItems) &^ missing
					}
					for _, box := range []string{w.one, w.two, w.child} {
						d.share(box, "a2", mine&allRights|mayReadItems)
					}
					want := ""
					if missing != 0 || tc.needs > allRights {
						want = jmap.SetErrorForbidden
					}
					if given != 0 && tc.needs > allRights && given != allRights {
						break
					}
					equal(t, fmt.Sprintf("rights %b", mine), refusedAs(tc.call(w)), want)
					if given != 0 {
						break
					}
				}
			}
		})
	}
}

// set calls Email/set in the account of the owner.
func (w *sharedWorld) set(v *desk, verb string, what object) object {
	return v.call("Email/set", w.d.in(object{verb: what}))
}

func TestNewStateOfAVisitorIsWhatTheNextGetTells(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox := d.role("inbox")
	d.share(inbox, "a2", allRights)
	out := v.call("Email/set", d.in(object{"create": object{"x": object{"mailboxIds": object{inbox: true}, "subject": "x"}}}))
	equal(t, "Email", out["newState"], v.call("Email/get", d.in(object{"ids": []string{}}))["state"])
	id := str(out["created"].(object)["x"].(object)["id"])
	blob := str(out["created"].(object)["x"].(object)["blobId"])
	r, _, err := d.service.BlobsFor(v.visiting()).Open(t.Context(), "a1", blob)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	made := v.call("Mailbox/set", d.in(object{"create": object{"m": object{"name": "Child", "parentId": inbox}, "n": object{"name": "Grandchild", "parentId": "#m"}}}))
	equal(t, "made", len(made["created"].(object)), 2)
	equal(t, "Mailbox", made["newState"], v.call("Mailbox/get", d.in(object{"ids": []string{}}))["state"])
	equal(t, "changes go on", strs(v.call("Mailbox/changes", d.in(object{"sinceState": made["oldState"]}))["created"]), []string{v.created["m"], v.created["n"]})
	before := out["newState"]
	v.call("Email/set", d.in(object{"update": object{id: object{"mailboxIds": object{v.created["m"]: true}}}}))
	equal(t, "moved", strs(v.call("Email/changes", d.in(object{"sinceState": before}))["updated"]), []string{id})
	equal(t, "the owner sees it too", list(d.call("Mailbox/get", object{"ids": []string{v.created["m"]}})["list"])[0]["totalEmails"], any(1.0))
	equal(t, "stale state", v.refused("Email/set", d.in(object{"ifInState": before, "destroy": []string{id}})), jmap.ErrorStateMismatch)
}

func TestShareWithIsChecked(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	d.colleague("a3")
	stranger := d.neighbour("other/other", "b1", false)
	inbox := d.role("inbox")
	read := mayReadItems.object()
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"nobody":           {object{"px": read}, jmap.SetErrorInvalidProperties},
		"the owner":        {object{"pa1": read}, jmap.SetErrorInvalidProperties},
		"another tenant":   {object{principalID(stranger.principal.AccountID): read}, jmap.SetErrorInvalidProperties},
		"an account":       {object{"a2": read}, jmap.SetErrorInvalidProperties},
		"no right":         {object{"pa2": rights(0).object()}, jmap.SetErrorInvalidProperties},
		"an unknown right": {object{"pa2": object{"mayFly": true}}, jmap.SetErrorInvalidProperties},
		"a colleague":      {object{"pa2": object{"mayReadItems": true}}, ""},
		"two":              {object{"pa2": read, "pa3": read}, ""},
		"null for all":     {nil, ""},
	} {
		out := d.call("Mailbox/set", object{"update": object{inbox: object{"shareWith": tc.value}}})
		equal(t, name, refusedAs(out), tc.want)
	}
	d.share(inbox, "a2", mayReadItems|mayShare)
	give := func(account string, given rights) string {
		return refusedAs(v.call("Mailbox/set", d.in(object{"update": object{inbox: object{"shareWith/" + principalID(account): given.object()}}})))
	}
	equal(t, "what one has", give("a3", mayReadItems), "")
	equal(t, "what one has not", give("a3", mayReadItems|mayDelete), jmap.SetErrorForbidden)
	equal(t, "more for oneself", give("a2", allRights), jmap.SetErrorForbidden)
	equal(t, "seen by who may share", len(list(v.call("Mailbox/get", d.in(object{"ids": []string{inbox}}))["list"])[0]["shareWith"].(object)), 2)
	out := d.call("Mailbox/set", object{"create": object{"x": object{"name": "Shared", "shareWith": object{"pa2": read}}}})
	made := str(out["created"].(object)["x"].(object)["id"])
	equal(t, "shared from the start", len(list(v.call("Mailbox/get", d.in(object{"ids": []string{made}}))["list"])), 1)
	equal(t, "shareWith told", list(d.call("Mailbox/get", object{"ids": []string{made}, "properties": []string{"shareWith"}})["list"])[0]["shareWith"], normal(t, object{"pa2": read}))
}

func TestSharesAreNotKnownWithoutTheCapability(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.colleague("a2")
	box := func() object { return list(d.call("Mailbox/get", object{"ids": []string{d.role("inbox")}})["list"])[0] }
	_, shares := box()["shareWith"]
	equal(t, "with the capability", []any{shares, box()["myRights"].(object)["mayShare"]}, []any{true, true})

	d.using = nil
	got := box()
	_, shares = got["shareWith"]
	_, may := got["myRights"].(object)["mayShare"]
	equal(t, "known", []bool{shares, may}, []bool{false, false})
	equal(t, "rights that are known", got["myRights"].(object)["mayReadItems"], any(true))
	equal(t, "asked for", d.refused("Mailbox/get", object{"ids": []string{}, "properties": []string{"shareWith"}}), jmap.ErrorInvalidArguments)
	read := mayReadItems.object()
	for name, args := range map[string]object{
		"create":      {"create": object{"x": object{"name": "Shared", "shareWith": object{"pa2": read}}}},
		"create null": {"create": object{"x": object{"name": "Shared", "shareWith": nil}}},
		"update":      {"update": object{str(got["id"]): object{"shareWith": object{"pa2": read}}}},
		"patch":       {"update": object{str(got["id"]): object{"shareWith/pa2": read}}},
	} {
		equal(t, name, refusedAs(d.call("Mailbox/set", args)), jmap.SetErrorInvalidProperties)
	}
	equal(t, "the whole mailbox given back", refusedAs(d.call("Mailbox/set", object{"update": object{str(got["id"]): got}})), "")
	made := d.call("Mailbox/set", object{"create": object{"x": object{"name": "Own"}}})["created"].(object)["x"].(object)
	_, shares = made["shareWith"]
	_, may = made["myRights"].(object)["mayShare"]
	equal(t, "told of a new one", []bool{shares, may}, []bool{false, false})
}

func TestVisitorsHearOfSharesAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	hints, cancel := d.service.Subscribe("a2")
	defer cancel()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	d.share(d.role("inbox"), "a2", mayReadItems)
	select {
	case <-hints:
	case <-ctx.Done():
		t.Fatal("no hint came")
	}
	states, err := d.service.StatesFor(t.Context(), v.visiting(), "a1")
	equal(t, "types", []any{slices.Sorted(maps.Keys(states)), err}, []any{[]string{"Email", "Mailbox", "Thread"}, nil})
	before := states["Email"]
	d.add(d.role("archive"), "Subject: hidden\r\n\r\n")
	states, _ = d.service.StatesFor(t.Context(), v.visiting(), "a1")
	equal(t, "what is hidden moves nothing", states["Email"], before)
	d.add(d.role("inbox"), "Subject: shared\r\n\r\n")
	states, _ = d.service.StatesFor(t.Context(), v.visiting(), "a1")
	equal(t, "state", any(states["Email"]), v.call("Email/get", d.in(object{"ids": []string{}}))["state"])
	if states["Email"] == before {
		t.Error("the state did not move")
	}
	own, err := d.service.StatesFor(t.Context(), v.principal, "a2")
	equal(t, "own", []any{own["ShareNotification"], own["Principal"], err}, []any{v.state("ShareNotification/get"), v.state("Principal/get"), nil})
}

func TestMailboxOfAVisitorBelongsToTheOwner(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox := d.role("inbox")
	d.share(inbox, "a2", allRights)
	out := v.call("Mailbox/set", d.in(object{
		"create": object{"x": object{"name": "Theirs", "parentId": inbox, "isSubscribed": false}, "y": object{"name": "Gone", "parentId": inbox}}, "destroy": []string{"#y"},
	}))
	equal(t, "destroyed at once", strs(out["destroyed"]), []string{v.created["y"]})
	box := func(d *desk) object {
		return list(d.call("Mailbox/get", object{"accountId": "a1", "ids": []string{v.created["x"]}})["list"])[0]
	}
	equal(t, "owner", []any{box(d)["isSubscribed"], len(box(d)["shareWith"].(object))}, []any{true, 1})
	equal(t, "visitor", box(v)["isSubscribed"], any(false))
	equal(t, "mailboxes", len(list(v.call("Mailbox/get", d.in(object{"ids": nil}))["list"])), 2)
	// A name that a hidden mailbox has is refused without telling which one that is.
	d.call("Mailbox/set", object{"create": object{"h": object{"name": "Hidden", "parentId": inbox}}})
	refused := v.call("Mailbox/set", d.in(object{"create": object{"z": object{"name": "Hidden", "parentId": inbox}}}))["notCreated"].(object)["z"].(object)
	equal(t, "hidden sibling", refused, object{"type": "alreadyExists", "description": "a mailbox of this name stands beside"})
	d.call("Mailbox/set", object{"update": object{v.created["x"]: object{"shareWith": nil}}, "destroy": []string{}})
	equal(t, "taken back", len(list(v.call("Mailbox/get", d.in(object{"ids": nil}))["list"])), 1)
}

func TestThreadsAndUploadsTellNothingOfHiddenEmails(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox, archive := d.role("inbox"), d.role("archive")
	secret := mime("secret", "Subject: hello", "Message-ID: <2@x>", "In-Reply-To: <1@x>")
	visible := d.add(inbox, mime("hello", "Subject: hello", "Message-ID: <1@x>"), "read")
	d.add(archive, secret, "hidden")
	d.share(inbox, "a2", mayReadItems|mayAddItems)
	for name, filter := range map[string]object{
		"some": {"someInThreadHaveKeyword": "hidden"}, "not none": {"operator": "NOT", "conditions": []object{{"noneInThreadHaveKeyword": "hidden"}}},
		"not all": {"operator": "NOT", "conditions": []object{{"allInThreadHaveKeyword": "read"}}},
	} {
		equal(t, name, strs(v.call("Email/query", d.in(object{"filter": filter}))["ids"]), []string{})
	}
	equal(t, "all", strs(v.call("Email/query", d.in(object{"filter": object{"allInThreadHaveKeyword": "read"}}))["ids"]), []string{visible})
	// Who knows a message and uploads it learns nothing of where it is.
	blob, _, err := d.service.BlobsFor(v.visiting()).Put(t.Context(), "a1", "", strings.NewReader(secret))
	if err != nil {
		t.Fatal(err)
	}
	v.using = map[string]bool{CapabilityURI: true}
	found := list(v.call("Blob/lookup", d.in(object{"ids": []string{blob}, "typeNames": lookupTypes}))["list"])
	equal(t, "lookup", found[0]["matchedIds"], any(object{"Email": []any{}, "Mailbox": []any{}, "Thread": []any{}}))
	d.colleague("a3")
	d.share(inbox, "a3", mayReadItems)
	w := d.colleague("a3")
	equal(t, "an upload is its visitor's", strs(w.call("Blob/get", d.in(object{"ids": []string{blob}}))["notFound"]), []string{blob})
	for range 2 {
		d.at = d.at.Add(25 * time.Hour)
		if err := d.service.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	v.principal.Shared = nil
	equal(t, "and ends", strs(v.call("Blob/get", d.in(object{"ids": []string{blob}}))["notFound"]), []string{blob})
}

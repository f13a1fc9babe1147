package mail

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// TestPrincipalsAreTheUsersOfTheTenant follows RFC 9670 section 2.
func TestPrincipalsAreTheUsersOfTheTenant(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.colleague("a2")
	d.neighbour("other/other", "b1", false)
	out := d.requests([]string{jmap.CoreCapability, PrincipalsCapabilityURI}, []any{"Principal/get", object{"accountId": "a1", "ids": nil}, "c"})[0][1].(object)
	got := list(out["list"])
	equal(t, "principals", len(got), 2)
	equal(t, "a colleague", got[1], object{
		"id": "pa2", "type": "individual", "name": "User a2", "description": nil, "email": "a2@agency.us", "timeZone": nil,
		"capabilities": object{}, "accounts": nil,
	})
	equal(t, "one without a name", got[0]["name"], any("ann@agency.us"))
	equal(t, "own account", got[0]["accounts"].(object)["a1"].(object)["isPersonal"], any(true))
	out = d.call("Principal/get", object{"ids": []string{"pa2", "pb1", "a2", "x"}, "properties": []string{"email"}})
	equal(t, "properties", out["list"], normal(t, []object{{"id": "pa2", "email": "a2@agency.us"}}))
	equal(t, "not found", strs(out["notFound"]), []string{"pb1", "a2", "x"})
	equal(t, "unknown property", d.refused("Principal/get", object{"ids": nil, "properties": []string{"x"}}), jmap.ErrorInvalidArguments)
	d.limits.MaxObjectsInGet = 1
	equal(t, "too many", d.refused("Principal/get", object{"ids": nil}), jmap.ErrorRequestTooLarge)
	for _, method := range []string{"Principal/get", "Principal/set", "Principal/query", "ShareNotification/get", "ShareNotification/set", "ShareNotification/query"} {
		d.principal.Shared = []jmap.SharedAccount{{AccountID: "a2"}}
		equal(t, method+" elsewhere", d.refused(method, object{"accountId": "a2"}), jmap.ErrorAccountNotSupportedByMethod)
	}
	for _, method := range []string{"Principal", "ShareNotification"} {
		equal(t, method+"/changes elsewhere", d.refused(method+"/changes", object{"accountId": "a2", "sinceState": "0"}), jmap.ErrorAccountNotSupportedByMethod)
		equal(t, method+"/queryChanges elsewhere", d.refused(method+"/queryChanges", object{"accountId": "a2", "sinceQueryState": "0"}), jmap.ErrorAccountNotSupportedByMethod)
	}
}

func TestPrincipalsChange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	start := d.state("Principal/get")
	v := d.colleague("a2")
	d.colleague("a3")
	changes := d.call("Principal/changes", object{"sinceState": start})
	equal(t, "created", strs(changes["created"]), []string{"pa2", "pa3"})
	middle := str(changes["newState"])
	equal(t, "state", middle, d.state("Principal/get"))
	renamed := *v.principal
	renamed.Name, renamed.Address = "", "bob@agency.us"
	for range 2 {
		if err := d.service.Provision(t.Context(), &renamed); err != nil {
			t.Fatal(err)
		}
	}
	changes = d.call("Principal/changes", object{"sinceState": middle})
	equal(t, "updated", []any{strs(changes["created"]), strs(changes["updated"])}, []any{[]string{}, []string{"pa2"}})
	equal(t, "a name is kept", list(d.call("Principal/get", object{"ids": []string{"pa2"}})["list"])[0]["name"], any("User a2"))
	first := d.call("Principal/changes", object{"sinceState": start, "maxChanges": 1})
	equal(t, "a part", []any{strs(first["created"]), first["hasMoreChanges"]}, []any{[]string{"pa2"}, true})
	second := d.call("Principal/changes", object{"sinceState": first["newState"], "maxChanges": 5})
	equal(t, "the rest", []any{strs(second["created"]), strs(second["updated"]), second["hasMoreChanges"]}, []any{[]string{"pa3"}, []string{"pa2"}, false})
	for _, wrong := range []string{"x", "99_0", "1_99", "01_0", "1"} {
		equal(t, wrong, d.refused("Principal/changes", object{"sinceState": wrong}), jmap.ErrorCannotCalculateChanges)
	}
	// What is shared with a user changes the principal of who shares it.
	before := v.state("Principal/get")
	d.share(d.role("inbox"), "a2", mayReadItems)
	changes = v.call("Principal/changes", object{"sinceState": before})
	equal(t, "shared", strs(changes["updated"]), []string{"pa1"})
	equal(t, "to nobody else", d.call("Principal/changes", object{"sinceState": d.state("Principal/get")})["updated"], any([]any{}))
}

func TestPrincipalsAreQueried(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	d.colleague("a3")
	v.share(v.role("inbox"), "a1", mayReadItems)
	tests := map[string]struct {
		args object
		want []string
	}{
		"all":             {object{}, []string{"pa1", "pa2", "pa3"}},
		"by email":        {object{"filter": object{"email": "A2@"}}, []string{"pa2"}},
		"by name":         {object{"filter": object{"name": "user"}}, []string{"pa2", "pa3"}},
		"by text":         {object{"filter": object{"text": "ann"}}, []string{"pa1"}},
		"by type":         {object{"filter": object{"type": "individual"}}, []string{"pa1", "pa2", "pa3"}},
		"by another type": {object{"filter": object{"type": "group"}}, []string{}},
		"by time zone":    {object{"filter": object{"timeZone": "Europe/Paris"}}, []string{}},
		"by accounts":     {object{"filter": object{"accountIds": []string{"a1", "a2", "a3"}}}, []string{"pa1", "pa2"}},
		"by an operator":  {object{"filter": object{"operator": "NOT", "conditions": []object{{"name": "user"}}}}, []string{"pa1"}},
		"sorted by email": {object{"sort": []object{{"property": "email", "isAscending": false}}}, []string{"pa1", "pa3", "pa2"}},
		"sorted by name":  {object{"sort": []object{{"property": "name"}}, "limit": 2}, []string{"pa1", "pa2"}},
		"after an anchor": {object{"anchor": "pa2", "anchorOffset": 1}, []string{"pa3"}},
	}
	for name, tc := range tests {
		equal(t, name, strs(d.call("Principal/query", tc.args)["ids"]), tc.want)
	}
	equal(t, "unknown sort", d.refused("Principal/query", object{"sort": []object{{"property": "type"}}}), jmap.ErrorUnsupportedSort)
	equal(t, "unknown filter", d.refused("Principal/query", object{"filter": object{"x": 1}}), jmap.ErrorUnsupportedFilter)
	state := str(d.call("Principal/query", object{})["queryState"])
	d.colleague("a4")
	out := d.call("Principal/queryChanges", object{"sinceQueryState": state, "calculateTotal": true})
	equal(t, "added", out["added"], normal(t, []object{{"id": "pa4", "index": 3}}))
	equal(t, "total", []any{out["total"], strs(out["removed"])}, []any{4.0, []string{}})
	equal(t, "unknown state", d.refused("Principal/queryChanges", object{"sinceQueryState": "x"}), jmap.ErrorCannotCalculateChanges)
	equal(t, "unknown sort of changes", d.refused("Principal/queryChanges", object{"sinceQueryState": state, "sort": []object{{"property": "x"}}}), jmap.ErrorUnsupportedSort)
}

func TestPrincipalsAreNotChangedHere(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out := d.call("Principal/set", object{
		"create": object{"x": object{"name": "Mallory"}}, "update": object{"pa1": object{"name": "Mallory"}, "px": object{}}, "destroy": []string{"pa1", "py"},
	})
	kinds := func(name string) map[string]string {
		got := map[string]string{}
		for id, e := range out[name].(object) {
			got[id] = str(e.(object)["type"])
		}
		return got
	}
	equal(t, "create", kinds("notCreated"), map[string]string{"x": "forbidden"})
	equal(t, "update", kinds("notUpdated"), map[string]string{"pa1": "forbidden", "px": "notFound"})
	equal(t, "destroy", kinds("notDestroyed"), map[string]string{"pa1": "forbidden", "py": "notFound"})
	equal(t, "states", out["oldState"], out["newState"])
	equal(t, "wrong state", d.refused("Principal/set", object{"ifInState": "x"}), jmap.ErrorStateMismatch)
}

// TestUsersAreNotifiedOfShares follows RFC 9670 section 3.
func TestUsersAreNotifiedOfShares(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox, archive := d.role("inbox"), d.role("archive")
	start := v.state("ShareNotification/get")
	d.share(inbox, "a2", mayReadItems)
	got := list(v.call("ShareNotification/get", object{"ids": nil})["list"])
	equal(t, "notifications", len(got), 1)
	id := str(got[0]["id"])
	equal(t, "notification", got[0], normal(t, object{
		"id": id, "created": "2026-11-23T12:00:00Z", "changedBy": object{"name": "ann@agency.us", "email": "ann@agency.us", "principalId": "pa1"},
		"objectType": "Mailbox", "objectAccountId": "a1", "objectId": inbox, "oldRights": nil, "newRights": mayReadItems.object(), "name": "Inbox",
	}).(object))
	equal(t, "created", strs(v.call("ShareNotification/changes", object{"sinceState": start})["created"]), []string{id})
	equal(t, "nobody else hears", len(list(d.call("ShareNotification/get", object{"ids": nil})["list"])), 0)

	// Another change of the same mailbox takes its place, and one back leaves nothing to tell.
	d.share(inbox, "a2", mayReadItems|maySetSeen)
	got = list(v.call("ShareNotification/get", object{"ids": nil})["list"])
	equal(t, "coalesced", []any{len(got), got[0]["oldRights"], str(got[0]["id"]) != id}, []any{1, nil, true})
	equal(t, "gone", strs(v.call("ShareNotification/changes", object{"sinceState": start})["created"]), []string{str(got[0]["id"])})
	d.share(inbox, "a2", 0)
	equal(t, "nothing to tell", len(list(v.call("ShareNotification/get", object{"ids": nil})["list"])), 0)

	d.at = d.at.Add(time.Hour)
	d.share(archive, "a2", mayReadItems)
	made := str(list(v.call("ShareNotification/get", object{"ids": nil})["list"])[0]["id"])
	out := v.call("ShareNotification/set", object{"create": object{"x": object{}}, "update": object{made: object{"name": "x"}, "nx": object{}}})
	equal(t, "create", refusedAs(object{"notCreated": out["notCreated"]}), jmap.SetErrorForbidden)
	equal(t, "update", out["notUpdated"].(object)[made].(object)["type"], any(jmap.SetErrorForbidden))
	equal(t, "update of none", out["notUpdated"].(object)["nx"].(object)["type"], any(jmap.SetErrorNotFound))
	out = v.call("ShareNotification/set", object{"destroy": []string{made, "nx"}})
	equal(t, "dismissed", []any{strs(out["destroyed"]), refusedAs(out)}, []any{[]string{made}, jmap.SetErrorNotFound})
	equal(t, "not found", strs(v.call("ShareNotification/get", object{"ids": []string{made}})["notFound"]), []string{made})
	equal(t, "unknown property", v.refused("ShareNotification/get", object{"ids": nil, "properties": []string{"x"}}), jmap.ErrorInvalidArguments)
	d.call("Mailbox/set", object{"destroy": []string{archive}})
	got = list(v.call("ShareNotification/get", object{"ids": nil, "properties": []string{"oldRights", "newRights", "name"}})["list"])
	equal(t, "of a mailbox that is gone", []any{got[0]["name"], got[0]["newRights"], got[0]["oldRights"] != nil}, []any{"Archive", nil, true})
	equal(t, "and so is the access", v.refused("Mailbox/get", d.in(object{"ids": nil})), jmap.ErrorAccountNotFound)
}

func TestNotificationsAreQueried(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	start := str(v.call("ShareNotification/query", object{})["queryState"])
	for _, role := range []string{"inbox", "archive"} {
		d.share(d.role(role), "a2", mayReadItems)
		d.at = d.at.Add(time.Hour)
	}
	all := strs(v.call("ShareNotification/query", object{})["ids"])
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	tests := map[string]struct {
		args object
		want []string
	}{
		"after":           {object{"filter": object{"after": "2026-11-23T13:00:00Z"}}, all[1:]},
		"before":          {object{"filter": object{"before": "2026-11-23T13:00:00Z", "after": nil}}, all[:1]},
		"by type":         {object{"filter": object{"objectType": "Mailbox"}}, all},
		"by another type": {object{"filter": object{"objectType": "Calendar"}}, []string{}},
		"by account":      {object{"filter": object{"objectAccountId": "a1"}}, all},
		"by another":      {object{"filter": object{"objectAccountId": "a3"}}, []string{}},
		"newest first":    {object{"sort": []object{{"property": "created", "isAscending": false}}}, reversed},
	}
	for name, tc := range tests {
		equal(t, name, strs(v.call("ShareNotification/query", tc.args)["ids"]), tc.want)
	}
	equal(t, "unknown sort", v.refused("ShareNotification/query", object{"sort": []object{{"property": "name"}}}), jmap.ErrorUnsupportedSort)
	out := v.call("ShareNotification/queryChanges", object{"sinceQueryState": start})
	equal(t, "added", len(list(out["added"])), 2)
	equal(t, "too many", v.refused("ShareNotification/queryChanges", object{"sinceQueryState": start, "maxChanges": 1}), jmap.ErrorTooManyChanges)
	equal(t, "unknown state", v.refused("ShareNotification/queryChanges", object{"sinceQueryState": "x"}), jmap.ErrorCannotCalculateChanges)
	equal(t, "unknown state of changes", v.refused("ShareNotification/changes", object{"sinceState": "x"}), jmap.ErrorCannotCalculateChanges)
	equal(t, "unknown filter", v.refused("ShareNotification/queryChanges", object{"sinceQueryState": start, "filter": object{"x": 1}}), jmap.ErrorUnsupportedFilter)
}

// TestNoticesWaitForAnAccountThatIsWrittenElsewhere has another process hold the account of who is told.
func TestNoticesWaitForAnAccountThatIsWrittenElsewhere(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	d.at = d.at.Add(time.Hour)
	second, err := New(d.engine, Options{Owner: "second", Now: func() time.Time { return d.at }})
	if err != nil {
		t.Fatal(err)
	}
	err = second.journal.Update(t.Context(), "a2", func(tx *store.Tx) error {
		tx.Set(keys("a2").usage(), []byte("{}"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.share(d.role("inbox"), "a2", mayReadItems)
	equal(t, "waits", len(list(v.call("ShareNotification/get", object{"ids": nil})["list"])), 0)
	equal(t, "shared all the same", len(list(v.call("Mailbox/get", d.in(object{"ids": nil}))["list"])), 1)
	d.at = d.at.Add(time.Hour)
	equal(t, "comes with the next request", len(list(v.call("ShareNotification/get", object{"ids": nil})["list"])), 1)
}

func TestNotificationsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	err := d.service.journal.Update(t.Context(), "a1", func(tx *store.Tx) error {
		var notices []notification
		for i := range maxNotifications + 3 {
			notices = append(notices, notification{Created: int64(i), Account: "a2", Mailbox: fmt.Sprint("b", i), New: mayReadItems})
		}
		return newEdit(t.Context(), d.service, tx, "a1", "agency/agency").addNotifications(notices)
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := readNotifications(t.Context(), d.engine, "a1")
	equal(t, "kept", []any{len(all), all[0].Mailbox, err}, []any{maxNotifications, "b3", nil})
}

func TestManyRegisterAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	errs := make(chan error)
	for i := range 8 {
		go func() {
			errs <- d.service.Provision(t.Context(), &jmap.Principal{Tenant: "agency/agency", AccountID: fmt.Sprint("c", i), Address: "c@agency.us"})
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	// One that came too late among so many is registered by its next request.
	for i := range 8 {
		err := d.service.register(t.Context(), &jmap.Principal{Tenant: "agency/agency", AccountID: fmt.Sprint("c", i), Address: "c@agency.us"})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			t.Error(err)
		}
	}
	equal(t, "principals", len(list(d.call("Principal/get", object{"ids": nil})["list"])), 9)
}

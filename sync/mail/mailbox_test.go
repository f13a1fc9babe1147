package mail

import (
	"maps"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// setError returns the type and the properties of the SetError of one object.
func setError(out object, list, id string) (kind string, properties []string) {
	errors, _ := out[list].(object)
	one, _ := errors[id].(object)
	return str(one["type"]), strs(one["properties"])
}

func (d *desk) newMailbox(name string, more object) string {
	d.tb.Helper()
	create := object{"name": name}
	maps.Copy(create, more)
	out := d.call("Mailbox/set", object{"create": object{"x": create}})
	created, ok := out["created"].(object)
	if !ok {
		d.tb.Fatalf("create mailbox: %v", out)
	}
	return str(created["x"].(object)["id"])
}

func TestMailboxesAreCreatedWithTheirDefaults(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out := d.call("Mailbox/set", object{"create": object{
		"child":  object{"name": "Child", "parentId": "#parent"},
		"parent": object{"name": "Parent", "sortOrder": 7},
	}})
	created := out["created"].(object)
	parent, child := created["parent"].(object), created["child"].(object)
	equal(t, "parent of child", child["parentId"], parent["id"])
	equal(t, "what the client sent is not repeated", parent["sortOrder"], nil)
	equal(t, "default of isSubscribed", parent["isSubscribed"], any(true))
	equal(t, "counts", parent["totalEmails"], any(0.0))
	equal(t, "rights", len(parent["myRights"].(object)), 10)
	equal(t, "old state", out["oldState"], any("1"))
	equal(t, "new state", out["newState"], any(d.state("Mailbox/get")))
	changes := d.call("Mailbox/changes", object{"sinceState": "1"})
	equal(t, "created", len(strs(changes["created"])), 2)
	equal(t, "updatedProperties", changes["updatedProperties"], nil)
}

func TestWrongMailboxesAreRefusedWithAllThatIsWrong(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	for name, c := range map[string]struct {
		create     any
		kind       string
		properties []string
	}{
		"no name":          {object{}, "invalidProperties", []string{"name"}},
		"several":          {object{"name": "", "role": "king", "sortOrder": -1}, "invalidProperties", []string{"name", "role", "sortOrder"}},
		"control":          {object{"name": "a\u0007"}, "invalidProperties", []string{"name"}},
		"not normalized":   {object{"name": "a\u0308"}, "invalidProperties", []string{"name"}},
		"long":             {object{"name": strings.Repeat("x", 491)}, "invalidProperties", []string{"name"}},
		"wrong type":       {object{"name": 1}, "invalidProperties", []string{"name"}},
		"server-set":       {object{"name": "x", "totalEmails": 1}, "invalidProperties", []string{"totalEmails"}},
		"role in use":      {object{"name": "x", "role": "inbox"}, "invalidProperties", []string{"role"}},
		"no such parent":   {object{"name": "x", "parentId": "b999"}, "invalidProperties", []string{"parentId"}},
		"no such creation": {object{"name": "x", "parentId": "#nothing"}, "invalidProperties", []string{"parentId"}},
		"name in use":      {object{"name": "Inbox"}, "alreadyExists", []string{}},
		"not an object":    {"text", "invalidProperties", []string{}},
	} {
		out := d.call("Mailbox/set", object{"create": object{"x": c.create}})
		kind, properties := setError(out, "notCreated", "x")
		equal(t, name, []any{kind, properties}, []any{c.kind, c.properties})
	}
	for name, c := range map[string]struct {
		id, kind   string
		patch      object
		properties []string
	}{
		"no such mailbox": {"b999", "notFound", object{"name": "x"}, []string{}},
		"own child":       {inbox, "invalidProperties", object{"parentId": inbox}, []string{"parentId"}},
		"server-set":      {inbox, "invalidProperties", object{"totalThreads": 5, "id": "b9"}, []string{"id", "totalThreads"}},
		"no property":     {inbox, "invalidProperties", object{"colour": "red"}, []string{"colour"}},
		"no name":         {inbox, "invalidProperties", object{"name": nil}, []string{"name"}},
		"bad pointer":     {inbox, "invalidPatch", object{"name/x": "y"}, []string{}},
		"inbox role":      {inbox, "forbidden", object{"role": nil}, []string{}},
		"sibling's name":  {inbox, "alreadyExists", object{"name": "Trash"}, []string{}},
	} {
		out := d.call("Mailbox/set", object{"update": object{c.id: c.patch}})
		kind, properties := setError(out, "notUpdated", c.id)
		equal(t, name, []any{kind, properties}, []any{c.kind, c.properties})
	}
	equal(t, "state", d.state("Mailbox/get"), "1")
	equal(t, "stale state", d.refused("Mailbox/set", object{"ifInState": "0"}), jmap.ErrorStateMismatch)
}

func TestMailboxTreesHaveNoLoopsAndABoundedDepth(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := []string{d.newMailbox("level", nil)}
	for range maxMailboxDepth - 1 {
		ids = append(ids, d.newMailbox("level", object{"parentId": ids[len(ids)-1]}))
	}
	out := d.call("Mailbox/set", object{"create": object{"x": object{"name": "x", "parentId": ids[len(ids)-1]}}})
	kind, properties := setError(out, "notCreated", "x")
	equal(t, "too deep", []any{kind, properties}, []any{"invalidProperties", []string{"parentId"}})
	out = d.call("Mailbox/set", object{"update": object{ids[0]: object{"parentId": ids[3]}}})
	kind, _ = setError(out, "notUpdated", ids[0])
	equal(t, "loop", kind, "invalidProperties")
	out = d.call("Mailbox/set", object{"update": object{ids[0]: object{"parentId": d.role("archive")}}})
	kind, _ = setError(out, "notUpdated", ids[0])
	equal(t, "subtree too deep", kind, "invalidProperties")
	out = d.call("Mailbox/set", object{"destroy": []string{ids[0], ids[1]}})
	kind, _ = setError(out, "notDestroyed", ids[0])
	equal(t, "has children", kind, "mailboxHasChild")
	out = d.call("Mailbox/set", object{"destroy": ids})
	equal(t, "destroyed with all children", len(strs(out["destroyed"])), len(ids))
}

func TestMailboxesAreUpdatedByPatches(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.newMailbox("Old", object{"sortOrder": 3, "isSubscribed": false})
	before := list(d.call("Mailbox/get", object{"ids": []string{id}})["list"])[0]
	state := d.state("Mailbox/get")
	out := d.call("Mailbox/set", object{"update": object{id: object{"name": "New", "parentId": d.role("archive"), "id": id, "myRights": before["myRights"], "sortOrder": nil}}})
	equal(t, "not updated", out["notUpdated"], nil)
	after := list(d.call("Mailbox/get", object{"ids": []string{id}})["list"])[0]
	equal(t, "after", []any{after["name"], after["parentId"], after["sortOrder"], after["isSubscribed"]}, []any{"New", d.role("archive"), 0.0, false})
	changes := d.call("Mailbox/changes", object{"sinceState": state})
	equal(t, "updated", strs(changes["updated"]), []string{id})
	equal(t, "updatedProperties", changes["updatedProperties"], nil)
}

func TestDestroyingAMailboxKeepsOrRemovesItsEmails(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox, box := d.role("inbox"), d.newMailbox("Box", nil)
	only := d.add(box, mime("only", "Subject: only"))
	both := d.add(box, mime("both", "Subject: both"))
	d.call("Email/set", object{"update": object{both: object{"mailboxIds/" + inbox: true}}})
	out := d.call("Mailbox/set", object{"destroy": []string{box}})
	kind, _ := setError(out, "notDestroyed", box)
	equal(t, "with emails", kind, "mailboxHasEmail")
	state := d.state("Email/get")
	out = d.call("Mailbox/set", object{"destroy": []string{box, d.role("inbox"), "b999"}, "onDestroyRemoveEmails": true})
	equal(t, "destroyed", strs(out["destroyed"]), []string{box})
	kind, _ = setError(out, "notDestroyed", inbox)
	equal(t, "inbox", kind, "forbidden")
	kind, _ = setError(out, "notDestroyed", "b999")
	equal(t, "no such mailbox", kind, "notFound")
	changes := d.call("Email/changes", object{"sinceState": state})
	equal(t, "emails", []any{strs(changes["updated"]), strs(changes["destroyed"])}, []any{[]string{both}, []string{only}})
	equal(t, "counts of inbox", d.counts(inbox), [4]int{1, 1, 1, 1})
}

func TestMailboxesAreFilteredAndSorted(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	archive := d.role("archive")
	work := d.newMailbox("Work", object{"parentId": archive, "sortOrder": 2})
	d.newMailbox("äpfel", object{"parentId": archive, "sortOrder": 1, "isSubscribed": false})
	d.newMailbox("Deep", object{"parentId": work})
	names := map[string]string{}
	for _, box := range list(d.call("Mailbox/get", object{"ids": nil})["list"]) {
		names[str(box["id"])] = str(box["name"])
	}
	bySort := []object{{"property": "sortOrder"}, {"property": "name", "isAscending": false}}
	for name, c := range map[string]struct {
		args object
		want string
	}{
		"by name":       {object{"sort": []object{{"property": "name"}}}, "äpfel Archive Deep Drafts Inbox Junk Sent Trash Work"},
		"by folded":     {object{"sort": []object{{"property": "name", "collation": "i;unicode-casemap"}}}, "Archive Deep Drafts Inbox Junk Sent Trash Work äpfel"},
		"as a tree":     {object{"sort": bySort, "sortAsTree": true}, "Inbox Drafts Sent Archive äpfel Work Deep Junk Trash"},
		"flat":          {object{"sort": bySort}, "Deep äpfel Work Inbox Drafts Sent Archive Junk Trash"},
		"children":      {object{"sort": bySort, "filter": object{"parentId": archive}}, "äpfel Work"},
		"top":           {object{"sort": bySort, "filter": object{"parentId": nil, "hasAnyRole": true, "name": "R"}}, "Drafts Archive Trash"},
		"role":          {object{"filter": object{"role": "sent"}}, "Sent"},
		"no role":       {object{"sort": bySort, "filter": object{"role": nil}}, "Deep äpfel Work"},
		"subscribed":    {object{"filter": object{"isSubscribed": false}}, "äpfel"},
		"folded":        {object{"filter": object{"name": "ÄPF"}}, "äpfel"},
		"operators":     {object{"sort": bySort, "filter": object{"operator": "NOT", "conditions": []object{{"hasAnyRole": true}, {"name": "work"}}}}, "Deep äpfel"},
		"as a tree too": {object{"filterAsTree": true, "filter": object{"hasAnyRole": false}}, ""},
		"within a tree": {object{"filterAsTree": true, "sort": bySort, "sortAsTree": true, "filter": object{"operator": "OR", "conditions": []object{{"role": "archive"}, {"name": "Deep"}, {"name": "Work"}}}}, "Archive Work Deep"},
		"window":        {object{"sort": bySort, "sortAsTree": true, "position": -3, "limit": 2}, "Deep Junk"},
		"anchor":        {object{"sort": bySort, "sortAsTree": true, "anchor": work, "anchorOffset": -1, "limit": 2}, "äpfel Work"},
	} {
		var got []string
		for _, id := range strs(d.call("Mailbox/query", c.args)["ids"]) {
			got = append(got, names[id])
		}
		equal(t, name, strings.Join(got, " "), c.want)
	}
	equal(t, "total", d.call("Mailbox/query", object{"calculateTotal": true, "limit": 0})["total"], any(9.0))
	equal(t, "unknown sort", d.refused("Mailbox/query", object{"sort": []object{{"property": "id"}}}), jmap.ErrorUnsupportedSort)
	equal(t, "unknown collation", d.refused("Mailbox/query", object{"sort": []object{{"property": "name", "collation": "x"}}}), jmap.ErrorUnsupportedSort)
	equal(t, "unknown filter", d.refused("Mailbox/query", object{"filter": object{"colour": "x"}}), jmap.ErrorUnsupportedFilter)
	equal(t, "unknown anchor", d.refused("Mailbox/query", object{"anchor": "b999"}), jmap.ErrorAnchorNotFound)
}

func TestMailboxQueryChangesRebuildTheResults(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	args := func(more object) object {
		out := object{"sort": []object{{"property": "name"}}, "sortAsTree": true, "filter": object{"isSubscribed": true}}
		maps.Copy(out, more)
		return out
	}
	work := d.newMailbox("Work", nil)
	d.newMailbox("Deep", object{"parentId": work})
	gone := d.newMailbox("Gone", nil)
	before := d.call("Mailbox/query", args(nil))
	d.add(d.role("inbox"), mime("x", "Subject: x"))
	changes := d.call("Mailbox/queryChanges", args(object{"sinceQueryState": before["queryState"]}))
	equal(t, "counts do not matter", []int{len(strs(changes["removed"])), len(list(changes["added"]))}, []int{0, 0})
	d.call("Mailbox/set", object{"destroy": []string{gone}, "update": object{work: object{"name": "A"}}, "create": object{"n": object{"name": "New"}}})
	changes = d.call("Mailbox/queryChanges", args(object{"sinceQueryState": before["queryState"], "calculateTotal": true}))
	equal(t, "results", splice(strs(before["ids"]), changes), strs(d.call("Mailbox/query", args(nil))["ids"]))
	equal(t, "total", changes["total"], any(9.0))
	equal(t, "few", d.refused("Mailbox/queryChanges", args(object{"sinceQueryState": before["queryState"], "maxChanges": 1})), jmap.ErrorTooManyChanges)
}

// splice applies the changes of a query as a client does (RFC 8620 section 5.6).
func splice(ids []string, changes object) []string {
	removed := map[string]bool{}
	for _, id := range strs(changes["removed"]) {
		removed[id] = true
	}
	out := []string{}
	for _, id := range ids {
		if !removed[id] {
			out = append(out, id)
		}
	}
	for _, added := range list(changes["added"]) {
		at := min(int(added["index"].(float64)), len(out))
		out = append(out[:at], append([]string{str(added["id"])}, out[at:]...)...)
	}
	return out
}

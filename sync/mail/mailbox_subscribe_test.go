package mail

import (
	"slices"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// TestEachUserHasItsOwnSubscriptions follows isSubscribed of RFC 8621 section 2.
func TestEachUserHasItsOwnSubscriptions(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	owner := d.neighbour("agency/agency", "a2", false)
	third := *d
	third.created = map[string]string{}
	third.principal = &jmap.Principal{Tenant: "agency/agency", AccountID: "a3", Address: "eve@agency.us", Shared: d.principal.Shared}
	inbox, archive := owner.role("inbox"), owner.role("archive")
	subscribed := func(d *desk) []string {
		all := d.call("Mailbox/query", object{"accountId": "a2", "filter": object{"isSubscribed": true}})["ids"]
		var out []string
		for _, box := range list(d.call("Mailbox/get", object{"accountId": "a2", "ids": nil})["list"]) {
			if box["isSubscribed"] == true {
				out = append(out, str(box["id"]))
			}
		}
		slices.Sort(out)
		ids := strs(all)
		slices.Sort(ids)
		if len(out)+len(ids) > 0 {
			equal(t, "Mailbox/query and Mailbox/get", ids, out)
		}
		return out
	}
	ofOwner := subscribed(owner)
	equal(t, "at first", [][]string{subscribed(d), subscribed(&third)}, [][]string{nil, nil})
	state := owner.state("Mailbox/get")
	out := d.call("Mailbox/set", object{"accountId": "a2", "update": object{inbox: object{"isSubscribed": true}, archive: object{"name": "Old", "isSubscribed": false}}, "create": object{
		"k": object{"name": "Project"}, "quiet": object{"name": "Quiet", "isSubscribed": false},
	}})
	equal(t, "refused", []any{out["notUpdated"], out["notCreated"]}, []any{nil, nil})
	project := str(out["created"].(object)["k"].(object)["id"])
	equal(t, "default", out["created"].(object)["k"].(object)["isSubscribed"], any(true))
	want := []string{inbox, project}
	slices.Sort(want)
	equal(t, "subscribed", subscribed(d), want)
	equal(t, "others", [][]string{subscribed(owner), subscribed(&third)}, [][]string{ofOwner, nil})
	changes := d.call("Mailbox/changes", object{"accountId": "a2", "sinceState": state})
	equal(t, "changes", []any{len(strs(changes["created"])), changes["updatedProperties"]}, []any{2, nil})
	equal(t, "the inbox changed", slices.Contains(strs(changes["updated"]), inbox), true)

	d.call("Mailbox/set", object{"accountId": "a2", "destroy": []string{project}, "update": object{inbox: object{"isSubscribed": nil}, archive: object{"isSubscribed": true}}})
	equal(t, "changed again", subscribed(d), []string{archive})
	out = d.call("Mailbox/set", object{"accountId": "a2", "update": object{
		inbox: object{"name": "Old", "isSubscribed": true}, archive: object{"name": "Inbox", "isSubscribed": false},
	}})
	equal(t, "swapped", out["notUpdated"], nil)
	equal(t, "subscribed after a swap", subscribed(d), []string{inbox})
	equal(t, "keys left", len(owner.call("Mailbox/get", object{"ids": []string{project}})["list"].([]any)), 0)
}

func TestMailboxesThatMayOnlyBeReadSaySo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	owner := d.neighbour("agency/agency", "a2", true)
	box := list(d.call("Mailbox/get", object{"accountId": "a2", "ids": []string{owner.role("inbox")}})["list"])[0]
	for right, may := range box["myRights"].(object) {
		equal(t, right, may, any(right == "mayReadItems"))
	}
	equal(t, "its own", list(owner.call("Mailbox/get", object{"ids": nil})["list"])[0]["myRights"].(object)["mayAddItems"], any(true))
}

package mail

import "testing"

// TestNotificationsTellRightsAsTheMailboxDoes follows RFC 9670 section 3: the rights are those of myRights. Nobody may
// delete an inbox.
func TestNotificationsTellRightsAsTheMailboxDoes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	inbox := d.role("inbox")
	d.share(inbox, "a2", allRights)
	shown := list(v.call("Mailbox/get", d.in(object{"ids": []string{inbox}}))["list"])[0]["myRights"]
	told := list(v.call("ShareNotification/get", object{"ids": nil})["list"])
	equal(t, "gained", told[0]["newRights"], shown)
	equal(t, "deleting", shown.(object)["mayDelete"], any(false))
	v.call("ShareNotification/set", object{"destroy": []string{str(told[0]["id"])}})
	d.share(inbox, "a2", allRights&^mayDelete)
	equal(t, "what changes nothing", len(list(v.call("ShareNotification/get", object{"ids": nil})["list"])), 0)
	d.share(inbox, "a2", mayReadItems)
	equal(t, "lost", list(v.call("ShareNotification/get", object{"ids": nil})["list"])[0]["oldRights"], shown)
}

// TestRightsThatNobodyHasAreNotGiven holds a visitor who may share to what its myRights says.
func TestRightsThatNobodyHasAreNotGiven(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	v := d.colleague("a2")
	d.colleague("a3")
	inbox := d.role("inbox")
	d.share(inbox, "a2", allRights)
	give := func(given rights) string {
		return refusedAs(v.call("Mailbox/set", d.in(object{"update": object{inbox: object{"shareWith/pa3": given.object()}}})))
	}
	equal(t, "deleting the inbox", give(allRights), "forbidden")
	equal(t, "all else", give(allRights&^mayDelete), "")
}

// TestWarningsComeBeforeTheLimit follows RFC 9425 section 4.1: the limit to warn from is lower than the hard one.
func TestWarningsComeBeforeTheLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]int64{1: 0, 10: 9, 15: 13, 99: 89, 1000: 900, 9_000_000_000_000_000: 8_100_000_000_000_000} {
		if got := (&quota{limit: limit}).object()["warnLimit"]; got != want {
			t.Errorf("limit %d: warning from %v, want %d", limit, got, want)
		}
	}
}

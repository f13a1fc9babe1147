package mail

import (
	"testing"
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

package tenantdoc

import "testing"

func TestSharedMailboxesThatAreNotDeclaredAreWithdrawn(t *testing.T) {
	t.Parallel()
	d := valid()
	declared := d.SharedMailboxes[0].Account
	for account, want := range map[string]bool{
		declared: false, SharedAccountID(d.Tenant, "gone@agency.us"): true, "auser": false, "s": false,
	} {
		if got := d.Withdrawn(account); got != want {
			t.Errorf("account %q: withdrawn %t", account, got)
		}
	}
	d.Features.SharedMailboxes = false
	if !d.Withdrawn(declared) {
		t.Error("a tenant without the function has a shared mailbox")
	}
}

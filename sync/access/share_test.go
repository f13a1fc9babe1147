package access

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

const helpAddress = "help@agency.example"

// sharing is a tenant with one shared mailbox, of which the user has rights.
func sharing(w *world, address string, rights tenantdoc.Member) *tenantdoc.Document {
	doc := agency(w.issuer)
	doc.Features.SharedMailboxes = true
	rights.Address = address
	doc.SharedMailboxes = []tenantdoc.SharedMailbox{{
		Address: helpAddress, Name: "Help desk", Account: tenantdoc.SharedAccountID(doc.Tenant, helpAddress), Members: []tenantdoc.Member{rights},
	}}
	return doc
}

func TestMembersGetWhatTheirRightsSay(t *testing.T) {
	t.Parallel()
	const user = "user@agency.example"
	shared := []jmap.SharedAccount{{AccountID: tenantdoc.SharedAccountID("agency/agency", helpAddress), Name: "Help desk", Address: helpAddress}}
	sending := func(onBehalf bool) []jmap.SendingRight {
		return []jmap.SendingRight{{Address: helpAddress, Name: "Help desk", OnBehalf: onBehalf}}
	}
	for name, tc := range map[string]struct {
		member  string
		rights  tenantdoc.Member
		token   map[string]any
		change  func(*tenantdoc.Document)
		shared  []jmap.SharedAccount
		sending []jmap.SendingRight
	}{
		"full access":             {member: user, rights: tenantdoc.Member{FullAccess: true}, shared: shared},
		"send as":                 {member: user, rights: tenantdoc.Member{SendAs: true}, sending: sending(false)},
		"send on behalf":          {member: user, rights: tenantdoc.Member{SendOnBehalf: true}, sending: sending(true)},
		"all of it":               {member: user, rights: tenantdoc.Member{FullAccess: true, SendAs: true}, shared: shared, sending: sending(false)},
		"address in capitals":     {member: user, rights: tenantdoc.Member{FullAccess: true}, token: map[string]any{"email": "USER@Agency.Example"}, shared: shared},
		"somebody else":           {member: "other@agency.example", rights: tenantdoc.Member{FullAccess: true, SendAs: true}},
		"same name, other domain": {member: "user@agency.us", rights: tenantdoc.Member{FullAccess: true}},
		"function that is off":    {member: user, rights: tenantdoc.Member{FullAccess: true, SendAs: true}, change: func(d *tenantdoc.Document) { d.Features.SharedMailboxes = false }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			doc := sharing(w, tc.member, tc.rights)
			if tc.change != nil {
				tc.change(doc)
			}
			w.enforce(t, doc)
			p, refusal := w.admit(t, w.issuer.Token(t, noon, tc.token))
			if p == nil {
				t.Fatalf("refused with %+v", refusal)
			}
			if diff := cmp.Diff(tc.shared, p.Shared); diff != "" {
				t.Errorf("shared accounts: %s", diff)
			}
			if diff := cmp.Diff(tc.sending, p.Sending); diff != "" {
				t.Errorf("sending rights: %s", diff)
			}
		})
	}
}

func TestMembershipCountsFromTheNextRequestOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.issuer.Token(t, noon, nil)
	account := tenantdoc.SharedAccountID("agency/agency", helpAddress)
	for _, step := range []struct {
		doc  *tenantdoc.Document
		want bool
	}{
		{agency(w.issuer), false},
		{sharing(w, "user@agency.example", tenantdoc.Member{FullAccess: true}), true},
		{sharing(w, "user@agency.example", tenantdoc.Member{SendAs: true}), false},
		{sharing(w, "user@agency.example", tenantdoc.Member{FullAccess: true}), true},
		{agency(w.issuer), false},
	} {
		w.enforce(t, step.doc)
		p, refusal := w.admit(t, token)
		if p == nil {
			t.Fatalf("refused with %+v", refusal)
		}
		if p.CanRead(account) != step.want || p.CanWrite(account) != step.want {
			t.Errorf("access is %v, want %v", p.CanRead(account), step.want)
		}
	}
}

func TestMailboxWithoutANameIsShownByItsAddress(t *testing.T) {
	t.Parallel()
	if got := SharedAccount(&tenantdoc.SharedMailbox{Address: helpAddress, Account: "s"}); got.Name != helpAddress {
		t.Errorf("name %q", got.Name)
	}
}

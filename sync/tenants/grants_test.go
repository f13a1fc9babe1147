package tenants

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// sharing gives a document shared mailboxes.
func sharing(d *tenantdoc.Document) {
	d.Features.SharedMailboxes = true
	d.SharedMailboxes = []tenantdoc.SharedMailbox{
		{Address: "help@agency.example", Account: tenantdoc.SharedAccountID(d.Tenant, "help@agency.example"), Members: []tenantdoc.Member{
			{Address: "ada@agency.example", FullAccess: true}, {Address: "ben@agency.example", SendAs: true},
		}},
		{Address: "info@agency.example", Account: tenantdoc.SharedAccountID(d.Tenant, "info@agency.example"), Members: []tenantdoc.Member{
			{Address: "ada@agency.example", SendOnBehalf: true},
		}},
	}
}

// granted names what a user has, through the candidates of an issuer.
func granted(s *Set, tenant, user string) []string {
	var addresses []string
	for _, c := range s.ByIssuer("https://login.example/" + tenant) {
		for _, g := range c.Grants.Of(user) {
			addresses = append(addresses, g.Mailbox.Address)
		}
	}
	return addresses
}

func TestGrantsAreFoundByMember(t *testing.T) {
	t.Parallel()
	s := newSet()
	s.Put(Input{Source: "a", Raw: encode(t, document("n/a", 1, sharing))})
	s.Put(Input{Source: "b", Raw: encode(t, document("n/b", 1, nil))})
	for user, want := range map[string][]string{
		"ada@agency.example": {"help@agency.example", "info@agency.example"},
		"Ben@Agency.Example": {"help@agency.example"},
		"eve@agency.example": nil,
		"":                   nil,
	} {
		if diff := cmp.Diff(want, granted(s, "n/a", user)); diff != "" {
			t.Errorf("%q: %s", user, diff)
		}
		var direct []string
		for _, g := range s.GrantsOf("n/a", user) {
			direct = append(direct, g.Mailbox.Address)
		}
		if diff := cmp.Diff(want, direct); diff != "" {
			t.Errorf("%q by the tenant: %s", user, diff)
		}
		if got := granted(s, "n/b", user); got != nil {
			t.Errorf("%q has %v of another tenant", user, got)
		}
	}
}

func TestGrantsFollowTheDocument(t *testing.T) {
	t.Parallel()
	s := newSet()
	put := func(generation int64, change func(*tenantdoc.Document)) {
		s.Put(Input{Source: "a", Raw: encode(t, document("n/a", generation, change))})
	}
	put(1, sharing)
	put(2, func(d *tenantdoc.Document) {
		sharing(d)
		d.SharedMailboxes[0].Members = d.SharedMailboxes[0].Members[1:]
	})
	if diff := cmp.Diff([]string{"info@agency.example"}, granted(s, "n/a", "ada@agency.example")); diff != "" {
		t.Error(diff)
	}
	s.Put(Input{Source: "a", Raw: []byte("{")})
	if diff := cmp.Diff([]string{"help@agency.example"}, granted(s, "n/a", "ben@agency.example")); diff != "" {
		t.Errorf("a refused document takes grants away: %s", diff)
	}
	put(3, func(d *tenantdoc.Document) {
		sharing(d)
		d.Features.SharedMailboxes = false
	})
	if got := granted(s, "n/a", "ben@agency.example"); got != nil {
		t.Errorf("grants %v while the tenant does not use shared mailboxes", got)
	}
}

func TestWatchTellsOfItsTenantAlone(t *testing.T) {
	t.Parallel()
	s := newSet()
	put := func(tenant string, generation int64) {
		s.Put(Input{Source: tenant, Raw: encode(t, document(tenant, generation, nil))})
	}
	put("n/a", 1)
	changes, cancel := s.Watch("n/a")
	told := func() bool {
		select {
		case <-changes:
			return true
		default:
			return false
		}
	}
	if !told() {
		t.Error("a watch does not begin with a look")
	}
	put("n/b", 1)
	put("n/a", 1)
	if told() {
		t.Error("told of another tenant, or of no change")
	}
	put("n/a", 2)
	if !told() {
		t.Error("not told of a change")
	}
	s.Remove("n/a")
	if !told() {
		t.Error("not told of the removal")
	}
	cancel()
	cancel()
	put("n/a", 3)
	if told() || len(s.watchers.byName) != 0 {
		t.Error("a watch outlives its end")
	}
}

package push

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

func TestTenantDocumentsDecideWhomPushesReach(t *testing.T) {
	t.Parallel()
	holder := Holder{Account: "a1", Tenant: "agency/agency", Address: "ann@agency.us", Client: "phone"}
	tests := map[string]struct {
		change func(d *tenantdoc.Document)
		holder func(h *Holder)
		want   []string
	}{
		"as it was":                   {want: []string{"a1"}},
		"suspended":                   {change: func(d *tenantdoc.Document) { d.Suspended = true }},
		"other tenant":                {holder: func(h *Holder) { h.Tenant = "agency/other" }},
		"domain that was given up":    {change: func(d *tenantdoc.Document) { d.Domains = []string{"agency.example"} }},
		"application that is refused": {change: func(d *tenantdoc.Document) { d.Issuers[0].ClientIDs = []string{"desktop"} }},
		"application that is allowed": {change: func(d *tenantdoc.Document) { d.Issuers[0].ClientIDs = []string{"desktop", "phone"} }, want: []string{"a1"}},
		"member of shared mailboxes":  {change: share(true), want: []string{"a1", tenantdoc.SharedAccountID("agency/agency", "help@agency.us")}},
		"shared mailboxes turned off": {change: share(false), want: []string{"a1"}},
	}
	for name, tc := range tests {
		doc := document()
		if tc.change != nil {
			tc.change(doc)
		}
		h := holder
		if tc.holder != nil {
			tc.holder(&h)
		}
		raw, err := tenantdoc.Encode(doc)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		set := tenants.NewSet(tenants.Scope{}, slog.New(slog.DiscardHandler))
		set.Put(tenants.Input{Source: "agency", Raw: raw})
		if diff := cmp.Diff(tc.want, Documents{Set: set}.Accounts(h)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		set.Remove("agency")
		if got := (Documents{Set: set}).Accounts(h); got != nil {
			t.Errorf("%s: %v although the tenant is gone", name, got)
		}
	}
}

// share gives the holder full access to one shared mailbox, and a lesser right to another.
func share(on bool) func(d *tenantdoc.Document) {
	return func(d *tenantdoc.Document) {
		d.Features.SharedMailboxes = on
		for address, member := range map[string]tenantdoc.Member{
			"help@agency.us": {Address: "ann@agency.us", FullAccess: true}, "info@agency.us": {Address: "ann@agency.us", SendAs: true},
		} {
			d.SharedMailboxes = append(d.SharedMailboxes, tenantdoc.SharedMailbox{
				Address: address, Account: tenantdoc.SharedAccountID(d.Tenant, address), Members: []tenantdoc.Member{member},
			})
		}
	}
}

func document() *tenantdoc.Document {
	return &tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: "agency/agency", UID: "u", Generation: 1, Cloud: "gcc-high",
		Domains: []string{"agency.us"}, Region: "regions/virginia",
		Regions: []tenantdoc.Region{{Name: "regions/virginia", Geography: "NAM", URL: "https://virginia.example", Home: true}},
		Issuers: []tenantdoc.Issuer{{
			Profile: tenantdoc.ProfileRFC9068, Issuer: "https://login.example", JWKSURI: "https://login.example/keys",
			AllowedHosts: []string{"login.example"}, Audiences: []string{"mail"}, Algorithms: []string{"RS256"},
			Claims: tenantdoc.Claims{Address: []string{"email"}, Name: []string{"name"}, PreferredDataLocation: "xms_pdl"},
		}},
	}
}

package push

import (
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// Documents is the Standing that the tenant documents of the region give.
type Documents struct {
	// Set holds the documents.
	Set *tenants.Set
}

// Accounts is the holder's own account, and the shared mailboxes that it may read, while
// its tenant is served here as it was when the subscription was made: not suspended, with
// this region and the holder's domain and client application.
func (d Documents) Accounts(h Holder) []string {
	doc := d.Set.ByTenant(h.Tenant)
	if doc == nil || doc.Suspended {
		return nil
	}
	_, domain, _ := strings.Cut(h.Address, "@")
	here := slices.ContainsFunc(doc.Regions, func(r tenantdoc.Region) bool { return r.Name == doc.Region })
	client := slices.ContainsFunc(doc.Issuers, func(i tenantdoc.Issuer) bool {
		return len(i.ClientIDs) == 0 || slices.Contains(i.ClientIDs, h.Client)
	})
	if !here || !client || !slices.Contains(doc.Domains, domain) {
		return nil
	}
	accounts := []string{h.Account}
	for _, grant := range d.Set.GrantsOf(h.Tenant, h.Address) {
		if grant.Member.FullAccess {
			accounts = append(accounts, grant.Mailbox.Account)
		}
	}
	return accounts
}

package main

import (
	"github.com/bailiwick-dev/bailiwick/sync/mail"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// homes tells the mailboxes which domains the enforced documents home in the region.
type homes struct{ documents *tenants.Set }

// Home returns the home of a domain.
func (h homes) Home(domain string) (mail.Home, bool) {
	doc := h.documents.ByDomain(domain)
	if doc == nil {
		return mail.Home{}, false
	}
	return mail.Home{Tenant: doc.Tenant, Suspended: doc.Suspended, Elsewhere: len(doc.Regions) > 1, Withdrawn: doc.Withdrawn}, true
}

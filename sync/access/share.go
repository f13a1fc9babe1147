package access

import (
	"cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// share gives a principal what it may do with the shared mailboxes of its tenant. A
// member is known by address, the name under which the tenant's administrator knows
// people: whoever the issuer gives the address to has the rights.
func share(p *jmap.Principal, grants []tenants.Grant) {
	for _, g := range grants {
		if g.Member.FullAccess {
			p.Shared = append(p.Shared, SharedAccount(g.Mailbox))
		}
		if g.Member.SendAs || g.Member.SendOnBehalf {
			p.Sending = append(p.Sending, jmap.SendingRight{Address: g.Mailbox.Address, Name: g.Mailbox.Name, OnBehalf: g.Member.SendOnBehalf})
		}
	}
}

// SharedAccount is the account of a shared mailbox, as its members see it.
func SharedAccount(m *tenantdoc.SharedMailbox) jmap.SharedAccount {
	return jmap.SharedAccount{AccountID: m.Account, Name: cmp.Or(m.Name, m.Address), Address: m.Address}
}

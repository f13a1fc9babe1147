package tenants

import (
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Grant is what a member may do with a shared mailbox.
type Grant struct {
	// Mailbox is the shared mailbox.
	Mailbox *tenantdoc.SharedMailbox
	// Member holds the rights.
	Member tenantdoc.Member
}

// Grants finds the shared mailboxes of a tenant by their members, so that a request
// costs what its user has, and not what the tenant has.
type Grants struct {
	byMember map[string][]Grant
}

// newGrants makes the grants of a document; nil when nobody has any.
func newGrants(doc *tenantdoc.Document) *Grants {
	if !doc.Features.SharedMailboxes || len(doc.SharedMailboxes) == 0 {
		return nil
	}
	g := &Grants{byMember: map[string][]Grant{}}
	for i := range doc.SharedMailboxes {
		m := &doc.SharedMailboxes[i]
		for _, member := range m.Members {
			g.byMember[member.Address] = append(g.byMember[member.Address], Grant{Mailbox: m, Member: member})
		}
	}
	return g
}

// Of gives the grants of a user, by address without regard to case, in the order of
// the document. The result must not be changed.
func (g *Grants) Of(address string) []Grant {
	if g == nil {
		return nil
	}
	return g.byMember[strings.ToLower(address)]
}

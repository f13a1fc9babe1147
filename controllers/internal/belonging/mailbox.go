package belonging

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

var mailboxKind = kind{
	noun: "shared mailbox", plural: "shared mailboxes", feature: "sharedMailboxes",
	on: func(f v1alpha1.TenantFeatures) bool { return f.SharedMailboxes },
}

// Mailbox is what becomes of a shared mailbox.
type Mailbox struct {
	// Region is where it lives; empty while it is nowhere.
	Region v1alpha1.RegionReference
	// Entry is what the tenant's document in that region says.
	Entry tenantdoc.SharedMailbox
	// Problem is why it is not as declared; nil when it is. One that has a region all
	// the same goes on being served there.
	Problem *Problem
	// Note is what a person should know of one that is accepted; may be empty.
	Note string
}

// Served tells whether the mailbox belongs into the document of its region.
func (m *Mailbox) Served() bool { return m.Region != v1alpha1.RegionReference{} }

// JudgeMailbox says what becomes of a shared mailbox. Rivals are those of the tenant
// with its address, itself among them or not.
func JudgeMailbox(t *Tenant, m *v1alpha1.SharedMailbox, rivals []*v1alpha1.SharedMailbox) Mailbox {
	for _, refuse := range []func() *Problem{
		func() *Problem { return t.without(mailboxKind, m.Namespace, m.Spec.Tenant) },
		func() *Problem { return t.strange(m) },
		func() *Problem { return taken(m, rivals) },
	} {
		if p := refuse(); p != nil {
			return Mailbox{Problem: p}
		}
	}
	v := Mailbox{Entry: mailboxEntry(t, m)}
	v.Region, v.Problem = t.place(m)
	if v.Problem == nil {
		v.Note = outsiders(t, m)
	}
	return v
}

// strange tells why the address is none of the tenant's.
func (t *Tenant) strange(m *v1alpha1.SharedMailbox) *Problem {
	_, host, _ := strings.Cut(string(m.Spec.Address), "@")
	domain := v1alpha1.MailDomain(strings.ToLower(host))
	switch {
	case slices.Contains(t.Held, domain):
		return nil
	case !slices.Contains(t.Object.Spec.Domains, domain):
		return &Problem{Reason: v1alpha1.ReasonDomainNotOfTenant, Message: fmt.Sprintf("spec.address: domain %q is none of tenant %q (%s): create the shared mailbox with an address in one of them, or add the domain to the tenant", domain, t.Object.Name, enumerate(domainsOf(t.Object)))}
	default:
		return &Problem{Reason: v1alpha1.ReasonTenantNotReady, Temporary: true, Message: fmt.Sprintf("tenant %q does not hold domain %q: see its condition DomainsReady", t.Object.Name, domain)}
	}
}

func domainsOf(t *v1alpha1.Tenant) []string {
	domains := make([]string, 0, len(t.Spec.Domains))
	for _, domain := range t.Spec.Domains {
		domains = append(domains, string(domain))
	}
	slices.Sort(domains)
	return domains
}

func taken(m *v1alpha1.SharedMailbox, rivals []*v1alpha1.SharedMailbox) *Problem {
	for _, r := range rivals {
		if r.Name != m.Name && r.Spec.Tenant == m.Spec.Tenant && address(r) == address(m) && !gone(r) && before(r, m) {
			return &Problem{Reason: v1alpha1.ReasonAddressTaken, Message: fmt.Sprintf("address %q belongs to shared mailbox %q, which is older: delete one of the two", m.Spec.Address, r.Name)}
		}
	}
	return nil
}

// place says where the mailbox lives. One that has a region keeps it for as long as
// the tenant is there: its mail does not move because somebody edits a field.
func (t *Tenant) place(m *v1alpha1.SharedMailbox) (v1alpha1.RegionReference, *Problem) {
	code := m.Spec.Geography
	if code == "" {
		code = t.home()
	}
	wanted, ok := t.in(code)
	current, lives := t.has(m.Status.Region)
	switch {
	case ok && (m.Status.Region == "" || m.Status.Region == wanted.String()):
		return wanted, nil
	case m.Spec.Geography == "" && !ok:
		return current, &Problem{Reason: v1alpha1.ReasonTenantNotReady, Temporary: true, Message: fmt.Sprintf("the home region of tenant %q does not take it yet: see its condition RegionsReady", t.Object.Name)}
	case !ok && len(t.geographies()) == 0:
		return current, &Problem{Reason: v1alpha1.ReasonTenantNotReady, Temporary: true, Message: fmt.Sprintf("no region takes tenant %q yet: see its condition RegionsReady", t.Object.Name)}
	case !ok:
		return current, &Problem{Reason: v1alpha1.ReasonGeographyNotOfTenant, Message: fmt.Sprintf("spec.geography: tenant %q has no region in %q: choose one of its geographies (%s), or add a region there to the tenant", t.Object.Name, code, t.geographies())}
	case lives:
		return current, &Problem{Reason: v1alpha1.ReasonMailboxElsewhere, Message: fmt.Sprintf("the mailbox lives in region %q and is served there, spec.geography means %q: mail does not move by itself, set spec.geography back; or delete the shared mailbox and create it again to begin with an empty one", current, wanted)}
	default:
		return v1alpha1.RegionReference{}, &Problem{Reason: v1alpha1.ReasonMailboxElsewhere, Message: fmt.Sprintf("the mailbox lives in region %q, which tenant %q has left: add the region to the tenant again; or delete the shared mailbox and create it again to begin with an empty one in %q", m.Status.Region, t.Object.Name, wanted)}
	}
}

// outsiders names the members that can never use the mailbox.
func outsiders(t *Tenant, m *v1alpha1.SharedMailbox) string {
	var names []string
	for _, member := range m.Spec.Members {
		_, host, _ := strings.Cut(string(member.User), "@")
		if !slices.Contains(t.Object.Spec.Domains, v1alpha1.MailDomain(host)) {
			names = append(names, fmt.Sprintf("%q", member.User))
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return fmt.Sprintf("member %s is in no domain of tenant %q and has no access", enumerate(names), t.Object.Name)
}

func address(m *v1alpha1.SharedMailbox) string {
	return strings.ToLower(string(m.Spec.Address))
}

// mailboxEntry renders a mailbox. Addresses are compared without regard to case, so
// members that differ in nothing else are one, with the rights of both.
func mailboxEntry(t *Tenant, m *v1alpha1.SharedMailbox) tenantdoc.SharedMailbox {
	entry := tenantdoc.SharedMailbox{
		Address: address(m),
		Name:    m.Spec.DisplayName,
		Account: tenantdoc.SharedAccountID(t.Object.Namespace+"/"+t.Object.Name, address(m)),
	}
	rights := map[string]tenantdoc.Member{}
	for _, member := range m.Spec.Members {
		user := strings.ToLower(string(member.User))
		has := rights[user]
		has.Address = user
		has.FullAccess = has.FullAccess || slices.Contains(member.Rights, v1alpha1.RightFullAccess)
		has.SendAs = has.SendAs || slices.Contains(member.Rights, v1alpha1.RightSendAs)
		has.SendOnBehalf = (has.SendOnBehalf || slices.Contains(member.Rights, v1alpha1.RightSendOnBehalf)) && !has.SendAs
		rights[user] = has
	}
	for _, member := range rights {
		entry.Members = append(entry.Members, member)
	}
	slices.SortFunc(entry.Members, func(a, b tenantdoc.Member) int { return strings.Compare(a.Address, b.Address) })
	return entry
}

// Mailboxes are the shared mailboxes of a tenant by the region that serves them,
// sorted by address. One that is paused stays as the documents have it.
func Mailboxes(t *Tenant, all []*v1alpha1.SharedMailbox, given func(v1alpha1.RegionReference) []tenantdoc.SharedMailbox) map[v1alpha1.RegionReference][]tenantdoc.SharedMailbox {
	byAddress := map[string][]*v1alpha1.SharedMailbox{}
	for _, m := range all {
		byAddress[address(m)] = append(byAddress[address(m)], m)
	}
	served := map[v1alpha1.RegionReference][]tenantdoc.SharedMailbox{}
	for _, m := range all {
		v := JudgeMailbox(t, m, byAddress[address(m)])
		if gone(m) || !v.Served() {
			continue
		}
		if Paused(m) {
			have := slices.IndexFunc(given(v.Region), func(e tenantdoc.SharedMailbox) bool { return e.Account == v.Entry.Account })
			if have < 0 {
				continue
			}
			v.Entry = given(v.Region)[have]
		}
		served[v.Region] = append(served[v.Region], v.Entry)
	}
	for _, list := range served {
		slices.SortFunc(list, func(a, b tenantdoc.SharedMailbox) int { return strings.Compare(a.Address, b.Address) })
	}
	return served
}

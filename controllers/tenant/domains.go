package tenant

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// namedAtMost is how many names a message lists.
const namedAtMost = 5

// ledger remembers who holds a domain from the moment that it was decided until
// status says so: a cache that is behind must not make a second holder. What it
// forgets on a restart, status.heldDomains tells.
type ledger struct {
	mu      sync.Mutex
	holders map[claim]string
}

// claim is one domain in one cloud.
type claim struct{ cloud, domain string }

// holder decides who holds a domain among the tenants that claim it, or still serve
// it: whoever was decided on before, then who holds it by its status, then the
// oldest, then the first by name.
func (l *ledger) holder(c claim, claimants []*v1alpha1.Tenant) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := make([]string, 0, len(claimants))
	for _, t := range claimants {
		names = append(names, nameOf(t))
	}
	if before, ok := l.holders[c]; ok && slices.Contains(names, before) {
		return before
	}
	if len(claimants) == 0 {
		delete(l.holders, c)
		return ""
	}
	first := slices.MinFunc(claimants, func(a, b *v1alpha1.Tenant) int {
		return cmp.Or(
			compareBool(holds(b, c.domain), holds(a, c.domain)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			strings.Compare(nameOf(a), nameOf(b)),
		)
	})
	if l.holders == nil {
		l.holders = map[claim]string{}
	}
	l.holders[c] = nameOf(first)
	return nameOf(first)
}

// forget drops what a tenant that is gone held.
func (l *ledger) forget(tenant string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.holders, func(_ claim, holder string) bool { return holder == tenant })
}

func holds(t *v1alpha1.Tenant, domain string) bool {
	return slices.Contains(t.Status.HeldDomains, v1alpha1.MailDomain(domain))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

func nameOf(t *v1alpha1.Tenant) string {
	return t.Namespace + "/" + t.Name
}

// domainsVerdict is what the domains of a tenant come to.
type domainsVerdict struct {
	// held are the domains of the spec that the tenant holds, sorted.
	held []v1alpha1.MailDomain
	// contested are those that another tenant holds, sorted.
	contested []v1alpha1.MailDomain
	condition conditions.Dependent
}

func judgeDomains(f *Facts) domainsVerdict {
	var v domainsVerdict
	for _, domain := range f.Tenant.Spec.Domains {
		if f.Holders[domain] == nameOf(f.Tenant) {
			v.held = append(v.held, domain)
		} else {
			v.contested = append(v.contested, domain)
		}
	}
	slices.Sort(v.held)
	slices.Sort(v.contested)
	if len(v.contested) == 0 {
		v.condition = conditions.True(v1alpha1.ConditionDomainsReady, v1alpha1.ReasonDomainsHeld, "")
		return v
	}
	conflicts := make([]string, 0, len(v.contested))
	for _, domain := range v.contested {
		conflicts = append(conflicts, fmt.Sprintf("domain %q is held by tenant %q", domain, f.Holders[domain]))
	}
	v.condition = conditions.Blocked(v1alpha1.ConditionDomainsReady, v1alpha1.ReasonDomainConflict,
		fmt.Sprintf("%s: a domain belongs to one tenant of cloud %q: remove it from spec.domains here, or from the other tenant", enumerate(conflicts), f.Tenant.Spec.Cloud))
	return v
}

// enumerate joins names and says how many it leaves out.
func enumerate(names []string) string {
	if len(names) <= namedAtMost {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:namedAtMost], ", "), len(names)-namedAtMost)
}

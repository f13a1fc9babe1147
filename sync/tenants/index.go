package tenants

import (
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// index finds enforced documents. Its slices are replaced and never changed, so that
// readers may keep them.
type index struct {
	sources map[string][]string // by tenant, sorted
	tenants map[string]Status   // by tenant
	issuers map[string][]Candidate
	domains map[string][]*tenantdoc.Document // sorted by tenant
}

func newIndex() index {
	return index{
		sources: map[string][]string{}, tenants: map[string]Status{}, issuers: map[string][]Candidate{},
		domains: map[string][]*tenantdoc.Document{},
	}
}

// join says that a source is about a tenant.
func (x *index) join(tenant, source string, entries map[string]*entry) {
	sources := append(slices.Clone(x.sources[tenant]), source)
	slices.Sort(sources)
	x.sources[tenant] = sources
	x.settle(tenant, entries)
}

// leave says that a source is no longer about a tenant, if it was.
func (x *index) leave(tenant, source string, entries map[string]*entry) {
	sources := slices.DeleteFunc(slices.Clone(x.sources[tenant]), func(s string) bool { return s == source })
	x.sources[tenant] = sources
	if len(sources) == 0 {
		delete(x.sources, tenant)
	}
	x.settle(tenant, entries)
}

// settle brings the tenant up to date after its sources changed.
func (x *index) settle(tenant string, entries map[string]*entry) {
	before := x.tenants[tenant]
	after, known := judge(x.sources[tenant], entries)
	if known {
		x.tenants[tenant] = after
	} else {
		delete(x.tenants, tenant)
	}
	if before.Document != after.Document {
		x.unlink(before.Document)
		x.link(after.Document, after.grants)
	}
}

// judge says what the sources of a tenant come to. Of two documents the first, by
// source, is enforced.
func judge(sources []string, entries map[string]*entry) (status Status, known bool) {
	for _, source := range sources {
		e := entries[source]
		if status.Document != nil {
			status.Refused = source + ": a second document of the same tenant: remove one of them"
			return status, true
		}
		status = Status{Document: e.doc, Refused: e.refused, grants: e.grants}
	}
	return status, len(sources) > 0
}

func (x *index) link(doc *tenantdoc.Document, grants *Grants) {
	if doc == nil {
		return
	}
	for _, domain := range doc.Domains {
		documents := append(slices.Clone(x.domains[domain]), doc)
		slices.SortStableFunc(documents, func(a, b *tenantdoc.Document) int { return strings.Compare(a.Tenant, b.Tenant) })
		x.domains[domain] = documents
	}
	for i := range doc.Issuers {
		issuer := &doc.Issuers[i]
		for _, name := range spellings(issuer) {
			candidates := append(slices.Clone(x.issuers[name]), Candidate{Document: doc, Issuer: issuer, Grants: grants})
			slices.SortStableFunc(candidates, func(a, b Candidate) int { return strings.Compare(a.Document.Tenant, b.Document.Tenant) })
			x.issuers[name] = candidates
		}
	}
}

func (x *index) unlink(doc *tenantdoc.Document) {
	if doc == nil {
		return
	}
	for _, domain := range doc.Domains {
		rest := slices.DeleteFunc(slices.Clone(x.domains[domain]), func(d *tenantdoc.Document) bool { return d == doc })
		x.domains[domain] = rest
		if len(rest) == 0 {
			delete(x.domains, domain)
		}
	}
	for i := range doc.Issuers {
		for _, name := range spellings(&doc.Issuers[i]) {
			rest := slices.DeleteFunc(slices.Clone(x.issuers[name]), func(c Candidate) bool { return c.Document == doc })
			x.issuers[name] = rest
			if len(rest) == 0 {
				delete(x.issuers, name)
			}
		}
	}
}

// spellings are all names under which an issuer's tokens may come, each once.
func spellings(issuer *tenantdoc.Issuer) []string {
	names := append([]string{issuer.Issuer}, issuer.Aliases...)
	slices.Sort(names)
	return slices.Compact(names)
}

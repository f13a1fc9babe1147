// Package label is what a tenant's sensitivity labels mean for mail: how a message carries one, what a client is told
// of them, what a label adds to a message that is composed, and what it forbids.
package label

import (
	"slices"
	"time"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Set is the labels of one tenant. The nil set has none.
type Set struct {
	doc *tenantdoc.Document
}

// Source tells the labels of a tenant ("namespace/name") at the time of the call; nil when it uses none.
type Source func(tenant string) *Set

// Of returns the labels of a tenant document, or nil when the tenant uses none.
func Of(doc *tenantdoc.Document) *Set {
	if doc == nil || !doc.Features.SensitivityLabels {
		return nil
	}
	return &Set{doc: doc}
}

// All returns the labels, the lowest rank first. They must not be changed.
func (s *Set) All() []tenantdoc.Label {
	if s == nil {
		return nil
	}
	return s.doc.Labels
}

// Find returns a label by id, or nil.
func (s *Set) Find(id string) *tenantdoc.Label {
	all := s.All()
	i := slices.IndexFunc(all, func(l tenantdoc.Label) bool { return l.ID == id })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// Highest returns the highest of the labels with these ids, or nil when none is of the tenant: a message may carry
// labels of the tenants that it passed through.
func (s *Set) Highest(ids []string) *tenantdoc.Label {
	for i, l := range slices.Backward(s.All()) {
		if slices.Contains(ids, l.ID) {
			return &s.doc.Labels[i]
		}
	}
	return nil
}

// Effective returns the label of a stored message: the one that was set on it, where that is of the tenant, and else
// what its header carries. Set is nil when none was set, and empty when the label was taken off.
func (s *Set) Effective(header []string, set *string) *tenantdoc.Label {
	if set != nil {
		return s.Find(*set)
	}
	return s.Highest(header)
}

// Value is the value of the msip_labels field of a message that is composed with a label.
func (s *Set) Value(l *tenantdoc.Label, now time.Time) string {
	site := s.doc.UID
	for i := range s.doc.Issuers {
		if id := s.doc.Issuers[i].DirectoryID; id != "" {
			site = id
			break
		}
	}
	return format(l.ID, now, site)
}

// ID returns the id of a label for a property: nil when there is none.
func ID(l *tenantdoc.Label) *string {
	if l == nil {
		return nil
	}
	return &l.ID
}

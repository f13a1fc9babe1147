// Package belonging judges what belongs to a tenant beside its users: its shared
// mailboxes and its sensitivity labels. The controllers of these kinds tell the
// verdicts, and the controller of tenants renders what passes into the documents of
// the regions. One judgement for both keeps them from telling different stories.
package belonging

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// namedAtMost is how many names a message lists.
const namedAtMost = 5

// Tenant is what a judgement has to know of a tenant.
type Tenant struct {
	// Object is the tenant; nil when it does not exist.
	Object *v1alpha1.Tenant
	// Held are the domains that the tenant holds.
	Held []v1alpha1.MailDomain
	// Places are the regions of the tenant, the home region first.
	Places []Place
}

// Place is one region of a tenant.
type Place struct {
	// Region is the region itself.
	Region v1alpha1.RegionReference
	// Geography of the region; empty when the region does not take the tenant.
	Geography v1alpha1.GeographyCode
}

// FromStatus is a tenant as its status tells of it.
func FromStatus(t *v1alpha1.Tenant) *Tenant {
	if t == nil {
		return &Tenant{}
	}
	known := &Tenant{Object: t}
	for _, domain := range t.Status.HeldDomains {
		if slices.Contains(t.Spec.Domains, domain) {
			known.Held = append(known.Held, domain)
		}
	}
	for i := range t.Status.Regions {
		r := &t.Status.Regions[i]
		known.Places = append(known.Places, Place{
			Region:    v1alpha1.RegionReference{Namespace: r.Namespace, Name: r.Name},
			Geography: r.Geography,
		})
	}
	return known
}

// Problem is why a tenant cannot have something.
type Problem struct {
	// Reason and Message are those of the condition that tells.
	Reason, Message string
	// Temporary problems go away without anybody's help.
	Temporary bool
}

// kind is what a kind of belongings is called, and the feature that it needs.
type kind struct {
	noun, plural, feature string
	on                    func(v1alpha1.TenantFeatures) bool
}

// without tells why the tenant can have nothing of a kind; nil when it can.
func (t *Tenant) without(k kind, namespace string, name v1alpha1.ObjectName) *Problem {
	switch {
	case t.Object == nil:
		return &Problem{Reason: v1alpha1.ReasonTenantNotFound, Message: fmt.Sprintf("tenant %q of spec.tenant does not exist in namespace %q: create it, or create the %s in the namespace of its tenant", name, namespace, k.noun)}
	case !t.Object.DeletionTimestamp.IsZero():
		return &Problem{Reason: v1alpha1.ReasonTenantNotReady, Message: fmt.Sprintf("tenant %q is being deleted: create the %s in another", name, k.noun)}
	case !k.on(t.Object.Spec.Features):
		return &Problem{Reason: v1alpha1.ReasonFeatureOff, Message: fmt.Sprintf("tenant %q does not use %s: set spec.features.%s of the tenant to true", name, k.plural, k.feature)}
	}
	return nil
}

// home is the geography of the home region; empty while it does not take the tenant.
func (t *Tenant) home() v1alpha1.GeographyCode {
	if len(t.Places) == 0 {
		return ""
	}
	return t.Places[0].Geography
}

func (t *Tenant) in(geography v1alpha1.GeographyCode) (v1alpha1.RegionReference, bool) {
	i := slices.IndexFunc(t.Places, func(p Place) bool { return geography != "" && p.Geography == geography })
	if i < 0 {
		return v1alpha1.RegionReference{}, false
	}
	return t.Places[i].Region, true
}

// has tells whether the tenant is in a region, by its "namespace/name".
func (t *Tenant) has(region string) (v1alpha1.RegionReference, bool) {
	i := slices.IndexFunc(t.Places, func(p Place) bool { return p.Geography != "" && p.Region.String() == region })
	if i < 0 {
		return v1alpha1.RegionReference{}, false
	}
	return t.Places[i].Region, true
}

func (t *Tenant) geographies() string {
	codes := make([]string, 0, len(t.Places))
	for _, p := range t.Places {
		if p.Geography != "" {
			codes = append(codes, string(p.Geography))
		}
	}
	slices.Sort(codes)
	return enumerate(codes)
}

// before tells whether a was there before b: of two that claim the same thing the
// older has it, and of two of one second the first by name.
func before(a, b metav1.Object) bool {
	created, other := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	return cmp.Or(created.Compare(other.Time), strings.Compare(a.GetName(), b.GetName())) < 0
}

// Paused tells whether an object is left as it is.
func Paused(obj metav1.Object) bool {
	return obj.GetAnnotations()[v1alpha1.AnnotationPaused] == "true"
}

func gone(obj metav1.Object) bool {
	return !obj.GetDeletionTimestamp().IsZero()
}

// enumerate joins names and says how many it leaves out.
func enumerate(names []string) string {
	if len(names) <= namedAtMost {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:namedAtMost], ", "), len(names)-namedAtMost)
}

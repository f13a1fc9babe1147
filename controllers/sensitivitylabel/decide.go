package sensitivitylabel

import (
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// Decision is what a label comes to.
type Decision struct {
	// Paused leaves everything as it is.
	Paused bool
	// Deleting tells that the object goes, and somebody else's finalizer holds it.
	Deleting bool
	// Verdict says whether the tenant can have the label.
	Verdict belonging.Label
	// Behind are the regions that are not given the label as it is declared, sorted.
	Behind []string
	// Nowhere tells that no region has a document of the tenant.
	Nowhere bool
}

// decide says what a label comes to. It is pure.
func decide(f *Facts) Decision {
	d := Decision{Paused: belonging.Paused(f.Label), Deleting: !f.Label.DeletionTimestamp.IsZero()}
	if d.Paused {
		return d
	}
	d.Verdict = belonging.JudgeLabel(belonging.FromStatus(f.Tenant), f.Label, f.Rivals)
	d.Nowhere = len(f.Given) == 0
	if d.Verdict.Problem != nil {
		return d
	}
	for region, given := range f.Given {
		if given.Labels[f.Label.Spec.LabelID] != d.Verdict.Entry {
			d.Behind = append(d.Behind, fmt.Sprintf("%q", region))
		}
	}
	slices.Sort(d.Behind)
	return d
}

// pending tells whether nothing is wrong but that a region is not given the label yet.
func (d *Decision) pending() bool {
	return !d.Paused && !d.Deleting && d.Verdict.Problem == nil && (d.Nowhere || len(d.Behind) > 0)
}

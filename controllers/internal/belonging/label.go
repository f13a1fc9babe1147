package belonging

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

var labelKind = kind{
	noun: "label", plural: "sensitivity labels", feature: "sensitivityLabels",
	on: func(f v1alpha1.TenantFeatures) bool { return f.SensitivityLabels },
}

// Label is what becomes of a sensitivity label.
type Label struct {
	// Entry is what the tenant's documents say.
	Entry tenantdoc.Label
	// Problem is why the tenant cannot have the label; nil when it can.
	Problem *Problem
	// Note is what a person should know of one that is accepted; may be empty.
	Note string
}

// JudgeLabel says what becomes of a label. Rivals are those of the tenant, itself
// among them or not.
func JudgeLabel(t *Tenant, l *v1alpha1.SensitivityLabel, rivals []*v1alpha1.SensitivityLabel) Label {
	if p := t.without(labelKind, l.Namespace, l.Spec.Tenant); p != nil {
		return Label{Problem: p}
	}
	if p := outranked(l, rivals); p != nil {
		return Label{Problem: p}
	}
	v := Label{Entry: labelEntry(l)}
	if l.Spec.Mobile.MinimumProtection != "" {
		v.Note = "spec.mobile.minimumProtection is told to clients, which must hold to it: this release does not measure the protection of a device"
	}
	return v
}

// outranked tells which older label has the id or the rank.
func outranked(l *v1alpha1.SensitivityLabel, rivals []*v1alpha1.SensitivityLabel) *Problem {
	for _, r := range rivals {
		if r.Name == l.Name || r.Spec.Tenant != l.Spec.Tenant || gone(r) || !before(r, l) {
			continue
		}
		switch {
		case r.Spec.LabelID == l.Spec.LabelID:
			return &Problem{Reason: v1alpha1.ReasonLabelIDTaken, Message: fmt.Sprintf("spec.labelID: label %q, which is older, has %q: delete one of the two", r.Name, l.Spec.LabelID)}
		case r.Spec.Rank == l.Spec.Rank:
			return &Problem{Reason: v1alpha1.ReasonRankTaken, Message: fmt.Sprintf("spec.rank: label %q, which is older, has rank %d: choose another, so that it is clear which of the two is more sensitive", r.Name, l.Spec.Rank)}
		}
	}
	return nil
}

func labelEntry(l *v1alpha1.SensitivityLabel) tenantdoc.Label {
	const block = v1alpha1.Permission("Block")
	s := &l.Spec
	return tenantdoc.Label{
		ID: s.LabelID, Name: s.DisplayName, Rank: s.Rank, Color: s.Color, Tooltip: s.Tooltip,
		Marking: tenantdoc.LabelMarking{Header: s.Marking.Header, Footer: s.Marking.Footer, SubjectPrefix: s.Marking.SubjectPrefix},
		Protection: tenantdoc.LabelProtection{
			Encrypt:          s.Protection.Encryption == v1alpha1.Required,
			StayInside:       s.Protection.ForwardOutside == block,
			JustifyDowngrade: s.Protection.DowngradeJustification == v1alpha1.Required,
		},
		Mobile: tenantdoc.LabelMobile{
			MinimumProtection: string(s.Mobile.MinimumProtection),
			NoPrint:           s.Mobile.Print == block,
			NoCopy:            s.Mobile.Copy == block,
			NoScreenshots:     s.Mobile.Screenshots == block,
		},
	}
}

// Labels are the labels of a tenant, the lowest rank first. One that is paused stays
// as the document has it.
func Labels(t *Tenant, all []*v1alpha1.SensitivityLabel, given func() []tenantdoc.Label) []tenantdoc.Label {
	var labels []tenantdoc.Label
	for _, l := range all {
		v := JudgeLabel(t, l, all)
		if gone(l) || v.Problem != nil {
			continue
		}
		if Paused(l) {
			have := slices.IndexFunc(given(), func(e tenantdoc.Label) bool { return e.ID == l.Spec.LabelID })
			if have < 0 {
				continue
			}
			v.Entry = given()[have]
		}
		labels = append(labels, v.Entry)
	}
	slices.SortFunc(labels, func(a, b tenantdoc.Label) int { return cmp.Compare(a.Rank, b.Rank) })
	return withoutTwins(labels)
}

// withoutTwins drops labels of a rank that another has: a paused label may keep the
// rank that its successor has now, and a document has each rank once.
func withoutTwins(labels []tenantdoc.Label) []tenantdoc.Label {
	return slices.CompactFunc(labels, func(a, b tenantdoc.Label) bool { return a.Rank == b.Rank })
}

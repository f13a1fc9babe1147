package sensitivitylabel

import (
	"fmt"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// report is the status that facts and decision come to. It is pure.
func report(f *Facts, d Decision) v1alpha1.SensitivityLabelStatus {
	status := *f.Label.Status.DeepCopy()
	if d.Paused {
		status.Conditions = conditions.Paused(status.Conditions, f.Label.Generation, f.Now)
		return status
	}
	summary := conditions.Summary{
		Previous: status.Conditions, Generation: f.Label.Generation, Now: f.Now,
		Dependents: []conditions.Dependent{belonging.Accepted(d.Verdict.Problem, d.Verdict.Note), served(f, d)},
	}
	if d.Deleting {
		summary.Deleting = &conditions.Deletion{Reason: v1alpha1.ReasonDeleting, Message: "no region is given the label any more; mail that carries its id keeps it"}
	}
	status.Conditions = conditions.Derive(summary)
	status.ObservedGeneration = f.Label.Generation
	status.LastHandledReconcileAt = f.Label.Annotations[v1alpha1.AnnotationRequestedAt]
	return status
}

func served(f *Facts, d Decision) conditions.Dependent {
	const kind = v1alpha1.ConditionServed
	switch {
	case d.Verdict.Problem != nil:
		return conditions.Unknown(kind, v1alpha1.ReasonNotServedYet, "the label is served once it is accepted")
	case d.Nowhere:
		return conditions.Waiting(kind, v1alpha1.ReasonNotServedYet, fmt.Sprintf(
			"no region serves tenant %q yet: see its conditions if this lasts", f.Label.Spec.Tenant))
	case len(d.Behind) > 0:
		return conditions.Waiting(kind, v1alpha1.ReasonNotServedYet, fmt.Sprintf(
			"region %s is not given the label as it is declared yet: see the conditions of tenant %q if this lasts", strings.Join(d.Behind, ", "), f.Label.Spec.Tenant))
	}
	return conditions.True(kind, v1alpha1.ReasonServed, "")
}

package sharedmailbox

import (
	"fmt"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// report is the status that facts and decision come to. It is pure.
func report(f *Facts, d Decision) v1alpha1.SharedMailboxStatus {
	status := *f.Mailbox.Status.DeepCopy()
	if d.Paused {
		status.Conditions = conditions.Paused(status.Conditions, f.Mailbox.Generation, f.Now)
		return status
	}
	summary := conditions.Summary{
		Previous: status.Conditions, Generation: f.Mailbox.Generation, Now: f.Now,
		Dependents: []conditions.Dependent{belonging.Accepted(d.Verdict.Problem, d.Verdict.Note), served(f, d)},
	}
	if d.Deleting {
		summary.Deleting = &conditions.Deletion{Reason: v1alpha1.ReasonDeleting, Message: "nobody is served the mailbox any more; its mail is kept"}
	}
	status.Conditions = conditions.Derive(summary)
	status.ObservedGeneration = f.Mailbox.Generation
	status.LastHandledReconcileAt = f.Mailbox.Annotations[v1alpha1.AnnotationRequestedAt]
	if d.Given {
		// From now on the mailbox lives there: see belonging.JudgeMailbox.
		status.Region = d.Verdict.Region.String()
	}
	return status
}

func served(f *Facts, d Decision) conditions.Dependent {
	const kind = v1alpha1.ConditionServed
	switch {
	case d.Given:
		return conditions.True(kind, v1alpha1.ReasonServed, "")
	case !d.Verdict.Served():
		return conditions.Unknown(kind, v1alpha1.ReasonNotServedYet, "the mailbox is served once it is accepted")
	default:
		return conditions.Waiting(kind, v1alpha1.ReasonNotServedYet, fmt.Sprintf(
			"region %q is not given the mailbox as it is declared yet: see the conditions of tenant %q if this lasts", d.Verdict.Region, f.Mailbox.Spec.Tenant))
	}
}

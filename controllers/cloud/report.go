package cloud

import (
	"fmt"
	"math"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// namedUsers is how many regions, and how many tenants, a message names.
const namedUsers = 5

// report is the status that facts and outcome come to. It is pure.
func report(f *Facts, d Decision, out applied) v1alpha1.SovereignCloudStatus {
	status := *f.Cloud.Status.DeepCopy()
	if d.Paused {
		status.Conditions = conditions.Paused(status.Conditions, f.Cloud.Generation, f.Now)
		return status
	}
	summary := conditions.Summary{
		Previous:   status.Conditions,
		Generation: f.Cloud.Generation,
		Now:        f.Now,
		Dependents: []conditions.Dependent{authorityReady(f, d, out)},
	}
	if d.Deleting {
		summary.Deleting = deletion(f, d)
	}
	status.Conditions = conditions.Derive(summary)
	status.ObservedGeneration = f.Cloud.Generation
	status.LastHandledReconcileAt = f.Cloud.Annotations[v1alpha1.AnnotationRequestedAt]
	status.UsedBy = v1alpha1.CloudUsage{Regions: count(f.Regions), Tenants: count(f.Tenants)}
	status.Compliance = d.Compliance
	status.AuthorityNotAfter = nil
	if out.Authority != nil {
		notAfter := metav1.NewTime(out.Authority.NotAfter())
		status.AuthorityNotAfter = &notAfter
	}
	return status
}

func authorityReady(f *Facts, d Decision, out applied) conditions.Dependent {
	const kind = v1alpha1.ConditionAuthorityReady
	a := out.Authority
	switch {
	case len(out.Failures) > 0:
		return conditions.Waiting(kind, v1alpha1.ReasonApplyFailed, out.Failures[0].Error())
	case f.Malformed != "":
		return conditions.Blocked(kind, v1alpha1.ReasonAuthorityMalformed,
			fmt.Sprintf("Secret %q: %s: restore it from a backup, or delete it to start a new authority", f.SecretName, f.Malformed))
	case a == nil:
		return conditions.Waiting(kind, v1alpha1.ReasonDeleting, "the authority is removed with the cloud")
	case a.Expired(f.Now.Time):
		return conditions.Blocked(kind, v1alpha1.ReasonAuthorityExpired,
			fmt.Sprintf("the authority in Secret %q is past its validity: delete the Secret to start a new authority, and hand its root to those who trust the old one", f.SecretName))
	case a.Algorithm() != d.Compliance.CertificateKey:
		return conditions.True(kind, v1alpha1.ReasonReady,
			fmt.Sprintf("serving certificates get %s keys as spec.compliance.certificateKey asks, the root in Secret %q has %s: delete the Secret to start a new authority with that key", d.Compliance.CertificateKey, f.SecretName, a.Algorithm()))
	}
	return conditions.True(kind, v1alpha1.ReasonReady, "")
}

func deletion(f *Facts, d Decision) *conditions.Deletion {
	if !d.InUse {
		return &conditions.Deletion{Reason: v1alpha1.ReasonDeleting, Message: fmt.Sprintf("the authority in Secret %q is being removed", f.SecretName)}
	}
	var users []string
	for _, use := range []struct {
		names     []string
		one, many string
	}{{f.Regions, "region", "regions"}, {f.Tenants, "tenant", "tenants"}} {
		if len(use.names) > 0 {
			users = append(users, quantity(use.names, use.one, use.many))
		}
	}
	return &conditions.Deletion{
		Reason:  v1alpha1.ReasonInUse,
		Message: fmt.Sprintf("cloud %q is used by %s: delete those first", f.Cloud.Name, strings.Join(users, " and ")),
	}
}

// quantity renders names, which are sorted, as "2 regions (a/x, b/y)".
func quantity(names []string, one, many string) string {
	noun := many
	if len(names) == 1 {
		noun = one
	}
	shown, more := names, ""
	if len(names) > namedUsers {
		shown, more = names[:namedUsers], fmt.Sprintf(" and %d more", len(names)-namedUsers)
	}
	return fmt.Sprintf("%d %s (%s%s)", len(names), noun, strings.Join(shown, ", "), more)
}

func count(names []string) int32 {
	return int32(min(len(names), math.MaxInt32))
}

package region

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

// Outcome is what came of a decision.
type Outcome struct {
	apply.Outcome

	// Serving is the certificate that is in the Secret now; nil without one.
	Serving *authority.Serving
	// Gone tells that the region is deleted.
	Gone bool
}

// apply makes the decision so. A new key and certificate are made here, the only
// place that is not pure, and written once.
func (c *Controller) apply(ctx context.Context, f *Facts, d Decision) Outcome {
	out := Outcome{Serving: f.Serving}
	plan := d.Plan
	var issued map[string][]byte
	if action := d.Certificate.Action; action == authority.Issue || action == authority.Reissue {
		data, err := f.Authority.Issue(d.Request, f.Now)
		if err != nil {
			out.Failures = append(out.Failures, apply.Failure{Kind: kindSecret, Name: namesOf(f.Region).tls(), Err: err})
			return out
		}
		issued = data
		plan.Wanted = append([]client.Object{buildSecret(f.Region, issued)}, plan.Wanted...)
	}
	out.Outcome = c.writer.Apply(ctx, f.Region, plan)
	if issued != nil && !failed(out.Failures, kindSecret) {
		out.Serving = authority.Examine(f.Authority, issued)
		c.writer.Announce(f.Region, certificateIssued(f, d.Certificate))
	}
	if d.Deleting != nil && !plan.Finalizer && !out.Finalizer {
		out.Gone = true
		c.forget(f)
	}
	return out
}

func failed(failures []apply.Failure, kind string) bool {
	for _, failure := range failures {
		if failure.Kind == kind {
			return true
		}
	}
	return false
}

// forget drops what this process remembers of a region that is gone, and says what
// is left of it.
func (c *Controller) forget(f *Facts) {
	for _, obj := range f.Found {
		c.reports.forget(obj.GetUID())
	}
	c.counted.forget(f.Region.UID)
	c.certificates.Forget(types.NamespacedName{Namespace: f.Region.Namespace, Name: namesOf(f.Region).tls()})
	c.storage.forget(f.Region.UID)
	c.delivery.forget(f.Region.UID)
	c.writer.Announce(f.Region, retained(f)...)
}

func certificateIssued(f *Facts, d authority.Decision) apply.Event {
	return apply.Event{
		Type: corev1.EventTypeNormal, Reason: "CertificateIssued", Action: string(d.Action),
		Note: fmt.Sprintf("issued a serving certificate for %q: %s", f.Region.Spec.Endpoint.Hostname, d.Reason),
	}
}

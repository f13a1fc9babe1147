package tenant

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// settleFor is how long a status that would only say "not enforced yet" waits for
// the regions to say that they enforce what was just written: they need less than a
// second, and one status is better than two.
const settleFor = 2 * time.Second

// apply makes the decision so.
func (c *Controller) apply(ctx context.Context, f *Facts, d Decision) apply.Outcome {
	if d.Paused || d.Wait {
		return apply.Outcome{}
	}
	out := c.writer.Apply(ctx, f.Tenant, d.Plan)
	if d.Deleting && !out.Finalizer {
		c.forget(client.ObjectKeyFromObject(f.Tenant))
		c.counts.forget(f.Tenant.UID)
		c.settling.forget(f.Tenant.UID)
	}
	return out
}

// tell writes the status when it says something new, and gives the time after which
// to look again.
func (c *Controller) tell(ctx context.Context, f *Facts, d Decision, out apply.Outcome) (time.Duration, error) {
	status := report(f, d, out)
	if wait := c.settling.wait(f, d, out, &status); wait > 0 {
		return wait, nil
	}
	if err := c.writer.Status(ctx, f.Tenant, f.Tenant.Status, status); err != nil {
		return 0, err
	}
	if countsOf(&status) != countsOf(&f.Tenant.Status) {
		c.counts.written(f.Tenant.UID, f.Now.Time)
	}
	return again(f), nil
}

// again is when to look at a tenant whose state changes without an event: a Secret
// that is read by name, and counts that wait for their minute.
func again(f *Facts) time.Duration {
	bundle := f.Tenant.Spec.Identity.CABundle
	switch {
	case f.BundleProblem != nil, f.SMIME.problem != nil, f.Answer.Err != nil && bundle != nil && bundle.SecretRef != nil:
		return bundleRetry
	case !f.CountsDue:
		return countsEvery
	default:
		return 0
	}
}

type counts struct{ mailboxes, devices int64 }

func countsOf(s *v1alpha1.TenantStatus) counts {
	return counts{s.Mailboxes, s.Devices}
}

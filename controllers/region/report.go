package region

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// countsEvery is how often counts that move on their own are refreshed at most.
const countsEvery = time.Minute

// maxNamed bounds how many tenants one message names.
const maxNamed = 5

// report gives the status. It is pure.
func report(f *Facts, d Decision, out Outcome) v1alpha1.MailboxRegionStatus {
	status := *f.Region.Status.DeepCopy()
	now := metav1.NewTime(f.Now).Rfc3339Copy()
	if f.paused() {
		status.Conditions = conditions.Paused(status.Conditions, f.Region.Generation, now)
		return status
	}
	status.Conditions = conditions.Derive(conditions.Summary{
		Previous:   f.Region.Status.Conditions,
		Generation: f.Region.Generation,
		Now:        now,
		Dependents: dependents(f, d, out),
		Deleting:   deletion(d.Deleting),
	})
	status.ObservedGeneration = f.Region.Generation
	status.DeletionPolicy = deletionPolicy(f.Region)
	if len(out.Failures) == 0 {
		status.LastHandledReconcileAt = requestedAt(f.Region)
	}
	if len(d.Obstacles) == 0 {
		status.EndpointURL = endpointURL(f.Region.Spec.Endpoint.Hostname)
	}
	reportWorkload(&status, f, d)
	reportCertificate(&status, out)
	reportCounts(&status, f)
	return status
}

func reportWorkload(status *v1alpha1.MailboxRegionStatus, f *Facts, d Decision) {
	status.LoadBalancer = loadBalancer(f.Service)
	status.SyncVersion = f.Together.SyncVersion
	status.Tenants = int32(len(inhabitants(f))) //nolint:gosec // bounded by the number of objects in a cluster
	status.ReadyReplicas, status.DesiredReplicas = readyReplicas(f), 0
	if d.starts(f) {
		status.DesiredReplicas = desiredReplicas(f)
	}
	status.Replicas = fmt.Sprintf("%d/%d", status.ReadyReplicas, status.DesiredReplicas)
}

func reportCertificate(status *v1alpha1.MailboxRegionStatus, out Outcome) {
	status.CertificateNotAfter = nil
	if out.Serving != nil && out.Serving.Problem == "" {
		status.CertificateNotAfter = new(metav1.NewTime(out.Serving.NotAfter).Rfc3339Copy())
	}
}

// reportCounts refreshes what moves on its own, when it is due.
func reportCounts(status *v1alpha1.MailboxRegionStatus, f *Facts) {
	if countsWait(f) > 0 {
		return
	}
	status.Mailboxes = f.Together.Mailboxes
	status.Devices = f.Together.Devices
	status.BytesStored = f.Together.BytesStored
}

// countsDiffer tells whether status shows other counts than the replica reports.
func countsDiffer(f *Facts) bool {
	s := f.Region.Status
	return s.Mailboxes != f.Together.Mailboxes || s.Devices != f.Together.Devices || s.BytesStored != f.Together.BytesStored
}

// countsWait is how long counts that differ have to wait; zero when they are due or
// do not differ.
func countsWait(f *Facts) time.Duration {
	if !countsDiffer(f) {
		return 0
	}
	return max(0, f.CountedAt.Add(countsEvery).Sub(f.Now))
}

// again is when the region has to be looked at although nothing changes: when the
// certificate is due, when counts are, or, for Secrets of the user that cannot be
// watched, after a while. Zero is never.
func again(f *Facts, d Decision) time.Duration {
	var wait time.Duration
	sooner := func(candidate time.Duration) {
		if candidate > 0 && (wait == 0 || candidate < wait) {
			wait = candidate
		}
	}
	if !d.Certificate.RenewAt.IsZero() {
		sooner(d.Certificate.RenewAt.Sub(f.Now))
	}
	if !d.Certificate.NotAfter.IsZero() {
		sooner(d.Certificate.NotAfter.Sub(f.Now))
	}
	sooner(countsWait(f))
	if f.Region.Spec.Cluster != nil {
		sooner(countsEvery)
	}
	for _, until := range []time.Time{f.Storage.Until, f.Delivery.Until} {
		if !until.IsZero() {
			sooner(until.Sub(f.Now))
		}
	}
	return wait
}

func deletion(t *Teardown) *conditions.Deletion {
	switch {
	case t == nil:
		return nil
	case len(t.Tenants) > 0:
		return &conditions.Deletion{
			Reason:  v1alpha1.ReasonInUse,
			Message: lives(t.Tenants) + " here: give them another region, or delete them",
		}
	}
	message := "waits until these are gone: " + strings.Join(t.Remaining, ", ")
	if t.Kept != "" {
		message += "; nothing is erased in " + t.Kept
	}
	return &conditions.Deletion{Reason: v1alpha1.ReasonDeleting, Message: message}
}

func lives(tenants []string) string {
	if len(tenants) == 1 {
		return "tenant " + named(tenants) + " lives"
	}
	return "tenants " + named(tenants) + " live"
}

// named lists the first few names, quoted, and says how many more there are. The
// names come sorted, so that the message is the same for the same problem.
func named(names []string) string {
	shown := make([]string, 0, maxNamed)
	for _, name := range names[:min(len(names), maxNamed)] {
		shown = append(shown, fmt.Sprintf("%q", name))
	}
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(shown, ", "), more)
	}
	return strings.Join(shown, ", ")
}

// loadBalancer lists the addresses of the Service, as many as status can hold.
func loadBalancer(service *corev1.Service) []string {
	const limit = 16
	if service == nil || service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	var addresses []string
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address := ingress.IP + ingress.Hostname; address != "" && len(addresses) < limit {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

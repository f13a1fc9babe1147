package region

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// maxVersion is how much status can hold of the releases that run.
const maxVersion = 128

// observePods lists the pods of the region.
func (c *Controller) observePods(ctx context.Context, f *Facts) error {
	list := &corev1.PodList{}
	key := client.ObjectKeyFromObject(f.Region).String()
	if err := c.cache.List(ctx, list, client.MatchingFields{indexOwned: key}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list pods of region %q: %w", key, err)
	}
	for i := range list.Items {
		f.Pods = append(f.Pods, &list.Items[i])
	}
	slices.SortFunc(f.Pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// observeReplicas reads what each replica reports. The pods of a Deployment have names
// that nobody can know before; the one of an embedded store always has the same, and
// is a replica whether it runs or not.
func (c *Controller) observeReplicas(ctx context.Context, f *Facts) error {
	reports, err := c.reportsOf(ctx, f)
	if err != nil {
		return err
	}
	f.Replicas = replicasOf(f)
	for i := range f.Replicas {
		replica := &f.Replicas[i]
		replica.Tenants = map[string]EnforcedFacts{}
		for _, report := range reports[replica.Name] {
			replica.merge(c.reports.value(report))
		}
	}
	f.Together = together(f.Replicas)
	return nil
}

// reportsOf finds the report ConfigMaps of the region, by the replica that writes them.
func (c *Controller) reportsOf(ctx context.Context, f *Facts) (map[string][]*corev1.ConfigMap, error) {
	list := &corev1.ConfigMapList{}
	key := client.ObjectKeyFromObject(f.Region).String()
	if err := c.cache.List(ctx, list, client.MatchingFields{indexOwned: key}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list reports of region %q: %w", key, err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.ConfigMap) int { return strings.Compare(a.Name, b.Name) })
	reports := map[string][]*corev1.ConfigMap{}
	for i := range list.Items {
		report := &list.Items[i]
		f.Found = append(f.Found, report)
		replica := report.Labels[tenantdoc.LabelReplica]
		reports[replica] = append(reports[replica], report)
	}
	return reports, nil
}

// replicasOf are the replicas that have reports. A pod that ended for good, as an
// evicted one does, is none.
func replicasOf(f *Facts) []ReplicaFacts {
	if !f.onPostgres() {
		return []ReplicaFacts{{Name: namesOf(f.Region).replica(), Serves: true}}
	}
	replicas := make([]ReplicaFacts, 0, len(f.Pods))
	for _, pod := range f.Pods {
		if pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded {
			replicas = append(replicas, ReplicaFacts{Name: pod.Name, Serves: serves(pod)})
		}
	}
	return replicas
}

// serves tells whether a pod is ready and stays.
func serves(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp.IsZero() && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// together merges what the replicas report. Their store is one, so the greatest count
// is the newest; a tenant is enforced as far as every replica that serves enforces it.
func together(replicas []ReplicaFacts) ReplicaFacts {
	all := ReplicaFacts{Tenants: map[string]EnforcedFacts{}}
	var versions []string
	serving := 0
	for i := range replicas {
		r := &replicas[i]
		all.Mailboxes = max(all.Mailboxes, r.Mailboxes)
		all.Devices = max(all.Devices, r.Devices)
		all.BytesStored = max(all.BytesStored, r.BytesStored)
		all.Problem = cmp.Or(all.Problem, r.Problem)
		if r.SyncVersion != "" {
			versions = append(versions, r.SyncVersion)
		}
		if !r.Serves {
			continue
		}
		if serving++; serving == 1 {
			all.Tenants = r.Tenants
			continue
		}
		all.Tenants = common(all.Tenants, r.Tenants)
	}
	slices.Sort(versions)
	versions = slices.Compact(versions)
	all.SyncVersion = strings.Join(versions, ", ")
	if len(all.SyncVersion) > maxVersion {
		all.SyncVersion = versions[0]
	}
	return all
}

// common is what two replicas both enforce. One that does not tell of a tenant enforces
// nothing of it. What either refuses is refused.
func common(a, b map[string]EnforcedFacts) map[string]EnforcedFacts {
	both := make(map[string]EnforcedFacts, len(a))
	for name, one := range a {
		both[name] = lower(one, b[name])
	}
	for name, other := range b {
		if _, ok := a[name]; !ok {
			both[name] = lower(EnforcedFacts{}, other)
		}
	}
	return both
}

// lower is what two replicas both enforce of a tenant.
func lower(a, b EnforcedFacts) EnforcedFacts {
	e := EnforcedFacts{Refused: cmp.Or(a.Refused, b.Refused)}
	if a.UID == b.UID {
		e.UID, e.Generation = a.UID, min(a.Generation, b.Generation)
	}
	return e
}

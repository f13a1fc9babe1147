package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
)

// regions asserts the columns that `kubectl get mailboxregions` prints.
func (c *checker) regions(ctx context.Context) (string, error) {
	for _, name := range cast.Regions() {
		region, err := kube.Get[v1alpha1.MailboxRegion](ctx, c.Cluster, kube.Regions, name.Namespace, name.Name)
		if err != nil {
			return "", err
		}
		status := region.Status
		value, _, message := kube.Condition(status.ReconcileStatus, v1alpha1.ConditionReady)
		switch {
		case value != "True":
			return "", fmt.Errorf("%q: Ready is %q: %s", name, value, message)
		case status.Replicas != "1/1" || status.Tenants != 1 || status.SyncVersion == "":
			return "", fmt.Errorf("%q: replicas %q, %d tenants, version %q; want 1/1, 1 and a version", name, status.Replicas, status.Tenants, status.SyncVersion)
		case status.EndpointURL != "https://"+string(region.Spec.Endpoint.Hostname):
			return "", fmt.Errorf("%q: endpoint %q", name, status.EndpointURL)
		case status.CertificateNotAfter == nil || status.CertificateNotAfter.Before(nowTime()):
			return "", fmt.Errorf("%q: certificate expires %v", name, status.CertificateNotAfter)
		}
	}
	return fmt.Sprintf("%d of two clouds are Ready with one tenant each", len(cast.Regions())), nil
}

// tenants asserts the columns that `kubectl get tenants` prints.
func (c *checker) tenants(ctx context.Context) (string, error) {
	want := map[cast.Object]string{cast.Contoso: "paris 2/2", cast.Agency: "virginia 1/1"}
	for name, columns := range want {
		tenant, err := kube.Get[v1alpha1.Tenant](ctx, c.Cluster, kube.Tenants, name.Namespace, name.Name)
		if err != nil {
			return "", err
		}
		value, _, message := kube.Condition(tenant.Status.ReconcileStatus, v1alpha1.ConditionReady)
		if got := tenant.Status.Home + " " + tenant.Status.RegionsReady; value != "True" || got != columns {
			return "", fmt.Errorf("%q: Ready %q (%s), home and regions %q, want %q", name, value, message, got, columns)
		}
		for _, region := range tenant.Status.Regions {
			if region.EnforcedGeneration != tenant.Generation {
				return "", fmt.Errorf("%q: region %q enforces generation %d of %d", name, region.Name, region.EnforcedGeneration, tenant.Generation)
			}
		}
	}
	return "contoso (Multi-Geo) enforces in 2/2 regions, agency (government) in 1/1", nil
}

// refusedTenant asserts that the refusal names both clouds, the field and a remedy.
func (c *checker) refusedTenant(ctx context.Context) (string, error) {
	tenant, err := kube.Get[v1alpha1.Tenant](ctx, c.Cluster, kube.Tenants, cast.Acme.Namespace, cast.Acme.Name)
	if err != nil {
		return "", err
	}
	value, reason, message := kube.Condition(tenant.Status.ReconcileStatus, v1alpha1.ConditionRegionsReady)
	if value != "False" || reason != v1alpha1.ReasonRegionCloudMismatch {
		return "", fmt.Errorf("%q: RegionsReady is %q (%s)", cast.Acme, value, reason)
	}
	for _, word := range []string{"regions-eu/paris", "worldwide", "acme", "gcc-high", "virginia", "spec.homeRegion"} {
		if !strings.Contains(message, word) {
			return "", fmt.Errorf("%q: the message does not name %q: %s", cast.Acme, word, message)
		}
	}
	documents, err := kube.List[corev1.ConfigMap](ctx, c.Cluster, kube.ConfigMaps, cast.Paris.Namespace, "mail.bailiwick.dev/content=tenant-document")
	if err != nil {
		return "", err
	}
	for _, document := range documents {
		if strings.Contains(document.Annotations["mail.bailiwick.dev/tenant"], cast.Acme.Name) {
			return "", fmt.Errorf("the refused tenant has a document in region %q", cast.Paris)
		}
	}
	return message, nil
}

// propagation suspends and resumes a tenant and asserts that each change is enforced
// within a second.
func (c *checker) propagation(ctx context.Context) (string, error) {
	const pairs, goal = 10, time.Second
	result, err := c.Propagation(ctx, resident(cast.Virginia), pairs)
	if err != nil {
		return "", err
	}
	if worst := result.Quantile(1); worst >= goal {
		return "", fmt.Errorf("a change took %s, the goal is less than %s: %s", worst, goal, result)
	}
	return result.String(), nil
}

// secondApply asserts that applying config/samples again shows no difference and causes
// no write, by the API server or by anybody. Counts of mailboxes are refreshed once a
// minute, which may fall into the first look, but not into the second as well.
func (c *checker) secondApply(ctx context.Context) (string, error) {
	var written []string
	for range 2 {
		before, err := c.settled(ctx)
		if err != nil {
			return "", err
		}
		if diff, err := c.DiffSamples(ctx); err != nil || diff != "" {
			return "", fmt.Errorf("kubectl diff is not empty: %w\n%s", errOrNone(err), diff)
		}
		if err := c.ApplySamples(ctx); err != nil {
			return "", err
		}
		const patience = 3 * time.Second // for a controller that would write
		if err := pause(ctx, patience); err != nil {
			return "", err
		}
		after, err := c.Cluster.Versions(ctx)
		if err != nil {
			return "", err
		}
		if written = difference(before, after); len(written) == 0 {
			return fmt.Sprintf("no diff, and none of %d objects was written", len(after)), nil
		}
	}
	return "", fmt.Errorf("%d objects were written: %v", len(written), written)
}

// settled returns the versions of all objects once two looks agree: reports of the
// changes just made may still be on their way.
func (c *checker) settled(ctx context.Context) (map[string]string, error) {
	const patience = 100 * time.Second // counts are refreshed once a minute
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("objects keep changing"))
	defer cancel()
	last, err := c.Cluster.Versions(ctx)
	if err != nil {
		return nil, err
	}
	const quiet = 5 * time.Second // more than reports and statuses take to follow a change
	for {
		if err := pause(ctx, quiet); err != nil {
			return nil, err
		}
		now, err := c.Cluster.Versions(ctx)
		if err != nil {
			return nil, err
		}
		if len(difference(last, now)) == 0 {
			return now, nil
		}
		last = now
	}
}

func pause(ctx context.Context, span time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(span):
		return nil
	}
}

// difference names the objects that came, went or changed.
func difference(before, after map[string]string) []string {
	changed := map[string]bool{}
	for name, version := range before {
		if after[name] != version {
			changed[name] = true
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			changed[name] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}

// logs asserts that `kubectl logs` shows what operator and sync servers say.
func (c *checker) logs(ctx context.Context) (string, error) {
	targets := [][]string{{"bailiwick-system", "deployment/bailiwick-operator"}}
	for _, region := range cast.Regions() {
		targets = append(targets, []string{region.Namespace, "statefulset/" + region.Name + "-sync"})
	}
	lines := 0
	for _, target := range targets {
		text, err := c.Cluster.Kubectl(ctx, "logs", "-n", target[0], target[1])
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(text) == "" {
			return "", fmt.Errorf("%s in %q says nothing", target[1], target[0])
		}
		lines += strings.Count(text, "\n")
	}
	return fmt.Sprintf("%d lines of %d workloads", lines, len(targets)), nil
}

// deletion asserts that a region with tenants outlives its deletion, says why, and goes
// on serving.
func (c *checker) deletion(ctx context.Context) (string, error) {
	name := cast.Paris
	if _, err := c.Cluster.Kubectl(ctx, "delete", "mailboxregion", name.Name, "-n", name.Namespace, "--wait=false"); err != nil {
		return "", err
	}
	const patience = 20 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the deletion is not explained"))
	defer cancel()
	var message string
	err := kube.Poll(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		region, err := kube.Get[v1alpha1.MailboxRegion](ctx, c.Cluster, kube.Regions, name.Namespace, name.Name)
		if err != nil {
			return err
		}
		value, reason, text := kube.Condition(region.Status.ReconcileStatus, v1alpha1.ConditionDeleting)
		if value != "True" || reason != v1alpha1.ReasonInUse || !strings.Contains(text, cast.Contoso.Name) {
			return fmt.Errorf("condition Deleting is %q (%s): %s", value, reason, text)
		}
		message = text
		return nil
	})
	if err != nil {
		return "", err
	}
	if _, err := c.mailbox(ctx, resident(name)); err != nil {
		return "", fmt.Errorf("the region stopped serving: %w", err)
	}
	return message, nil
}

func errOrNone(err error) error {
	if err == nil {
		return errors.New("differences")
	}
	return err
}

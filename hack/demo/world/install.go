package world

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
)

const (
	// readyTimeout bounds the wait for regions and tenants.
	readyTimeout = 3 * time.Minute
	// pollEvery is how often a wait looks again.
	pollEvery = 200 * time.Millisecond
)

// config returns a folder below config/.
func (w *World) config(parts ...string) string {
	return filepath.Join(append([]string{w.Root, "config"}, parts...)...)
}

// install applies the operator as a user would.
func (w *World) install(ctx context.Context) error {
	if _, err := w.Cluster.Kubectl(ctx, "apply", "--server-side", "-k", w.config("default")); err != nil {
		return err
	}
	_, err := w.Cluster.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	return err
}

// applySamples makes the namespaces, gives the tenants the certificate of their issuer,
// and applies config/samples.
func (w *World) applySamples(ctx context.Context) error {
	if _, err := w.Cluster.Kubectl(ctx, "apply", "--server-side", "-f", w.config("samples", "namespaces.yaml")); err != nil {
		return err
	}
	for _, tenant := range cast.Tenants() {
		secret, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Secret",
			"metadata":   map[string]string{"namespace": tenant.Namespace, "name": cast.CASecret},
			"stringData": map[string]string{cast.CAKey: string(w.Authority.PEM())},
		})
		if err != nil {
			return fmt.Errorf("secret %q: %w", cast.CASecret, err)
		}
		if _, err := w.Cluster.KubectlInput(ctx, secret, "apply", "--server-side", "-f", "-"); err != nil {
			return err
		}
	}
	return w.ApplySamples(ctx)
}

// ApplySamples applies config/samples, the first time and again.
func (w *World) ApplySamples(ctx context.Context) error {
	_, err := w.Cluster.Kubectl(ctx, "apply", "--server-side", "-k", w.config("samples"))
	return err
}

// DiffSamples returns what applying config/samples again would change.
func (w *World) DiffSamples(ctx context.Context) (string, error) {
	return w.Cluster.Kubectl(ctx, "diff", "--server-side", "-k", w.config("samples"))
}

// await waits until regions and tenants are as they should be, and tells each arrival.
func (w *World) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %s", readyTimeout))
	defer cancel()
	for _, region := range cast.Regions() {
		err := kube.Poll(ctx, pollEvery, func(ctx context.Context) error { return w.regionReady(ctx, region) })
		if err != nil {
			return w.explain(ctx, err)
		}
		found, err := w.findRegion(ctx, region)
		if err != nil {
			return err
		}
		w.regions[region] = found
		w.Log.Sayf("region %s is ready at %s", region, found.URL)
	}
	for _, tenant := range cast.Accepted() {
		err := kube.Poll(ctx, pollEvery, func(ctx context.Context) error { return w.tenantReady(ctx, tenant) })
		if err != nil {
			return w.explain(ctx, err)
		}
		w.Log.Sayf("tenant %s is ready", tenant)
	}
	return kube.Poll(ctx, pollEvery, w.acmeRefused)
}

func (w *World) regionReady(ctx context.Context, name cast.Object) error {
	region, err := kube.Get[v1alpha1.MailboxRegion](ctx, w.Cluster, kube.Regions, name.Namespace, name.Name)
	if err != nil {
		return err
	}
	return ready(fmt.Sprintf("region %q", name), region.Status.ReconcileStatus, region.Generation)
}

func (w *World) tenantReady(ctx context.Context, name cast.Object) error {
	tenant, err := kube.Get[v1alpha1.Tenant](ctx, w.Cluster, kube.Tenants, name.Namespace, name.Name)
	if err != nil {
		return err
	}
	return ready(fmt.Sprintf("tenant %q", name), tenant.Status.ReconcileStatus, tenant.Generation)
}

// acmeRefused waits for the refusal of the tenant that names a region of another cloud.
func (w *World) acmeRefused(ctx context.Context) error {
	tenant, err := kube.Get[v1alpha1.Tenant](ctx, w.Cluster, kube.Tenants, cast.Acme.Namespace, cast.Acme.Name)
	if err != nil {
		return err
	}
	value, reason, _ := kube.Condition(tenant.Status.ReconcileStatus, v1alpha1.ConditionReady)
	if value != "False" || reason != v1alpha1.ReasonRegionCloudMismatch {
		return fmt.Errorf("tenant %q: Ready is %q (%s), want False (%s)", cast.Acme, value, reason, v1alpha1.ReasonRegionCloudMismatch)
	}
	return nil
}

func ready(what string, status v1alpha1.ReconcileStatus, generation int64) error {
	value, reason, message := kube.Condition(status, v1alpha1.ConditionReady)
	if value != "True" || status.ObservedGeneration != generation {
		return fmt.Errorf("%s: Ready is %q (%s): %s", what, value, reason, message)
	}
	return nil
}

// explain adds to an error what the pods of the cluster are doing.
func (w *World) explain(ctx context.Context, err error) error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	pods, podsErr := w.Cluster.Kubectl(ctx, "get", "pods,mailboxregions,tenants", "-A", "-o", "wide")
	if podsErr != nil {
		return fmt.Errorf("%w (and the pods cannot be listed: %w)", err, podsErr)
	}
	events, eventsErr := w.Cluster.Kubectl(ctx, "get", "events", "-A", "--field-selector=type=Warning")
	if eventsErr != nil {
		events = eventsErr.Error()
	}
	logs, logsErr := w.Cluster.Kubectl(ctx, "logs", "-n", "bailiwick-system", "deployment/bailiwick-operator", "--tail=20")
	if logsErr != nil {
		logs = logsErr.Error()
	}
	return fmt.Errorf("%w\n%s\n%s\n%s\nthe node says:\n%s", err, pods, events, logs, w.node.Tail())
}

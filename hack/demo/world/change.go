package world

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
)

// SetCertificateLifetime changes spec.certificate.lifetimeHours of a region; 0 takes the
// field out again, so that the object ends as config/samples has it.
func (w *World) SetCertificateLifetime(ctx context.Context, region cast.Object, hours int) error {
	value := "null"
	if hours > 0 {
		value = fmt.Sprintf(`{"lifetimeHours":%d}`, hours)
	}
	patch := []byte(`{"spec":{"certificate":` + value + `}}`)
	objects := w.Cluster.Dynamic.Resource(kube.Regions).Namespace(region.Namespace)
	if _, err := objects.Patch(ctx, region.Name, types.MergePatchType, patch, kube.PatchOptions); err != nil {
		return fmt.Errorf("change region %q: %w", region, err)
	}
	return nil
}

// Rebuild deletes a tenant and its region, waits until both are gone, and declares them
// again with config/samples.
func (w *World) Rebuild(ctx context.Context, tenant, region cast.Object) error {
	for _, gone := range []struct {
		kind string
		name cast.Object
	}{{"tenant", tenant}, {"mailboxregion", region}} {
		if _, err := w.Cluster.Kubectl(ctx, "delete", gone.kind, gone.name.Name, "-n", gone.name.Namespace, "--timeout=60s"); err != nil {
			return err
		}
	}
	if err := w.ApplySamples(ctx); err != nil {
		return err
	}
	const patience = time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("region %q is not ready again after %s", region, patience))
	defer cancel()
	err := kube.Poll(ctx, pollEvery, func(ctx context.Context) error {
		if err := w.regionReady(ctx, region); err != nil {
			return err
		}
		return w.tenantReady(ctx, tenant)
	})
	if err != nil {
		return w.explain(ctx, err)
	}
	found, err := w.findRegion(ctx, region)
	if err != nil {
		return err
	}
	w.regions[region] = found
	return nil
}

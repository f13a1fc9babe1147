package sensitivitylabel

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// The indexes of this controller. Index names are shared by all controllers of a
// manager, so each begins with its controller.
const (
	indexTenant   = "sensitivitylabel:tenant"   // labels by the tenant that they name
	indexDocument = "sensitivitylabel:document" // documents by their tenant
)

func addIndexes(indexer client.FieldIndexer) error {
	for _, index := range []struct {
		object client.Object
		name   string
		value  func(client.Object) string
	}{
		{&v1alpha1.SensitivityLabel{}, indexTenant, tenantName},
		{&corev1.ConfigMap{}, indexDocument, belonging.TenantOf},
	} {
		values := func(obj client.Object) []string {
			if value := index.value(obj); value != "" {
				return []string{value}
			}
			return nil
		}
		if err := indexer.IndexField(context.Background(), index.object, index.name, values); err != nil {
			return fmt.Errorf("index %T as %q: %w", index.object, index.name, err)
		}
	}
	return nil
}

func tenantName(obj client.Object) string {
	if l, ok := obj.(*v1alpha1.SensitivityLabel); ok {
		return string(l.Spec.Tenant)
	}
	return ""
}

// siblings are the labels of the same tenant.
func (c *Controller) siblings(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.list(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingFields{indexTenant: tenantName(obj)})
}

func (c *Controller) ofTenant(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.list(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingFields{indexTenant: obj.GetName()})
}

func (c *Controller) ofDocument(ctx context.Context, obj client.Object) []reconcile.Request {
	tenant := belonging.TenantKey(belonging.TenantOf(obj))
	return c.list(ctx, client.InNamespace(tenant.Namespace), client.MatchingFields{indexTenant: tenant.Name})
}

func (c *Controller) list(ctx context.Context, which ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.SensitivityLabelList{}
	if err := c.cache.List(ctx, list, append(which, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "list labels that an event concerns")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

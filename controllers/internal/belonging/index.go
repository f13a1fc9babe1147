package belonging

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// The indexes of each controller.
const (
	byTenant   = "tenant"   // objects by the tenant that they name
	byClaim    = "claim"    // objects by tenant and what they claim
	byDocument = "document" // documents by their tenant
)

// index names an index. Names are shared by all controllers of a manager, so each begins
// with its controller.
func (k *Kind[O]) index(name string) string { return k.Controller + ":" + name }

func (k *Kind[O]) addIndexes(indexer client.FieldIndexer) error {
	type index struct {
		object client.Object
		name   string
		value  func(client.Object) string
	}
	indexes := []index{{k.New(), byTenant, k.tenant}, {&corev1.ConfigMap{}, byDocument, TenantOf}}
	if k.Claim != nil {
		indexes = append(indexes, index{k.New(), byClaim, k.claim})
	}
	for _, index := range indexes {
		values := func(obj client.Object) []string {
			if value := index.value(obj); value != "" {
				return []string{value}
			}
			return nil
		}
		if err := indexer.IndexField(context.Background(), index.object, k.index(index.name), values); err != nil {
			return fmt.Errorf("index %T as %q: %w", index.object, k.index(index.name), err)
		}
	}
	return nil
}

func (k *Kind[O]) tenant(obj client.Object) string {
	if o, ok := obj.(O); ok {
		return string(k.Tenant(o))
	}
	return ""
}

func (k *Kind[O]) claim(obj client.Object) string {
	if o, ok := obj.(O); ok {
		return string(k.Tenant(o)) + "/" + k.Claim(o)
	}
	return ""
}

// claimed selects the objects that claim what an object claims.
func (k *Kind[O]) claimed(obj client.Object) []client.ListOption {
	if k.Claim == nil {
		return k.of(obj.GetNamespace(), k.tenant(obj))
	}
	return []client.ListOption{client.InNamespace(obj.GetNamespace()), client.MatchingFields{k.index(byClaim): k.claim(obj)}}
}

// of selects the objects of a tenant.
func (k *Kind[O]) of(namespace, tenant string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace), client.MatchingFields{k.index(byTenant): tenant}}
}

func (c *Controller[O]) rivals(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.requests(ctx, c.kind.claimed(obj))
}

func (c *Controller[O]) ofTenant(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.requests(ctx, c.kind.of(obj.GetNamespace(), obj.GetName()))
}

func (c *Controller[O]) ofDocument(ctx context.Context, obj client.Object) []reconcile.Request {
	tenant := TenantKey(TenantOf(obj))
	return c.requests(ctx, c.kind.of(tenant.Namespace, tenant.Name))
}

func (c *Controller[O]) requests(ctx context.Context, which []client.ListOption) []reconcile.Request {
	objects, err := c.kind.list(ctx, c.cache, which...)
	if err != nil {
		log.FromContext(ctx).Error(err, "find what an event concerns")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(objects))
	for _, o := range objects {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
	}
	return requests
}

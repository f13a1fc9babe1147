package sharedmailbox

import (
	"context"
	"fmt"
	"strings"

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
	indexTenant   = "sharedmailbox:tenant"   // mailboxes by the tenant that they name
	indexAddress  = "sharedmailbox:address"  // mailboxes by tenant and address
	indexDocument = "sharedmailbox:document" // documents by their tenant
)

func addIndexes(indexer client.FieldIndexer) error {
	for _, index := range []struct {
		object client.Object
		name   string
		value  func(client.Object) string
	}{
		{&v1alpha1.SharedMailbox{}, indexTenant, tenantName},
		{&v1alpha1.SharedMailbox{}, indexAddress, addressKey},
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
	if m, ok := obj.(*v1alpha1.SharedMailbox); ok {
		return string(m.Spec.Tenant)
	}
	return ""
}

func addressKey(obj client.Object) string {
	if m, ok := obj.(*v1alpha1.SharedMailbox); ok {
		return string(m.Spec.Tenant) + "/" + strings.ToLower(string(m.Spec.Address))
	}
	return ""
}

// rivals are the other mailboxes of the tenant with the same address.
func (c *Controller) rivals(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.list(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingFields{indexAddress: addressKey(obj)})
}

func (c *Controller) ofTenant(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.list(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingFields{indexTenant: obj.GetName()})
}

func (c *Controller) ofDocument(ctx context.Context, obj client.Object) []reconcile.Request {
	tenant := belonging.TenantKey(belonging.TenantOf(obj))
	return c.list(ctx, client.InNamespace(tenant.Namespace), client.MatchingFields{indexTenant: tenant.Name})
}

func (c *Controller) list(ctx context.Context, which ...client.ListOption) []reconcile.Request {
	list := &v1alpha1.SharedMailboxList{}
	if err := c.cache.List(ctx, list, append(which, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "list shared mailboxes that an event concerns")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

package tenant

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// belongingTenants gives the tenant that a shared mailbox or label names.
func belongingTenants(obj client.Object) []string {
	switch o := obj.(type) {
	case *v1alpha1.SharedMailbox:
		return []string{string(o.Spec.Tenant)}
	case *v1alpha1.SensitivityLabel:
		return []string{string(o.Spec.Tenant)}
	default:
		return nil
	}
}

func tenantOfBelonging(_ context.Context, obj client.Object) []reconcile.Request {
	requests := make([]reconcile.Request, 0, 1)
	for _, tenant := range belongingTenants(obj) {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: obj.GetNamespace(), Name: tenant}})
	}
	return requests
}

// observeBelongings finds the shared mailboxes and labels that name the tenant.
func (c *Controller) observeBelongings(ctx context.Context, f *Facts) error {
	mailboxes, labels := &v1alpha1.SharedMailboxList{}, &v1alpha1.SensitivityLabelList{}
	for _, list := range []client.ObjectList{mailboxes, labels} {
		if err := c.cache.List(ctx, list, client.InNamespace(f.Tenant.Namespace), client.MatchingFields{indexOwner: f.Tenant.Name}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list %T of tenant %q: %w", list, nameOf(f.Tenant), err)
		}
	}
	for i := range mailboxes.Items {
		f.Mailboxes = append(f.Mailboxes, &mailboxes.Items[i])
	}
	for i := range labels.Items {
		f.Labels = append(f.Labels, &labels.Items[i])
	}
	return nil
}

// judgeBelongings decides on the shared mailboxes and labels of the tenant, by the
// domains and regions that were decided on just now.
func (d *Decision) judgeBelongings(f *Facts) {
	t := &belonging.Tenant{Object: f.Tenant, Held: d.domains.held}
	for i := range d.regions {
		place := belonging.Place{Region: d.regions[i].ref, Geography: d.regions[i].geography}
		if d.regions[i].refused {
			place.Geography = ""
		}
		t.Places = append(t.Places, place)
	}
	given := f.given()
	d.mailboxes = belonging.Mailboxes(t, f.Mailboxes, func(ref v1alpha1.RegionReference) []tenantdoc.SharedMailbox {
		return given(ref).SharedMailboxes
	})
	if len(f.Labels) > 0 {
		d.labels = belonging.Labels(t, f.Labels, func() []tenantdoc.Label { return given(f.Tenant.Spec.HomeRegion).Labels })
	}
}

// given reads the documents that exist, each when it is first asked for: only a
// mailbox or label that is paused needs to know what they say.
func (f *Facts) given() func(v1alpha1.RegionReference) *tenantdoc.Document {
	known := map[v1alpha1.RegionReference]*tenantdoc.Document{}
	return func(ref v1alpha1.RegionReference) *tenantdoc.Document {
		if d, ok := known[ref]; ok {
			return d
		}
		known[ref] = &tenantdoc.Document{}
		i := slices.IndexFunc(f.Documents, func(d found) bool { return d.region == ref })
		if i < 0 {
			return known[ref]
		}
		document, err := tenantdoc.Decode([]byte(f.Documents[i].configMap.Data[tenantdoc.DocumentKey]))
		if err == nil && document.UID == string(f.Tenant.UID) {
			known[ref] = document
		}
		return known[ref]
	}
}

// furnish puts into a document what belongs to the tenant in its region: which
// functions it uses, the shared mailboxes that live there, and every label.
func (d *Decision) furnish(f *Facts, document *tenantdoc.Document, region v1alpha1.RegionReference) {
	features := f.Tenant.Spec.Features
	document.Features = tenantdoc.Features{
		SMIME:             features.SMIME,
		SensitivityLabels: features.SensitivityLabels,
		SharedMailboxes:   features.SharedMailboxes,
	}
	document.SharedMailboxes = slices.DeleteFunc(slices.Clone(d.mailboxes[region]), func(m tenantdoc.SharedMailbox) bool {
		return !document.Homes(m.Address)
	})
	document.Labels = d.labels
}

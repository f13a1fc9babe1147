package tenant

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// The indexes of this controller. Index names are shared by all controllers of a
// manager, so each begins with its controller.
const (
	indexCloud    = "tenant:cloud"    // tenants and regions by the cloud that they name
	indexRegion   = "tenant:region"   // tenants by the regions that they name
	indexDomain   = "tenant:domain"   // tenants by the domains that they claim or hold
	indexPolicy   = "tenant:policy"   // policies by the tenant that they name
	indexOwner    = "tenant:owner"    // shared mailboxes and labels by the tenant that they name
	indexDocument = "tenant:document" // documents by their tenant
	indexReport   = "tenant:report"   // reports by their region
	indexSource   = "tenant:source"   // tenants by the objects that their certificates come from
)

func addIndexes(indexer client.FieldIndexer) error {
	for _, index := range []struct {
		object client.Object
		name   string
		values client.IndexerFunc
	}{
		{&v1alpha1.Tenant{}, indexCloud, clouds},
		{&v1alpha1.MailboxRegion{}, indexCloud, clouds},
		{&v1alpha1.Tenant{}, indexRegion, regionNames},
		{&v1alpha1.Tenant{}, indexDomain, domainKeys},
		{&v1alpha1.Tenant{}, indexSource, sourceNames},
		{&v1alpha1.DevicePolicy{}, indexPolicy, policyTenants},
		{&v1alpha1.SharedMailbox{}, indexOwner, belongingTenants},
		{&v1alpha1.SensitivityLabel{}, indexOwner, belongingTenants},
		{&corev1.ConfigMap{}, indexDocument, documentTenants},
		{&corev1.ConfigMap{}, indexReport, reportRegionNames},
	} {
		if err := indexer.IndexField(context.Background(), index.object, index.name, index.values); err != nil {
			return fmt.Errorf("index %T as %q: %w", index.object, index.name, err)
		}
	}
	return nil
}

func clouds(obj client.Object) []string {
	switch o := obj.(type) {
	case *v1alpha1.Tenant:
		return []string{string(o.Spec.Cloud)}
	case *v1alpha1.MailboxRegion:
		return []string{string(o.Spec.Cloud)}
	default:
		return nil
	}
}

func regionNames(obj client.Object) []string {
	t, ok := obj.(*v1alpha1.Tenant)
	if !ok {
		return nil
	}
	names := make([]string, 0, 1+len(t.Spec.Regions))
	for _, ref := range references(t) {
		names = append(names, ref.String())
	}
	return names
}

func domainKeys(obj client.Object) []string {
	t, ok := obj.(*v1alpha1.Tenant)
	if !ok {
		return nil
	}
	keys := map[string]bool{}
	for _, domain := range slices.Concat(t.Spec.Domains, t.Status.HeldDomains) {
		keys[domainKey(t.Spec.Cloud, domain)] = true
	}
	return slices.Sorted(maps.Keys(keys))
}

func domainKey(cloud v1alpha1.ObjectName, domain v1alpha1.MailDomain) string {
	return string(cloud) + "/" + string(domain)
}

func policyTenants(obj client.Object) []string {
	if p, ok := obj.(*v1alpha1.DevicePolicy); ok {
		return []string{string(p.Spec.Tenant)}
	}
	return nil
}

func documentTenants(obj client.Object) []string {
	if tenant := obj.GetAnnotations()[tenantdoc.AnnotationTenant]; tenant != "" && contentOf(obj) == tenantdoc.ContentDocument {
		return []string{tenant}
	}
	return nil
}

func reportRegionNames(obj client.Object) []string {
	if contentOf(obj) == tenantdoc.ContentReport {
		return []string{obj.GetLabels()[tenantdoc.LabelRegion]}
	}
	return nil
}

func contentOf(obj client.Object) string {
	return obj.GetLabels()[tenantdoc.LabelContent]
}

var (
	isDocument       = predicate.NewPredicateFuncs(func(o client.Object) bool { return contentOf(o) == tenantdoc.ContentDocument })
	isReport         = predicate.NewPredicateFuncs(func(o client.Object) bool { return contentOf(o) == tenantdoc.ContentReport })
	existenceChanged = predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	labelsChanged    = predicate.LabelChangedPredicate{}
	claimsChanged    = onUpdate(func(before, after *v1alpha1.Tenant) bool {
		return !slices.Equal(domainKeys(before), domainKeys(after)) || !slices.Equal(before.Status.HeldDomains, after.Status.HeldDomains)
	})
	cloudChanged = onUpdate(func(before, after *v1alpha1.SovereignCloud) bool {
		return before.Generation != after.Generation ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			conditionStatus(before.Status.Conditions, v1alpha1.ConditionAuthorityReady) != conditionStatus(after.Status.Conditions, v1alpha1.ConditionAuthorityReady)
	})
	regionChanged = onUpdate(func(before, after *v1alpha1.MailboxRegion) bool {
		return before.Generation != after.Generation ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			before.Status.EndpointURL != after.Status.EndpointURL ||
			conditionStatus(before.Status.Conditions, v1alpha1.ConditionCloudReady) != conditionStatus(after.Status.Conditions, v1alpha1.ConditionCloudReady)
	})
)

// onUpdate lets the updates pass in which something changed that tenants depend on,
// and every other event: statuses change often and seldom matter here.
func onUpdate[T client.Object](matters func(before, after T) bool) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(T)
		after, okAfter := e.ObjectNew.(T)
		return !okBefore || !okAfter || matters(before, after)
	}}
}

func conditionStatus(list []metav1.Condition, kind string) string {
	c := meta.FindStatusCondition(list, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + c.Reason
}

// rivals are the other tenants that claim a domain of this one.
func (c *Controller) rivals(ctx context.Context, obj client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, key := range domainKeys(obj) {
		for _, r := range c.tenants(ctx, client.MatchingFields{indexDomain: key}) {
			if r != requestFor(obj) && !slices.Contains(requests, r) {
				requests = append(requests, r)
			}
		}
	}
	return requests
}

func (c *Controller) tenantsOfCloud(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.tenants(ctx, client.MatchingFields{indexCloud: obj.GetName()})
}

func (c *Controller) tenantsOfRegion(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.tenants(ctx, client.MatchingFields{indexRegion: obj.GetNamespace() + "/" + obj.GetName()})
}

func (c *Controller) tenantsOfNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.tenants(ctx, client.InNamespace(obj.GetName()))
}

func (c *Controller) tenants(ctx context.Context, which client.ListOption) []reconcile.Request {
	list := &v1alpha1.TenantList{}
	if err := c.cache.List(ctx, list, which, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "list tenants that an event concerns")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, requestFor(&list.Items[i]))
	}
	return requests
}

func tenantOfPolicy(_ context.Context, obj client.Object) []reconcile.Request {
	requests := make([]reconcile.Request, 0, 1)
	for _, tenant := range policyTenants(obj) {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: obj.GetNamespace(), Name: tenant}})
	}
	return requests
}

func tenantOfDocument(_ context.Context, obj client.Object) []reconcile.Request {
	return namedRequests(documentTenants(obj))
}

func namedRequests(tenants []string) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(tenants))
	for _, tenant := range tenants {
		namespace, name, _ := strings.Cut(tenant, "/")
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}})
	}
	return requests
}

// reportHandler enqueues the tenants of which a report says something new. Where
// only counts moved, their minute is waited for. A replica that begins to speak, or
// is no more, says something new of every tenant of its region: what it does not
// mention it does not enforce.
func (c *Controller) reportHandler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(ctx context.Context, q queue, before, after reportVersion) {
		if before.spoken != after.spoken {
			for _, r := range c.tenantsOfReport(ctx, before, after) {
				q.Add(r)
			}
		}
		enforcement, counts := changed(before.tenants, after.tenants)
		for _, r := range namedRequests(enforcement) {
			q.Add(r)
		}
		for _, r := range namedRequests(counts) {
			q.AddAfter(r, countsEvery+time.Second)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			enqueue(ctx, q, reportVersion{}, c.reports.version(e.Object))
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			before := c.reports.version(e.ObjectOld)
			enqueue(ctx, q, before, c.reports.version(e.ObjectNew))
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			enqueue(ctx, q, c.reports.version(e.Object), reportVersion{})
			if cm, ok := e.Object.(*corev1.ConfigMap); ok {
				c.reports.forget(cm)
			}
		},
	}
}

// tenantsOfReport are all those of the region that a report is about.
func (c *Controller) tenantsOfReport(ctx context.Context, versions ...reportVersion) []reconcile.Request {
	for _, v := range versions {
		if v.region != "" {
			return c.tenants(ctx, client.MatchingFields{indexRegion: v.region})
		}
	}
	return nil
}

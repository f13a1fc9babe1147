package region

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/pace"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=delete;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=services,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=mailboxregions,verbs=list;patch;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=mailboxregions/finalizers,verbs=update
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=mailboxregions/status,verbs=patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sovereignclouds,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants,verbs=list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles,verbs=create;delete;get;list;patch;watch

// workers is how many regions are reconciled at a time: the work is waiting for the
// API server.
const workers = 16

func addIndexes(indexer client.FieldIndexer) error {
	indexes := []struct {
		obj   client.Object
		name  string
		value client.IndexerFunc
	}{
		{&v1alpha1.MailboxRegion{}, indexCloud, cloudOf},
		{&v1alpha1.MailboxRegion{}, indexHostname, hostnameOf},
		{&v1alpha1.Tenant{}, indexRegion, regionsOf},
		{&corev1.Pod{}, indexOwned, ownerOf},
		{&corev1.ConfigMap{}, indexOwned, ownerOfReport},
	}
	for _, index := range indexes {
		if err := indexer.IndexField(context.Background(), index.obj, index.name, index.value); err != nil {
			return fmt.Errorf("index %T by %q: %w", index.obj, index.name, err)
		}
	}
	return nil
}

func cloudOf(o client.Object) []string {
	if r, ok := o.(*v1alpha1.MailboxRegion); ok {
		return []string{string(r.Spec.Cloud)}
	}
	return nil
}

func hostnameOf(o client.Object) []string {
	if r, ok := o.(*v1alpha1.MailboxRegion); ok {
		return []string{string(r.Spec.Endpoint.Hostname)}
	}
	return nil
}

// ownerOf is the region that an object was made for.
func ownerOf(o client.Object) []string {
	if name := o.GetLabels()[v1alpha1.LabelRegion]; name != "" {
		return []string{o.GetNamespace() + "/" + name}
	}
	return nil
}

// ownerOfReport is the region of a report. Documents are found by their names.
func ownerOfReport(o client.Object) []string {
	if o.GetLabels()[tenantdoc.LabelContent] != tenantdoc.ContentReport {
		return nil
	}
	return ownerOf(o)
}

func regionsOf(o client.Object) []string {
	t, ok := o.(*v1alpha1.Tenant)
	if !ok {
		return nil
	}
	names := []string{t.Spec.HomeRegion.String()}
	for _, ref := range t.Spec.Regions {
		names = append(names, ref.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *Controller) watch(mgr manager.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).
		Named(Name).
		For(&v1alpha1.MailboxRegion{}, builder.WithPredicates(declared())).
		Watches(&v1alpha1.SovereignCloud{}, handler.EnqueueRequestsFromMapFunc(c.ofCloud), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Tenant{}, handler.EnqueueRequestsFromMapFunc(ofTenant), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.MailboxRegion{}, handler.EnqueueRequestsFromMapFunc(c.rivalsOf), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.ofSecret))
	for _, obj := range []client.Object{
		&corev1.ConfigMap{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}, &corev1.Service{}, &corev1.ServiceAccount{},
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &autoscalingv2.HorizontalPodAutoscaler{}, &networkingv1.NetworkPolicy{}, &policyv1.PodDisruptionBudget{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
	} {
		b = b.Watches(obj, handler.EnqueueRequestsFromMapFunc(ofChild))
	}
	b = b.WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	if err := b.Complete(pace.Limit(c)); err != nil {
		return fmt.Errorf("add controller %q: %w", Name, err)
	}
	return nil
}

// declared lets those events of a region pass that a person caused, and the loss of
// the finalizer. Writing the status is no reason to look again.
func declared() predicate.Predicate {
	return predicate.Or[client.Object](
		predicate.GenerationChangedPredicate{},
		predicate.AnnotationChangedPredicate{},
		predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
			return !slices.Equal(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers())
		}},
	)
}

// ofChild maps what was made for a region to it.
func ofChild(_ context.Context, o client.Object) []reconcile.Request {
	if name := o.GetLabels()[v1alpha1.LabelRegion]; name != "" {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
	}
	return nil
}

// ofSecret maps the authority of a cloud to the regions of the cloud.
func (c *Controller) ofSecret(ctx context.Context, o client.Object) []reconcile.Request {
	if own := ofChild(ctx, o); own != nil {
		return own
	}
	cloud := o.GetLabels()[v1alpha1.LabelCloud]
	if cloud == "" || o.GetNamespace() != c.options.Namespace {
		return nil
	}
	return c.regionsWith(ctx, indexCloud, cloud)
}

func (c *Controller) ofCloud(ctx context.Context, o client.Object) []reconcile.Request {
	return c.regionsWith(ctx, indexCloud, o.GetName())
}

func (c *Controller) rivalsOf(ctx context.Context, o client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, hostname := range hostnameOf(o) {
		requests = append(requests, c.regionsWith(ctx, indexHostname, hostname)...)
	}
	return requests
}

func ofTenant(_ context.Context, o client.Object) []reconcile.Request {
	t, ok := o.(*v1alpha1.Tenant)
	if !ok {
		return nil
	}
	requests := make([]reconcile.Request, 0, 1+len(t.Spec.Regions))
	for _, ref := range append([]v1alpha1.RegionReference{t.Spec.HomeRegion}, t.Spec.Regions...) {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: string(ref.Namespace), Name: string(ref.Name)}})
	}
	return requests
}

func (c *Controller) regionsWith(ctx context.Context, index, value string) []reconcile.Request {
	list := &v1alpha1.MailboxRegionList{}
	if err := c.cache.List(ctx, list, client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing regions", "index", index, "value", value)
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

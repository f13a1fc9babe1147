// Package cloud reconciles SovereignCloud: it keeps the cloud's own certificate
// authority, counts what lies within the cloud, and holds a cloud that is being
// deleted until nothing does.
package cloud

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/pace"
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=mailboxregions,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sovereignclouds,verbs=list;patch;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sovereignclouds/finalizers,verbs=update
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sovereignclouds/status,verbs=patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants,verbs=list;watch
// +kubebuilder:rbac:groups="",namespace=system,resources=secrets,verbs=create;delete;get;list;patch;watch

// Options are what the controller needs to know of its surroundings.
type Options struct {
	// Namespace is the operator's own, in which the authorities are kept.
	Namespace string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Controller reconciles SovereignCloud objects.
type Controller struct {
	cache     client.Reader
	live      client.Reader
	writer    *apply.Writer
	reader    *authority.Reader
	namespace string
	now       func() time.Time
}

// Add registers the controller with a manager.
func Add(mgr manager.Manager, o Options) error {
	c := newController(mgr, o)
	if err := addIndexes(mgr.GetFieldIndexer()); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("cloud").
		For(&v1alpha1.SovereignCloud{}).
		Watches(&v1alpha1.MailboxRegion{}, handler.EnqueueRequestsFromMapFunc(cloudOf), usage()).
		Watches(&v1alpha1.Tenant{}, handler.EnqueueRequestsFromMapFunc(cloudOf), usage()).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.cloudOfSecret)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(pace.Limit(c))
	if err != nil {
		return fmt.Errorf("add controller cloud: %w", err)
	}
	return nil
}

func newController(mgr manager.Manager, o Options) *Controller {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Controller{
		cache:     mgr.GetClient(),
		live:      mgr.GetAPIReader(),
		writer:    apply.New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder("cloud"), "cloud"),
		reader:    authority.NewReader(),
		namespace: o.Namespace,
		now:       o.Now,
	}
}

// Reconcile brings one cloud to what it declares.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	facts, err := c.observe(ctx, req.Name)
	if err != nil || facts == nil {
		return reconcile.Result{}, err
	}
	decision := decide(facts)
	outcome := c.apply(ctx, facts, decision)
	if decision.gone(outcome) {
		return reconcile.Result{}, nil
	}
	status := report(facts, decision, outcome)
	if err := c.writer.Status(ctx, facts.Cloud, facts.Cloud.Status, status); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: decision.again}, outcome.Err()
}

// usage lets the events pass that change what a cloud is used by: its name in a
// region or tenant cannot change.
func usage() builder.WatchesOption {
	return builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})
}

func cloudOf(_ context.Context, obj client.Object) []reconcile.Request {
	switch o := obj.(type) {
	case *v1alpha1.MailboxRegion:
		return request(string(o.Spec.Cloud))
	case *v1alpha1.Tenant:
		return request(string(o.Spec.Cloud))
	default:
		return nil
	}
}

// cloudOfSecret finds the cloud of an authority's Secret by the Secret's name: the
// label may be what is wrong with it.
func (c *Controller) cloudOfSecret(_ context.Context, secret client.Object) []reconcile.Request {
	cloud, ok := authority.CloudOf(secret.GetName())
	if secret.GetNamespace() != c.namespace || !ok {
		return nil
	}
	return request(cloud)
}

func request(cloud string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: cloud}}}
}

// Conditions gives the conditions of all clouds to the metric that counts them.
func Conditions() conditions.Source {
	return conditions.Source{Kind: "SovereignCloud", List: func(ctx context.Context, r client.Reader) ([][]metav1.Condition, error) {
		list := &v1alpha1.SovereignCloudList{}
		if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list clouds: %w", err)
		}
		all := make([][]metav1.Condition, 0, len(list.Items))
		for i := range list.Items {
			all = append(all, list.Items[i].Status.Conditions)
		}
		return all, nil
	}}
}

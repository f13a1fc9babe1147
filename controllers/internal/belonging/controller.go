package belonging

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/pace"
)

// Kind is what the controller of one kind of belongings has of its own. The functions
// are pure.
type Kind[O client.Object] struct {
	// Name is the kind, and Plural what errors call its objects.
	Name, Plural string
	// Controller names the controller.
	Controller string
	// New and List make an empty object, and an empty list of such objects.
	New  func() O
	List func() client.ObjectList
	// Tenant is the tenant that an object names.
	Tenant func(O) v1alpha1.ObjectName
	// Claim is what only one object of a tenant can have: those that claim the same are
	// rivals. Without the function all of a tenant are.
	Claim func(O) string
	// Status gives the status of an object, and the part that every kind has.
	Status func(O) (whole any, common *v1alpha1.ReconcileStatus)
	// Judge says how an object stands.
	Judge func(*Facts[O]) Standing
	// Record writes into the status of an object what else its kind tells; nil when that
	// is nothing.
	Record func(o O, f *Facts[O], s Standing)
	// Deleted tells what becomes of what is deleted.
	Deleted string
}

// Options are what a controller needs to know of its surroundings.
type Options struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Controller tells how the objects of one kind stand.
type Controller[O client.Object] struct {
	kind      *Kind[O]
	cache     client.Reader
	writer    *apply.Writer
	documents Documents
	settling  Settling
	now       func() time.Time
}

// Add registers the controller of a kind with a manager.
func (k *Kind[O]) Add(mgr manager.Manager, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Controller[O]{
		kind:   k,
		cache:  mgr.GetClient(),
		writer: apply.New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder(k.Controller), k.Controller),
		now:    o.Now,
	}
	if err := k.addIndexes(mgr.GetFieldIndexer()); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named(k.Controller).
		For(k.New()).
		Watches(k.New(), handler.EnqueueRequestsFromMapFunc(c.rivals), builder.WithPredicates(Changed())).
		Watches(&v1alpha1.Tenant{}, handler.EnqueueRequestsFromMapFunc(c.ofTenant), builder.WithPredicates(TenantChanged())).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(c.ofDocument), builder.WithPredicates(IsDocument())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(pace.Limit(c))
	if err != nil {
		return fmt.Errorf("add controller %s: %w", k.Controller, err)
	}
	return nil
}

// Reconcile tells how one object stands.
func (c *Controller[O]) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	facts, err := c.observe(ctx, req.NamespacedName)
	if err != nil || facts == nil {
		return reconcile.Result{}, err
	}
	wait, err := c.apply(ctx, facts, c.kind.decide(facts))
	return reconcile.Result{RequeueAfter: wait}, err
}

// Conditions gives the conditions of all objects of the kind to the metric that counts
// them.
func (k *Kind[O]) Conditions() conditions.Source {
	return conditions.Source{Kind: k.Name, List: func(ctx context.Context, r client.Reader) ([][]metav1.Condition, error) {
		objects, err := k.list(ctx, r)
		if err != nil {
			return nil, err
		}
		all := make([][]metav1.Condition, 0, len(objects))
		for _, o := range objects {
			_, common := k.Status(o)
			all = append(all, common.Conditions)
		}
		return all, nil
	}}
}

// list gives objects of the kind as the cache has them: they are not to be changed.
func (k *Kind[O]) list(ctx context.Context, r client.Reader, which ...client.ListOption) ([]O, error) {
	list := k.List()
	if err := r.List(ctx, list, append(which, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("list %s: %w", k.Plural, err)
	}
	var objects []O
	err := meta.EachListItem(list, func(item runtime.Object) error {
		o, ok := item.(O)
		if !ok {
			return fmt.Errorf("list %s: an item is a %T", k.Plural, item)
		}
		objects = append(objects, o)
		return nil
	})
	return objects, err
}

// Package sensitivitylabel reconciles SensitivityLabel: it tells whether the tenant can
// have the label, and whether every region of the tenant is given it. The label gets to
// the regions within the tenant's documents, which the controller of tenants writes.
//
// There is no finalizer: a label that is deleted leaves the documents at once. Mail
// that carries its id keeps it, and shows the label again when that is created anew.
package sensitivitylabel

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/pace"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sensitivitylabels,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sensitivitylabels/status,verbs=patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants,verbs=list;watch

// Options are what the controller needs to know of its surroundings.
type Options struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Controller reconciles SensitivityLabel objects.
type Controller struct {
	cache     client.Reader
	writer    *apply.Writer
	documents belonging.Documents
	settling  belonging.Settling
	now       func() time.Time
}

// Add registers the controller with a manager.
func Add(mgr manager.Manager, o Options) error {
	return newController(mgr, o).register(mgr)
}

func newController(mgr manager.Manager, o Options) *Controller {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Controller{
		cache:  mgr.GetClient(),
		writer: apply.New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder("sensitivitylabel"), "sensitivitylabel"),
		now:    o.Now,
	}
}

func (c *Controller) register(mgr manager.Manager) error {
	if err := addIndexes(mgr.GetFieldIndexer()); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("sensitivitylabel").
		For(&v1alpha1.SensitivityLabel{}).
		Watches(&v1alpha1.SensitivityLabel{}, handler.EnqueueRequestsFromMapFunc(c.siblings), builder.WithPredicates(belonging.Changed())).
		Watches(&v1alpha1.Tenant{}, handler.EnqueueRequestsFromMapFunc(c.ofTenant), builder.WithPredicates(belonging.TenantChanged())).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(c.ofDocument), builder.WithPredicates(belonging.IsDocument())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(pace.Limit(c))
	if err != nil {
		return fmt.Errorf("add controller sensitivitylabel: %w", err)
	}
	return nil
}

// Reconcile tells how one label stands.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	facts, err := c.observe(ctx, req.NamespacedName)
	if err != nil || facts == nil {
		return reconcile.Result{}, err
	}
	wait, err := c.apply(ctx, facts, decide(facts))
	return reconcile.Result{RequeueAfter: wait}, err
}

// Conditions gives the conditions of all labels to the metric that counts
// them.
func Conditions() conditions.Source {
	return conditions.Source{Kind: "SensitivityLabel", List: func(ctx context.Context, r client.Reader) ([][]metav1.Condition, error) {
		list := &v1alpha1.SensitivityLabelList{}
		if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list labels: %w", err)
		}
		all := make([][]metav1.Condition, 0, len(list.Items))
		for i := range list.Items {
			all = append(all, list.Items[i].Status.Conditions)
		}
		return all, nil
	}}
}

// Package tenant reconciles Tenant: it holds a tenant against the boundary of its
// cloud, the consent of its regions and the domains of the other tenants, and writes
// the document that each of its regions enforces.
package tenant

import (
	"context"
	"fmt"
	"net/netip"
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
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/issuers"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/pace"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=devicepolicies,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=mailboxregions,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sensitivitylabels,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sharedmailboxes,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sovereignclouds,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants,verbs=list;patch;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants/finalizers,verbs=update
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants/status,verbs=patch

const workers = 16

// Options are what the controller needs to know of its surroundings.
type Options struct {
	// DeniedRanges are the cluster's own address ranges, as far as they are known.
	// No issuer is fetched from there, whatever a cloud allows.
	DeniedRanges []netip.Prefix
	// Issuers shape the prober; its DeniedRanges are those above.
	Issuers issuers.Options
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Controller reconciles Tenant objects.
type Controller struct {
	cache    client.Reader
	writer   *apply.Writer
	prober   *issuers.Prober
	now      func() time.Time
	bundles  bundles
	anchors  anchors
	reports  reports
	ledger   ledger
	counts   pacer
	settling settling
}

// Add registers the controller and its prober with a manager.
func Add(mgr manager.Manager, o Options) error {
	return newController(mgr, o).register(mgr)
}

func (c *Controller) register(mgr manager.Manager) error {
	if err := addIndexes(mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := mgr.Add(c.prober); err != nil {
		return fmt.Errorf("add prober of issuers: %w", err)
	}
	versions, err := newVersions(mgr)
	if err != nil {
		return err
	}
	c.bundles.sources, c.anchors.sources = versions.of, versions.of
	err = ctrl.NewControllerManagedBy(mgr).
		Named("tenant").
		For(&v1alpha1.Tenant{}).
		Watches(&v1alpha1.Tenant{}, handler.EnqueueRequestsFromMapFunc(c.rivals), builder.WithPredicates(claimsChanged)).
		Watches(&v1alpha1.SovereignCloud{}, handler.EnqueueRequestsFromMapFunc(c.tenantsOfCloud), builder.WithPredicates(cloudChanged)).
		Watches(&v1alpha1.MailboxRegion{}, handler.EnqueueRequestsFromMapFunc(c.tenantsOfRegion), builder.WithPredicates(regionChanged)).
		Watches(&v1alpha1.DevicePolicy{}, handler.EnqueueRequestsFromMapFunc(tenantOfPolicy), builder.WithPredicates(existenceChanged)).
		Watches(&v1alpha1.SharedMailbox{}, handler.EnqueueRequestsFromMapFunc(tenantOfBelonging), builder.WithPredicates(belonging.Changed())).
		Watches(&v1alpha1.SensitivityLabel{}, handler.EnqueueRequestsFromMapFunc(tenantOfBelonging), builder.WithPredicates(belonging.Changed())).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(tenantOfDocument), builder.WithPredicates(isDocument)).
		Watches(&corev1.ConfigMap{}, c.reportHandler(), builder.WithPredicates(isReport)).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(c.tenantsOfNamespace), builder.WithPredicates(labelsChanged)).
		WatchesRawSource(versions.watch("ConfigMap", c.tenantsOfSource)).
		WatchesRawSource(versions.watch("Secret", c.tenantsOfSource)).
		WatchesRawSource(source.Channel(c.prober.Changes(), &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(pace.Limit(c))
	if err != nil {
		return fmt.Errorf("add controller tenant: %w", err)
	}
	return nil
}

func newController(mgr manager.Manager, o Options) *Controller {
	o.Issuers.DeniedRanges = o.DeniedRanges
	c := &Controller{
		cache:   mgr.GetClient(),
		writer:  apply.New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder("tenant"), "tenant"),
		prober:  issuers.New(o.Issuers),
		now:     o.Now,
		bundles: bundles{live: mgr.GetAPIReader()},
		anchors: anchors{live: mgr.GetAPIReader()},
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// Reconcile brings one tenant to what it declares.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	facts, err := c.observe(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if facts == nil {
		c.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	decision := decide(facts)
	outcome := c.apply(ctx, facts, decision)
	if decision.Deleting && !decision.Paused && !outcome.Finalizer {
		return reconcile.Result{}, nil
	}
	wait, err := c.tell(ctx, facts, decision, outcome)
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: wait}, outcome.Err()
}

// forget drops what is remembered of a tenant that is gone.
func (c *Controller) forget(key client.ObjectKey) {
	c.prober.Forget(key)
	c.bundles.forget(key)
	c.anchors.forget(key)
	c.ledger.forget(key.String())
}

func requestFor(obj metav1.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: obj.GetNamespace(), Name: obj.GetName()}}
}

// Conditions gives the conditions of all tenants to the metric that counts them.
func Conditions() conditions.Source {
	return conditions.Source{Kind: "Tenant", List: func(ctx context.Context, r client.Reader) ([][]metav1.Condition, error) {
		list := &v1alpha1.TenantList{}
		if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list tenants: %w", err)
		}
		all := make([][]metav1.Condition, 0, len(list.Items))
		for i := range list.Items {
			all = append(all, list.Items[i].Status.Conditions)
		}
		return all, nil
	}}
}

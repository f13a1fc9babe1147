// Package region reconciles MailboxRegion: it makes the sync server of a region
// with its identity, network rules, certificate and volume, and tells how it is.
// observe reads, decide is pure, apply is the only place that writes, and report is
// pure again.
package region

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// Name is that of the controller in metrics, logs and events.
const Name = "region"

// Options are what the controller needs to know of its surroundings.
type Options struct {
	// Namespace is the operator's own, in which the authorities are kept.
	Namespace string
	// Image of the sync server.
	Image string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Controller reconciles MailboxRegion objects.
type Controller struct {
	options      Options
	cache        client.Reader
	live         client.Reader
	writer       *apply.Writer
	certificates *authority.Reader
	reports      *reportMemo
	documents    *documentMemo
	counted      clock
	storage      declaredMemo[StorageFacts]
	delivery     declaredMemo[DeliveryFacts]
	now          func() time.Time
}

// New makes the controller. c reads from the cache and writes, live reads past the
// cache.
func New(c client.Client, live client.Reader, recorder events.EventRecorder, o Options) *Controller {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Controller{
		options:      o,
		cache:        c,
		live:         live,
		writer:       apply.New(c, live, recorder, Name),
		certificates: authority.NewReader(),
		reports:      newReportMemo(),
		documents:    newDocumentMemo(),
		now:          o.Now,
	}
}

// Reconcile brings one region to what it declares.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	facts, err := c.observe(ctx, req.NamespacedName)
	if err != nil || facts == nil {
		return reconcile.Result{}, err
	}
	var decision Decision
	var outcome Outcome
	if !facts.paused() {
		decision = decide(facts, Settings{Namespace: c.options.Namespace, Image: c.options.Image})
		outcome = c.apply(ctx, facts, decision)
	}
	if outcome.Gone {
		return reconcile.Result{}, nil
	}
	status := report(facts, decision, outcome)
	if err := c.writer.Status(ctx, facts.Region, facts.Region.Status, status); err != nil {
		return reconcile.Result{}, err
	}
	c.announce(facts, status)
	if err := outcome.Err(); err != nil {
		return reconcile.Result{}, fmt.Errorf("apply region %q: %w", req.NamespacedName, err)
	}
	return reconcile.Result{RequeueAfter: again(facts, decision)}, nil
}

// announce remembers when counts were refreshed, and tells when the region became
// ready or ceased to be.
func (c *Controller) announce(f *Facts, status v1alpha1.MailboxRegionStatus) {
	if countsDiffer(f) && countsWait(f) == 0 && !f.paused() {
		c.counted.set(f.Region.UID, f.Now)
	}
	before := meta.FindStatusCondition(f.Region.Status.Conditions, v1alpha1.ConditionReady)
	after := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if before == nil || after == nil || before.Status == after.Status {
		return
	}
	event := apply.Event{Type: corev1.EventTypeNormal, Reason: "BecameReady", Action: "Report", Note: "every condition is true"}
	if after.Status != metav1.ConditionTrue {
		event = apply.Event{Type: corev1.EventTypeWarning, Reason: "BecameUnready", Action: "Report", Note: after.Reason + ": " + after.Message}
	}
	c.writer.Announce(f.Region, event)
}

// Conditions is the source of the region's conditions for the metric.
func Conditions() conditions.Source {
	return conditions.Source{Kind: "MailboxRegion", List: func(ctx context.Context, r client.Reader) ([][]metav1.Condition, error) {
		list := &v1alpha1.MailboxRegionList{}
		if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list regions: %w", err)
		}
		all := make([][]metav1.Condition, 0, len(list.Items))
		for i := range list.Items {
			all = append(all, list.Items[i].Status.Conditions)
		}
		return all, nil
	}}
}

// Add registers the controller, its indexes and its watches with a manager.
func Add(mgr manager.Manager, o Options) error {
	if err := addIndexes(mgr.GetFieldIndexer()); err != nil {
		return err
	}
	c := New(mgr.GetClient(), mgr.GetAPIReader(), mgr.GetEventRecorder("bailiwick-"+Name), o)
	return c.watch(mgr)
}

package belonging

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// Facts are all that is known about an object when it is decided upon.
type Facts[O client.Object] struct {
	// Now is the time of the observation.
	Now metav1.Time
	// Object is the object itself, as the cache shows it.
	Object O
	// Tenant is the one that it names; nil when it does not exist.
	Tenant *v1alpha1.Tenant
	// Rivals are the objects of the tenant that claim the same, itself among them.
	Rivals []O
	// Given is what the tenant's documents say, by region.
	Given map[v1alpha1.RegionReference]Given
}

// Standing is how an object stands.
type Standing struct {
	// Problem is why the tenant cannot have it as it is declared; nil when it can.
	Problem *Problem
	// Note is what a person should know of one that is accepted; may be empty.
	Note string
	// Served is the condition that tells whether regions are given it.
	Served conditions.Dependent
	// Region is the one in which it is served as it is declared; empty when there is none,
	// and for what is served in every region.
	Region v1alpha1.RegionReference
}

// Decision is what an object comes to.
type Decision struct {
	Standing

	// Paused leaves everything as it is.
	Paused bool
	// Deleting tells that the object goes, and somebody else's finalizer holds it.
	Deleting bool
}

// pending tells whether nothing is wrong but that a region is not given the object yet.
func (d *Decision) pending() bool {
	return !d.Paused && !d.Deleting && d.Problem == nil && d.Served.Status != metav1.ConditionTrue
}

// observe reads everything that a decision needs. No facts and no error mean that the
// object is gone.
func (c *Controller[O]) observe(ctx context.Context, key client.ObjectKey) (*Facts[O], error) {
	f := &Facts[O]{Now: metav1.NewTime(c.now()), Object: c.kind.New()}
	if err := c.cache.Get(ctx, key, f.Object, client.UnsafeDisableDeepCopy); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	owner := client.ObjectKey{Namespace: key.Namespace, Name: string(c.kind.Tenant(f.Object))}
	tenant := &v1alpha1.Tenant{}
	err := c.cache.Get(ctx, owner, tenant, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read tenant %q: %w", owner.Name, err)
	}
	if err == nil {
		f.Tenant = tenant
	}
	if f.Rivals, err = c.kind.list(ctx, c.cache, c.kind.claimed(f.Object)...); err != nil {
		return nil, err
	}
	return f, c.observeDocuments(ctx, f, owner)
}

func (c *Controller[O]) observeDocuments(ctx context.Context, f *Facts[O], owner client.ObjectKey) error {
	list := &corev1.ConfigMapList{}
	tenant := owner.String()
	if err := c.cache.List(ctx, list, client.MatchingFields{c.kind.index(byDocument): tenant}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list documents of tenant %q: %w", tenant, err)
	}
	f.Given = c.documents.Read(tenant, list.Items)
	return nil
}

// decide says what an object comes to.
func (k *Kind[O]) decide(f *Facts[O]) Decision {
	d := Decision{Paused: Paused(f.Object), Deleting: gone(f.Object)}
	if !d.Paused {
		d.Standing = k.Judge(f)
	}
	return d
}

// apply makes the decision so: the status is all that there is to write. It gives the
// time after which to look again.
func (c *Controller[O]) apply(ctx context.Context, f *Facts[O], d Decision) (time.Duration, error) {
	current, common := c.kind.Status(f.Object)
	pending := d.pending() && Pending(common.Conditions)
	if wait := c.settling.Wait(f.Object, f.Now.Time, pending); wait > 0 {
		return wait, nil
	}
	told, err := c.kind.report(f, d)
	if err != nil {
		return 0, err
	}
	wanted, _ := c.kind.Status(told)
	return 0, c.writer.Status(ctx, f.Object, current, wanted)
}

// Tell gives the object with the status that facts come to.
func (k *Kind[O]) Tell(f *Facts[O]) (O, error) { return k.report(f, k.decide(f)) }

// report is Tell for a decision.
func (k *Kind[O]) report(f *Facts[O], d Decision) (told O, err error) {
	told, ok := f.Object.DeepCopyObject().(O)
	if !ok {
		return told, fmt.Errorf("copy of a %s is another type", k.Name)
	}
	_, status := k.Status(told)
	generation := f.Object.GetGeneration()
	if d.Paused {
		status.Conditions = conditions.Paused(status.Conditions, generation, f.Now)
		return told, nil
	}
	summary := conditions.Summary{
		Previous: status.Conditions, Generation: generation, Now: f.Now,
		Dependents: []conditions.Dependent{Accepted(d.Problem, d.Note), d.Served},
	}
	if d.Deleting {
		summary.Deleting = &conditions.Deletion{Reason: v1alpha1.ReasonDeleting, Message: k.Deleted}
	}
	status.Conditions = conditions.Derive(summary)
	status.ObservedGeneration = generation
	status.LastHandledReconcileAt = f.Object.GetAnnotations()[v1alpha1.AnnotationRequestedAt]
	if k.Record != nil {
		k.Record(told, f, d.Standing)
	}
	return told, nil
}

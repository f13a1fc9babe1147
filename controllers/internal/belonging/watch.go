package belonging

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// TenantChanged lets the updates of a tenant pass that change a judgement.
func TenantChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*v1alpha1.Tenant)
		after, okAfter := e.ObjectNew.(*v1alpha1.Tenant)
		return !okBefore || !okAfter || before.Generation != after.Generation || gone(before) != gone(after) ||
			!slices.Equal(FromStatus(before).Held, FromStatus(after).Held) ||
			!slices.Equal(FromStatus(before).Places, FromStatus(after).Places)
	}}
}

// Changed lets the updates of a mailbox or label pass that change what is rendered of
// it: not those of its status.
func Changed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld, e.ObjectNew
		return before.GetGeneration() != after.GetGeneration() || gone(before) != gone(after) ||
			Paused(before) != Paused(after) || before.GetUID() != after.GetUID()
	}}
}

// IsDocument lets tenant documents pass.
func IsDocument() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool { return TenantOf(o) != "" })
}

// Pending tells whether a status has never said that it waits to be served.
func Pending(conditions []metav1.Condition) bool {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionServed)
	return c == nil || c.Reason != v1alpha1.ReasonNotServedYet
}

// Package belongingtest asserts what the controllers of belongings tell.
package belongingtest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

// Told is what conditions tell: status and reason of each, and which of Reconciling and
// Stalled is there.
type Told struct{ Ready, Accepted, Served, Progress string }

// Now is the time of all facts.
func Now() metav1.Time {
	return metav1.NewTime(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
}

// Tell gives the object with the status that facts come to.
func Tell[O client.Object](t *testing.T, k *belonging.Kind[O], f *belonging.Facts[O]) O {
	t.Helper()
	told, err := k.Tell(f)
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// Check asserts what facts come to, and that the same facts come to the same then. The
// message is a part of that of Ready. It gives the object with its status.
func Check[O client.Object](t *testing.T, k *belonging.Kind[O], f *belonging.Facts[O], want Told, message string) O {
	t.Helper()
	const requested = "now"
	f.Object.SetAnnotations(map[string]string{v1alpha1.AnnotationRequestedAt: requested})
	told := Tell(t, k, f)
	_, status := k.Status(told)
	tell := func(kind string) string {
		c := meta.FindStatusCondition(status.Conditions, kind)
		if c == nil || c.ObservedGeneration != f.Object.GetGeneration() {
			t.Fatalf("condition %s is %+v", kind, c)
		}
		return string(c.Status) + "/" + c.Reason
	}
	got := Told{Ready: tell(v1alpha1.ConditionReady), Accepted: tell(v1alpha1.ConditionAccepted), Served: tell(v1alpha1.ConditionServed)}
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if meta.FindStatusCondition(status.Conditions, kind) != nil {
			got.Progress += kind
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); !strings.Contains(ready.Message, message) {
		t.Errorf("message %q lacks %q", ready.Message, message)
	}
	if status.ObservedGeneration != f.Object.GetGeneration() || status.LastHandledReconcileAt != requested {
		t.Errorf("status %+v", status)
	}
	again := *f
	again.Object = told
	if diff := cmp.Diff(told, Tell(t, k, &again)); diff != "" {
		t.Errorf("the same facts give another status: %s", diff)
	}
	return told
}

// CheckPaused asserts that a paused object keeps its status, whatever becomes of the facts.
func CheckPaused[O client.Object](t *testing.T, k *belonging.Kind[O], f *belonging.Facts[O]) {
	t.Helper()
	_, before := k.Status(Tell(t, k, f))
	_, status := k.Status(f.Object)
	*status = *before
	f.Object.SetAnnotations(map[string]string{v1alpha1.AnnotationPaused: "true"})
	f.Object.SetGeneration(f.Object.GetGeneration() + 1)
	f.Tenant = nil
	_, after := k.Status(Tell(t, k, f))
	if c := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionPaused); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("conditions %+v", after.Conditions)
	}
	if c := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady); c == nil || c.Reason != v1alpha1.ReasonReady || after.ObservedGeneration != f.Object.GetGeneration()-1 {
		t.Errorf("status %+v", after)
	}
}

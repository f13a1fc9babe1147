package pace

import (
	"context"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
}

func TestARestlessObjectIsHandledAtTheAllowedPace(t *testing.T) {
	t.Parallel()
	handled := 0
	l := Limit(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
		handled++
		return reconcile.Result{}, nil
	}))
	clock := time.Unix(0, 0)
	l.now = func() time.Time { return clock }
	const seconds, perSecond = 60, 20
	for range seconds * perSecond {
		result, err := l.Reconcile(t.Context(), request("a"))
		if err != nil {
			t.Fatal(err)
		}
		if result.RequeueAfter > every {
			t.Errorf("comes again after %s, want at most %s", result.RequeueAfter, every)
		}
		clock = clock.Add(time.Second / perSecond)
	}
	const allowed = seconds * int(time.Second/every)
	if handled < allowed || handled > allowed+burst {
		t.Errorf("handled %d times in %d seconds, want %d to %d", handled, seconds, allowed, allowed+burst)
	}
}

func TestChangesInARowAreHandledAtOnce(t *testing.T) {
	t.Parallel()
	l := Limit(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return reconcile.Result{}, nil }))
	l.now = func() time.Time { return time.Unix(0, 0) }
	for range burst {
		if result, err := l.Reconcile(t.Context(), request("a")); err != nil || result.RequeueAfter != 0 {
			t.Errorf("result %+v, error %v; want it handled", result, err)
		}
	}
	if result, _ := l.Reconcile(t.Context(), request("a")); result.RequeueAfter == 0 {
		t.Error("one more is handled at once too")
	}
	if result, _ := l.Reconcile(t.Context(), request("b")); result.RequeueAfter != 0 {
		t.Error("another object waits for the first")
	}
}

func TestObjectsAtRestAreForgotten(t *testing.T) {
	t.Parallel()
	l := Limit(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return reconcile.Result{}, nil }))
	clock := time.Unix(0, 0)
	l.now = func() time.Time { return clock }
	for i := range maxIdle {
		l.wait(request(strconv.Itoa(i)))
	}
	clock = clock.Add(time.Minute)
	l.wait(request("new"))
	if len(l.buckets) != 1 {
		t.Errorf("%d objects are remembered, want the new one only", len(l.buckets))
	}
}

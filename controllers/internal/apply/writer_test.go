package apply

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// desk is a Writer at work on one owner, with a fake API server.
type desk struct {
	t      *testing.T
	api    client.WithWatch
	writer *Writer
	events *events.FakeRecorder
	owner  *v1alpha1.MailboxRegion
	fail   func(verb string, obj client.Object) error
}

func newDesk(t *testing.T, existing ...client.Object) *desk {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	d := &desk{t: t, events: events.NewFakeRecorder(16), fail: func(string, client.Object) error { return nil }}
	owner := &v1alpha1.MailboxRegion{ObjectMeta: metav1.ObjectMeta{Name: "paris", Namespace: "eu", UID: "owner-uid"}}
	d.api = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(owner).WithReturnManagedFields().
		WithObjects(append(existing, owner)...).
		WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
				if err := d.fail("patch", obj); err != nil {
					return err
				}
				return c.Patch(ctx, obj, patch, opts...)
			},
			Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
				if err := d.fail("delete", obj); err != nil {
					return err
				}
				return c.Delete(ctx, obj, opts...)
			},
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
				if err := d.fail("get", obj); err != nil {
					return err
				}
				return c.Get(ctx, key, obj, opts...)
			},
		}).Build()
	d.writer = New(d.api, d.api, d.events, "desk")
	d.owner = d.reload()
	return d
}

func (d *desk) reload() *v1alpha1.MailboxRegion {
	d.t.Helper()
	owner := &v1alpha1.MailboxRegion{}
	if err := d.api.Get(d.t.Context(), client.ObjectKey{Namespace: "eu", Name: "paris"}, owner); err != nil {
		d.t.Fatal(err)
	}
	return owner
}

// apply carries out a plan on what is there, as a controller does in one pass.
func (d *desk) apply(plan Plan) Outcome {
	d.t.Helper()
	d.owner = d.reload()
	return d.writer.Apply(d.t.Context(), d.owner, plan)
}

func (d *desk) configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "eu", Labels: map[string]string{LabelManagedBy: ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "MailboxRegion", Name: "paris", UID: "owner-uid", Controller: new(true),
			}},
		},
		Data: data,
	}
}

func (d *desk) found(name string) client.Object {
	d.t.Helper()
	obj := &corev1.ConfigMap{}
	if err := d.api.Get(d.t.Context(), client.ObjectKey{Namespace: "eu", Name: name}, obj); err != nil {
		d.t.Fatal(err)
	}
	return obj
}

func TestAPlanThatHoldsIsNotSentAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	plan := Plan{Finalizer: true, Wanted: []client.Object{d.configMap("a", map[string]string{"k": "v"})}}
	if out := d.apply(plan); out.Err() != nil || out.Written != 2 || !out.Finalizer {
		t.Fatalf("first: %+v, want the finalizer and one object written", out)
	}
	plan.Found = []client.Object{d.found("a")}
	for _, writer := range []*Writer{d.writer, New(d.api, d.api, d.events, "desk")} {
		d.writer = writer
		if out := d.apply(plan); out.Err() != nil || out.Written != 0 {
			t.Errorf("again: %+v, want nothing written", out)
		}
	}
	if got := d.writer.Writes(); got != 0 {
		t.Errorf("the new writer counts %d writes, want none", got)
	}
}

func TestAFieldThatLeavesTheIntentIsRemoved(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.apply(Plan{Finalizer: true, Wanted: []client.Object{d.configMap("a", map[string]string{"k": "v", "gone": "v"})}})
	out := d.apply(Plan{Finalizer: true, Found: []client.Object{d.found("a")}, Wanted: []client.Object{d.configMap("a", map[string]string{"k": "v"})}})
	if out.Written != 1 {
		t.Errorf("%d writes, want one", out.Written)
	}
	got, ok := d.found("a").(*corev1.ConfigMap)
	if !ok || cmp.Diff(map[string]string{"k": "v"}, got.Data) != "" {
		t.Errorf("data is %v, want k only", got.Data)
	}
	if len(d.events.Events) > 0 {
		t.Errorf("an event tells of %q, want none: nobody else changed anything", <-d.events.Events)
	}
}

func TestAFieldThatIsReleasedKeepsItsValue(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.apply(Plan{Finalizer: true, Wanted: []client.Object{d.configMap("a", map[string]string{"k": "v", "given": "away"})}})
	release := []Release{{Object: d.found("a"), Fields: map[string]any{"data": map[string]any{"given": "away"}}}}
	wanted := []client.Object{d.configMap("a", map[string]string{"k": "v"})}
	out := d.apply(Plan{Finalizer: true, Found: []client.Object{d.found("a")}, Wanted: wanted, Release: release})
	got, ok := d.found("a").(*corev1.ConfigMap)
	if !ok || out.Written != 2 || cmp.Diff(map[string]string{"k": "v", "given": "away"}, got.Data) != "" {
		t.Errorf("%d writes and data %v, want two and both values", out.Written, got.Data)
	}
	d.fail = func(verb string, _ client.Object) error {
		if verb == "patch" {
			return errors.New("no")
		}
		return nil
	}
	out = d.apply(Plan{Finalizer: true, Found: []client.Object{d.found("a")}, Wanted: []client.Object{d.configMap("a", nil)}, Release: release})
	if out.Written != 1 || len(out.Failures) != 1 {
		t.Errorf("%d writes and failures %v, want nothing applied after a release that failed", out.Written, out.Failures)
	}
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "foreign", Namespace: "eu"}}
	out = d.apply(Plan{Finalizer: true, Release: []Release{{Object: foreign, Fields: map[string]any{}}}})
	if len(out.Failures) != 1 || !errors.Is(out.Failures[0].Err, ErrForeign) {
		t.Errorf("failures %v, want that the object is another's", out.Failures)
	}
}

func TestACheckAgainstTheAPIServerSeesWhatTheCacheDoesNot(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	plan := Plan{Finalizer: true, Wanted: []client.Object{d.configMap("a", map[string]string{"k": "v"})}}
	d.apply(plan)
	stale := d.found("a")
	changed := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "eu"}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"data":{"k":"changed"}}`))
	if err := d.api.Patch(t.Context(), changed, patch, client.FieldOwner("mallory")); err != nil {
		t.Fatal(err)
	}
	plan.Found = []client.Object{stale}
	if out := d.apply(plan); out.Written != 0 {
		t.Errorf("%d writes with a stale cache, want none", out.Written)
	}
	plan.CheckLive = true
	if out := d.apply(plan); out.Written != 1 {
		t.Errorf("%d writes with a check against the API server, want one", out.Written)
	}
	if note := <-d.events.Events; !strings.Contains(note, `DriftCorrected corrected ConfigMap "a": data.k changed by "mallory"`) {
		t.Errorf("event is %q, want one that names field and manager", note)
	}
}

func TestAnObjectOfSomebodyElseIsNeitherAppliedNorPruned(t *testing.T) {
	t.Parallel()
	for name, foreign := range map[string]*corev1.ConfigMap{
		"without our label": {ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "eu"}},
		"of another owner": {ObjectMeta: metav1.ObjectMeta{
			Name: "a", Namespace: "eu", Labels: map[string]string{LabelManagedBy: ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MailboxRegion", Name: "other", UID: "other", Controller: new(true)}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, foreign)
			wanted := []client.Object{d.configMap("a", map[string]string{"k": "v"}), d.configMap("b", nil)}
			for _, found := range [][]client.Object{nil, {foreign}} {
				out := d.apply(Plan{Finalizer: true, Found: found, Wanted: wanted})
				if len(out.Failures) != 1 || !errors.Is(out.Err(), ErrForeign) {
					t.Errorf("outcome is %+v, want one failure that says whose it is", out)
				}
			}
			d.found("b")
			if out := d.apply(Plan{Finalizer: true, Prune: []client.Object{foreign}}); !errors.Is(out.Err(), ErrForeign) {
				t.Errorf("pruning yields %v, want a refusal", out.Err())
			}
			d.found("a")
		})
	}
}

func TestAClaimThatAStatefulSetControlsIsOurs(t *testing.T) {
	t.Parallel()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Labels:          map[string]string{LabelManagedBy: ManagedBy},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", UID: "s", Controller: new(true)}},
	}}
	if !ours(&v1alpha1.MailboxRegion{}, claim) {
		t.Error("the claim counts as somebody else's")
	}
}

func TestNothingIsAppliedWithoutTheFinalizer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fail = func(verb string, obj client.Object) error {
		if _, owner := obj.(*v1alpha1.MailboxRegion); owner && verb == "patch" {
			return errors.New("injected")
		}
		return nil
	}
	out := d.apply(Plan{Finalizer: true, Wanted: []client.Object{d.configMap("a", nil)}})
	if len(out.Failures) != 1 || out.Finalizer || out.Failures[0].Kind != "MailboxRegion" {
		t.Errorf("outcome is %+v, want the owner's failure alone", out)
	}
	if err := d.api.Get(t.Context(), client.ObjectKey{Namespace: "eu", Name: "a"}, &corev1.ConfigMap{}); !apierrors.IsNotFound(err) {
		t.Errorf("the object was made (%v)", err)
	}
}

func TestAFailureHoldsUpNothingButTheFinalizer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.apply(Plan{Finalizer: true, Wanted: []client.Object{d.configMap("stuck", nil), d.configMap("gone", nil)}})
	d.fail = func(verb string, obj client.Object) error {
		if verb == "delete" && obj.GetName() == "stuck" {
			return errors.New("injected")
		}
		return nil
	}
	plan := Plan{Prune: []client.Object{d.found("stuck"), d.found("gone")}}
	out := d.apply(plan)
	if len(out.Failures) != 1 || !out.Finalizer || out.Failures[0].Name != "stuck" {
		t.Errorf("outcome is %+v, want one failure and the finalizer in place", out)
	}
	d.fail = func(string, client.Object) error { return nil }
	plan.Prune = []client.Object{d.found("stuck")}
	out = d.writer.Apply(t.Context(), d.reload(), plan)
	if out.Err() != nil || out.Finalizer {
		t.Errorf("outcome is %+v, want the finalizer gone", out)
	}
	if got := d.reload().Finalizers; len(got) > 0 {
		t.Errorf("finalizers are %v, want none", got)
	}
}

func TestWhatIsGoneOrGoingIsNotDeletedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	absent := d.configMap("absent", nil)
	going := d.configMap("going", nil)
	going.DeletionTimestamp = new(metav1.Now())
	out := d.apply(Plan{Finalizer: true, Prune: []client.Object{absent, going}})
	if out.Err() != nil || out.Written != 2 {
		t.Errorf("outcome is %+v, want no failure and two writes: the finalizer and one delete", out)
	}
}

func TestAFailureToReadIsNotTakenForAbsence(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fail = func(verb string, obj client.Object) error {
		if _, child := obj.(*corev1.ConfigMap); child && verb == "get" {
			return errors.New("injected")
		}
		return nil
	}
	out := d.apply(Plan{Finalizer: true, Wanted: []client.Object{d.configMap("a", nil)}})
	if len(out.Failures) != 1 || !strings.Contains(out.Err().Error(), `ConfigMap "a": read: injected`) || out.Written != 1 {
		t.Errorf("outcome is %+v, want the failure to read and the finalizer alone", out)
	}
}

func TestARefusedObjectIsSentAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	plan := Plan{Finalizer: true, Wanted: []client.Object{d.configMap("a", map[string]string{"k": "v"})}}
	d.fail = func(verb string, obj client.Object) error {
		if _, child := obj.(*corev1.ConfigMap); child && verb == "patch" {
			return errors.New("injected")
		}
		return nil
	}
	if out := d.apply(plan); out.Err() == nil {
		t.Error("the failure is not told")
	}
	d.fail = func(string, client.Object) error { return nil }
	if out := d.apply(plan); out.Err() != nil || out.Written != 1 {
		t.Errorf("outcome is %+v, want one write", out)
	}
}

func TestTheStatusIsWrittenWhenItSaysSomethingNew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	current := d.owner.Status
	if err := d.writer.Status(t.Context(), d.owner, current, *current.DeepCopy()); err != nil || d.writer.Writes() != 0 {
		t.Errorf("the same status: error %v, %d writes; want none", err, d.writer.Writes())
	}
	wanted := *current.DeepCopy()
	wanted.SyncVersion = "v1"
	if err := d.writer.Status(t.Context(), d.owner, current, wanted); err != nil || d.writer.Writes() != 1 {
		t.Errorf("another status: error %v, %d writes; want one", err, d.writer.Writes())
	}
	if got := d.reload().Status.SyncVersion; got != "v1" {
		t.Errorf("syncVersion is %q, want v1", got)
	}
}

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// ErrForeign is wrapped by the failure to apply an object whose name is taken by
// an object that the operator did not make.
var ErrForeign = errors.New("an object of this name exists and was not made by bailiwick: delete or rename it")

// releaseManager is the field manager of what the operator has given away.
const releaseManager = v1alpha1.FieldManager + "-released"

// Writer writes for one controller. It is safe for concurrent use.
type Writer struct {
	client     client.Client
	live       client.Reader
	recorder   events.EventRecorder
	controller string
	memory     memory
	count      atomic.Int64
}

// New makes the Writer of the named controller. c writes, live reads from the API
// server past the cache, and recorder takes the events.
func New(c client.Client, live client.Reader, recorder events.EventRecorder, controller string) *Writer {
	return &Writer{client: c, live: live, recorder: recorder, controller: controller}
}

// Writes is how many requests this Writer has sent that write.
func (w *Writer) Writes() int64 { return w.count.Load() }

// Apply makes the plan of owner so. It goes on after a failure, so that one object
// that is refused holds up no other, except that nothing is applied without the
// finalizer, and that the finalizer stays while anything failed.
func (w *Writer) Apply(ctx context.Context, owner client.Object, plan Plan) Outcome {
	out := Outcome{Finalizer: hasFinalizer(owner)}
	before := w.count.Load()
	if plan.Finalizer && !w.finalize(ctx, owner, true, &out) {
		return out
	}
	found := w.index(plan.Found)
	for _, r := range plan.Release {
		if err := w.release(ctx, owner, r); err != nil {
			// Without this the fields would fall to their defaults.
			w.record(&out, r.Object, err)
			out.Written = int(w.count.Load() - before)
			return out
		}
	}
	for _, obj := range plan.Wanted {
		w.record(&out, obj, w.want(ctx, owner, obj, found, plan.CheckLive))
	}
	for _, obj := range plan.Prune {
		w.record(&out, obj, w.prune(ctx, owner, obj))
	}
	if !plan.Finalizer && len(out.Failures) == 0 && w.finalize(ctx, owner, false, &out) {
		w.memory.forgetOwner(owner.GetUID())
	}
	out.Written = int(w.count.Load() - before)
	return out
}

func (w *Writer) record(out *Outcome, obj client.Object, err error) {
	if err == nil {
		return
	}
	k, _ := keyOf(w.client.Scheme(), obj)
	out.Failures = append(out.Failures, Failure{Kind: k.kind.Kind, Name: obj.GetName(), Err: err})
}

func (w *Writer) index(found []client.Object) map[key]client.Object {
	byKey := make(map[key]client.Object, len(found))
	for _, obj := range found {
		if k, err := keyOf(w.client.Scheme(), obj); err == nil {
			byKey[k] = obj
		}
	}
	return byKey
}

// want makes one object so.
func (w *Writer) want(ctx context.Context, owner, obj client.Object, found map[key]client.Object, checkLive bool) error {
	k, err := keyOf(w.client.Scheme(), obj)
	if err != nil {
		return err
	}
	in, err := newIntent(k, obj)
	if err != nil {
		return err
	}
	live, ok := found[k]
	if ok && !ours(owner, live) {
		return ErrForeign
	}
	if ok && !checkLive && w.memory.holds(owner.GetUID(), k, known{live.GetResourceVersion(), in.sum}) {
		return nil
	}
	if !ok || checkLive {
		if live, err = w.read(ctx, owner, obj); err != nil {
			return err
		}
	}
	return w.compare(ctx, owner, in, live)
}

// read gets the object as it is in the API server; nil when it is not there. An
// object that somebody else made is an error: server-side apply would take it
// over.
func (w *Writer) read(ctx context.Context, owner, obj client.Object) (client.Object, error) {
	live, err := w.empty(obj)
	if err != nil {
		return nil, err
	}
	if err := w.live.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // no object is an answer, not a failure
		}
		return nil, fmt.Errorf("read: %w", err)
	}
	if !ours(owner, live) {
		return nil, ErrForeign
	}
	return live, nil
}

// ours tells whether the operator made an object for this owner: the owner controls
// it, or it carries the label and no other object of this API controls it (a
// StatefulSet may control the claims that it made).
func ours(owner, live client.Object) bool {
	if metav1.IsControlledBy(live, owner) {
		return true
	}
	controller := metav1.GetControllerOf(live)
	foreign := controller != nil && strings.HasPrefix(controller.APIVersion, v1alpha1.GroupVersion.Group+"/")
	return live.GetLabels()[LabelManagedBy] == ManagedBy && !foreign
}

func (w *Writer) empty(obj client.Object) (client.Object, error) {
	k, err := keyOf(w.client.Scheme(), obj)
	if err != nil {
		return nil, err
	}
	made, err := w.client.Scheme().New(k.kind)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", k.kind.Kind, err)
	}
	typed, ok := made.(client.Object)
	if !ok {
		return nil, fmt.Errorf("make %s: %T is not an object", k.kind.Kind, made)
	}
	typed.SetNamespace(obj.GetNamespace())
	typed.SetName(obj.GetName())
	return typed, nil
}

// compare sends the intent when live does not hold it.
func (w *Writer) compare(ctx context.Context, owner client.Object, in *intent, live client.Object) error {
	fields, digest, err := in.fields()
	if err != nil {
		return err
	}
	if live == nil {
		return w.send(ctx, owner, in, fields)
	}
	raw, err := json.Marshal(live)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	has, err := decodeFields(raw)
	if err != nil {
		return err
	}
	delete(has, "apiVersion")
	has["apiVersion"], has["kind"] = fields["apiVersion"], fields["kind"]
	differ := differences(fields, has)
	if len(differ) == 0 {
		w.memory.remember(owner.GetUID(), in.key, known{live.GetResourceVersion(), in.sum})
		return nil
	}
	if live.GetAnnotations()[AnnotationApplied] == digest {
		w.reportDrift(ctx, owner, in, live, differ)
	}
	return w.send(ctx, owner, in, fields)
}

// reportDrift tells who changed what. The cache holds no managed fields, so they
// are read now: drift is rare.
func (w *Writer) reportDrift(ctx context.Context, owner client.Object, in *intent, live client.Object, differ []path) {
	current, err := w.read(ctx, owner, live)
	if err != nil || current == nil {
		return
	}
	drifts.WithLabelValues(w.controller, in.key.kind.Kind).Inc()
	w.Announce(owner, Event{
		Type: corev1.EventTypeWarning, Reason: "DriftCorrected", Action: "Apply",
		Note: driftNote(in.key, differ, current.GetManagedFields()),
	})
}

func (w *Writer) send(ctx context.Context, owner client.Object, in *intent, fields map[string]any) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	target, err := w.empty(in.object)
	if err != nil {
		return err
	}
	w.tally("apply", in.key.kind.Kind)
	patch := client.RawPatch(types.ApplyPatchType, body)
	if err := w.client.Patch(ctx, target, patch, client.ForceOwnership, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		w.memory.forget(owner.GetUID(), in.key)
		return fmt.Errorf("apply: %w", err)
	}
	w.memory.remember(owner.GetUID(), in.key, known{target.GetResourceVersion(), in.sum})
	return nil
}

// release writes fields in the name of releaseManager, so that they keep their values
// when the operator's own declaration no longer has them.
func (w *Writer) release(ctx context.Context, owner client.Object, r Release) error {
	if !ours(owner, r.Object) {
		return ErrForeign
	}
	target, err := w.empty(r.Object)
	if err != nil {
		return err
	}
	k, err := keyOf(w.client.Scheme(), r.Object)
	if err != nil {
		return err
	}
	fields := maps.Clone(r.Fields)
	fields["apiVersion"], fields["kind"] = k.kind.ToAPIVersionAndKind()
	fields["metadata"] = map[string]any{"name": k.name, "namespace": k.namespace, "uid": r.Object.GetUID()}
	body, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	w.tally("apply", k.kind.Kind)
	if err := w.client.Patch(ctx, target, client.RawPatch(types.ApplyPatchType, body), client.ForceOwnership, client.FieldOwner(releaseManager)); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// prune deletes an object that the operator made. That it is already gone, or
// going, is no failure.
func (w *Writer) prune(ctx context.Context, owner, obj client.Object) error {
	if !ours(owner, obj) {
		return ErrForeign
	}
	k, err := keyOf(w.client.Scheme(), obj)
	if err != nil {
		return err
	}
	w.memory.forget(owner.GetUID(), k)
	if !obj.GetDeletionTimestamp().IsZero() {
		return nil
	}
	uid := obj.GetUID()
	w.tally("delete", k.kind.Kind)
	err = w.client.Delete(ctx, obj, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func (w *Writer) tally(verb, kind string) {
	w.count.Add(1)
	writes.WithLabelValues(w.controller, verb, kind).Inc()
}

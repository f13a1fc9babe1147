package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Event is something that happened, for the people who watch an object. It is a
// value, so that pure functions can decide on it.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason and Action are words in UpperCamelCase.
	Reason, Action string
	// Note is a sentence. It names no secret.
	Note string
}

// Announce emits events about owner through the events.k8s.io API.
func (w *Writer) Announce(owner client.Object, happened ...Event) {
	for _, e := range happened {
		w.recorder.Eventf(owner, nil, e.Type, e.Reason, e.Action, "%s", e.Note)
	}
}

func hasFinalizer(owner client.Object) bool {
	return slices.Contains(owner.GetFinalizers(), v1alpha1.Finalizer)
}

// finalize sets or removes the finalizer of owner, and tells whether owner is now
// as wanted. The resource version goes with the patch: the list of finalizers is
// replaced as a whole, and another's must not be lost.
func (w *Writer) finalize(ctx context.Context, owner client.Object, wanted bool, out *Outcome) bool {
	if hasFinalizer(owner) == wanted {
		return true
	}
	finalizers := slices.DeleteFunc(slices.Clone(owner.GetFinalizers()), func(f string) bool { return f == v1alpha1.Finalizer })
	if wanted {
		finalizers = append(finalizers, v1alpha1.Finalizer)
	}
	err := w.patchFinalizers(ctx, owner, finalizers)
	if !wanted && apierrors.IsNotFound(err) {
		err = nil
	}
	w.record(out, owner, err)
	if err == nil {
		out.Finalizer = wanted
	}
	return err == nil
}

func (w *Writer) patchFinalizers(ctx context.Context, owner client.Object, finalizers []string) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers":      finalizers,
		"resourceVersion": owner.GetResourceVersion(),
		"uid":             owner.GetUID(),
	}})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	target, err := w.empty(owner)
	if err != nil {
		return err
	}
	k, err := keyOf(w.client.Scheme(), owner)
	if err != nil {
		return err
	}
	w.tally("patch", k.kind.Kind)
	if err := w.client.Patch(ctx, target, client.RawPatch(types.MergePatchType, body), client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		return fmt.Errorf("patch finalizers: %w", err)
	}
	return nil
}

// Status patches the status of owner to wanted, unless current says the same
// already: the same in meaning, so that an order of bytes or a form of a quantity
// is no difference. The patch names the UID, so that the status of an object never
// lands on its successor of the same name. That owner is gone is no failure.
func (w *Writer) Status(ctx context.Context, owner client.Object, current, wanted any) error {
	if equality.Semantic.DeepEqual(current, wanted) {
		return nil
	}
	k, err := keyOf(w.client.Scheme(), owner)
	if err != nil {
		return err
	}
	apiVersion, kind := k.kind.ToAPIVersionAndKind()
	metadata := map[string]any{"name": owner.GetName(), "uid": owner.GetUID()}
	if owner.GetNamespace() != "" {
		metadata["namespace"] = owner.GetNamespace()
	}
	body, err := json.Marshal(map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata, "status": wanted})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	target, err := w.empty(owner)
	if err != nil {
		return err
	}
	w.tally("status", kind)
	err = w.client.Status().Patch(ctx, target, client.RawPatch(types.ApplyPatchType, body), client.ForceOwnership, client.FieldOwner(v1alpha1.FieldManager))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

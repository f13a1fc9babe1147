package apply

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// LabelManagedBy and ManagedBy mark every object that the controllers make. The
// operator's cache holds only objects that carry the label.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "bailiwick"
)

// AnnotationApplied carries a digest of what was applied last, so that a field
// that left the intent is noticed without asking the API server.
const AnnotationApplied = "bailiwick.dev/applied"

// Plan is what one reconcile wants to be so. It is made by a pure function and
// holds no client.
type Plan struct {
	// Found are the objects of the owner that exist, as the cache shows them. The
	// Writer compares with them and changes none of them.
	Found []client.Object
	// Wanted are the objects that shall exist, complete in the fields that the
	// operator owns, in the order in which they are applied. An object of Wanted
	// that is not in Found is read once from the API server, so that nothing is
	// taken over that somebody else made.
	Wanted []client.Object
	// Release are fields that the operator ceases to declare and that shall keep their
	// values until another takes them over. They are written before Wanted, which no
	// longer holds them.
	Release []Release
	// Prune are objects that shall not exist. Only objects that the operator made
	// are deleted.
	Prune []client.Object
	// Finalizer tells whether the owner shall carry the finalizer. It is set before
	// anything is applied and removed after everything else succeeded.
	Finalizer bool
	// CheckLive compares with the API server in place of the cache, and with every
	// field: what a person asks for by the annotation
	// reconcile.bailiwick.dev/requestedAt.
	CheckLive bool
}

// Release is an object with the fields that the operator gives away.
type Release struct {
	// Object tells which; it exists.
	Object client.Object
	// Fields with their values.
	Fields map[string]any
}

// Outcome is what came of a plan.
type Outcome struct {
	// Written counts the requests that changed, or tried to change, something.
	Written int
	// Failures are the objects that could not be made so, in the order of the plan.
	Failures []Failure
	// Finalizer tells whether the owner carries the finalizer now.
	Finalizer bool
}

// Failure is one object that could not be written.
type Failure struct { //nolint:errname // it is an entry of an outcome first, and an error for whoever wants one
	// Kind and Name tell which object.
	Kind, Name string
	// Err is why. It names no secret.
	Err error
}

// Error implements error.
func (f Failure) Error() string {
	return fmt.Sprintf("%s %q: %v", f.Kind, f.Name, f.Err)
}

// Unwrap gives the cause to errors.Is and errors.As.
func (f Failure) Unwrap() error { return f.Err }

// Err joins the failures; nil when there are none.
func (o *Outcome) Err() error {
	errs := make([]error, 0, len(o.Failures))
	for _, f := range o.Failures {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// key names one object.
type key struct {
	kind            schema.GroupVersionKind
	namespace, name string
}

func keyOf(scheme *runtime.Scheme, obj client.Object) (key, error) {
	kind, err := apiutil.GVKForObject(obj, scheme)
	if err != nil {
		return key{}, fmt.Errorf("kind of %T: %w", obj, err)
	}
	return key{kind: kind, namespace: obj.GetNamespace(), name: obj.GetName()}, nil
}

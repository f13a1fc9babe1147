package conditions

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// maxMessage bounds a message; the API allows 32768 characters, a person reads
// fewer.
const maxMessage = 1024

// Summary is what the conditions of an object are derived from.
type Summary struct {
	// Previous are the conditions that the object has, from which transition times
	// are kept.
	Previous []metav1.Condition
	// Generation is the metadata.generation that was handled.
	Generation int64
	// Now is the time of a transition, should there be one.
	Now metav1.Time
	// Dependents are the conditions on which Ready depends, in the order in which a
	// person should read them.
	Dependents []Dependent
	// Deleting is set while the object is being deleted.
	Deleting *Deletion
}

// Deletion says how far a deletion is.
type Deletion struct {
	// Reason is ReasonDeleting, or ReasonInUse while others hold the object.
	Reason string
	// Message names what is waited for.
	Message string
}

// Derive gives the conditions: Ready, then Reconciling or Stalled (never both, and
// neither when Ready), then Deleting, then the dependents in their order.
// Conditions of types that are not derived here are dropped, Paused among them:
// deriving means that the object is not paused.
func Derive(s Summary) []metav1.Condition {
	list := make([]metav1.Condition, 0, len(s.Dependents)+3)
	list = append(list, ready(s))
	if progress := progress(s); progress != nil {
		list = append(list, *progress)
	}
	if s.Deleting != nil {
		list = append(list, metav1.Condition{
			Type: v1alpha1.ConditionDeleting, Status: metav1.ConditionTrue, Reason: s.Deleting.Reason, Message: s.Deleting.Message,
		})
	}
	for _, d := range s.Dependents {
		list = append(list, metav1.Condition{Type: d.Type, Status: d.Status, Reason: d.Reason, Message: d.Message})
	}
	for i := range list {
		complete(&list[i], s)
	}
	return list
}

// Paused gives the conditions of an object that is paused: those that it has, as
// they are, and Paused. Nothing was looked at, so nothing else is said, and the
// generation of the others stays behind.
func Paused(previous []metav1.Condition, generation int64, now metav1.Time) []metav1.Condition {
	list := make([]metav1.Condition, len(previous), len(previous)+1)
	copy(list, previous)
	meta.SetStatusCondition(&list, metav1.Condition{
		Type: v1alpha1.ConditionPaused, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPaused,
		Message:            `the annotation "` + v1alpha1.AnnotationPaused + `" holds this object: remove it to go on`,
		ObservedGeneration: generation, LastTransitionTime: now,
	})
	return list
}

func ready(s Summary) metav1.Condition {
	if s.Deleting != nil {
		return metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: s.Deleting.Reason, Message: s.Deleting.Message}
	}
	worst := worst(s.Dependents)
	if worst == nil {
		return metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}
	}
	return metav1.Condition{Type: v1alpha1.ConditionReady, Status: worst.Status, Reason: worst.Reason, Message: worst.Message}
}

// worst is the dependent to tell of first: one that needs a person before one that
// needs time, and that before one of which nothing is known. Nil when all are true.
func worst(dependents []Dependent) *Dependent {
	var found *Dependent
	for i := range dependents {
		d := &dependents[i]
		if found == nil || severity(d) > severity(found) {
			found = d
		}
	}
	if found == nil || severity(found) == 0 {
		return nil
	}
	return found
}

func severity(d *Dependent) int {
	switch {
	case d.Status == metav1.ConditionTrue:
		return 0
	case d.Status == metav1.ConditionUnknown:
		return 1
	case !d.Stalled:
		return 2
	default:
		return 3
	}
}

// progress gives Reconciling, Stalled, or nil. An object that is being deleted is
// terminating, which kstatus reads from its deletion timestamp.
func progress(s Summary) *metav1.Condition {
	worst := worst(s.Dependents)
	if worst == nil || s.Deleting != nil {
		return nil
	}
	kind := v1alpha1.ConditionReconciling
	if worst.Stalled {
		kind = v1alpha1.ConditionStalled
	}
	return &metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: worst.Reason, Message: worst.Message}
}

// complete fills in what every condition carries. The transition time moves only
// when the status does; the API convention asks for that.
func complete(c *metav1.Condition, s Summary) {
	c.Message = bounded(c.Message)
	c.ObservedGeneration = s.Generation
	c.LastTransitionTime = s.Now
	if before := meta.FindStatusCondition(s.Previous, c.Type); before != nil && before.Status == c.Status {
		c.LastTransitionTime = before.LastTransitionTime
	}
}

func bounded(message string) string {
	message = strings.Join(strings.Fields(strings.ToValidUTF8(message, "")), " ")
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
}

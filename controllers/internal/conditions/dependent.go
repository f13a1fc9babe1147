package conditions

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Dependent is one condition from which Ready is derived.
type Dependent struct {
	// Type, Status, Reason and Message are those of the condition.
	Type, Reason, Message string
	Status                metav1.ConditionStatus
	// Stalled tells that waiting does not help: a person has to change something.
	Stalled bool
}

// True is a condition that is as it should be. The message may be empty.
func True(kind, reason, message string) Dependent {
	return Dependent{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

// Waiting is a condition that is not yet as it should be, and will be without
// anybody's help.
func Waiting(kind, reason, message string) Dependent {
	return Dependent{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

// Blocked is a condition that stays false until a person acts. The message says
// what is wrong, where, and what to do.
func Blocked(kind, reason, message string) Dependent {
	return Dependent{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message, Stalled: true}
}

// Unknown is a condition about which nothing could be found out.
func Unknown(kind, reason, message string) Dependent {
	return Dependent{Type: kind, Status: metav1.ConditionUnknown, Reason: reason, Message: message}
}

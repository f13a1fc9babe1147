// Package probe asks containers whether they have started, live and are ready.
package probe

import corev1 "k8s.io/api/core/v1"

// Outcome is what the last answers add up to.
type Outcome int

const (
	// Undecided means that neither threshold was reached since the beginning.
	Undecided Outcome = iota
	// Passed means that successThreshold answers in a row were good.
	Passed
	// Failed means that failureThreshold answers in a row were bad.
	Failed
)

// Tracker counts answers in a row against the thresholds of a probe.
type Tracker struct {
	success, failure int
	good, bad        int
	outcome          Outcome
}

// NewTracker returns a tracker with the thresholds of a probe; thresholds that are not set have the defaults of the
// API, 1 and 3.
func NewTracker(probe *corev1.Probe) *Tracker {
	return &Tracker{success: positive(probe.SuccessThreshold, 1), failure: positive(probe.FailureThreshold, 3)}
}

func positive(value int32, fallback int) int {
	if value > 0 {
		return int(value)
	}
	return fallback
}

// Observe counts one answer. It returns the outcome and whether that changed.
func (t *Tracker) Observe(good bool) (outcome Outcome, changed bool) {
	before := t.outcome
	if good {
		t.good, t.bad = t.good+1, 0
	} else {
		t.good, t.bad = 0, t.bad+1
	}
	switch {
	case t.good >= t.success:
		t.outcome = Passed
	case t.bad >= t.failure:
		t.outcome = Failed
	}
	return t.outcome, t.outcome != before
}

package probe

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestThresholdsCountAnswersInARow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		probe   corev1.Probe
		answers string
		want    []Outcome
	}{
		{"defaults pass at once", corev1.Probe{}, "+", []Outcome{Passed}},
		{"defaults fail at the third", corev1.Probe{}, "---", []Outcome{Undecided, Undecided, Failed}},
		{"a good answer begins anew", corev1.Probe{}, "+--+---", []Outcome{Passed, Passed, Passed, Passed, Passed, Passed, Failed}},
		{"success needs its number", corev1.Probe{SuccessThreshold: 2, FailureThreshold: 1}, "+-++", []Outcome{Undecided, Failed, Failed, Passed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tracker, before := NewTracker(&test.probe), Undecided
			for i, answer := range test.answers {
				got, changed := tracker.Observe(answer == '+')
				if got != test.want[i] {
					t.Errorf("answer %d: got %v, want %v", i, got, test.want[i])
				}
				if changed != (got != before) {
					t.Errorf("answer %d: changed is %v", i, changed)
				}
				before = got
			}
		})
	}
}

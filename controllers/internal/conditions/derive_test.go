package conditions

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

var (
	then = metav1.NewTime(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	now  = metav1.NewTime(then.Add(time.Hour))
)

// brief renders conditions as "Type=Status/Reason: message".
func brief(list []metav1.Condition) []string {
	lines := make([]string, 0, len(list))
	for _, c := range list {
		lines = append(lines, strings.TrimSuffix(c.Type+"="+string(c.Status)+"/"+c.Reason+": "+c.Message, ": "))
	}
	return lines
}

func TestReadyIsDerivedFromItsDependents(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dependents []Dependent
		deleting   *Deletion
		want       []string
	}{
		"all true": {
			[]Dependent{True("A", "Good", "fine")},
			nil,
			[]string{"Ready=True/Ready", "A=True/Good: fine"},
		},
		"one waits": {
			[]Dependent{True("A", "Good", ""), Waiting("B", "Slow", "wait")},
			nil,
			[]string{"Ready=False/Slow: wait", "Reconciling=True/Slow: wait", "A=True/Good", "B=False/Slow: wait"},
		},
		"a person is needed before time is": {
			[]Dependent{Waiting("A", "Slow", "wait"), Blocked("B", "Bad", "repair")},
			nil,
			[]string{"Ready=False/Bad: repair", "Stalled=True/Bad: repair", "A=False/Slow: wait", "B=False/Bad: repair"},
		},
		"the first of equals": {
			[]Dependent{Blocked("A", "First", "1"), Blocked("B", "Second", "2")},
			nil,
			[]string{"Ready=False/First: 1", "Stalled=True/First: 1", "A=False/First: 1", "B=False/Second: 2"},
		},
		"what is known before what is not": {
			[]Dependent{Unknown("A", "Silent", "?"), Waiting("B", "Slow", "wait")},
			nil,
			[]string{"Ready=False/Slow: wait", "Reconciling=True/Slow: wait", "A=Unknown/Silent: ?", "B=False/Slow: wait"},
		},
		"nothing is known": {
			[]Dependent{Unknown("A", "Silent", "?")},
			nil,
			[]string{"Ready=Unknown/Silent: ?", "Reconciling=True/Silent: ?", "A=Unknown/Silent: ?"},
		},
		"deleting": {
			[]Dependent{Blocked("A", "Bad", "repair")},
			&Deletion{Reason: v1alpha1.ReasonInUse, Message: "in use"},
			[]string{"Ready=False/InUse: in use", "Deleting=True/InUse: in use", "A=False/Bad: repair"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Derive(Summary{Dependents: test.dependents, Deleting: test.deleting, Now: now, Generation: 3})
			if diff := cmp.Diff(test.want, brief(got)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			for _, c := range got {
				if c.ObservedGeneration != 3 || !c.LastTransitionTime.Equal(&now) {
					t.Errorf("%s: generation %d, transition %s", c.Type, c.ObservedGeneration, c.LastTransitionTime)
				}
			}
		})
	}
}

func TestATransitionTimeMovesOnlyWithTheStatus(t *testing.T) {
	t.Parallel()
	previous := Derive(Summary{Dependents: []Dependent{Waiting("A", "Slow", "one"), True("B", "Good", "")}, Now: then})
	got := Derive(Summary{Previous: previous, Dependents: []Dependent{Waiting("A", "Slower", "two"), Blocked("B", "Bad", "")}, Now: now})
	want := map[string]metav1.Time{"Ready": then, "Stalled": now, "A": then, "B": now}
	for _, c := range got {
		if at := want[c.Type]; !c.LastTransitionTime.Equal(&at) {
			t.Errorf("%s moved at %s, want %s", c.Type, c.LastTransitionTime, at)
		}
	}
	same := Derive(Summary{Previous: previous, Dependents: []Dependent{Waiting("A", "Slow", "one"), True("B", "Good", "")}, Now: now})
	if diff := cmp.Diff(previous, same); diff != "" {
		t.Errorf("the same facts give other conditions (-want +got):\n%s", diff)
	}
}

func TestAPausedObjectKeepsItsConditions(t *testing.T) {
	t.Parallel()
	previous := Derive(Summary{Dependents: []Dependent{Waiting("A", "Slow", "")}, Now: then, Generation: 1})
	paused := Paused(previous, 2, now)
	if diff := cmp.Diff(previous, paused[:len(previous)]); diff != "" {
		t.Errorf("other conditions changed (-want +got):\n%s", diff)
	}
	if last := paused[len(paused)-1]; last.Type != v1alpha1.ConditionPaused || last.Status != metav1.ConditionTrue {
		t.Errorf("the last condition is %+v, want Paused", last)
	}
	if diff := cmp.Diff(paused, Paused(paused, 2, metav1.Now())); diff != "" {
		t.Errorf("pausing twice changes something (-want +got):\n%s", diff)
	}
	for _, c := range Derive(Summary{Previous: paused, Now: now}) {
		if c.Type == v1alpha1.ConditionPaused {
			t.Error("Paused outlives the pause")
		}
	}
}

func TestAMessageIsOneBoundedLineOfValidText(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"a\n b\t c":                         "a b c",
		"bad \xff byte":                     "bad byte",
		strings.Repeat("é", maxMessage):     strings.Repeat("é", 510) + "…",
		strings.Repeat("a", maxMessage):     strings.Repeat("a", maxMessage),
		strings.Repeat("a", maxMessage+100): strings.Repeat("a", maxMessage-3) + "…",
	}
	for message, want := range tests {
		if got := bounded(message); got != want || len(got) > maxMessage {
			t.Errorf("%.20q… of %d bytes became %.40q… of %d bytes", message, len(message), got, len(got))
		}
	}
}

func TestConditionsAreCountedByKindStatusAndReason(t *testing.T) {
	t.Parallel()
	good := Source{Kind: "Thing", List: func(context.Context, client.Reader) ([][]metav1.Condition, error) {
		one := Derive(Summary{Dependents: []Dependent{True("A", "Good", "")}, Now: now})
		two := Derive(Summary{Dependents: []Dependent{Blocked("A", "Bad", "")}, Now: now})
		return [][]metav1.Condition{one, one, two}, nil
	}}
	want := `# HELP bailiwick_conditions Objects by kind, condition, status and reason.
# TYPE bailiwick_conditions gauge
bailiwick_conditions{condition="A",kind="Thing",reason="Bad",status="False"} 1
bailiwick_conditions{condition="A",kind="Thing",reason="Good",status="True"} 2
bailiwick_conditions{condition="Ready",kind="Thing",reason="Bad",status="False"} 1
bailiwick_conditions{condition="Ready",kind="Thing",reason="Ready",status="True"} 2
bailiwick_conditions{condition="Stalled",kind="Thing",reason="Bad",status="True"} 1
`
	if err := testutil.CollectAndCompare(NewCollector(nil, good), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestAScrapeThatCannotReadSaysSo(t *testing.T) {
	t.Parallel()
	bad := Source{Kind: "Thing", List: func(context.Context, client.Reader) ([][]metav1.Condition, error) { return nil, errors.New("injected") }}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(nil, bad))
	if _, err := registry.Gather(); err == nil || !strings.Contains(err.Error(), "injected") {
		t.Errorf("error is %v, want the one of the source", err)
	}
}

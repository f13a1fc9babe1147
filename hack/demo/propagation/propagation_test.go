package propagation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/propagation"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	t.Parallel()
	var r propagation.Result
	for i := range 100 {
		r.Samples = append(r.Samples, time.Duration(i+1)*time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := r.Quantile(q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if got := (propagation.Result{}).Quantile(0.5); got != 0 {
		t.Errorf("quantile of nothing: %v", got)
	}
	if got := r.String(); got != "p50 50ms, p99 99ms of 100 changes" {
		t.Errorf("got %q", got)
	}
}

func TestEachChangeIsWaitedFor(t *testing.T) {
	t.Parallel()
	var wanted, seen bool
	looks := 0
	result, err := propagation.Measure(t.Context(), propagation.Switch{
		Set: func(_ context.Context, suspended bool) error { wanted = suspended; looks = 0; return nil },
		Enforced: func(context.Context) (bool, error) {
			if looks++; looks == 3 {
				seen = wanted
			}
			return seen, nil
		},
	}, 2)
	if err != nil || len(result.Samples) != 4 {
		t.Fatalf("got %v, %v", result, err)
	}
	if seen {
		t.Error("the switch was left on")
	}
}

func TestFailuresEndTheMeasurement(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	set := func(context.Context, bool) error { return nil }
	cases := map[string]propagation.Switch{
		"set":      {Set: func(context.Context, bool) error { return broken }},
		"enforced": {Set: set, Enforced: func(context.Context) (bool, error) { return false, broken }},
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := propagation.Measure(t.Context(), s, 1); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	stuck := propagation.Switch{Set: set, Enforced: func(context.Context) (bool, error) { return false, nil }}
	if _, err := propagation.Measure(ctx, stuck, 1); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

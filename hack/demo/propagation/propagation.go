// Package propagation measures how long a change of a Tenant takes until the sync
// servers act on it, from the moment the change is sent to the API server.
package propagation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Result is a set of samples, ascending.
type Result struct{ Samples []time.Duration }

// Quantile returns the smallest sample that at least the fraction q of samples does not
// exceed.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Samples) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(r.Samples))))
	return r.Samples[min(max(rank, 1), len(r.Samples))-1]
}

// String tells the median, the 99th percentile and the number of samples.
func (r Result) String() string {
	const median, high = 0.5, 0.99
	return fmt.Sprintf("p50 %s, p99 %s of %d changes", r.Quantile(median).Round(time.Millisecond),
		r.Quantile(high).Round(time.Millisecond), len(r.Samples))
}

// Switch is what is toggled and observed.
type Switch struct {
	// Set changes the Tenant: suspended or not.
	Set func(ctx context.Context, suspended bool) error
	// Enforced reports whether the sync server refuses the tenant's user now.
	Enforced func(ctx context.Context) (suspended bool, err error)
}

// sampleTimeout bounds one change; far above the goal, so that a slow one is measured.
const sampleTimeout = 30 * time.Second

// lookEvery is how long to wait between two looks, and so the error of a sample.
const lookEvery = 2 * time.Millisecond

// Measure toggles the switch a number of times, on and off, and measures each change.
func Measure(ctx context.Context, s Switch, pairs int) (Result, error) {
	var result Result
	for range pairs {
		for _, suspended := range []bool{true, false} {
			took, err := change(ctx, s, suspended)
			if err != nil {
				return result, err
			}
			result.Samples = append(result.Samples, took)
		}
	}
	slices.Sort(result.Samples)
	return result, nil
}

func change(ctx context.Context, s Switch, suspended bool) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sampleTimeout, errors.New("the change is not enforced after "+sampleTimeout.String()))
	defer cancel()
	sent := time.Now()
	if err := s.Set(ctx, suspended); err != nil {
		return 0, err
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		now, err := s.Enforced(ctx)
		if err != nil {
			return 0, err
		}
		if now == suspended {
			return time.Since(sent), nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

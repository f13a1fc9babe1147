package world

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFirstFailureIsTold(t *testing.T) {
	t.Parallel()
	g := newGuard()
	defer g.stop()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	release := g.tell(cancel)
	defer release()
	first, second, ended := errors.New("first"), errors.New("second"), make(chan struct{})
	g.watch(ended, func() error { return first })
	close(ended)
	<-ctx.Done()
	if got := context.Cause(ctx); !errors.Is(got, first) {
		t.Errorf("cause: %v", got)
	}
	g.fail(second)
	if got := g.err(); !errors.Is(got, first) {
		t.Errorf("failure: %v", got)
	}
}

func TestEndsAfterStopAreNoFailures(t *testing.T) {
	t.Parallel()
	g := newGuard()
	ended := make(chan struct{})
	g.watch(ended, func() error { return errors.New("ended") })
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	g.tell(cancel)
	g.stop()
	close(ended)
	g.stop()
	if err := g.err(); err != nil || ctx.Err() != nil {
		t.Errorf("failure %v, context %v", err, ctx.Err())
	}
}

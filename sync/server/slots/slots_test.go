package slots

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// bench is a scheduler whose work is done when the test says so.
type bench struct {
	t         *testing.T
	scheduler *Scheduler
	// begun are the works in the order in which they began.
	begun   []string
	holding map[string][]Slot
	refused map[string]error
	done    chan func()
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	return &bench{t: t, scheduler: New(o), holding: map[string][]Slot{}, refused: map[string]error{}, done: make(chan func(), 1000)}
}

// bring lets a goroutine bring work "tenant/account", and waits until it has begun, waits or was refused.
func (b *bench) bring(ctx context.Context, tenant, account string) {
	b.t.Helper()
	name := tenant + "/" + account
	go func() {
		slot, err := b.scheduler.Acquire(ctx, tenant, account)
		b.done <- func() {
			if err != nil {
				b.refused[name] = err
				return
			}
			b.begun = append(b.begun, name)
			b.holding[name] = append(b.holding[name], slot)
		}
	}()
	b.settle()
}

// settle waits until nothing moves.
func (b *bench) settle() {
	synctest.Wait()
	for {
		select {
		case note := <-b.done:
			note()
		default:
			return
		}
	}
}

// finish ends the work that began first under a name.
func (b *bench) finish(tenant, account string) {
	b.t.Helper()
	name := tenant + "/" + account
	if len(b.holding[name]) == 0 {
		b.t.Fatalf("%s has no slot; begun: %v", name, b.begun)
	}
	b.holding[name][0].Release()
	b.holding[name] = b.holding[name][1:]
	b.settle()
}

// finishAll ends all work, in the order in which it began, until none is left.
func (b *bench) finishAll() {
	b.t.Helper()
	n := 0
	for n < len(b.begun) { // what begins meanwhile is ended too
		if held := b.holding[b.begun[n]]; len(held) > 0 {
			b.holding[b.begun[n]] = held[1:]
			held[0].Release()
			b.settle()
		}
		n++
	}
	s := b.scheduler
	if s.running != 0 || s.turns.Len() != 0 || s.Waiting() != 0 {
		b.t.Errorf("%d run and %d tenants wait after all work has ended", s.running, s.turns.Len())
	}
}

func (b *bench) wantBegun(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.begun); diff != "" {
		b.t.Errorf("begun (-want +got):\n%s", diff)
	}
}

func TestATenantAloneGetsAllSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 3, Spare: 1})
		for range 4 {
			b.bring(t.Context(), "a", "1")
		}
		b.wantBegun("a/1", "a/1", "a/1")
		b.finish("a", "1")
		b.wantBegun("a/1", "a/1", "a/1", "a/1")
		b.finishAll()
	})
}

func TestTenantsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 1})
		for range 3 {
			b.bring(t.Context(), "a", "1")
		}
		b.bring(t.Context(), "b", "1")
		b.bring(t.Context(), "c", "1")
		b.bring(t.Context(), "b", "1")
		b.finishAll()
		b.wantBegun("a/1", "a/1", "b/1", "c/1", "a/1", "b/1")
	})
}

func TestAccountsOfATenantTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 1})
		for range 4 {
			b.bring(t.Context(), "a", "1")
		}
		b.bring(t.Context(), "a", "2")
		b.bring(t.Context(), "a", "3")
		b.finishAll()
		b.wantBegun("a/1", "a/1", "a/2", "a/3", "a/1", "a/1")
	})
}

func TestATenantBeyondItsShareLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 4, Spare: 1, Active: time.Minute, Patience: time.Hour})
		for n := range 3 { // four tenants are active, so that each has one slot of four
			b.bring(t.Context(), fmt.Sprint("quiet", n), "1")
			b.finish(fmt.Sprint("quiet", n), "1")
		}
		for range 3 {
			b.bring(t.Context(), "busy", "1")
		}
		b.bring(t.Context(), "quiet0", "1")
		b.wantBegun("quiet0/1", "quiet1/1", "quiet2/1", "busy/1", "quiet0/1")
		b.finish("busy", "1") // its next work takes the place
		b.wantBegun("quiet0/1", "quiet1/1", "quiet2/1", "busy/1", "quiet0/1", "busy/1")
		time.Sleep(time.Minute)
		// The others are forgotten: the rest begins beside what runs.
		b.finish("quiet0", "1")
		if got := len(b.holding["busy/1"]); got != 2 {
			t.Errorf("%d slots of the only active tenant, want 2", got)
		}
		for range 2 {
			b.finish("busy", "1")
		}
		if len(b.scheduler.tenants) != 2 {
			t.Errorf("%d tenants are known, want the two that worked just now", len(b.scheduler.tenants))
		}
	})
}

func TestATenantBeyondItsShareUsesSpareSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 4, Spare: 3, Active: time.Minute, Patience: time.Hour})
		for n := range 4 {
			b.bring(t.Context(), fmt.Sprint("quiet", n), "1")
			b.finish(fmt.Sprint("quiet", n), "1")
		}
		for range 4 {
			b.bring(t.Context(), "busy", "1")
		}
		if got := len(b.holding["busy/1"]); got != 3 {
			t.Errorf("%d slots, want the 3 spare ones", got)
		}
		b.bring(t.Context(), "quiet0", "1")
		if got := len(b.holding["quiet0/1"]); got != 1 {
			t.Errorf("%d slots of the quiet tenant, want 1 at once", got)
		}
		b.finish("quiet0", "1")
		b.finish("busy", "1")
		for range 3 {
			b.finish("busy", "1")
		}
	})
}

func TestWorkBeyondTheQueueIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 1, Queue: 2})
		for range 3 {
			b.bring(t.Context(), "a", "1")
		}
		b.bring(t.Context(), "a", "over")
		if !errors.Is(b.refused["a/over"], ErrFull) {
			t.Errorf("refused with %v, want ErrFull", b.refused["a/over"])
		}
		b.bring(t.Context(), "b", "1") // another tenant waits in its own queue
		b.finishAll()
		b.wantBegun("a/1", "a/1", "b/1", "a/1")
	})
}

func TestWorkThatWaitsTooLongIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 1, Patience: 10 * time.Second})
		b.bring(t.Context(), "a", "1")
		b.bring(t.Context(), "a", "late")
		time.Sleep(9 * time.Second)
		b.settle()
		if err := b.refused["a/late"]; err != nil {
			t.Errorf("refused early: %v", err)
		}
		time.Sleep(time.Second)
		b.settle()
		if !errors.Is(b.refused["a/late"], ErrLate) {
			t.Errorf("refused with %v, want ErrLate", b.refused["a/late"])
		}
		b.finishAll()
		b.wantBegun("a/1")
	})
}

func TestWorkWhoseContextEndsLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 1})
		ctx, cancel := context.WithCancel(t.Context())
		b.bring(t.Context(), "a", "1")
		b.bring(ctx, "a", "gone")
		b.bring(t.Context(), "a", "2")
		cancel()
		b.settle()
		if !errors.Is(b.refused["a/gone"], context.Canceled) {
			t.Errorf("refused with %v", b.refused["a/gone"])
		}
		b.finishAll()
		b.wantBegun("a/1", "a/2")
	})
}

func TestWorkThatWasBegunIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Slots: 1, Queue: 1, Patience: time.Second})
		b.bring(t.Context(), "a", "1")
		b.bring(t.Context(), "a", "2")
		resumed := make(chan Slot, 1)
		go func() {
			slot, err := b.scheduler.Resume(t.Context(), "a", "3")
			if err != nil {
				t.Error(err)
			}
			resumed <- slot
		}()
		time.Sleep(time.Hour)
		b.settle()
		if b.refused["a/2"] == nil {
			t.Error("what may be refused was not")
		}
		b.finish("a", "1")
		(<-resumed).Release()
	})
}

func TestIdleTenantsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Slots: 1})
		for n := range 1000 {
			slot, err := s.Acquire(t.Context(), strconv.Itoa(n), "1")
			if err != nil {
				t.Fatal(err)
			}
			slot.Release()
		}
		time.Sleep(time.Second)
		slot, err := s.Acquire(t.Context(), "last", "1")
		if err != nil {
			t.Fatal(err)
		}
		if len(s.tenants) != 1 || s.recent.Len() != 1 {
			t.Errorf("%d tenants, %d recent, want 1", len(s.tenants), s.recent.Len())
		}
		slot.Release()
	})
}

func TestNoMoreThanTheSlotsAreInUse(t *testing.T) {
	s := New(Options{Slots: 3, Queue: 1 << 20, Patience: time.Hour})
	inUse := make(chan struct{}, 3)
	finished := make(chan error)
	const workers, rounds = 60, 50
	for n := range workers {
		go func() {
			for range rounds {
				slot, err := s.Acquire(t.Context(), strconv.Itoa(n%7), strconv.Itoa(n%13))
				if err != nil {
					finished <- err
					return
				}
				select {
				case inUse <- struct{}{}:
				default:
					finished <- errors.New("more in use than there are slots")
					return
				}
				<-inUse
				slot.Release()
			}
			finished <- nil
		}()
	}
	for range workers {
		if err := <-finished; err != nil {
			t.Error(err)
		}
	}
	if s.running != 0 || s.turns.Len() != 0 {
		t.Errorf("%d run, %d tenants wait", s.running, s.turns.Len())
	}
}

// BenchmarkUncontended is what a slot costs when one is free.
func BenchmarkUncontended(b *testing.B) {
	s := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		slot, err := s.Acquire(b.Context(), "agency/agency", "account")
		if err != nil {
			b.Fatal(err)
		}
		slot.Release()
	}
}

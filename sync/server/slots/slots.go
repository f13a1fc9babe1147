// Package slots decides whose work the server does next. A bounded amount of work is
// done at a time; when more is there, it waits in one queue per tenant, and within a
// tenant per account, each served in turn, so that whoever brings much work waits for
// itself and not others for it.
package slots

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// Why work is not done.
var (
	// ErrFull tells that as much work of the tenant waits as may wait.
	ErrFull = errors.New("too much work of the tenant waits already")
	// ErrLate tells that the work has waited as long as it may.
	ErrLate = errors.New("the work was not begun in time")
)

// Options bound what is done and what waits. Zero values mean the defaults.
type Options struct {
	// Slots is how much work is done at a time; by default 4 for each processor, since
	// work also waits for storage.
	Slots int
	// Spare is how many slots may be in use for a tenant that uses its share of them to
	// get another one, while other tenants are active. By default it is half as many as
	// there are processors, so that the other half answers those others at once.
	Spare int
	// Queue is how much work of one tenant may wait; by default 1024.
	Queue int
	// Patience is how long work may wait; by default 10 seconds.
	Patience time.Duration
	// Active is how long a tenant counts as active after its last work; by default
	// 1 second.
	Active time.Duration
}

func (o Options) withDefaults() Options {
	o.Slots = cmp.Or(o.Slots, 4*runtime.GOMAXPROCS(0))
	o.Spare = cmp.Or(o.Spare, max(1, runtime.GOMAXPROCS(0)/2))
	o.Queue = cmp.Or(o.Queue, 1024)
	o.Patience = cmp.Or(o.Patience, 10*time.Second)
	o.Active = cmp.Or(o.Active, time.Second)
	return o
}

// Scheduler hands slots out.
//
// A tenant gets a slot when it has fewer than its share: the slots divided by the
// tenants that are active, and at least one. A tenant alone thus gets all. Beyond its
// share it gets one while fewer than Options.Spare are in use. So there is always work
// being done when some waits, and the end of that work lets the next begin.
type Scheduler struct {
	options Options

	mu               sync.Mutex
	running, waiting int
	// tenants are those that are active, and recent the same by their last use.
	tenants map[string]*tenant
	recent  list.List
	// turns are the tenants with work that waits; the first is next.
	turns list.List
}

// tenant is what a tenant has the server do.
type tenant struct {
	name             string
	running, waiting int
	used             time.Time
	recent, turn     *list.Element
	// accounts are those with work that waits, and turns the same in the order in which
	// they get their turns.
	accounts map[string]*account
	turns    list.List
}

// account is the work of an account that waits, the oldest first.
type account struct {
	name    string
	turn    *list.Element
	waiters []*waiter
}

// waiter is one piece of work that waits.
type waiter struct {
	granted chan struct{}
	account *account
}

// New makes a scheduler.
func New(o Options) *Scheduler {
	return &Scheduler{options: o.withDefaults(), tenants: map[string]*tenant{}}
}

// Slot is the permission to do work until it is released.
type Slot struct {
	scheduler *Scheduler
	tenant    *tenant
}

// Acquire waits for a slot. It returns ErrFull or ErrLate when the server has too much
// to do, and the error of the context when that ends.
func (s *Scheduler) Acquire(ctx context.Context, tenant, account string) (Slot, error) {
	return s.acquire(ctx, tenant, account, true)
}

// Resume waits for a slot to go on with work that was begun: it is not refused for what
// else waits, nor for how long it does.
func (s *Scheduler) Resume(ctx context.Context, tenant, account string) (Slot, error) {
	return s.acquire(ctx, tenant, account, false)
}

func (s *Scheduler) acquire(ctx context.Context, name, account string, refusable bool) (Slot, error) {
	s.mu.Lock()
	t := s.use(name, time.Now())
	if t.waiting == 0 && s.admits(t) {
		s.take(t)
		s.mu.Unlock()
		return Slot{s, t}, nil
	}
	if refusable && t.waiting >= s.options.Queue {
		s.mu.Unlock()
		return Slot{}, ErrFull
	}
	w := s.enqueue(t, account)
	s.mu.Unlock()
	return s.wait(ctx, t, w, refusable)
}

// wait waits for the turn of a waiter.
func (s *Scheduler) wait(ctx context.Context, t *tenant, w *waiter, refusable bool) (Slot, error) {
	var late <-chan time.Time
	if refusable {
		timer := time.NewTimer(s.options.Patience)
		defer timer.Stop()
		late = timer.C
	}
	err := ErrLate
	select {
	case <-w.granted:
		return Slot{s, t}, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-late:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.account == nil { // its turn came at the same time
		return Slot{s, t}, nil
	}
	s.leave(t, w)
	return Slot{}, err
}

// Release gives the slot back, once.
func (l Slot) Release() {
	s, t := l.scheduler, l.tenant
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	t.running--
	now := time.Now()
	s.touch(t, now)
	s.forget(now)
	s.dispatch()
}

// Waiting is how much work waits.
func (s *Scheduler) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// use returns a tenant, which is active from now on.
func (s *Scheduler) use(name string, now time.Time) *tenant {
	t := s.tenants[name]
	if t == nil {
		t = &tenant{name: name}
		s.tenants[name] = t
		t.recent = s.recent.PushBack(t)
	}
	s.touch(t, now)
	if s.forget(now) {
		s.dispatch()
	}
	return t
}

func (s *Scheduler) touch(t *tenant, now time.Time) {
	t.used = now
	s.recent.MoveToBack(t.recent)
}

// forget drops tenants that are no longer active, and tells whether there were any.
func (s *Scheduler) forget(now time.Time) (dropped bool) {
	for e := s.recent.Front(); e != nil; e = s.recent.Front() {
		t, _ := e.Value.(*tenant)
		switch {
		case now.Sub(t.used) < s.options.Active:
			return dropped
		case t.running > 0 || t.waiting > 0:
			s.touch(t, now)
		default:
			s.recent.Remove(e)
			delete(s.tenants, t.name)
			dropped = true
		}
	}
	return dropped
}

// admits tells whether a tenant may have one more slot.
func (s *Scheduler) admits(t *tenant) bool {
	if s.running >= s.options.Slots {
		return false
	}
	return t.running < max(1, s.options.Slots/len(s.tenants)) || s.running < s.options.Spare
}

func (s *Scheduler) take(t *tenant) {
	s.running++
	t.running++
}

// dispatch begins what may begin. Those who have had a turn come last; those who may
// have none now keep their place, and they are no more than there are slots.
func (s *Scheduler) dispatch() {
	for e := s.turns.Front(); e != nil && s.running < s.options.Slots; {
		t, _ := e.Value.(*tenant)
		if !s.admits(t) {
			e = e.Next()
			continue
		}
		s.take(t)
		close(s.next(t).granted)
		e = s.turns.Front()
	}
}

// enqueue lets work of an account wait.
func (s *Scheduler) enqueue(t *tenant, name string) *waiter {
	if t.accounts == nil {
		t.accounts = map[string]*account{}
	}
	a := t.accounts[name]
	if a == nil {
		a = &account{name: name}
		t.accounts[name] = a
		a.turn = t.turns.PushBack(a)
	}
	w := &waiter{granted: make(chan struct{}), account: a}
	a.waiters = append(a.waiters, w)
	s.waiting++
	if t.waiting++; t.waiting == 1 {
		t.turn = s.turns.PushBack(t)
	}
	return w
}

// next takes the work out of the queue of a tenant whose turn it is.
func (s *Scheduler) next(t *tenant) *waiter {
	a, _ := t.turns.Front().Value.(*account)
	w := a.waiters[0]
	t.turns.MoveToBack(a.turn)
	s.turns.MoveToBack(t.turn)
	s.leave(t, w)
	return w
}

// leave takes work out of the queue.
func (s *Scheduler) leave(t *tenant, w *waiter) {
	a := w.account
	w.account = nil
	for i, other := range a.waiters {
		if other == w {
			a.waiters = append(a.waiters[:i], a.waiters[i+1:]...)
			break
		}
	}
	if len(a.waiters) == 0 {
		t.turns.Remove(a.turn)
		delete(t.accounts, a.name)
	}
	s.waiting--
	if t.waiting--; t.waiting == 0 {
		s.turns.Remove(t.turn)
	}
}

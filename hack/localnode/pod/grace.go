package pod

import (
	"sync"
	"time"
)

// grace is the time that something still has; it can only become shorter.
type grace struct {
	mu      sync.Mutex
	end     time.Time
	changed chan struct{}
}

func newGrace() *grace { return &grace{changed: make(chan struct{})} }

// graceOf is a grace that ends after a wait.
func graceOf(wait time.Duration) *grace {
	g := newGrace()
	g.shorten(time.Now().Add(wait))
	return g
}

// shorten moves the end forward; a later end than the present one is ignored.
func (g *grace) shorten(end time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.end.IsZero() && !end.Before(g.end) {
		return
	}
	g.end = end
	close(g.changed)
	g.changed = make(chan struct{})
}

// left is the time until the end, and a channel that is closed when that changes. Without an end it is very long.
func (g *grace) left() (time.Duration, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.end.IsZero() {
		return healthyRun, g.changed
	}
	return time.Until(g.end), g.changed
}

// wait waits for done or the end, and says whether done came.
func (g *grace) wait(done <-chan struct{}) bool {
	for {
		left, changed := g.left()
		timer := time.NewTimer(left)
		select {
		case <-done:
			timer.Stop()
			return true
		case <-changed:
			timer.Stop()
		case <-timer.C:
			if left, _ := g.left(); left <= 0 {
				return false
			}
		}
	}
}

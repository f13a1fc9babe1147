package world

import (
	"context"
	"sync"
)

// guard notices when something that has to run ends on its own.
type guard struct {
	failed   chan struct{}
	stopping chan struct{}
	once     sync.Once
	watchers sync.WaitGroup
	mu       sync.Mutex
	failure  error
}

func newGuard() *guard {
	return &guard{failed: make(chan struct{}), stopping: make(chan struct{})}
}

// watch takes the closing of ended as a failure, which reason explains.
func (g *guard) watch(ended <-chan struct{}, reason func() error) {
	g.watchers.Go(func() {
		select {
		case <-g.stopping:
		case <-ended:
			g.fail(reason())
		}
	})
}

// tell cancels a context with the first failure, until it is released.
func (g *guard) tell(cancel context.CancelCauseFunc) (release func()) {
	done := make(chan struct{})
	g.watchers.Go(func() {
		select {
		case <-done:
		case <-g.stopping:
		case <-g.failed:
			cancel(g.err())
		}
	})
	return sync.OnceFunc(func() { close(done) })
}

func (g *guard) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failure == nil && err != nil {
		g.failure = err
		close(g.failed)
	}
}

// err returns the first failure.
func (g *guard) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failure
}

// stop ends the watching and waits for it.
func (g *guard) stop() {
	g.once.Do(func() { close(g.stopping) })
	g.watchers.Wait()
}

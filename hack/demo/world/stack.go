package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// stack holds what has to be undone, in order.
type stack struct {
	mu    sync.Mutex
	steps []step
}

type step struct {
	name string
	undo func(context.Context) error
}

// push adds a step; steps are undone last to first.
func (s *stack) push(name string, undo func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name, undo})
}

// unwind undoes every step, also when some fail, and forgets them.
func (s *stack) unwind(ctx context.Context) error {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()
	var all error
	for _, s := range slices.Backward(steps) {
		if err := s.undo(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("stop %s: %w", s.name, err))
		}
	}
	return all
}

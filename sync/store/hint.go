package store

import (
	"context"
	"sync"
)

// Bus is Hints within one process. The zero value is ready for use.
type Bus struct {
	mu        sync.Mutex
	closed    bool
	listeners map[string]map[chan struct{}]struct{}
}

// Publish wakes the listeners of a topic; one that has not taken its last hint yet gets no second one.
func (b *Bus) Publish(_ context.Context, topic string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	wake(b.listeners[topic])
	return nil
}

// PublishAll wakes the listeners of every topic, for when hints may have been lost.
func (b *Bus) PublishAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, set := range b.listeners {
		wake(set)
	}
}

func wake(listeners map[chan struct{}]struct{}) {
	for ch := range listeners {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Listen returns a channel of hints for a topic; on a closed bus it is closed already.
func (b *Bus) Listen(topic string) (hints <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		close(ch)
		return ch, func() {}
	}
	if b.listeners == nil {
		b.listeners = map[string]map[chan struct{}]struct{}{}
	}
	if b.listeners[topic] == nil {
		b.listeners[topic] = map[chan struct{}]struct{}{}
	}
	b.listeners[topic][ch] = struct{}{}
	return ch, func() { b.drop(topic, ch) }
}

// Close closes the channel of every listener.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, set := range b.listeners {
		for ch := range set {
			close(ch)
		}
	}
	b.listeners = nil
}

func (b *Bus) drop(topic string, ch chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.listeners[topic][ch]; !ok {
		return
	}
	close(ch)
	delete(b.listeners[topic], ch)
	if len(b.listeners[topic]) == 0 {
		delete(b.listeners, topic)
	}
}

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/coder/websocket"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// feed is what a WebSocket pushes (RFC 8887 §4.3.5).
type feed struct {
	socket *socket
	types  typeSet
	// last is what the client knows.
	last accountStates
	// watch follows nothing while nothing is pushed. What it follows ends with watched.
	watch   *watch
	watched context.Context //nolint:containedctx // it ends when pushing does, before the socket
	cancel  context.CancelFunc
}

// push follows the orders of the client until the context ends.
func (c *socket) push(ctx context.Context) error {
	f := &feed{socket: c, watch: &watch{}, cancel: func() {}}
	defer func() { f.cancel() }()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case order := <-c.orders:
			if err = f.follow(ctx, order); err == nil {
				err = c.acknowledge(ctx)
			}
		case _, open := <-f.watch.own:
			if f.watch.heard(open) {
				err = f.changed(ctx)
			}
		case <-f.watch.changes:
			err = f.changed(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// acknowledge lets the reader go on.
func (c *socket) acknowledge(ctx context.Context) error {
	select {
	case c.followed <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow begins, changes or, without an order, ends pushing. A client that knows an
// earlier state is told at once what it missed.
func (f *feed) follow(ctx context.Context, order *jmap.PushOrder) error {
	if order == nil {
		f.cancel()
		f.watch, f.watched, f.last = &watch{}, nil, nil
		return nil
	}
	if f.watched == nil {
		f.watched, f.cancel = context.WithCancel(ctx)
		f.watch = f.socket.server.newWatch()
	}
	current, err := f.states()
	if err != nil {
		return err
	}
	f.types = nil
	if order.Types != nil {
		f.types = typeSet{}
		for _, name := range order.Types {
			f.types[name] = true
		}
	}
	switch {
	case order.State != nil:
		f.last, _ = decodeEventID(*order.State)
	case f.last == nil:
		f.last = current
	}
	return f.tell(ctx, current)
}

// changed tells what has changed, and lets what changes next gather for a while.
func (f *feed) changed(ctx context.Context) error {
	current, err := f.states()
	if err != nil {
		return err
	}
	if err := f.tell(ctx, current); err != nil {
		return err
	}
	select {
	case <-time.After(f.socket.server.options.Push.MinGap):
	case <-ctx.Done():
	}
	return nil
}

// tell sends the difference to what the client knows, if there is any.
func (f *feed) tell(ctx context.Context, current accountStates) error {
	changed := f.types.filter(difference(f.last, current))
	f.last = current
	if len(changed) == 0 {
		return nil
	}
	raw, err := json.Marshal(stateChange{Type: jmap.MessageStateChange, Changed: changed, PushState: encodeEventID(current)})
	if err != nil {
		return fmt.Errorf("encode state change: %w", err)
	}
	return f.socket.send(ctx, jmap.MessageStateChange, raw)
}

func (f *feed) states() (accountStates, error) {
	current, err := f.watch.states(f.watched, f.socket.principal)
	if err == nil || f.watched.Err() != nil {
		return current, err
	}
	f.socket.server.logger.ErrorContext(f.watched, "states could not be read", slog.Any("error", err))
	return nil, &closure{websocket.StatusInternalError, "the states could not be read: connect again"}
}

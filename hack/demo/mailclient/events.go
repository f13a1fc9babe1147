package mailclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"git.sr.ht/~rockorager/go-jmap"
	"git.sr.ht/~rockorager/go-jmap/core/push"
	"git.sr.ht/~rockorager/go-jmap/mail"
)

// opening is a transport for an event stream: the context ends its requests, and the
// first answer is told.
type opening struct {
	ctx    context.Context //nolint:containedctx // the library makes its request without one
	next   http.RoundTripper
	opened func()
}

// RoundTrip implements http.RoundTripper.
func (o opening) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.next.RoundTrip(r.WithContext(o.ctx))
	if err == nil && response.StatusCode == http.StatusOK {
		o.opened()
	}
	return response, err
}

// AwaitDelivery opens an event stream (RFC 8620 section 7.3), acts once it is open, and
// returns when the stream told that mail was delivered to the account.
func (a *Account) AwaitDelivery(ctx context.Context, act func(context.Context) error) error {
	var listening sync.WaitGroup
	defer listening.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened, told := make(chan struct{}), make(chan struct{})
	tell := sync.OnceFunc(func() { close(told) })
	transport := opening{ctx: ctx, next: a.client.HttpClient.Transport, opened: sync.OnceFunc(func() { close(opened) })}
	source := &push.EventSource{
		Client: &jmap.Client{HttpClient: &http.Client{Transport: transport}, Session: a.client.Session},
		Events: []jmap.EventType{mail.EmailDeliveryEvent},
		Handler: func(change *jmap.StateChange) {
			if change.Changed[a.id][string(mail.EmailDeliveryEvent)] != "" {
				tell()
			}
		},
	}
	ended := make(chan error, 1)
	listening.Go(func() {
		defer source.Close()
		if err := source.Listen(); err != nil {
			ended <- err
			return
		}
		ended <- errors.New("it ended")
	})
	if err := await(ctx, opened, ended); err != nil {
		return err
	}
	if err := act(ctx); err != nil {
		return err
	}
	return await(ctx, told, ended)
}

// await waits for what an event stream is to do, unless it ends first.
func await(ctx context.Context, done <-chan struct{}, ended <-chan error) error {
	select {
	case <-done:
		return nil
	case err := <-ended:
		return fmt.Errorf("event stream: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("event stream: %w", context.Cause(ctx))
	}
}

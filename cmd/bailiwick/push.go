package main

import (
	"context"
	"fmt"
	"os"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
	"github.com/bailiwick-dev/bailiwick/sync/push"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// newPush makes push to clients that are not connected, and what it sends with, which is
// to be closed.
func (r *replica) newPush(ctx context.Context, engine store.Engine) (*egress.Poster, error) {
	if r.flags.pushToLoopback {
		r.logger.WarnContext(ctx, "push subscriptions may name URLs on this machine: take --development-push-to-loopback away where users are not trusted with it")
	}
	endpoints, err := egress.NewPoster(egress.PostPolicy{DeniedRanges: apiServerRange(os.Getenv), Loopback: r.flags.pushToLoopback})
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	r.push, err = push.New(ctx, push.Options{
		Engine:        engine,
		States:        r.mail,
		Standing:      push.Documents{Set: r.documents},
		Endpoints:     endpoints,
		Contact:       r.flags.url,
		KeyGeneration: r.flags.pushKeyGeneration,
		Logger:        r.logger,
		Metrics:       r.registry,
	})
	return endpoints, err
}

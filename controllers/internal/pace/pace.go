// Package pace keeps one restless object from taking the controllers' time: each
// object may be reconciled a few times in a row and then five times a second.
package pace

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// every and burst: a change by a person is handled at once, also when a few follow
// each other. A stream of events is handled five times a second, so that a change in
// the midst of it is still enforced well within a second.
const (
	every = 200 * time.Millisecond
	burst = 5
)

// soonest is how long a request waits at least, so that it never comes again for a
// sliver of a token.
const soonest = time.Millisecond

// maxIdle is how many objects are remembered before those that rest are dropped.
const maxIdle = 4096

// Limited is a reconciler that hands on at most the allowed number of requests and
// asks for the others to come again later.
type Limited struct {
	next reconcile.Reconciler
	now  func() time.Time

	mu      sync.Mutex
	buckets map[reconcile.Request]*rate.Limiter
}

// Limit wraps next.
func Limit(next reconcile.Reconciler) *Limited {
	return &Limited{next: next, now: time.Now, buckets: map[reconcile.Request]*rate.Limiter{}}
}

// Reconcile implements reconcile.Reconciler.
func (l *Limited) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if wait := l.wait(req); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	return l.next.Reconcile(ctx, req)
}

// wait takes a token for the object; without one it tells when there will be one.
func (l *Limited) wait(req reconcile.Request) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	bucket := l.buckets[req]
	if bucket == nil {
		l.dropIdle(now)
		bucket = rate.NewLimiter(rate.Every(every), burst)
		l.buckets[req] = bucket
	}
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return max(soonest, time.Duration(missing*float64(every)))
}

func (l *Limited) dropIdle(now time.Time) {
	if len(l.buckets) < maxIdle {
		return
	}
	for req, bucket := range l.buckets {
		if bucket.TokensAt(now) >= burst {
			delete(l.buckets, req)
		}
	}
}

package server

import (
	"container/list"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how much may come: PerSecond in the long run, and Burst at once. A negative
// PerSecond means as much as wants to.
type Rate struct {
	PerSecond float64
	Burst     int
}

func (r Rate) check(name string) error {
	if r.PerSecond >= 0 && (r.PerSecond == 0 || r.Burst < 1) {
		return fmt.Errorf("load limits: %s: %g a second and %d at once let nothing through: give both, or a negative rate for no limit", name, r.PerSecond, r.Burst)
	}
	return nil
}

// buckets hold a token bucket for each key. A bucket that is full again is like a new
// one, and is forgotten.
type buckets struct {
	rate Rate

	mu    sync.Mutex
	byKey map[string]*bucket
	used  list.List // the buckets, the longest unused first
}

type bucket struct {
	key     string
	limiter *rate.Limiter
	// ends is when the bucket is full again, and is forgotten unless it is used.
	ends    time.Time
	element *list.Element
}

func newBuckets(r Rate) *buckets {
	return &buckets{rate: r, byKey: map[string]*bucket{}}
}

// take takes one token, or tells how long to wait until there is one.
func (b *buckets) take(key string, now time.Time) (wait time.Duration) {
	if b.rate.PerSecond < 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.bucket(key)
	ok := k.limiter.AllowN(now, 1)
	tokens := k.limiter.TokensAt(now)
	b.keep(k, tokens, now)
	if ok {
		return 0
	}
	return max(time.Nanosecond, b.within(1-tokens))
}

// charge takes as many tokens, even those that are not there yet.
func (b *buckets) charge(key string, n int, now time.Time) {
	if b.rate.PerSecond < 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.bucket(key)
	for ; n > 0; n -= b.rate.Burst {
		k.limiter.ReserveN(now, min(n, b.rate.Burst))
	}
	b.keep(k, k.limiter.TokensAt(now), now)
}

// keep keeps a bucket with so many tokens until it is full, and a little longer, so that
// it is not made anew for each request.
func (b *buckets) keep(k *bucket, tokens float64, now time.Time) {
	const least = 10 * time.Second
	k.ends = now.Add(max(least, b.within(float64(b.rate.Burst)-tokens)))
	b.used.MoveToBack(k.element)
	b.forget(now)
}

// within is how long it takes until so many tokens have come, a year at most.
func (b *buckets) within(tokens float64) time.Duration {
	const most = 365 * 24 * time.Hour
	return time.Duration(min(tokens/b.rate.PerSecond, most.Seconds()) * float64(time.Second))
}

func (b *buckets) bucket(key string) *bucket {
	k := b.byKey[key]
	if k == nil {
		k = &bucket{key: key, limiter: rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.Burst)}
		b.byKey[key] = k
		k.element = b.used.PushBack(k)
	}
	return k
}

// forget drops the buckets at the front that are full. One that is in debt is kept as
// long as it is, and those behind it a little longer than needed.
func (b *buckets) forget(now time.Time) {
	for e := b.used.Front(); e != nil; e = b.used.Front() {
		k, _ := e.Value.(*bucket)
		if now.Before(k.ends) {
			return
		}
		b.used.Remove(e)
		delete(b.byKey, k.key)
	}
}

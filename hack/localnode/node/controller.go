package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// queue calls sync for each object that changed, again and again with growing waits while that gives an error.
type queue struct {
	name  string
	queue workqueue.TypedRateLimitingInterface[string]
	sync  func(ctx context.Context, key string) error
	log   *slog.Logger
}

func newQueue(name string, log *slog.Logger, sync func(ctx context.Context, key string) error) *queue {
	const fastest, slowest = 50 * time.Millisecond, 10 * time.Second
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](fastest, slowest)
	return &queue{name: name, queue: workqueue.NewTypedRateLimitingQueue(limiter), sync: sync, log: log}
}

// follow has every change of an informer's objects handled.
func (q *queue) follow(informer cache.SharedIndexInformer) error {
	add := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			q.queue.Add(key)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, object any) { add(object) }, DeleteFunc: add,
	})
	return err
}

// run handles changes until ctx ends.
func (q *queue) run(ctx context.Context) {
	var worker sync.WaitGroup
	worker.Go(func() {
		for q.next(ctx) {
		}
	})
	<-ctx.Done()
	q.queue.ShutDown()
	worker.Wait()
}

func (q *queue) next(ctx context.Context) bool {
	key, shutdown := q.queue.Get()
	if shutdown {
		return false
	}
	defer q.queue.Done(key)
	if err := q.sync(ctx, key); err != nil && ctx.Err() == nil {
		q.log.Warn("will be tried again", "kind", q.name, "object", key, "error", err)
		q.queue.AddRateLimited(key)
		return true
	}
	q.queue.Forget(key)
	return true
}

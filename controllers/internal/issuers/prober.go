// Package issuers keeps an eye on token issuers outside of the reconcile loop: it
// fetches discovery documents and keys in the background, remembers the last good
// ones, and tells the controllers when something changed. A reconcile asks for what
// is known and never dials.
package issuers

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
)

// Query is what is asked about one issuer. Equal queries are asked once, whoever
// asks.
type Query struct {
	// Issuer is the URL under which the discovery document lies.
	Issuer string `json:"issuer"`
	// Aliases are further issuers for which the document may speak.
	Aliases []string `json:"aliases"`
	// Hosts may be fetched from.
	Hosts []string `json:"hosts"`
	// PrivateRanges are where a host may resolve beside public addresses.
	PrivateRanges []netip.Prefix `json:"privateRanges"`
	// CABundle is trusted in place of the system's certificates when it is set.
	CABundle string `json:"caBundle"`
}

// Answer is what is known now.
type Answer struct {
	// Provider is the last good answer; nil while there was none.
	Provider *egress.Provider
	// Err says why the last attempt failed; nil when it did not. It is one of the
	// kinds of package egress, and its text does not change while the problem stays
	// the same.
	Err error
	// Asked tells that at least one attempt ended.
	Asked bool
}

// Options shape a Prober. The zero value is what the operator uses.
type Options struct {
	// DeniedRanges are never dialled: the cluster's own.
	DeniedRanges []netip.Prefix
	// Refresh is how long a good answer lasts, give or take a tenth; an hour when
	// zero.
	Refresh time.Duration
	// RetryFrom and RetryTo bound how long a failure lasts, growing from one to the
	// other; 5 seconds and 10 minutes when zero.
	RetryFrom, RetryTo time.Duration
	// Deadline bounds one attempt; 20 seconds when zero.
	Deadline time.Duration
	// Workers is how many issuers are asked at a time; 8 when zero.
	Workers int
}

const jitterShare = 10

func (o *Options) setDefaults() {
	setDefault(&o.Refresh, time.Hour)
	setDefault(&o.RetryFrom, 5*time.Second)
	setDefault(&o.RetryTo, 10*time.Minute)
	setDefault(&o.Deadline, 20*time.Second)
	setDefault(&o.Workers, 8)
}

func setDefault[T int | time.Duration](value *T, fallback T) {
	if *value <= 0 {
		*value = fallback
	}
}

// Prober asks issuers in the background. It implements manager.Runnable.
type Prober struct {
	options Options
	queue   workqueue.TypedRateLimitingInterface[string]
	changes chan event.GenericEvent

	mu      sync.Mutex
	targets map[string]*target
	owners  map[types.NamespacedName]string
}

type target struct {
	query  Query
	owners map[types.NamespacedName]bool
	answer Answer
}

// New makes a prober that asks nothing before Start.
func New(o Options) *Prober {
	o.setDefaults()
	return &Prober{
		options: o,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](o.RetryFrom, o.RetryTo)),
		changes: make(chan event.GenericEvent),
		targets: map[string]*target{},
		owners:  map[types.NamespacedName]string{},
	}
}

// Changes carries an event for each owner of a query whose answer changed. It must
// be read while the prober runs.
func (p *Prober) Changes() <-chan event.GenericEvent { return p.changes }

// Want says that owner relies on the answer to a query, in place of what it relied
// on before, and gives what is known. It returns at once.
func (p *Prober) Want(owner types.NamespacedName, q Query) (Answer, error) {
	raw, err := json.Marshal(q)
	if err != nil {
		return Answer{}, fmt.Errorf("encode query of issuer %q: %w", q.Issuer, err)
	}
	key := string(raw)
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.owners[owner]; ok && before != key {
		p.leave(owner, before)
	}
	t := p.targets[key]
	if t == nil {
		t = &target{query: q, owners: map[types.NamespacedName]bool{}}
		p.targets[key] = t
		p.queue.Add(key)
	}
	t.owners[owner] = true
	p.owners[owner] = key
	return t.answer, nil
}

// Failing tells whether the last attempt on behalf of owner failed.
func (p *Prober) Failing(owner types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[p.owners[owner]]
	return t != nil && t.answer.Err != nil
}

// Refresh asks again now for what owner relies on.
func (p *Prober) Refresh(owner types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key, ok := p.owners[owner]; ok {
		p.queue.Forget(key)
		p.queue.Add(key)
	}
}

// Forget drops what owner relied on.
func (p *Prober) Forget(owner types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key, ok := p.owners[owner]; ok {
		p.leave(owner, key)
	}
}

func (p *Prober) leave(owner types.NamespacedName, key string) {
	delete(p.owners, owner)
	if t := p.targets[key]; t != nil {
		delete(t.owners, owner)
		if len(t.owners) == 0 {
			delete(p.targets, key)
			p.queue.Forget(key)
		}
	}
}

// Start asks until the context ends.
func (p *Prober) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	for range p.options.Workers {
		workers.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	p.queue.ShutDown()
	workers.Wait()
	return nil
}

// NeedLeaderElection keeps replicas that do not reconcile from asking.
func (p *Prober) NeedLeaderElection() bool { return true }

// next asks one issuer and tells whether there may be another.
func (p *Prober) next(ctx context.Context) bool {
	key, quit := p.queue.Get()
	if quit {
		return false
	}
	defer p.queue.Done(key)
	query, wanted := p.query(key)
	if !wanted {
		return true
	}
	provider, err := p.ask(ctx, query)
	if ctx.Err() != nil {
		return false // the attempt was cut short: its failure says nothing of the issuer
	}
	for _, owner := range p.store(key, provider, err) {
		select {
		case p.changes <- changeOf(owner):
		case <-ctx.Done():
			return false
		}
	}
	if err != nil {
		p.queue.AddRateLimited(key)
		return true
	}
	p.queue.Forget(key)
	p.queue.AddAfter(key, jittered(p.options.Refresh))
	return true
}

func (p *Prober) query(key string) (Query, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[key]
	if t == nil {
		return Query{}, false
	}
	return t.query, true
}

func (p *Prober) ask(ctx context.Context, q Query) (*egress.Provider, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Deadline)
	defer cancel()
	c, err := egress.New(egress.Policy{
		Hosts:         q.Hosts,
		PrivateRanges: q.PrivateRanges,
		DeniedRanges:  p.options.DeniedRanges,
		CABundle:      []byte(q.CABundle),
		Timeout:       p.options.Deadline,
	})
	if err != nil {
		return nil, err
	}
	return egress.Discover(ctx, c, q.Issuer, q.Aliases)
}

// store keeps an answer and tells whom it is new for. A failure keeps the last good
// provider.
func (p *Prober) store(key string, provider *egress.Provider, err error) []types.NamespacedName {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[key]
	if t == nil {
		return nil
	}
	before := t.answer
	t.answer = Answer{Provider: before.Provider, Err: err, Asked: true}
	if err == nil {
		t.answer.Provider = provider
	}
	if t.answer.same(before) {
		return nil
	}
	owners := make([]types.NamespacedName, 0, len(t.owners))
	for owner := range t.owners {
		owners = append(owners, owner)
	}
	slices.SortFunc(owners, func(a, b types.NamespacedName) int {
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	return owners
}

func (a Answer) same(b Answer) bool {
	return a.Asked == b.Asked && sameError(a.Err, b.Err) && sameProvider(a.Provider, b.Provider)
}

func sameError(a, b error) bool {
	if a == nil || b == nil {
		return (a == nil) == (b == nil)
	}
	return a.Error() == b.Error()
}

func sameProvider(a, b *egress.Provider) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Issuer == b.Issuer && a.AccessTokenIssuer == b.AccessTokenIssuer && a.JWKSURI == b.JWKSURI &&
		a.Fingerprint == b.Fingerprint && slices.Equal(a.Algorithms, b.Algorithms)
}

func changeOf(owner types.NamespacedName) event.GenericEvent {
	var obj client.Object = &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: owner.Namespace, Name: owner.Name}}
	return event.GenericEvent{Object: obj}
}

// jittered spreads a period by a tenth either way, so that issuers that were first
// asked together are not asked together for ever.
func jittered(period time.Duration) time.Duration {
	spread := period / jitterShare
	if spread <= 0 {
		return period
	}
	return period - spread + rand.N(2*spread) //nolint:gosec // spreading load needs no secrecy
}

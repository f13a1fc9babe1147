package mail

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// outboxPoll is how often the outbox is looked at without a hint, which may be lost.
	outboxPoll = 30 * time.Second
	// outboxPause is the least time between two looks at messages that could not be taken.
	outboxPause = time.Second
	// localWorkers and remoteWorkers are how many messages are delivered and sent at the same time.
	localWorkers  = 4
	remoteWorkers = 32
	// settleWithin is how long writing down the result of an attempt may wait for another process that has the account.
	settleWithin = time.Minute
	// settlePause is the time between two tries of that.
	settlePause = 200 * time.Millisecond
)

// courier sends what is due. Mail within the region does not wait for other servers: they have workers of their own.
type courier struct {
	service *Service
	local   errgroup.Group
	remote  errgroup.Group

	mu sync.Mutex
	// busy are the messages that a worker has, by entry.
	busy map[string]bool
}

func newCourier(s *Service) *courier {
	c := &courier{service: s, busy: map[string]bool{}}
	c.local.SetLimit(localWorkers)
	c.remote.SetLimit(remoteWorkers)
	return c
}

// RunOutbox sends what is in the outbox when it is due, until the context ends. Several processes on one store may
// run it.
//
// A message is sent at least once: a process that ends, or loses the store, after a recipient's server took the
// message and before that was written down leaves the message to be sent to this recipient again.
func (s *Service) RunOutbox(ctx context.Context) error {
	hints, cancel := s.engine.Hints().Listen(outboxTopic)
	defer cancel()
	if err := s.reclaim(ctx); err != nil {
		s.failed(ctx, "taking the outbox up again failed", err)
	}
	c := newCourier(s)
	defer c.wait()
	for ctx.Err() == nil {
		wait := c.pass(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case _, open := <-hints:
			if !open {
				timer.Stop()
				return nil
			}
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// failed logs an error, unless it is the end of the process.
func (s *Service) failed(ctx context.Context, what string, err error) {
	if ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
		s.opts.Logger.ErrorContext(ctx, what, "error", err)
	}
}

// wait returns when no worker runs any more.
func (c *courier) wait() {
	// Workers report what fails themselves.
	_ = c.local.Wait()
	_ = c.remote.Wait()
}

// pass starts the sending of all that is due, and returns how long to wait for more.
func (c *courier) pass(ctx context.Context) time.Duration {
	tickets, next, err := c.service.due(ctx)
	if err != nil {
		c.service.failed(ctx, "reading the outbox failed", err)
		return outboxPoll
	}
	wait := outboxPoll
	for _, t := range tickets {
		// Another process may have the account: then it has its mail, too, or leaves it.
		wait = outboxPause
		if !c.take(t) {
			continue
		}
		c.local.Go(func() error {
			defer c.drop(t)
			c.attempt(ctx, t)
			return nil
		})
	}
	if !next.IsZero() {
		wait = min(wait, max(next.Sub(c.service.opts.Now()), outboxPause))
	}
	return wait
}

func (c *courier) take(t ticket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[string(t.entry)] {
		return false
	}
	c.busy[string(t.entry)] = true
	return true
}

func (c *courier) drop(t ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, string(t.entry))
}

// attempt delivers a message to the recipients in the region and has it sent to the others.
func (c *courier) attempt(ctx context.Context, t ticket) {
	o, tenant, err := c.service.claim(ctx, t)
	if err != nil {
		if !contended(err) {
			c.service.failed(ctx, "taking a message of the outbox failed", err)
		}
		return
	}
	if o == nil {
		return
	}
	r := &sent{outgoing: o, account: t.account, tenant: tenant}
	// What is within the region is finished even when the process is about to end.
	within := context.WithoutCancel(ctx)
	if r.message, err = c.service.content(within, tenant, o.Blob); err != nil {
		r.results = failAll(o, err)
		c.settle(ctx, r)
		return
	}
	local, remote := c.service.route(within, o)
	r.more = len(remote) > 0
	if len(local) > 0 {
		r.results = c.service.Deliver(within, o.envelope(local), c.service.opts.Now(), r.message)
		c.settle(ctx, r)
	}
	if !r.more {
		return
	}
	last := &sent{outgoing: o, account: t.account, tenant: tenant, message: r.message}
	send := func() error { c.send(ctx, last, remote); return nil }
	if !c.remote.TryGo(send) {
		last.postpone = true
		c.settle(ctx, last)
	}
}

// send hands a message to the transport.
func (c *courier) send(ctx context.Context, r *sent, to []*addressee) {
	if c.service.opts.Transport == nil {
		for _, a := range to {
			r.results = append(r.results, delivery.Result{Address: a.Address, Outcome: delivery.Failed, Reply: replyNoRoute})
		}
		c.settle(ctx, r)
		return
	}
	within, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	r.results = c.service.opts.Transport.Send(within, r.outgoing.envelope(to), bytes.NewReader(r.message))
	c.settle(ctx, r)
}

// settle writes a result down, also when the process is about to end.
func (c *courier) settle(ctx context.Context, r *sent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	err := c.service.settle(ctx, r)
	for contended(err) && pause(ctx, settlePause) {
		err = c.service.settle(ctx, r)
	}
	if err != nil {
		c.service.failed(ctx, "writing down what became of a message failed", err)
		return
	}
	c.service.wakeOutbox(ctx)
}

// pause waits, and is false when the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// content returns what a message of the outbox holds.
func (s *Service) content(ctx context.Context, tenant, hash string) ([]byte, error) {
	object, err := s.blobs.Open(ctx, tenant, hash)
	if err != nil {
		return nil, err
	}
	data, err := readSections(object, nil)
	return data, errors.Join(err, object.Close())
}

// failAll is the outcome when the content of a message cannot be read: it fails when there is none, and is tried again
// otherwise.
func failAll(o *outgoing, cause error) []delivery.Result {
	var out []delivery.Result
	for _, a := range o.To {
		r := delivery.Result{Address: a.Address, Outcome: delivery.Deferred, Reply: replyTrouble}
		if errors.Is(cause, store.ErrNotFound) {
			r.Outcome, r.Reply = delivery.Failed, replyLost
		}
		out = append(out, r)
	}
	return out
}

// route parts the recipients that are left into those in the region and the others. A mailbox that is not here may be
// in another region of its tenant, which the smart host knows.
func (s *Service) route(ctx context.Context, o *outgoing) (local, remote []*addressee) {
	for _, a := range o.To {
		if !a.pending() {
			continue
		}
		err := s.Check(ctx, a.Address)
		_, home, _ := s.homeOf(a.Address)
		if errors.Is(err, delivery.ErrNotHomed) || (errors.Is(err, delivery.ErrNoMailbox) && home.Elsewhere && s.opts.Transport != nil) {
			remote = append(remote, a)
		} else {
			local = append(local, a)
		}
	}
	return local, remote
}

// envelope is what the message travels by to some of its recipients.
func (o *outgoing) envelope(to []*addressee) *delivery.Envelope {
	e := &delivery.Envelope{
		From: o.From, ID: o.EnvelopeID, Return: o.Return, RequireTLS: o.RequireTLS, SMTPUTF8: o.SMTPUTF8,
	}
	for _, a := range to {
		e.To = append(e.To, delivery.Recipient{Address: a.Address, Notify: slices.Clone(a.Notify), Original: a.Original})
	}
	return e
}

// replyOf returns the reply of a result as one line that begins with a code.
func replyOf(r *delivery.Result) string {
	reply := oneReply(r.Reply)
	if len(reply) >= 3 && reply[0] >= '2' && reply[0] <= '5' {
		return reply
	}
	switch r.Outcome {
	case delivery.Failed:
		return strings.TrimSpace("554 5.0.0 " + reply)
	case delivery.Deferred:
		return strings.TrimSpace("451 4.0.0 " + reply)
	default:
		return strings.TrimSpace("250 2.0.0 " + reply)
	}
}

// maxReply is the most octets of a reply that are kept.
const maxReply = 512

// oneReply makes a reply fit for one line.
func oneReply(reply string) string {
	reply = strings.Join(strings.Fields(strings.ToValidUTF8(reply, "?")), " ")
	if len(reply) > maxReply {
		reply = strings.ToValidUTF8(reply[:maxReply], "")
	}
	return reply
}

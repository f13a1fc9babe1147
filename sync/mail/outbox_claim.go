package mail

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// claim takes a message that is due, so that no other process sends it. It is nil when there is nothing to send. The
// batch asserts the writer lease of the account: of several processes that try, one commits. From here on the
// submission is final.
func (s *Service) claim(ctx context.Context, t ticket) (taken *outgoing, tenant string, err error) {
	tenant, err = s.tenantOf(ctx, t.account)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", s.forget(ctx, t)
	}
	if err != nil {
		return nil, "", err
	}
	err = s.journal.Update(ctx, t.account, func(tx *store.Tx) error {
		taken = nil
		e := newEdit(ctx, s, tx, t.account, tenant)
		o, err := e.outgoing(t.id)
		if err != nil {
			return err
		}
		if o == nil || !bytes.Equal(o.queued(t.account), t.entry) {
			tx.Delete(t.entry)
			return nil
		}
		tx.Delete(t.entry)
		e.release(o)
		o.Claim = &claim{Owner: s.opts.Owner, Token: rand.Text()}
		tx.Set(outboxClaims(s.opts.Owner).String(t.account).String(o.ID), nil)
		if err := e.schedule(o, s.opts.Now().Add(claimFor)); err != nil {
			return err
		}
		if taken = o; !o.Submission {
			return nil
		}
		return e.finalize(o.ID)
	})
	return taken, tenant, err
}

// forget removes an entry of an account that was erased, and its mail with it.
func (s *Service) forget(ctx context.Context, t ticket) error {
	b := &store.Batch{}
	b.Delete(t.entry)
	return s.engine.Commit(ctx, b)
}

// finalize says that a submission can no longer be canceled.
func (e *edit) finalize(id string) error {
	sub, err := submissions.read(e.ctx, e.tx, e.account, id)
	if err != nil || sub == nil || sub.Undo == undoFinal {
		return err
	}
	sub.Undo = undoFinal
	return submissions.write(e, id, sub, store.Updated)
}

// reclaim makes what this process was sending when it ended due at once. The message may have been sent, and only the
// news of it been lost: then it is sent twice, rather than never.
func (s *Service) reclaim(ctx context.Context) error {
	prefix := outboxClaims(s.opts.Owner)
	var tickets []ticket
	for p, err := range s.engine.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("list claims: %w", err)
		}
		t, err := parseTicket(p.Key[len(prefix):])
		if err != nil {
			return err
		}
		t.entry = bytes.Clone(p.Key)
		tickets = append(tickets, t)
	}
	for _, t := range tickets {
		if err := s.reclaimOne(ctx, t); err != nil && !contended(err) {
			return err
		}
	}
	return nil
}

func (s *Service) reclaimOne(ctx context.Context, t ticket) error {
	if _, exists, err := readMeta(ctx, s.engine, t.account); err != nil || !exists {
		return errors.Join(err, s.forget(ctx, t))
	}
	return s.journal.Update(ctx, t.account, func(tx *store.Tx) error {
		e := newEdit(ctx, s, tx, t.account, "")
		o, err := e.outgoing(t.id)
		tx.Delete(t.entry)
		if err != nil || o == nil || o.Claim == nil || o.Claim.Owner != s.opts.Owner {
			return err
		}
		tx.Delete(o.queued(t.account))
		e.release(o)
		return e.schedule(o, s.opts.Now())
	})
}

// sent is what became of a message for some of its recipients.
type sent struct {
	outgoing *outgoing
	account  string
	tenant   string
	message  []byte
	results  []delivery.Result
	// more says that other recipients are still being tried.
	more bool
	// postpone says that nothing was tried, because too much is being sent.
	postpone bool
}

// settle writes down what became of a message: for the submission, for the sender, and when to go on. A process that
// lost its claim writes nothing.
func (s *Service) settle(ctx context.Context, r *sent) error {
	return s.journal.Update(ctx, r.account, func(tx *store.Tx) error {
		e := newEdit(ctx, s, tx, r.account, r.tenant)
		o, err := e.outgoing(r.outgoing.ID)
		if err != nil || o == nil || o.Claim == nil || o.Claim.Token != r.outgoing.Claim.Token {
			return err
		}
		now := s.opts.Now()
		o.apply(r, now)
		if err := e.tellSubmission(o); err != nil {
			return err
		}
		if r.more {
			return errors.Join(e.setJSON(e.keys.outgoing(o.ID), o), e.flush())
		}
		if err := e.notify(o, r.message, now); err != nil {
			return err
		}
		if err := e.proceed(o, r.postpone, now); err != nil {
			return err
		}
		return e.flush()
	})
}

// apply takes results over. A recipient that may be reached later is given up when the time is over.
func (o *outgoing) apply(r *sent, now time.Time) {
	for i := range r.results {
		result := &r.results[i]
		at := slices.IndexFunc(o.To, func(a *addressee) bool { return a.Address == result.Address && a.pending() })
		if at < 0 {
			continue
		}
		a := o.To[at]
		a.Outcome, a.Reply, a.Server = result.Outcome, replyOf(result), result.Server
	}
	if r.more || r.postpone || now.Before(o.expires()) {
		return
	}
	for _, a := range o.To {
		if a.pending() {
			a.Outcome, a.Reply = delivery.Failed, cmp.Or(a.Reply, replyExpired)
		}
	}
}

// expires is when the message is given up.
func (o *outgoing) expires() time.Time { return time.UnixMilli(o.Start).Add(giveUpAfter) }

// proceed ends a message or has it tried again.
func (e *edit) proceed(o *outgoing, postpone bool, now time.Time) error {
	if !o.pending() {
		return e.endOutgoing(o)
	}
	e.release(o)
	e.tx.Delete(o.queued(e.account))
	if postpone {
		return e.schedule(o, now.Add(postponeFor))
	}
	wait := backOff[min(o.Attempts, len(backOff)-1)]
	o.Attempts++
	at := now.Add(wait)
	if last := o.expires(); at.After(last) && now.Before(last) {
		at = last
	}
	return e.schedule(o, at)
}

// tellSubmission brings the deliveryStatus of a submission up to date.
func (e *edit) tellSubmission(o *outgoing) error {
	if !o.Submission {
		return nil
	}
	return e.updateSubmission(o.ID, func(sub *submission) error {
		for _, a := range o.To {
			status := sub.recipient(a.Address)
			if status == nil || a.Outcome == 0 || (status.Reply == a.Reply && status.Delivered == deliveredBy(a.Outcome)) {
				continue
			}
			// A notice that came meanwhile knows better than that the message was relayed.
			if a.Outcome == delivery.Relayed && (status.Delivered == deliveredYes || status.Delivered == deliveredNo) {
				continue
			}
			status.Reply, status.Delivered = a.Reply, deliveredBy(a.Outcome)
		}
		return nil
	})
}

// deliveredBy is how an outcome is called in a DeliveryStatus.
func deliveredBy(o delivery.Outcome) string {
	switch o {
	case delivery.Delivered:
		return deliveredYes
	case delivery.Relayed:
		return deliveredUnknown
	case delivery.Failed:
		return deliveredNo
	default:
		return deliveredQueued
	}
}

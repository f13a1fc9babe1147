package mail

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// The values of NOTIFY (RFC 3461 section 4.1).
const (
	notifyNever   = "NEVER"
	notifySuccess = "SUCCESS"
	notifyFailure = "FAILURE"
	notifyDelay   = "DELAY"
)

// Replies that the outbox gives itself.
const (
	replyQueued   = "250 2.0.0 queued"
	replyCanceled = "554 5.0.0 canceled by the sender"
	replyNoRoute  = "554 5.4.4 the region has no smart host for mail to other domains"
	replyExpired  = "451 4.4.7 no server could be reached"
	replyLost     = "554 5.3.0 the message is gone"
	replyImported = "554 5.0.0 the mailbox was imported: not sent from here"
)

const (
	// giveUpAfter is how long a recipient is tried.
	giveUpAfter = 5 * 24 * time.Hour
	// delayAfter is when a sender that asks for it hears that a recipient could not be reached yet.
	delayAfter = 4 * time.Hour
	// claimFor is how long a message that a process took to send is left to that process. When it did not come back by
	// then, another one sends the message.
	claimFor = 15 * time.Minute
	// sendWithin is how long one attempt may take; less than the claim lasts.
	sendWithin = 12 * time.Minute
	// postponeFor is how long a message waits when too many others are being sent.
	postponeFor = 15 * time.Second
)

// backOff is how long to wait after each attempt; the last one counts for all that follow.
var backOff = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour}

// outgoing is a message in the outbox. It keeps its content until nothing is left to be done.
type outgoing struct {
	ID string `json:"-"`
	// Submission says that an EmailSubmission of the same id tells of it; else it is an automatic reply.
	Submission bool   `json:"submission,omitempty"`
	Blob       string `json:"blob"`
	From       string `json:"from"`
	// EnvelopeID, Return, RequireTLS and SMTPUTF8 are those of delivery.Envelope.
	EnvelopeID string       `json:"envelopeId,omitempty"`
	Return     string       `json:"return,omitempty"`
	RequireTLS bool         `json:"requireTLS,omitempty"`
	SMTPUTF8   bool         `json:"smtputf8,omitempty"`
	To         []*addressee `json:"to"`
	// Start is when it was to be sent, and Due when it is next looked at, in milliseconds since 1970.
	Start    int64 `json:"start"`
	Due      int64 `json:"due"`
	Attempts int   `json:"attempts,omitempty"`
	// Claim is set while a process sends it.
	Claim *claim `json:"claim,omitempty"`
}

// claim says which process sends a message.
type claim struct {
	Owner string `json:"owner"`
	Token string `json:"token"`
}

// addressee is a recipient of a message in the outbox.
type addressee struct {
	Address  string   `json:"address"`
	Notify   []string `json:"notify,omitempty"`
	Original string   `json:"original,omitempty"`
	// Outcome is what became of it so far; zero before the first attempt.
	Outcome delivery.Outcome `json:"outcome,omitempty"`
	Reply   string           `json:"reply,omitempty"`
	Server  string           `json:"server,omitempty"`
	// Told says that the sender had its notice about a final outcome, Delayed that it had one about a delay.
	Told    bool `json:"told,omitempty"`
	Delayed bool `json:"delayed,omitempty"`
}

// pending says whether the recipient is still to be tried.
func (a *addressee) pending() bool {
	return a.Outcome == 0 || a.Outcome == delivery.Deferred
}

// wants says whether the sender wants a notice of a kind. Without NOTIFY it wants those of failure.
func (a *addressee) wants(notify string) bool {
	if len(a.Notify) == 0 {
		return notify == notifyFailure
	}
	return slices.Contains(a.Notify, notify)
}

// pending says whether a recipient is left.
func (o *outgoing) pending() bool { return slices.ContainsFunc(o.To, (*addressee).pending) }

// outboxTopic is what is hinted when something came into the outbox.
const outboxTopic = "outbox/queue"

// outboxQueue lists what is in the outbox by the time when it is due. Its owner has a slash in its name, which no
// account has.
func outboxQueue() store.Key { return store.NewKey(outboxTopic) }

// outboxClaims lists what a process is sending, so that after a restart it need not wait for its own claims to end.
func outboxClaims(owner string) store.Key { return store.NewKey(claimsOwner).String(owner) }

// claimsOwner owns the claims on messages of the outbox.
const claimsOwner = "outbox/claims"

func (o *outgoing) queued(account string) []byte {
	return outboxQueue().Uint(orderly(o.Due)).String(account).String(o.ID)
}

// outgoing returns a message of the outbox, or nil when there is none of the id.
func (e *edit) outgoing(id string) (*outgoing, error) {
	o := &outgoing{ID: id}
	exists, err := readJSON(e.ctx, e.tx, e.keys.outgoing(id), o)
	if !exists {
		return nil, err
	}
	return o, err
}

// enqueue puts a message into the outbox. The content stays referenced until it leaves.
func (e *edit) enqueue(o *outgoing) error {
	if err := e.refer(o.Blob, 1); err != nil {
		return err
	}
	return e.schedule(o, time.UnixMilli(o.Start))
}

// schedule writes a message with the time when it is next looked at.
func (e *edit) schedule(o *outgoing, at time.Time) error {
	o.Due = at.UnixMilli()
	e.tx.Set(o.queued(e.account), nil)
	return e.setJSON(e.keys.outgoing(o.ID), o)
}

// release ends the claim on a message, if there is one.
func (e *edit) release(o *outgoing) {
	if o.Claim != nil {
		e.tx.Delete(outboxClaims(o.Claim.Owner).String(e.account).String(o.ID))
		o.Claim = nil
	}
}

// endOutgoing takes a message out of the outbox.
func (e *edit) endOutgoing(o *outgoing) error {
	e.release(o)
	e.tx.Delete(o.queued(e.account))
	e.tx.Delete(e.keys.outgoing(o.ID))
	return e.refer(o.Blob, -1)
}

// wakeOutbox has the outbox looked at now. A hint that is lost costs time only.
func (s *Service) wakeOutbox(ctx context.Context) {
	if err := s.engine.Hints().Publish(ctx, outboxTopic); err != nil {
		s.opts.Logger.WarnContext(ctx, "waking the outbox failed", "error", err)
	}
}

// ticket names a message of the outbox.
type ticket struct {
	account, id string
	entry       []byte
}

// due returns the messages that are due, in the order in which they are, and when the next one will be; zero is not
// known.
func (s *Service) due(ctx context.Context) (tickets []ticket, next time.Time, err error) {
	prefix := outboxQueue()
	now := s.opts.Now().UnixMilli()
	for p, err := range s.engine.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, next, fmt.Errorf("list outbox: %w", err)
		}
		at, rest, err := store.CutUint(p.Key[len(prefix):])
		if err != nil {
			return nil, next, fmt.Errorf("list outbox: %w", err)
		}
		if due := int64(at ^ 1<<63); due > now { //nolint:gosec // undoes orderly
			return tickets, time.UnixMilli(due), nil
		}
		t, err := parseTicket(rest)
		if err != nil {
			return nil, next, err
		}
		t.entry = bytes.Clone(p.Key)
		tickets = append(tickets, t)
	}
	return tickets, next, nil
}

func parseTicket(key []byte) (t ticket, err error) {
	var rest []byte
	if t.account, rest, err = store.CutString(key); err == nil {
		t.id, _, err = store.CutString(rest)
	}
	if err != nil {
		return t, fmt.Errorf("list outbox: %w", err)
	}
	return t, nil
}

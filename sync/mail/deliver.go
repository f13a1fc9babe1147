package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

var _ delivery.Mailboxes = (*Service)(nil)

// Replies of the mailboxes.
const (
	replyDelivered = "250 2.1.5 delivered"
	replyTrouble   = "451 4.3.0 the mailbox cannot be written at present"
	replyEmpty     = "554 5.6.0 the message has no octets"
)

// refusals are the replies for the errors that delivery names.
var refusals = []struct {
	err     error
	outcome delivery.Outcome
	reply   string
}{
	{delivery.ErrNotHomed, delivery.Failed, "550 5.1.2 the domain is not homed here"},
	{delivery.ErrNoMailbox, delivery.Failed, "550 5.1.1 no such mailbox here"},
	{delivery.ErrSuspended, delivery.Deferred, "450 4.2.1 the mailbox takes no mail at present"},
	{delivery.ErrFull, delivery.Deferred, "452 4.2.2 the mailbox is full"},
	{delivery.ErrTooLarge, delivery.Failed, "552 5.3.4 the message is too large"},
	{errEmpty, delivery.Failed, replyEmpty},
}

var errEmpty = errors.New("the message has no octets")

// deliveryAttempts bounds how often a delivery is tried again when others write to the mailbox at the same time.
const deliveryAttempts = 4

// Check tells whether mail for an address is taken. It implements delivery.Mailboxes.
func (s *Service) Check(ctx context.Context, address string) error {
	_, err := s.locate(ctx, address)
	return err
}

// Deliver puts a message into the inboxes of its recipients. It implements delivery.Mailboxes.
func (s *Service) Deliver(ctx context.Context, e *delivery.Envelope, received time.Time, data []byte) []delivery.Result {
	d := &deliverer{service: s, envelope: e, received: received, data: data, parcels: map[string]*parcel{}, done: map[string]error{}}
	d.stamp = "Return-Path: <" + oneLine(e.From) + ">\r\n"
	out := make([]delivery.Result, 0, len(e.To))
	for _, to := range e.To {
		out = append(out, resultOf(to.Address, d.deliver(ctx, to.Address)))
	}
	return out
}

func resultOf(address string, err error) delivery.Result {
	if err == nil {
		return delivery.Result{Address: address, Outcome: delivery.Delivered, Reply: replyDelivered}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return delivery.Result{Address: address, Outcome: r.outcome, Reply: r.reply}
		}
	}
	return delivery.Result{Address: address, Outcome: delivery.Deferred, Reply: replyTrouble}
}

// deliverer delivers one message.
type deliverer struct {
	service  *Service
	envelope *delivery.Envelope
	received time.Time
	data     []byte
	// stamp is the Return-Path field.
	stamp string
	// parcels are the message as it is kept for each tenant.
	parcels map[string]*parcel
	// done is what became of the accounts that had their turn: one that two recipients lead to has the message once.
	done map[string]error
}

// parcel is a message as it is kept, which recipients of one tenant share.
type parcel struct {
	blob    *store.Content
	data    []byte
	content *rendered
	// fields is the header of the message.
	fields message.Fields
}

func (d *deliverer) deliver(ctx context.Context, address string) error {
	switch {
	case len(d.data) == 0:
		return errEmpty
	case len(d.data) > maxSizeMessage:
		return delivery.ErrTooLarge
	}
	to, err := d.service.locate(ctx, address)
	if err != nil {
		return err
	}
	if err, done := d.done[to.account]; done {
		return err
	}
	err = d.store(ctx, to)
	if err != nil && !isRefusal(err) {
		d.service.failed(ctx, "delivering a message failed", err)
	}
	d.done[to.account] = err
	return err
}

func isRefusal(err error) bool { return resultOf("", err).Reply != replyTrouble || contended(err) }

// store puts the message into the inbox of an account.
func (d *deliverer) store(ctx context.Context, to resident) (err error) {
	for range deliveryAttempts {
		p, err := d.parcel(ctx, to.tenant)
		if err != nil {
			return err
		}
		var replied bool
		err = d.service.journal.Update(ctx, to.account, func(tx *store.Tx) error {
			e := newEdit(ctx, d.service, tx, to.account, to.tenant)
			e.fresh = p.blob
			replied, err = d.place(e, p)
			return err
		})
		switch {
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
			// The content was collected meanwhile, or somebody else wrote: begin again.
			delete(d.parcels, to.tenant)
			continue
		case err != nil:
			return err
		case replied:
			d.service.wakeOutbox(ctx)
		}
		if err := d.service.blobs.Discard(ctx, p.blob); err != nil {
			d.service.failed(ctx, "removing content that was there already failed", err)
		}
		return nil
	}
	return fmt.Errorf("deliver to account %q: %w", to.account, store.ErrConflict)
}

// place writes the message into an account, and what follows from it.
func (d *deliverer) place(e *edit, p *parcel) (replied bool, err error) {
	inbox, err := e.inbox()
	if err != nil {
		return false, err
	}
	m := &email{
		Blob: p.blob.Hash(), Size: int64(len(p.data)), Mailboxes: []string{inbox}, Received: d.received.UnixMilli(),
	}
	if err := e.createEmail(m, p.content); err != nil {
		return false, err
	}
	if err := e.correlate(m.Blob, p); err != nil {
		return false, err
	}
	if replied, err = e.reply(d.envelope.From, m.Received, p); err != nil {
		return false, err
	}
	return replied, e.flush()
}

// parcel keeps the message for a tenant, with trace fields before it (RFC 5321 section 4.4).
func (d *deliverer) parcel(ctx context.Context, tenant string) (*parcel, error) {
	if p := d.parcels[tenant]; p != nil {
		return p, nil
	}
	for _, p := range d.parcels {
		// What a tenant has is what every tenant has; only the place differs.
		blob, err := d.service.blobs.Prepare(ctx, tenant, bytes.NewReader(p.data))
		if err != nil {
			return nil, err
		}
		d.parcels[tenant] = &parcel{blob: blob, data: p.data, content: p.content, fields: p.fields}
		return d.parcels[tenant], nil
	}
	data := append([]byte(d.stamp+d.trace()), message.Without(d.data, "Return-Path")...)
	blob, err := d.service.blobs.Prepare(ctx, tenant, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	content, err := render(data)
	if err != nil {
		return nil, err
	}
	p := &parcel{blob: blob, data: data, content: content, fields: message.ParseFields(message.HeaderOf(data))}
	d.parcels[tenant] = p
	return p, nil
}

// trace is the Received field. It names the recipient when there is one only, so that none learns of another.
func (d *deliverer) trace() string {
	var recipient string
	if len(d.envelope.To) == 1 {
		recipient = "\r\n for <" + oneLine(d.envelope.To[0].Address) + ">"
	}
	return "Received: by " + oneLine(d.service.opts.Hostname) + recipient + ";\r\n " + d.received.Format(dateLayout) + "\r\n"
}

// oneLine makes an address fit for a trace field.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '<' || r == '>' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// inbox returns the id of the inbox, which every account has.
func (e *edit) inbox() (string, error) {
	id, err := e.get(e.keys.role("inbox"))
	if err == nil && id == nil {
		err = fmt.Errorf("account %q has no inbox: %w", e.account, store.ErrInvalid)
	}
	return string(id), err
}

package inbound

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/delivery/address"
)

// session is the transactions of a connection, one after the other.
type session struct {
	port *port
	wire *wire
	conn *smtp.Conn

	runs     bool
	envelope delivery.Envelope
	// replies are the recipients that were taken, as the library names them, with their place in the envelope: an
	// address that is named twice is delivered to once.
	replies []taken
}

type taken struct {
	name string
	to   int
}

// Reset forgets the transaction.
func (s *session) Reset() {
	s.runs, s.envelope, s.replies = false, delivery.Envelope{}, nil
	s.wire.transaction(false)
}

// Logout forgets the transaction at the end of the connection.
func (s *session) Logout() error { return nil }

func (s *session) refuse(r *refusal) error {
	s.port.count(r)
	return r.reply()
}

// Mail begins a transaction.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if s.runs {
		return s.refuse(refusedNested)
	}
	switch {
	case s.wire.isDraining():
		return s.refuse(refusedStopping)
	case o.RequireTLS && !s.wire.secure:
		return s.refuse(refusedPlainTLS)
	case o.Size > s.port.server.options.Limits.MessageSize:
		return s.refuse(refusedSize)
	}
	path := ""
	if from != "" {
		a, err := address.Unquoted(from)
		if err != nil {
			return s.refuse(refusedSender)
		}
		if !o.UTF8 && !a.ASCII() {
			return s.refuse(refusedUTF8)
		}
		path = a.String()
	}
	s.runs = true
	s.envelope = delivery.Envelope{From: path, ID: o.EnvelopeID, Return: string(o.Return), RequireTLS: o.RequireTLS, SMTPUTF8: o.UTF8}
	s.wire.transaction(true)
	return nil
}

// Rcpt takes a recipient, or says why not: now, since later there is nobody to tell.
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	recipient, refused := s.recipient(to, o)
	if refused == nil {
		refused = s.check(recipient.Address)
	}
	if refused != nil {
		return s.refuse(refused)
	}
	place := -1
	for i := range s.envelope.To {
		if s.envelope.To[i].Address == recipient.Address {
			place = i
		}
	}
	if place < 0 {
		place = len(s.envelope.To)
		s.envelope.To = append(s.envelope.To, recipient)
	}
	s.replies = append(s.replies, taken{name: to, to: place})
	return nil
}

func (s *session) recipient(to string, o *smtp.RcptOptions) (delivery.Recipient, *refusal) {
	a, err := address.Unquoted(to)
	switch {
	case err != nil:
		return delivery.Recipient{}, refusedAddress
	case !s.envelope.SMTPUTF8 && !a.ASCII():
		return delivery.Recipient{}, refusedUTF8
	case len(s.replies) >= s.port.server.options.Limits.Recipients:
		return delivery.Recipient{}, refusedManyRcpt
	case s.port.protocol == SMTP && len(s.replies) > 0 && s.port.server.splits.oneByOne(s.envelope.From):
		return delivery.Recipient{}, refusedOneByOne
	}
	r := delivery.Recipient{Address: a.String()}
	for _, notify := range o.Notify {
		r.Notify = append(r.Notify, string(notify))
	}
	if o.OriginalRecipient != "" {
		if !utf8.ValidString(o.OriginalRecipient) {
			return delivery.Recipient{}, refusedAddress
		}
		r.Original = string(o.OriginalRecipientType) + ";" + o.OriginalRecipient
	}
	return r, nil
}

func (s *session) check(recipient string) *refusal {
	if !s.port.begin() {
		return refusedStopping
	}
	defer s.port.done()
	ctx, cancel := s.port.within(s.port.server.options.Limits.Check)
	defer cancel()
	err := s.port.server.options.Mailboxes.Check(ctx, recipient)
	refused := refuseRecipient(err)
	if refused != nil && refused.reason == reasonUnavailable {
		// The text of the error may name the mailbox.
		s.port.server.logger.ErrorContext(ctx, "a mailbox could not be checked", slog.Bool("timeout", errors.Is(ctx.Err(), context.DeadlineExceeded)))
	}
	return refused
}

// Data takes a message by SMTP.
func (s *session) Data(r io.Reader) error {
	m, refused := s.take(r)
	if refused != nil {
		return refused
	}
	return s.sum(m)
}

// LMTPData takes a message by LMTP.
func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	m, refused := s.take(r)
	if refused != nil {
		return refused
	}
	replies := make([]error, len(m.results))
	for i, result := range m.results {
		replies[i] = m.reply(result)
	}
	for _, t := range s.replies {
		status.SetStatus(t.name, replies[t.to])
	}
	return nil
}

// message is a message that was handed to the mailboxes.
type message struct {
	id      string
	digest  digest
	results []delivery.Result
}

func (m *message) reply(r delivery.Result) error {
	if r.Outcome == delivery.Delivered {
		return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "delivered, " + m.id}
	}
	return replyOf(r)
}

// take reads a message and hands it to the mailboxes.
func (s *session) take(r io.Reader) (*message, error) {
	// The state of the content outlives the wire's interest in it.
	state := s.wire.content
	t := s.newTrace(time.Now())
	raw, refused := s.read(r, t.fields(), state)
	if refused != nil {
		outcome := "refused"
		if refused == refusedAborted {
			outcome = "aborted"
		}
		s.port.server.metrics.messages.WithLabelValues(string(s.port.protocol), outcome).Inc()
		return nil, s.refuse(refused)
	}
	defer s.port.server.memory.give(raw.reserved)
	if !s.port.begin() {
		return nil, s.refuse(refusedStopping)
	}
	defer s.port.done()
	return s.deliver(t, raw), nil
}

// Package delivery is the contract between the mailboxes of a region and the ways by which mail enters and leaves
// it: what a message needs beside its content, and what becomes of it for each recipient.
package delivery

import (
	"context"
	"errors"
	"io"
	"time"
)

var (
	// ErrNotHomed says that an address is in no domain whose mail this region takes.
	ErrNotHomed = errors.New("the domain is not homed here")
	// ErrNoMailbox says that the domain is homed here and the mailbox does not exist here.
	ErrNoMailbox = errors.New("no such mailbox here")
	// ErrSuspended says that the tenant of the mailbox takes no mail at present.
	ErrSuspended = errors.New("the tenant is suspended")
	// ErrFull says that the mailbox may hold no more.
	ErrFull = errors.New("the mailbox is full")
	// ErrTooLarge says that the message is larger than a mailbox takes.
	ErrTooLarge = errors.New("the message is too large")
)

// Envelope is what a message travels by (RFC 5321 section 2.3.1).
type Envelope struct {
	// From is the reverse path, empty for notifications.
	From string
	// To are the recipients.
	To []Recipient
	// ID is the envelope identifier of the sender (ENVID, RFC 3461 section 4.4); may be empty.
	ID string
	// Return says how much of the message a failure notice returns: "FULL", "HDRS" or empty (RET, RFC 3461
	// section 4.3).
	Return string
	// RequireTLS asks every hop for verified TLS (REQUIRETLS, RFC 8689).
	RequireTLS bool
	// SMTPUTF8 says that addresses or header fields hold more than ASCII (RFC 6531).
	SMTPUTF8 bool
}

// Recipient is one recipient of an envelope.
type Recipient struct {
	// Address is the forward path.
	Address string
	// Notify lists when the sender wants a notice: "NEVER", "SUCCESS", "FAILURE", "DELAY"; empty leaves it to the
	// transport (NOTIFY, RFC 3461 section 4.1).
	Notify []string
	// Original is the ORCPT parameter (RFC 3461 section 4.2); may be empty.
	Original string
}

// Outcome says what became of a message for one recipient.
type Outcome int

const (
	// Delivered says that the message is in the mailbox of the recipient.
	Delivered Outcome = iota + 1
	// Relayed says that the next server took it over; what becomes of it there is not known.
	Relayed
	// Deferred says that it may succeed later.
	Deferred
	// Failed says that it will never succeed.
	Failed
)

// Result is the outcome for one recipient.
type Result struct {
	// Address is the recipient as the envelope names it.
	Address string
	// Outcome is what became of it.
	Outcome Outcome
	// Reply is the SMTP reply that told so, such as "550 5.1.1 no such mailbox": a three-digit code, an enhanced
	// status code (RFC 3463) and a text, on one line.
	Reply string
	// Server names the host that said so; empty when it was this one.
	Server string
}

// Transport carries mail out of the region.
type Transport interface {
	// Send hands a message over for the recipients of its envelope and tells what became of it for each of them,
	// in their order. A failure that concerns all of them, such as a host that cannot be reached, is the Deferred
	// result of each.
	Send(ctx context.Context, e *Envelope, message io.Reader) []Result
}

// Mailboxes takes mail into the mailboxes of the region.
type Mailboxes interface {
	// Check tells whether mail for an address is taken: nil, or an error that wraps ErrNotHomed, ErrNoMailbox or
	// ErrSuspended, or another one that may pass by itself.
	Check(ctx context.Context, address string) error
	// Deliver puts a message into the inbox of each recipient and returns, when it is durable, one result for each
	// of them in their order: Delivered, Failed or Deferred. Received is when the message came in.
	Deliver(ctx context.Context, e *Envelope, received time.Time, message []byte) []Result
}

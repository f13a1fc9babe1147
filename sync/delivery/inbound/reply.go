package inbound

import (
	"errors"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// refusal is a reply that refuses, and the reason under which it is counted.
type refusal struct {
	reason string
	// text is the reply on one line: code, enhanced status code (RFC 3463) and text.
	text string
}

func (r *refusal) line() string { return r.text + "\r\n" }

// ended tells whether the connection ends with the reply.
func (r *refusal) ended() bool {
	return strings.HasPrefix(r.text, "421") || r.reason == reasonCertificate
}

func (r *refusal) reply() *smtp.SMTPError {
	reply, ok := parseReply(r.text)
	if !ok {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "temporary failure, try again later"}
	}
	return reply
}

// Reasons that are compared.
const (
	reasonCertificate = "certificate"
	reasonUnavailable = "unavailable"
)

var (
	refusedStopping  = &refusal{"stopping", "421 4.3.2 the server is shutting down, try again later"}
	refusedBare      = &refusal{"line-end", "550 5.6.0 the message holds a CR or LF that is not part of a CRLF"}
	refusedSize      = &refusal{"size", "552 5.3.4 the message is larger than the server takes"}
	refusedMemory    = &refusal{"memory", "452 4.3.1 too much mail is on its way, try again later"}
	refusedLoop      = &refusal{"loop", "554 5.4.6 the message holds more than 100 Received fields: it loops"}
	refusedAborted   = &refusal{"aborted", "421 4.4.2 the message did not arrive whole"}
	refusedSplit     = &refusal{"split", "451 4.3.0 the recipients could not all be served: try again with one at a time"}
	refusedOneByOne  = &refusal{"one-by-one", "452 4.5.3 one recipient at a time, after the recipients of a message fared differently"}
	refusedManyRcpt  = &refusal{"recipients", "452 4.5.3 too many recipients, send the rest in another transaction"}
	refusedNested    = &refusal{"sequence", "503 5.5.1 a transaction runs already"}
	refusedUTF8      = &refusal{"utf8", "553 5.6.7 the address needs SMTPUTF8"}
	refusedAddress   = &refusal{"address", "553 5.1.3 the address is malformed"}
	refusedSender    = &refusal{"address", "553 5.1.7 the reverse path is malformed"}
	refusedPlainTLS  = &refusal{"requiretls", "530 5.7.10 REQUIRETLS needs TLS: issue STARTTLS first"}
	refusedTransient = &refusal{reasonUnavailable, "451 4.3.0 the mailbox cannot be reached, try again later"}
)

// refuseRecipient maps what a mailbox is checked with to the reply. What may pass by itself is deferred, and nothing
// is ever taken to be bounced later.
func refuseRecipient(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delivery.ErrNotHomed):
		return &refusal{"not-homed", "550 5.1.2 the domain is not homed here"}
	case errors.Is(err, delivery.ErrNoMailbox):
		return &refusal{"no-mailbox", "550 5.1.1 no such mailbox here"}
	case errors.Is(err, delivery.ErrSuspended):
		return &refusal{"suspended", "450 4.2.1 the mailbox takes no mail at present"}
	case errors.Is(err, delivery.ErrFull):
		return &refusal{"full", "452 4.2.2 the mailbox is full"}
	case errors.Is(err, delivery.ErrTooLarge):
		return refusedSize
	default:
		return refusedTransient
	}
}

// replyOf is the reply to a result. One that does not say what its outcome says is not passed on.
func replyOf(r delivery.Result) *smtp.SMTPError {
	reply, ok := parseReply(r.Reply)
	switch {
	case ok && r.Outcome == delivery.Failed && reply.Code >= 500:
		return reply
	case ok && r.Outcome == delivery.Deferred && reply.Code/100 == 4 && reply.Code != 421:
		return reply
	case r.Outcome == delivery.Failed:
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 0, 0}, Message: "the message was refused"}
	default:
		return refusedTransient.reply()
	}
}

// parseReply reads a reply on one line: "550 5.1.1 no such mailbox". The text is kept to printable ASCII.
func parseReply(s string) (*smtp.SMTPError, bool) {
	words := strings.SplitN(s, " ", 3)
	if len(words) != 3 {
		return nil, false
	}
	code, ok := number(words[0])
	parts := strings.Split(words[1], ".")
	if !ok || code < 200 || code > 599 || len(parts) != 3 || parts[0] != words[0][:1] {
		return nil, false
	}
	var enhanced smtp.EnhancedCode
	for i, part := range parts {
		if enhanced[i], ok = number(part); !ok {
			return nil, false
		}
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, words[2])
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text[:min(len(text), 400)]}, true
}

// number reads one to three digits.
func number(s string) (int, bool) {
	if s == "" || len(s) > 3 {
		return 0, false
	}
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

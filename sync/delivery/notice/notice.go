// Package notice writes and reads the notices that mail systems send about mail: delivery status notifications (RFC
// 3464) and, reading only, message disposition notifications (RFC 8098). It is pure: it has no clock and reads
// nothing but its arguments.
package notice

import (
	"fmt"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// Action is what became of a message for a recipient (RFC 3464 section 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
	Expanded  Action = "expanded"
)

// Report is a delivery status notification.
type Report struct {
	// From is the address that the notice comes from.
	From string
	// To is the sender of the message that it is about.
	To string
	// Date is when it is made.
	Date time.Time
	// MessageID names it, without angle brackets.
	MessageID string
	// Boundary separates its parts. It occurs nowhere in them.
	Boundary string
	// Host is the host that reports.
	Host string
	// EnvelopeID is the envelope identifier of the message (ENVID); may be empty.
	EnvelopeID string
	// Arrival is when the message came to the host; may be zero.
	Arrival time.Time
	// Recipients are those that the notice is about.
	Recipients []Recipient
	// Original is the message that the notice is about, or its header.
	Original []byte
	// Whole says that Original is all of the message.
	Whole bool
}

// Recipient is what a notice tells of one recipient (RFC 3464 section 2.3).
type Recipient struct {
	// Original is the recipient as the sender named it, "type;address" (ORCPT); may be empty.
	Original string
	// Final is the address that the host tried.
	Final string
	// Action is what became of the message.
	Action Action
	// Status is the enhanced status code (RFC 3463).
	Status string
	// Reply is the SMTP reply that told so; may be empty.
	Reply string
	// Server is the host that gave the reply; empty when it was the one that reports.
	Server string
	// LastAttempt is when it was tried last; may be zero.
	LastAttempt time.Time
	// RetryUntil is until when it will be tried, when the message is delayed.
	RetryUntil time.Time
}

// dateLayout writes a date-time in a field (RFC 5322 section 3.3).
const dateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

// Build writes a notice as a message (RFC 3464 section 2).
func Build(r *Report) []byte {
	root := &message.Entity{
		Type: "multipart/report", Boundary: r.Boundary,
		Fields: message.Fields{
			{Name: "From", Value: message.FormatAddresses([]message.Address{{Name: new("Mail Delivery System"), Email: r.From}})},
			{Name: "To", Value: message.FormatAddresses([]message.Address{{Email: r.To}})},
			{Name: "Subject", Value: message.FormatText(r.subject())},
			{Name: "Date", Value: " " + r.Date.Format(dateLayout)},
			{Name: "Message-ID", Value: message.FormatBracketed([]string{r.MessageID}, "")},
			{Name: "Auto-Submitted", Value: " auto-replied"},
			{Name: "MIME-Version", Value: " 1.0"},
		},
		Params: []message.Parameter{{Name: "report-type", Value: "delivery-status"}},
		Parts:  []*message.Entity{r.text(), r.status(), r.original()},
	}
	return message.Compose(root)
}

// sentences say what became of a message, as its sender reads it.
var sentences = map[Action]struct{ subject, text string }{
	Failed:    {"Your message could not be delivered", "Your message could not be delivered to:"},
	Delayed:   {"Your message is delayed", "Your message could not be delivered yet to the following recipients. It will be tried again, and there is nothing that you need to do:"},
	Delivered: {"Your message was delivered", "Your message was delivered to:"},
	Relayed:   {"Your message was passed on", "Your message was passed on to a server that sends no notices about it, for:"},
	Expanded:  {"Your message was passed on", "Your message was passed on to the members of:"},
}

// order is the order in which a notice tells of what became of a message: the worst first.
var order = []Action{Failed, Delayed, Delivered, Relayed, Expanded}

func (r *Report) with(a Action) []Recipient {
	var out []Recipient
	for _, rcpt := range r.Recipients {
		if rcpt.Action == a {
			out = append(out, rcpt)
		}
	}
	return out
}

func (r *Report) subject() string {
	for _, action := range order {
		if len(r.with(action)) > 0 {
			return sentences[action].subject
		}
	}
	return "About your message"
}

// text is the part that people read.
func (r *Report) text() *message.Entity {
	var out strings.Builder
	fmt.Fprintf(&out, "This is the mail system at host %s.\r\n", line(r.Host))
	for _, action := range order {
		list := r.with(action)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&out, "\r\n%s\r\n", sentences[action].text)
		for _, rcpt := range list {
			fmt.Fprintf(&out, "\r\n  %s\r\n", line(rcpt.Final))
			if rcpt.Reply != "" && action != Delivered {
				fmt.Fprintf(&out, "    %s said: %s\r\n", line(orDefault(rcpt.Server, r.Host)), line(rcpt.Reply))
			}
		}
	}
	return &message.Entity{
		Type: "text/plain", Params: []message.Parameter{{Name: "charset", Value: "utf-8"}}, Content: []byte(out.String()),
	}
}

// international says whether the notice needs the types of RFC 6533: an address or the header is not ASCII.
func (r *Report) international() bool {
	for _, rcpt := range r.Recipients {
		if !message.ASCII([]byte(rcpt.Final + rcpt.Original)) {
			return true
		}
	}
	return !message.ASCII(message.HeaderOf(r.Original))
}

// status is the part that programs read.
func (r *Report) status() *message.Entity {
	kind := "message/delivery-status"
	if r.international() {
		kind = "message/global-delivery-status"
	}
	var out strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%s: %s\r\n", name, line(value))
		}
	}
	field("Original-Envelope-Id", r.EnvelopeID)
	field("Reporting-MTA", "dns; "+r.Host)
	field("Arrival-Date", date(r.Arrival))
	for _, rcpt := range r.Recipients {
		out.WriteString("\r\n")
		if of, original, ok := strings.Cut(rcpt.Original, ";"); ok {
			field("Original-Recipient", of+"; "+original)
		}
		address := "rfc822"
		if !message.ASCII([]byte(rcpt.Final)) {
			address = "utf-8"
		}
		field("Final-Recipient", address+"; "+rcpt.Final)
		field("Action", string(rcpt.Action))
		field("Status", rcpt.Status)
		if rcpt.Server != "" {
			field("Remote-MTA", "dns; "+rcpt.Server)
		}
		if rcpt.Reply != "" {
			field("Diagnostic-Code", "smtp; "+rcpt.Reply)
		}
		field("Last-Attempt-Date", date(rcpt.LastAttempt))
		field("Will-Retry-Until", date(rcpt.RetryUntil))
	}
	return &message.Entity{Type: kind, Content: []byte(out.String())}
}

// original is the message that the notice is about, or its header.
func (r *Report) original() *message.Entity {
	international := r.international()
	e := &message.Entity{Type: "text/rfc822-headers", Content: r.Original}
	switch {
	case r.Whole && international:
		e.Type = "message/global"
	case r.Whole:
		e.Type = "message/rfc822"
	case international:
		e.Type = "message/global-headers"
	}
	return e
}

func date(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(dateLayout)
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// line makes text fit for one line of a field.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "")
	}
	return strings.TrimSpace(text)
}

// maxLine bounds a value, so that no line becomes too long to be sent.
const maxLine = 900

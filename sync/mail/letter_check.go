package mail

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// checkMessage refuses a message that cannot be sent (RFC 5322 section 3.6), naming everything that is wrong.
func (l *letter) checkMessage() *jmap.SetError {
	var wrong, why []string
	note := func(property, reason string) {
		wrong, why = append(wrong, property), append(why, property+": "+reason)
	}
	l.from = l.addresses("From")
	switch values := l.fields.All("From"); {
	case len(values) != 1:
		note("from", fmt.Sprintf("the message has %d From fields, not one", len(values)))
	case !allValid(l.from):
		note("from", "not a list of email addresses")
	}
	if reason := l.readSender(); reason != "" {
		note("sender", reason)
	}
	if values := l.fields.All("Date"); len(values) > 1 || (len(values) == 1 && !readable(values[0])) {
		note("sentAt", "not one date")
	}
	if len(l.fields.All("Message-ID")) > 1 {
		note("messageId", "the message has more than one Message-ID field")
	}
	if !message.Sendable(l.data) {
		note("bodyStructure", "the message has a NUL or a line of more than 998 octets")
	}
	if wrong == nil {
		return nil
	}
	return &jmap.SetError{Type: setErrorInvalidEmail, Description: strings.Join(why, "; "), Properties: wrong}
}

// readSender reads the Sender field, and says what is wrong with it.
func (l *letter) readSender() (reason string) {
	senders := l.addresses("Sender")
	fields := len(l.fields.All("Sender"))
	switch {
	case fields == 0 && len(l.from) > 1:
		return "a message from several addresses needs a Sender field with one"
	case fields == 0:
		return ""
	case fields > 1 || len(senders) != 1:
		return "the message has more than one sender, or none that can be read"
	case !allValid(senders):
		return "not an email address"
	}
	l.sender = senders[0].Email
	return ""
}

func readable(date string) bool {
	_, ok := message.ParseDate(date)
	return ok
}

// addresses returns the addresses in all fields of a name.
func (l *letter) addresses(name string) []message.Address {
	var out []message.Address
	for _, value := range l.fields.All(name) {
		out = append(out, message.ParseAddresses(value)...)
	}
	return out
}

func allValid(list []message.Address) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(a message.Address) bool {
		_, ok := parsePath(a.Email)
		return !ok
	})
}

// checkFrom refuses a message from an address that the principal may not send from.
func (l *letter) checkFrom() *jmap.SetError {
	if ok, _ := l.senders.may(l.ident.Email); !ok {
		return &jmap.SetError{Type: setErrorForbiddenFrom, Description: "you may no longer send from the address of the identity"}
	}
	for _, a := range l.from {
		ok, onBehalf := l.senders.may(a.Email)
		if !ok {
			return &jmap.SetError{Type: setErrorForbiddenFrom, Description: "the From field names an address that you may not send from"}
		}
		l.addSender = l.addSender || onBehalf
	}
	return nil
}

// checkSender holds the Sender field to the rights of the principal: it names the own address where a right to send
// on behalf of somebody demands so, and elsewhere one that the principal may send as.
func (l *letter) checkSender() *jmap.SetError {
	if l.sender == "" {
		return nil
	}
	ok, onBehalf := l.senders.may(l.sender)
	if !ok || onBehalf || (l.addSender && addressKey(l.sender) != l.senders.own) {
		return &jmap.SetError{Type: setErrorForbiddenFrom, Description: "the Sender field must name your own address"}
	}
	l.addSender = false
	return nil
}

// makeEnvelope takes the envelope of the client, or makes it of the header (RFC 8621 section 7).
func (l *letter) makeEnvelope() *jmap.SetError {
	if l.want.Envelope != nil {
		l.envelope = *l.want.Envelope
		if l.envelope.MailFrom == nil {
			return invalidEnvelope("mailFrom is missing")
		}
		return nil
	}
	if l.sender == "" && len(l.from) > 1 {
		return &jmap.SetError{Type: setErrorInvalidEmail, Description: "from: several addresses: give an envelope", Properties: []string{"from"}}
	}
	from := l.from[0].Email
	if l.sender != "" {
		from = l.sender
	}
	if addressKey(from) != addressKey(l.ident.Email) {
		from = l.ident.Email
	}
	l.envelope = envelope{MailFrom: &envelopeAddress{Email: from}, RcptTo: []envelopeAddress{}}
	seen := map[string]bool{}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		for _, a := range l.addresses(name) {
			if key := addressKey(a.Email); !seen[key] {
				seen[key] = true
				l.envelope.RcptTo = append(l.envelope.RcptTo, envelopeAddress{Email: a.Email})
			}
		}
	}
	return nil
}

// checkMailFrom holds the return address to the rights of the principal. It may be empty, so that nobody hears of a
// failure.
func (l *letter) checkMailFrom() *jmap.SetError {
	address := l.envelope.MailFrom.Email
	if _, ok := parsePath(address); address != "" && !ok {
		return invalidEnvelope("mailFrom: %q is not an email address", address)
	}
	if ok, _ := l.senders.may(address); address != "" && !ok {
		return &jmap.SetError{Type: setErrorForbiddenMailFrom, Description: "envelope: mailFrom is an address that you may not send from"}
	}
	var refused *jmap.SetError
	l.travel, refused = readTravel(l.envelope.MailFrom.Parameters, l.now)
	if refused == nil && l.travel.size > l.edit.service.opts.MaxSizeSend {
		refused = l.tooLarge()
	}
	return refused
}

// checkRecipients reads the recipients, each once.
func (l *letter) checkRecipients() *jmap.SetError {
	seen := map[string]bool{}
	var invalid []string
	for _, a := range l.envelope.RcptTo {
		p, ok := parsePath(a.Email)
		if !ok {
			invalid = append(invalid, a.Email)
			continue
		}
		to, refused := readRecipient(a)
		if refused != nil {
			return refused
		}
		if !seen[p.key()] {
			seen[p.key()] = true
			l.to = append(l.to, to)
		}
	}
	switch {
	case len(l.envelope.RcptTo) == 0:
		return &jmap.SetError{Type: "noRecipients", Description: "name a recipient in To, Cc, Bcc or the envelope"}
	case len(invalid) > 0:
		return &jmap.SetError{
			Type: "invalidRecipients", Description: "not email addresses", Fields: map[string]any{"invalidRecipients": invalid},
		}
	case len(l.to) > maxRecipients:
		return &jmap.SetError{
			Type: "tooManyRecipients", Description: fmt.Sprintf("at most %d", maxRecipients), Fields: map[string]any{"maxRecipients": maxRecipients},
		}
	default:
		return nil
	}
}

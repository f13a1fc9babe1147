package notice

import (
	"bytes"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// maxRecipients is how many recipients of a notice are read.
const maxRecipients = 2000

// Disposition is a message disposition notification: what a recipient did with a message.
type Disposition struct {
	// MessageID names the message, without angle brackets.
	MessageID string
	// Original and Final are the recipient as the sender named it and as it is.
	Original, Final string
	// Type is what was done, such as "displayed" (RFC 8098 section 3.2.6.2).
	Type string
}

// Found is what a message holds of notices; what it does not hold is nil.
type Found struct {
	// Report is a delivery status notification, without what the message itself tells: From, To, Date, MessageID,
	// Boundary and Original.
	Report *Report
	// Disposition is a message disposition notification.
	Disposition *Disposition
}

// Parse reads the notices in a message. Of a message that holds none the result is empty; what is broken is passed
// over.
func Parse(data []byte) Found {
	var found Found
	root := message.Parse(data)
	if root.Type != "multipart/report" {
		return found
	}
	for _, part := range root.Parts {
		switch part.Type {
		case "message/delivery-status", "message/global-delivery-status":
			if found.Report == nil {
				found.Report = parseReport(content(data, part))
			}
		case "message/disposition-notification", "message/global-disposition-notification":
			if found.Disposition == nil {
				found.Disposition = parseDisposition(content(data, part))
			}
		}
	}
	return found
}

func content(data []byte, p *message.Part) []byte {
	return message.DecodeTransfer(p.Encoding, p.Body.Of(data))
}

// groups returns the groups of fields that empty lines separate.
func groups(text []byte) []message.Fields {
	var out []message.Fields
	var group []byte
	end := func() {
		if fields := message.ParseFields(group); len(fields) > 0 {
			out = append(out, fields)
		}
		group = nil
	}
	for l := range bytes.Lines(text) {
		if len(bytes.TrimSpace(l)) == 0 {
			end()
			continue
		}
		if len(out) > maxRecipients {
			return out
		}
		group = append(group, l...)
	}
	end()
	return out
}

// parseReport reads the fields of a delivery status notification; nil when there are none.
func parseReport(text []byte) *Report {
	all := groups(text)
	if len(all) == 0 {
		return nil
	}
	r := &Report{Host: typed(all[0], "Reporting-MTA"), EnvelopeID: value(all[0], "Original-Envelope-Id")}
	if at, ok := message.ParseDate(value(all[0], "Arrival-Date")); ok {
		r.Arrival = at
	}
	for _, fields := range all[1:] {
		rcpt := Recipient{
			Final:  typed(fields, "Final-Recipient"),
			Action: Action(strings.ToLower(word(value(fields, "Action")))),
			Status: word(value(fields, "Status")),
			Reply:  typed(fields, "Diagnostic-Code"),
			Server: typed(fields, "Remote-MTA"),
		}
		if kind, original, ok := strings.Cut(value(fields, "Original-Recipient"), ";"); ok {
			rcpt.Original = strings.TrimSpace(kind) + ";" + strings.TrimSpace(original)
		}
		if at, ok := message.ParseDate(value(fields, "Last-Attempt-Date")); ok {
			rcpt.LastAttempt = at
		}
		if at, ok := message.ParseDate(value(fields, "Will-Retry-Until")); ok {
			rcpt.RetryUntil = at
		}
		if rcpt.Final != "" && slices.Contains(order, rcpt.Action) {
			r.Recipients = append(r.Recipients, rcpt)
		}
	}
	return r
}

// parseDisposition reads the fields of a disposition notification; nil when there are none.
func parseDisposition(text []byte) *Disposition {
	all := groups(text)
	if len(all) == 0 {
		return nil
	}
	fields := all[0]
	d := &Disposition{Original: typed(fields, "Original-Recipient"), Final: typed(fields, "Final-Recipient")}
	if ids := message.ParseMessageIDs(value(fields, "Original-Message-ID")); len(ids) > 0 {
		d.MessageID = ids[0]
	}
	_, disposition, _ := strings.Cut(value(fields, "Disposition"), ";")
	disposition, _, _ = strings.Cut(disposition, "/")
	d.Type = strings.ToLower(word(disposition))
	return d
}

// value returns the value of a field on one line.
func value(fields message.Fields, name string) string {
	raw, _ := fields.Last(name)
	return strings.Join(strings.Fields(raw), " ")
}

// typed returns the value of a field after its type, such as "rfc822;".
func typed(fields message.Fields, name string) string {
	_, rest, _ := strings.Cut(value(fields, name), ";")
	return strings.TrimSpace(rest)
}

// word returns the first word of a value.
func word(s string) string {
	if fields := strings.Fields(s); len(fields) > 0 {
		return fields[0]
	}
	return ""
}

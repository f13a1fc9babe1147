package mail

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// dateLayout writes a date-time in a header (RFC 5322 section 3.3).
const dateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

// formatValue writes a property value of a form as the value of a field. It is false for a value of the wrong
// type and for one that would not be one field.
func formatValue(form message.Form, raw json.RawMessage) (string, bool) {
	switch form {
	case message.FormText:
		var text string
		ok := decodes(raw, &text)
		return message.FormatText(text), ok
	case message.FormAddresses:
		var list []draftAddress
		ok := decodes(raw, &list)
		addresses, whole := addressesOf(list)
		return message.FormatAddresses(addresses), ok && whole
	case message.FormGroupedAddresses:
		return formatGroups(raw)
	case message.FormMessageIDs:
		var ids []string
		ok := decodes(raw, &ids)
		return message.FormatBracketed(ids, ""), ok
	case message.FormURLs:
		var urls []string
		ok := decodes(raw, &urls)
		return message.FormatBracketed(urls, ","), ok
	case message.FormDate:
		var text string
		ok := decodes(raw, &text)
		at, err := time.Parse(time.RFC3339, text)
		return " " + at.Format(dateLayout), ok && err == nil
	default:
		var text string
		ok := decodes(raw, &text)
		return text, ok && message.ValidRaw(text)
	}
}

// draftAddress is an EmailAddress that a client sent. Its email may be anything, as drafts are half-finished, but it
// is there (RFC 8621 section 4.1.2.3).
type draftAddress struct {
	Name  *string `json:"name"`
	Email *string `json:"email"`
}

// addressesOf returns addresses as a message has them. It is false when one has no email.
func addressesOf(list []draftAddress) ([]message.Address, bool) {
	out := make([]message.Address, 0, len(list))
	for _, a := range list {
		if a.Email == nil {
			return nil, false
		}
		out = append(out, message.Address{Name: a.Name, Email: *a.Email})
	}
	return out, true
}

// formatGroups writes groups of addresses as the value of a field.
func formatGroups(raw json.RawMessage) (string, bool) {
	var groups []struct {
		Name      *string        `json:"name"`
		Addresses []draftAddress `json:"addresses"`
	}
	if !decodes(raw, &groups) {
		return "", false
	}
	var out []message.AddressGroup
	for _, g := range groups {
		addresses, whole := addressesOf(g.Addresses)
		if g.Addresses == nil || !whole {
			return "", false
		}
		out = append(out, message.AddressGroup{Name: g.Name, Addresses: addresses})
	}
	return message.FormatGroups(out), true
}

func decodes(raw json.RawMessage, into any) bool {
	return string(raw) != "null" && jmap.DecodeArguments(raw, into) == nil
}

// partFields writes the header fields of a body part that its properties stand for.
func (p *draftPart) fields() message.Fields {
	var fields message.Fields
	add := func(name, value string) {
		fields = append(fields, message.Field{Name: name, Value: " " + value})
	}
	if p.Disposition != nil {
		value := *p.Disposition
		if p.Name != nil {
			value += message.FormatParameters([]message.Parameter{{Name: "filename", Value: *p.Name}})
		}
		add("Content-Disposition", value)
	}
	if p.CID != nil {
		add("Content-ID", "<"+*p.CID+">")
	}
	if len(p.Language) > 0 {
		add("Content-Language", strings.Join(p.Language, ", "))
	}
	if p.Location != nil {
		add("Content-Location", *p.Location)
	}
	return fields
}

// breaks says whether a property would break out of its field.
func (p *draftPart) breaks() bool {
	values := append([]string{p.Type}, p.Language...)
	for _, v := range []*string{p.Disposition, p.CID, p.Location, p.Charset} {
		if v != nil {
			values = append(values, *v)
		}
	}
	for _, v := range values {
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			return true
		}
	}
	return false
}

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
		var list []message.Address
		ok := decodes(raw, &list)
		return message.FormatAddresses(list), ok
	case message.FormGroupedAddresses:
		var groups []message.AddressGroup
		ok := decodes(raw, &groups)
		return message.FormatGroups(groups), ok
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

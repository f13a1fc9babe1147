package message

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
)

// Form is a way to read a header field (RFC 8621 section 4.1.2).
type Form string

// The forms, named as in header properties.
const (
	FormRaw              Form = "asRaw"
	FormText             Form = "asText"
	FormAddresses        Form = "asAddresses"
	FormGroupedAddresses Form = "asGroupedAddresses"
	FormMessageIDs       Form = "asMessageIds"
	FormDate             Form = "asDate"
	FormURLs             Form = "asURLs"
)

// restricted tells which parsed forms a field may be read in. A field that is not here is defined neither in RFC
// 5322 nor in RFC 2369 and may be read in any form.
var restricted = map[string][]Form{
	"subject": {FormText}, "comments": {FormText}, "keywords": {FormText}, "list-id": {FormText},
	"from": addressForms, "sender": addressForms, "reply-to": addressForms,
	"to": addressForms, "cc": addressForms, "bcc": addressForms,
	"resent-from": addressForms, "resent-sender": addressForms, "resent-reply-to": addressForms,
	"resent-to": addressForms, "resent-cc": addressForms, "resent-bcc": addressForms,
	"message-id": {FormMessageIDs}, "in-reply-to": {FormMessageIDs}, "references": {FormMessageIDs},
	"resent-message-id": {FormMessageIDs},
	"date":              {FormDate}, "resent-date": {FormDate},
	"list-help": {FormURLs}, "list-unsubscribe": {FormURLs}, "list-subscribe": {FormURLs},
	"list-post": {FormURLs}, "list-owner": {FormURLs}, "list-archive": {FormURLs},
	"return-path": {}, "received": {},
}

var addressForms = []Form{FormAddresses, FormGroupedAddresses}

// HeaderProperty is a property of the form header:{name}[:as{form}][:all] (RFC 8621 section 4.1.3).
type HeaderProperty struct {
	// Name is the field name as the client wrote it.
	Name string
	// Form is how the value is read.
	Form Form
	// All asks for every field of the name.
	All bool
}

// convenience are the properties that stand for a header property.
var convenience = map[string]HeaderProperty{
	"messageId":  {Name: "Message-ID", Form: FormMessageIDs},
	"inReplyTo":  {Name: "In-Reply-To", Form: FormMessageIDs},
	"references": {Name: "References", Form: FormMessageIDs},
	"sender":     {Name: "Sender", Form: FormAddresses},
	"from":       {Name: "From", Form: FormAddresses},
	"to":         {Name: "To", Form: FormAddresses},
	"cc":         {Name: "Cc", Form: FormAddresses},
	"bcc":        {Name: "Bcc", Form: FormAddresses},
	"replyTo":    {Name: "Reply-To", Form: FormAddresses},
	"subject":    {Name: "Subject", Form: FormText},
	"sentAt":     {Name: "Date", Form: FormDate},
}

// Convenience returns the header property that a property such as "from" stands for.
func Convenience(property string) (HeaderProperty, bool) {
	h, ok := convenience[property]
	return h, ok
}

// ParseHeaderProperty reads the name of a header property. The error says what is wrong with it.
func ParseHeaderProperty(property string) (HeaderProperty, error) {
	parts := strings.Split(property, ":")
	if len(parts) < 2 || parts[0] != "header" || !fieldName(parts[1]) {
		return HeaderProperty{}, fmt.Errorf("property %q: not of the form header:{name}", property)
	}
	h := HeaderProperty{Name: parts[1], Form: FormRaw}
	rest := parts[2:]
	if len(rest) > 0 && strings.HasPrefix(rest[0], "as") {
		h.Form = Form(rest[0])
		rest = rest[1:]
	}
	if len(rest) > 0 && rest[0] == "all" {
		h.All = true
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return HeaderProperty{}, fmt.Errorf("property %q: suffix %q is not known", property, rest[0])
	}
	if err := h.check(); err != nil {
		return HeaderProperty{}, fmt.Errorf("property %q: %w", property, err)
	}
	return h, nil
}

// check refuses forms that do not exist or that the field may not be read in.
func (h HeaderProperty) check() error {
	switch h.Form {
	case FormRaw:
		return nil
	case FormText, FormAddresses, FormGroupedAddresses, FormMessageIDs, FormDate, FormURLs:
	default:
		return fmt.Errorf("form %q does not exist", h.Form)
	}
	allowed, known := restricted[strings.ToLower(h.Name)]
	if !known {
		return nil
	}
	if slices.Contains(allowed, h.Form) {
		return nil
	}
	return fmt.Errorf("field %q has no form %q", h.Name, h.Form)
}

// Of returns the property's value in a header, ready to be encoded as JSON.
func (h HeaderProperty) Of(fields Fields) any {
	if h.All {
		values := []any{}
		for _, value := range fields.All(h.Name) {
			values = append(values, h.Form.Read(value))
		}
		return values
	}
	value, ok := fields.Last(h.Name)
	if !ok {
		return nil
	}
	return h.Form.Read(value)
}

// Read returns a field value in the form, ready to be encoded as JSON.
func (f Form) Read(value string) any {
	switch f {
	case FormText:
		return DecodeText(value)
	case FormAddresses:
		return ParseAddresses(value)
	case FormGroupedAddresses:
		return ParseGroups(value)
	case FormMessageIDs:
		return orNil(ParseMessageIDs(value))
	case FormDate:
		if at, ok := ParseDate(value); ok {
			return FormatDate(at)
		}
		return nil
	case FormURLs:
		return orNil(parseURLs(value))
	default:
		return value
	}
}

func orNil(list []string) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

// fieldName says whether s is the name of a field: printable ASCII without a colon.
func fieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' || r == ':' })
}

// ParseMessageIDs reads a field value as a list of message ids, without their angle brackets. None means that
// the value is not such a list.
func ParseMessageIDs(value string) []string { return bracketed(value) }

// parseURLs reads a field value as a list of URLs in angle brackets (RFC 2369 section 2).
func parseURLs(value string) []string { return bracketed(value) }

func bracketed(value string) []string {
	rest := withoutComments(unfold(value))
	var out []string
	for {
		_, after, ok := strings.Cut(rest, "<")
		if !ok {
			return out
		}
		inner, next, ok := strings.Cut(after, ">")
		if !ok {
			return out
		}
		if inner = strings.Join(strings.Fields(inner), ""); inner != "" {
			out = append(out, inner)
		}
		rest = next
	}
}

// lenientDates are layouts that senders use though no standard knows them.
var lenientDates = []string{
	"Mon, 2 Jan 2006 15:04:05 -07:00", "2 Jan 2006 15:04:05 -07:00", time.RFC3339, time.ANSIC, time.UnixDate,
	"Mon, 2 Jan 2006 15:04:05", "2 Jan 2006 15:04:05", "Mon, 2-Jan-2006 15:04:05 -0700", "2006-01-02 15:04:05 -0700",
}

// ParseDate reads a field value as a date-time (RFC 5322 section 3.3).
func ParseDate(value string) (time.Time, bool) {
	text := strings.Join(strings.Fields(withoutComments(unfold(value))), " ")
	if at, err := mail.ParseDate(text); err == nil {
		return at, inRange(at)
	}
	for _, layout := range lenientDates {
		if at, err := time.Parse(layout, text); err == nil {
			return at, inRange(at)
		}
	}
	return time.Time{}, false
}

// inRange says whether a time can be written with a year of four digits in any zone.
func inRange(at time.Time) bool {
	_, offset := at.Zone()
	return at.Year() >= 1 && at.Year() <= 9998 && offset > -86400 && offset < 86400
}

// FormatDate writes a time as a Date (RFC 8620 section 1.4).
func FormatDate(at time.Time) string { return at.Truncate(time.Second).Format(time.RFC3339) }

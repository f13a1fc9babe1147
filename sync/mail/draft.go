package mail

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// draft is an Email object that a client sent to be created, being checked and turned into a message (RFC 8621
// section 4.6).
type draft struct {
	faults

	edit    *edit
	members map[string]json.RawMessage
	values  map[string]bodyValue
	// missing are blob ids that do not exist.
	missing []string
	// attached is how many octets come from blobs.
	attached int64
	// label is the sensitivity label of the message; nil when it has none.
	label *tenantdoc.Label
	// texts are the parts whose content is a value of bodyValues.
	texts []*message.Entity
	// header are the names of the fields that properties of the email stand for, in lower case.
	header map[string]bool
}

// bodyValue is an EmailBodyValue of a creation.
type bodyValue struct {
	Value             *string `json:"value"`
	IsEncodingProblem bool    `json:"isEncodingProblem"`
	IsTruncated       bool    `json:"isTruncated"`
}

// draft turns an Email object into a message, or returns a SetError that lists everything that is wrong.
func (m *emailSetter) draft(e *edit, raw json.RawMessage) (*incoming, error) {
	d := &draft{edit: e}
	if refused := jmap.DecodeObject(raw, &d.members); refused != nil {
		return nil, refused
	}
	in := &incoming{received: e.service.opts.Now().UnixMilli(), dated: true}
	if err := m.metadata(d, in); err != nil {
		return nil, err
	}
	d.checkNames()
	m.labelled(d)
	fields := d.headerFields()
	root, err := d.body()
	if err != nil {
		return nil, err
	}
	if refused := d.refusal(); refused != nil {
		return nil, refused
	}
	fields = d.mark(fields, root)
	root.Fields = append(m.completed(fields, root.Fields), root.Fields...)
	in.data = message.Compose(root)
	return in, nil
}

// refusal sums up what is wrong.
func (d *draft) refusal() *jmap.SetError {
	if refused := d.faults.refusal(); refused != nil {
		return refused
	}
	switch {
	case len(d.missing) > 0:
		slices.Sort(d.missing)
		return &jmap.SetError{Type: jmap.SetErrorBlobNotFound, Fields: map[string]any{"notFound": slices.Compact(d.missing)}}
	case d.attached > maxSizeAttachments:
		return &jmap.SetError{Type: jmap.SetErrorTooLarge, Description: "the attachments are larger than maxSizeAttachmentsPerEmail"}
	default:
		return nil
	}
}

// metadata reads what does not go into the message.
func (m *emailSetter) metadata(d *draft, in *incoming) error {
	var ids, keywords map[string]bool
	if d.decode("mailboxIds", &ids) {
		mailboxes, err := d.edit.checkMailboxIDs(m.call, ids)
		if err = d.note(err); err != nil {
			return err
		}
		in.mailboxes = mailboxes
	}
	if d.decode("keywords", &keywords) {
		sorted, refused := limitedKeywords(keywords)
		if refused != nil {
			if err := d.note(refused); err != nil {
				return err
			}
		}
		in.keywords = sorted
	}
	var received *string
	if d.decode("receivedAt", &received) && received != nil {
		at, err := parseUTC(*received)
		if err != nil {
			d.invalid("receivedAt", "not a UTCDate such as 2026-11-23T18:25:00Z")
		}
		in.received = at
	}
	d.readValues()
	return nil
}

// readValues reads what the parts refer to by their partId.
func (d *draft) readValues() {
	d.decode("bodyValues", &d.values)
	for id, v := range d.values {
		if v.Value == nil {
			d.invalid("bodyValues", "the value of "+id+" is missing")
		}
		if v.IsEncodingProblem || v.IsTruncated {
			d.invalid("bodyValues", "isEncodingProblem and isTruncated of "+id+" must be false")
		}
	}
}

// decode reads a member into a value. It is false when the member is of the wrong type, which it reports.
func (d *draft) decode(property string, into any) bool {
	raw, ok := d.members[property]
	if !ok {
		return true
	}
	if err := jmap.DecodeArguments(raw, into); err != nil {
		d.invalid(property, "wrong type")
		return false
	}
	return true
}

// checkNames refuses properties that do not exist, that the server sets, or that exclude each other.
func (d *draft) checkNames() {
	settable := []string{"mailboxIds", "keywords", "receivedAt", "bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments", label.Property}
	for name := range d.members {
		_, header := message.Convenience(name)
		switch {
		case header || strings.HasPrefix(name, "header:") || slices.Contains(settable, name):
		case name == "headers":
			d.invalid(name, "set each header field as a property of its own")
		case emailProperty(name):
			d.invalid(name, "set by the server only")
		default:
			d.invalid(name, "no such property")
		}
	}
	if d.members["bodyStructure"] == nil {
		return
	}
	for _, name := range []string{"textBody", "htmlBody", "attachments"} {
		if d.members[name] != nil {
			d.invalid(name, "not beside bodyStructure")
		}
	}
}

// headerFields writes the header fields of the message, each name once unless a property gives all of its fields.
func (d *draft) headerFields() message.Fields {
	var fields message.Fields
	d.header = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.members)) {
		h, ok := message.Convenience(name)
		if !ok {
			if !strings.HasPrefix(name, "header:") {
				continue
			}
			var err error
			if h, err = message.ParseHeaderProperty(name); err != nil {
				d.invalid(name, "not a header property")
				continue
			}
		}
		if strings.HasPrefix(strings.ToLower(h.Name), "content-") {
			d.invalid(name, "Content fields belong to body parts")
			continue
		}
		if d.header[strings.ToLower(h.Name)] {
			d.invalid(name, "the field is given twice")
			continue
		}
		d.header[strings.ToLower(h.Name)] = true
		fields = d.addFields(fields, name, h, d.members[name])
	}
	return fields
}

// addFields writes the fields of one property.
func (d *draft) addFields(fields message.Fields, name string, h message.HeaderProperty, raw json.RawMessage) message.Fields {
	if _, twice := fields.Last(h.Name); twice {
		d.invalid(name, "the field is given twice")
		return fields
	}
	if string(raw) == "null" {
		return fields
	}
	values := []json.RawMessage{raw}
	if h.All {
		if json.Unmarshal(raw, &values) != nil {
			d.invalid(name, "not a list")
			return fields
		}
	}
	for _, value := range values {
		text, ok := formatValue(h.Form, value)
		if !ok {
			d.invalid(name, "not a value of the form "+string(h.Form))
			return fields
		}
		fields = append(fields, message.Field{Name: h.Name, Value: text})
	}
	return fields
}

// completed adds the fields that a message must have, unless its body has them, and puts all into the usual order.
func (m *emailSetter) completed(fields, ofBody message.Fields) message.Fields {
	add := func(name, value string) {
		_, there := ofBody.Last(name)
		if _, ok := fields.Last(name); !ok && !there {
			fields = append(fields, message.Field{Name: name, Value: value})
		}
	}
	_, domain, ok := strings.Cut(m.call.Principal.Address, "@")
	if !ok {
		domain = "localhost"
	}
	add("Message-ID", " <"+strings.ToLower(rand.Text())+"@"+domain+">")
	add("Date", " "+m.service.opts.Now().Format(dateLayout))
	add("MIME-Version", " 1.0")
	slices.SortStableFunc(fields, func(a, b message.Field) int { return fieldRank(a.Name) - fieldRank(b.Name) })
	return fields
}

// fieldOrder is the order in which the usual fields stand.
var fieldOrder = []string{
	"return-path", "received", "date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject",
}

func fieldRank(name string) int {
	if i := slices.Index(fieldOrder, strings.ToLower(name)); i >= 0 {
		return i
	}
	return len(fieldOrder)
}

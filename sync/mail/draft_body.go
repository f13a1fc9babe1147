package mail

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// draftPart is an EmailBodyPart that a client sent to be created.
type draftPart struct {
	PartID      *string           `json:"partId"`
	BlobID      *string           `json:"blobId"`
	Size        *int64            `json:"size"`
	Name        *string           `json:"name"`
	Type        string            `json:"type"`
	Charset     *string           `json:"charset"`
	Disposition *string           `json:"disposition"`
	CID         *string           `json:"cid"`
	Language    []string          `json:"language"`
	Location    *string           `json:"location"`
	SubParts    []json.RawMessage `json:"subParts"`
	headers     map[string]json.RawMessage
}

// body makes the entity of the message.
func (d *draft) body() (*message.Entity, error) {
	if raw := d.members["bodyStructure"]; raw != nil {
		root, err := d.part("bodyStructure", raw, 0)
		if err != nil {
			return nil, err
		}
		for _, f := range root.Fields {
			if d.header[strings.ToLower(f.Name)] {
				d.invalid("bodyStructure", "the field "+f.Name+" is a property of the email already")
			}
		}
		return root, nil
	}
	return d.flatBody()
}

// flatBody makes the entity of textBody, htmlBody and attachments.
func (d *draft) flatBody() (*message.Entity, error) {
	text, err := d.only("textBody", "text/plain")
	if err != nil {
		return nil, err
	}
	html, err := d.only("htmlBody", "text/html")
	if err != nil {
		return nil, err
	}
	attachments, err := d.parts("attachments")
	if err != nil {
		return nil, err
	}
	var related, mixed []*message.Entity
	for _, a := range attachments {
		disposition, _ := a.Fields.Last("Content-Disposition")
		_, hasID := a.Fields.Last("Content-ID")
		if html != nil && hasID && strings.HasPrefix(strings.TrimSpace(disposition), "inline") {
			related = append(related, a)
		} else {
			mixed = append(mixed, a)
		}
	}
	root := wrap("multipart/related", html, related)
	root = alternative(text, root)
	if root == nil {
		root = &message.Entity{Type: "text/plain", Params: []message.Parameter{{Name: "charset", Value: "utf-8"}}}
	}
	return wrap("multipart/mixed", root, mixed), nil
}

// wrap puts an entity and what goes with it into a multipart; alone it stays as it is.
func wrap(kind string, first *message.Entity, rest []*message.Entity) *message.Entity {
	if len(rest) == 0 || first == nil {
		return first
	}
	return &message.Entity{Type: kind, Boundary: boundary(), Parts: append([]*message.Entity{first}, rest...)}
}

func alternative(text, html *message.Entity) *message.Entity {
	if text == nil {
		return html
	}
	if html == nil {
		return text
	}
	return wrap("multipart/alternative", text, []*message.Entity{html})
}

// boundary makes a boundary that no content can hold by chance, nor can an encoded line.
func boundary() string { return "=_" + rand.Text() }

// only returns the one part of a body list, which must be of a type.
func (d *draft) only(property, kind string) (*message.Entity, error) {
	if d.members[property] == nil || string(d.members[property]) == "null" {
		return nil, nil //nolint:nilnil // the list is not given
	}
	parts, err := d.parts(property)
	if err != nil {
		return nil, err
	}
	if len(parts) != 1 || parts[0].Type != kind {
		d.invalid(property, "exactly one part of type "+kind)
		return nil, nil //nolint:nilnil // reported
	}
	return parts[0], nil
}

func (d *draft) parts(property string) ([]*message.Entity, error) {
	var raws []json.RawMessage
	if !d.decode(property, &raws) {
		return nil, nil
	}
	var out []*message.Entity
	for _, raw := range raws {
		p, err := d.part(property, raw, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// part makes the entity of an EmailBodyPart. What is wrong is reported under the property that it is part of.
func (d *draft) part(property string, raw json.RawMessage, depth int) (*message.Entity, error) {
	p, ok := d.decodePart(property, raw)
	e := &message.Entity{Type: strings.ToLower(p.Type)}
	if !ok {
		return e, nil
	}
	if depth > maxMailboxDepth {
		d.invalid(property, "nested too deep")
		return e, nil
	}
	e.Fields = p.fields()
	d.partHeaders(property, p, e)
	if strings.HasPrefix(e.Type, "multipart/") {
		return e, d.multipart(property, p, e, depth)
	}
	return e, d.leaf(property, p, e)
}

// decodePart reads an EmailBodyPart; its header properties are kept apart.
func (d *draft) decodePart(property string, raw json.RawMessage) (*draftPart, bool) {
	p := &draftPart{headers: map[string]json.RawMessage{}}
	members := map[string]json.RawMessage{}
	if jmap.DecodeObject(raw, &members) != nil {
		d.invalid(property, "a part is not an object")
		return p, false
	}
	for name, value := range members {
		if strings.HasPrefix(name, "header:") {
			p.headers[name] = value
			delete(members, name)
		}
	}
	rest, err := json.Marshal(members)
	if err != nil || jmap.DecodeArguments(rest, p) != nil {
		d.invalid(property, "a part has a property that is unknown, of the wrong type, or not to be set")
		return p, false
	}
	if kind, _ := message.ParseContentType(p.Type); kind != strings.ToLower(p.Type) {
		d.invalid(property, "type is a media type without parameters")
		return p, false
	}
	if p.breaks() {
		d.invalid(property, "type, charset, disposition, cid, language and location are printable ASCII")
		return p, false
	}
	return p, true
}

// partHeaders adds the header properties of a part.
func (d *draft) partHeaders(property string, p *draftPart, e *message.Entity) {
	for _, name := range slices.Sorted(maps.Keys(p.headers)) {
		h, err := message.ParseHeaderProperty(name)
		lower := strings.ToLower(h.Name)
		switch {
		case err != nil:
			d.invalid(property, name+" is not a header property")
		case lower == "content-transfer-encoding":
			d.invalid(property, "Content-Transfer-Encoding is chosen by the server")
		case lower != "content-type":
			e.Fields = d.addFields(e.Fields, property, h, p.headers[name])
		case p.Type != "" || p.Charset != nil:
			d.invalid(property, "the field Content-Type is given twice")
		default:
			value, ok := formatValue(h.Form, p.headers[name])
			e.Type, e.Params = message.ParseContentType(value)
			e.Params = slices.DeleteFunc(e.Params, func(q message.Parameter) bool { return q.Name == "boundary" || q.Name == "charset" && p.PartID != nil })
			if !ok || e.Type == "" {
				d.invalid(property, "Content-Type cannot be read")
			}
		}
	}
}

func (d *draft) multipart(property string, p *draftPart, e *message.Entity, depth int) error {
	if len(p.SubParts) == 0 || p.PartID != nil || p.BlobID != nil {
		d.invalid(property, "a multipart has subParts, and neither partId nor blobId")
		return nil
	}
	e.Boundary = boundary()
	for _, raw := range p.SubParts {
		child, err := d.part(property, raw, depth+1)
		if err != nil {
			return err
		}
		e.Parts = append(e.Parts, child)
	}
	return nil
}

// leaf fills a part with its content: a value of bodyValues or a blob.
func (d *draft) leaf(property string, p *draftPart, e *message.Entity) error {
	if p.Name != nil && p.Disposition == nil {
		e.Params = append(e.Params, message.Parameter{Name: "name", Value: *p.Name})
	}
	switch {
	case p.SubParts != nil:
		d.invalid(property, "only a multipart has subParts")
	case (p.PartID == nil) == (p.BlobID == nil):
		d.invalid(property, "a part has either partId or blobId")
	case p.PartID != nil:
		d.value(property, p, e)
	default:
		if property == "textBody" && e.Type == "" {
			e.Type = "text/plain"
		}
		return d.blob(p, e)
	}
	return nil
}

func (d *draft) value(property string, p *draftPart, e *message.Entity) {
	value, ok := d.values[*p.PartID]
	switch {
	case !ok:
		d.invalid(property, "bodyValues has no "+*p.PartID)
		return
	case value.Value == nil:
		return
	case p.Charset != nil || p.Size != nil:
		d.invalid(property, "charset and size are not given with a partId")
	}
	if e.Type == "" {
		e.Type = "text/plain"
	}
	e.Content = []byte(strings.ReplaceAll(strings.ReplaceAll(*value.Value, "\r\n", "\n"), "\n", "\r\n"))
	if strings.HasPrefix(e.Type, "text/") {
		e.Params = append(e.Params, message.Parameter{Name: "charset", Value: "utf-8"})
	}
	d.texts = append(d.texts, e)
}

func (d *draft) blob(p *draftPart, e *message.Entity) error {
	if d.attached > maxSizeAttachments {
		// The draft is refused for its size: what else it names is not read into memory.
		return nil
	}
	_, data, err := d.edit.service.readBlob(d.edit.ctx, d.edit.actor, d.edit.account, *p.BlobID)
	if errors.Is(err, jmap.ErrBlobNotFound) {
		d.missing = append(d.missing, *p.BlobID)
		return nil
	}
	if err != nil {
		return err
	}
	if e.Type == "" {
		e.Type = "application/octet-stream"
	}
	if p.Charset != nil {
		e.Params = append(e.Params, message.Parameter{Name: "charset", Value: *p.Charset})
	}
	e.Content = data
	d.attached += int64(len(data))
	return nil
}

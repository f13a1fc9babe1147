package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// source is a message that properties are read from. It opens the message, and reads parts of it, only when a
// property needs them.
type source struct {
	ref    blobRef
	open   func() (store.Object, error)
	object store.Object
	// row and parts are what is kept beside the message; nil when there is nothing.
	row    map[string]json.RawMessage
	parts  []byte
	root   *message.Part
	fields message.Fields
	read   bool
	// octets is how much of the message goes into the answer, about.
	octets int64
}

// storedSource returns the message of an email.
func (s *Service) storedSource(ctx context.Context, r store.Reader, account, tenant string, m *email, sel *selection) (*source, error) {
	src := &source{
		ref:  m.ref(),
		open: func() (store.Object, error) { return s.blobs.Open(ctx, tenant, m.Blob) },
	}
	if sel.wants(rowProperties...) {
		row, err := sel.readRow(ctx, r, keys(account).row(m.ID))
		if err != nil {
			return nil, err
		}
		src.row = row
	}
	if sel.wants(bodyProperties...) || sel.wants("headers") || len(sel.headers) > 0 {
		parts, err := r.Get(ctx, keys(account).parts(m.ID))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		src.parts = parts
	}
	return src, nil
}

// Close closes the message when it was opened.
func (s *source) Close() error {
	if s.object == nil {
		return nil
	}
	return s.object.Close()
}

// span reads octets of the message.
func (s *source) span(span message.Span) ([]byte, error) {
	if s.object == nil {
		object, err := s.open()
		if err != nil {
			return nil, fmt.Errorf("open message: %w", err)
		}
		s.object = object
	}
	span.End = min(span.End, s.object.Size())
	data := make([]byte, max(0, span.Len()))
	if _, err := s.object.ReadAt(data, span.Start); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return data, nil
}

// structure returns the MIME structure.
func (s *source) structure() (*message.Part, error) {
	if s.root != nil {
		return s.root, nil
	}
	if len(s.parts) > 0 {
		root := &message.Part{}
		if err := json.Unmarshal(s.parts, root); err != nil {
			return nil, fmt.Errorf("read structure: %w", err)
		}
		s.root = root
		return root, nil
	}
	data, err := s.whole()
	if err != nil {
		return nil, err
	}
	s.root = message.Parse(data)
	return s.root, nil
}

// header returns the header fields of the message.
func (s *source) header() (message.Fields, error) {
	if s.read {
		return s.fields, nil
	}
	root, err := s.structure()
	if err != nil {
		return nil, err
	}
	s.fields, err = s.headerOf(root)
	s.read = err == nil
	return s.fields, err
}

func (s *source) headerOf(p *message.Part) (message.Fields, error) {
	data, err := s.span(p.Header)
	if err != nil {
		return nil, err
	}
	s.octets += int64(len(data))
	return message.ParseFields(data), nil
}

// rowProperty returns a property of the list row, from the row when it is there and else from the message.
func (s *source) rowProperty(name string) (any, error) {
	if raw, ok := s.row[name]; ok {
		return raw, nil
	}
	if h, ok := message.Convenience(name); ok {
		fields, err := s.header()
		return h.Of(fields), err
	}
	root, err := s.structure()
	if err != nil {
		return nil, err
	}
	data, err := s.whole()
	if err != nil {
		return nil, err
	}
	return message.Preview(data, message.Flatten(root)), nil
}

// property returns a property that is read from the message.
func (s *source) property(name string, sel *selection) (any, error) {
	root, err := s.structure()
	if err != nil {
		return nil, err
	}
	bodies := message.Flatten(root)
	switch name {
	case "headers":
		fields, err := s.header()
		return listOf(fields), err
	case "hasAttachment":
		return bodies.HasAttachment(), nil
	case "bodyStructure":
		return s.part(root, sel, true)
	case "textBody":
		return s.partList(bodies.Text, sel)
	case "htmlBody":
		return s.partList(bodies.HTML, sel)
	case "attachments":
		return s.partList(bodies.Attachments, sel)
	default:
		return s.bodyValues(root, bodies, sel)
	}
}

func listOf(fields message.Fields) jmap.List[message.Field] { return jmap.List[message.Field](fields) }

func (s *source) partList(parts []*message.Part, sel *selection) (any, error) {
	out := make([]map[string]any, 0, len(parts))
	for _, p := range parts {
		object, err := s.part(p, sel, false)
		if err != nil {
			return nil, err
		}
		out = append(out, object)
	}
	return out, nil
}

// part returns an EmailBodyPart. Within the structure a multipart always has its children.
func (s *source) part(p *message.Part, sel *selection, deep bool) (map[string]any, error) {
	out := map[string]any{}
	var fields message.Fields
	var err error
	needs := len(sel.partHeaders) > 0
	for _, name := range sel.partProperties {
		out[name] = s.partProperty(p, name)
		needs = needs || name == "headers"
	}
	if needs {
		if fields, err = s.headerOf(p); err != nil {
			return nil, err
		}
	}
	if _, wanted := out["headers"]; wanted {
		out["headers"] = listOf(fields)
	}
	for name, h := range sel.partHeaders {
		out[name] = h.Of(fields)
	}
	if !deep || !p.Multipart() {
		return out, nil
	}
	children := make([]map[string]any, 0, len(p.Parts))
	for _, child := range p.Parts {
		object, err := s.part(child, sel, true)
		if err != nil {
			return nil, err
		}
		children = append(children, object)
	}
	out["subParts"] = children
	return out, nil
}

// partProperty returns a property of a part that its header need not be read for.
func (s *source) partProperty(p *message.Part, name string) any {
	switch name {
	case "partId":
		return idOrNull(p.ID)
	case "blobId":
		if p.Multipart() {
			return nil
		}
		return s.ref.part(p).String()
	case "size":
		return p.Size
	case "name":
		return p.Name
	case "type":
		return p.Type
	case "charset":
		return p.Charset
	case "disposition":
		return p.Disposition
	case "cid":
		return p.CID
	case "language":
		return p.Language
	case "location":
		return p.Location
	default:
		return nil
	}
}

func idOrNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// bodyValues returns the text of the parts that the arguments select.
func (s *source) bodyValues(root *message.Part, bodies message.Bodies, sel *selection) (any, error) {
	var parts []*message.Part
	if sel.FetchTextBodyValues {
		parts = append(parts, bodies.Text...)
	}
	if sel.FetchHTMLBodyValues {
		parts = append(parts, bodies.HTML...)
	}
	if sel.FetchAllBodyValues {
		root.Walk(func(p *message.Part) { parts = append(parts, p) })
	}
	out := map[string]message.Value{}
	for _, p := range parts {
		if _, done := out[p.ID]; done || !p.Text() {
			continue
		}
		data, err := s.span(p.Body)
		if err != nil {
			return nil, err
		}
		value := message.TextOf(data, p, sel.MaxBodyValueBytes)
		s.octets += int64(len(value.Value))
		out[p.ID] = value
	}
	return out, nil
}

// whole reads the whole message.
func (s *source) whole() ([]byte, error) { return s.span(message.Span{End: maxSizeMessage}) }

package message

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Field is a header field.
type Field struct {
	// Name is the field name with the capitalization of the message.
	Name string `json:"name"`
	// Value is the field value in Raw form (RFC 8621 section 4.1.2.1).
	Value string `json:"value"`
}

// Fields are header fields in the order of the message.
type Fields []Field

// maxHeader is how many octets of a header are read as fields: each field and each address takes many times as much
// memory. The message keeps all of it.
const maxHeader = 2 << 20

// ParseFields reads a header. Lines that belong to no field are passed over.
func ParseFields(header []byte) Fields {
	var fields Fields
	header = header[:min(len(header), maxHeader)]
	for len(header) > 0 {
		line := nextLine(header)
		for len(line) < len(header) && isFold(header[len(line)]) {
			line = header[:len(line)+len(nextLine(header[len(line):]))]
		}
		header = header[len(line):]
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || !startsHeader(nextLine(line)) || bytes.HasPrefix(line, []byte("From ")) {
			continue
		}
		fields = append(fields, Field{
			Name:  string(bytes.TrimRight(line[:colon], " \t")),
			Value: raw(line[colon+1:]),
		})
	}
	return fields
}

// Last returns the value of the last field of a name, matched without regard to case.
func (f Fields) Last(name string) (value string, ok bool) {
	for _, field := range slices.Backward(f) {
		if strings.EqualFold(field.Name, name) {
			return field.Value, true
		}
	}
	return "", false
}

// All returns the values of all fields of a name in order.
func (f Fields) All(name string) []string {
	values := []string{}
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			values = append(values, field.Value)
		}
	}
	return values
}

func isFold(c byte) bool { return c == ' ' || c == '\t' }

// raw makes a field value of octets: without the last line break and NULs, with what is no UTF-8 replaced.
func raw(value []byte) string {
	value = bytes.TrimSuffix(value, []byte("\n"))
	value = bytes.TrimSuffix(value, []byte("\r"))
	s := string(value)
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

// unfold removes the line breaks of folding (RFC 5322 section 2.2.3).
func unfold(value string) string {
	if !strings.ContainsAny(value, "\r\n") {
		return value
	}
	return strings.NewReplacer("\r\n", "", "\n", "", "\r", "").Replace(value)
}

// describe fills in what the header fields of a part say about it.
func (p *Part) describe(fields Fields, implied string) {
	kind, params := contentType(fields)
	_, has := fields.Last("Content-Type")
	p.Type = kind
	if kind == "" {
		p.Type = implied
	}
	if charset, ok := params["charset"]; ok {
		p.Charset = &charset
	} else if !has || p.Text() {
		p.Charset = new("us-ascii")
	}
	disposition, parameters := contentDisposition(fields)
	if disposition != "" {
		p.Disposition = &disposition
	}
	name, ok := parameters["filename"]
	if !ok {
		name, ok = params["name"]
	}
	if ok {
		p.Name = &name
	}
	p.CID = trimmed(fields, "Content-Id", "<> ")
	p.Location = trimmed(fields, "Content-Location", " ")
	if value, ok := fields.Last("Content-Language"); ok {
		p.Language = languages(value)
	}
	if encoding, ok := fields.Last("Content-Transfer-Encoding"); ok {
		p.Encoding = strings.ToLower(strings.TrimSpace(withoutComments(unfold(encoding))))
	}
}

func trimmed(fields Fields, name, cut string) *string {
	value, ok := fields.Last(name)
	if !ok {
		return nil
	}
	return new(strings.Trim(strings.TrimSpace(withoutComments(unfold(value))), cut))
}

func languages(value string) []string {
	out := []string{}
	for tag := range strings.SplitSeq(withoutComments(unfold(value)), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			out = append(out, tag)
		}
	}
	return out
}

// contentType returns the media type, in lower case or empty when there is none that can be read, and its
// parameters.
func contentType(fields Fields) (kind string, params map[string]string) {
	value, ok := fields.Last("Content-Type")
	if !ok {
		return "", nil
	}
	kind, params = parameters(value)
	if major, minor, ok := strings.Cut(kind, "/"); !ok || !isToken(major) || !isToken(minor) {
		return "", params
	}
	return kind, params
}

func contentDisposition(fields Fields) (disposition string, params map[string]string) {
	value, ok := fields.Last("Content-Disposition")
	if !ok {
		return "", nil
	}
	return parameters(value)
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?=`, r)
	})
}

// ParseContentType reads the value of a Content-Type field. The type is empty when it cannot be read.
func ParseContentType(value string) (kind string, params []Parameter) {
	kind, named := contentType(Fields{{Name: "Content-Type", Value: value}})
	for _, name := range slices.Sorted(maps.Keys(named)) {
		params = append(params, Parameter{Name: name, Value: named[name]})
	}
	return kind, params
}

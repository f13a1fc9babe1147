// Package message reads and writes Internet messages the way JMAP Mail shows them (RFC 8621 section 4.1): MIME
// structure with byte offsets, header fields in their parsed forms, body values and the flat body lists.
//
// Reading never fails. What is broken is read as far as it can be, and every octet of a message belongs to a
// part or stays reachable in the raw message.
package message

import (
	"bytes"
	"strconv"
	"strings"
)

const (
	// maxParts bounds the parts of a message; what follows the last one is kept as one part of octets.
	maxParts = 1000
	// maxDepth bounds how deep multiparts are opened; a deeper one is kept as one part of octets.
	maxDepth = 24
)

// octets is the type of what is kept without being understood.
const octets = "application/octet-stream"

// Span is a range of octets of a message.
type Span struct {
	// Start is the offset of the first octet.
	Start int64 `json:"s"`
	// End is the offset after the last octet.
	End int64 `json:"e"`
}

// Of returns the octets of the span.
func (s Span) Of(data []byte) []byte { return data[s.Start:s.End] }

// Len is the number of octets.
func (s Span) Len() int64 { return s.End - s.Start }

// Part is one MIME entity (RFC 8621 section 4.1.4, EmailBodyPart). A nil pointer is null.
type Part struct {
	// ID identifies the part in its message; it is empty for a multipart.
	ID string `json:"id,omitempty"`
	// Type is the media type in lower case without parameters.
	Type string `json:"t"`
	// Charset is the charset parameter or the implicit one.
	Charset *string `json:"c,omitempty"`
	// Name is the decoded file name.
	Name *string `json:"n,omitempty"`
	// Disposition is the value of Content-Disposition in lower case without parameters.
	Disposition *string `json:"d,omitempty"`
	// CID is Content-Id without angle brackets.
	CID *string `json:"i,omitempty"`
	// Location is Content-Location.
	Location *string `json:"l,omitempty"`
	// Language is the list of Content-Language tags.
	Language []string `json:"g,omitempty"`
	// Encoding is the Content-Transfer-Encoding in lower case.
	Encoding string `json:"x,omitempty"`
	// Header is where the header fields lie in the message.
	Header Span `json:"h"`
	// Body is where the encoded content lies in the message.
	Body Span `json:"b"`
	// Size is the length of the content in octets after transfer decoding.
	Size int64 `json:"z"`
	// Parts are the children of a multipart.
	Parts []*Part `json:"p,omitempty"`
}

// Multipart says whether the part has children instead of content.
func (p *Part) Multipart() bool { return strings.HasPrefix(p.Type, "multipart/") }

// Text says whether the part is of a text type.
func (p *Part) Text() bool { return strings.HasPrefix(p.Type, "text/") }

// Walk calls fn for the part and everything below it, depth first.
func (p *Part) Walk(fn func(*Part)) {
	fn(p)
	for _, child := range p.Parts {
		child.Walk(fn)
	}
}

// Find returns the part with an id, or nil.
func (p *Part) Find(id string) (found *Part) {
	p.Walk(func(q *Part) {
		if q.ID == id && id != "" {
			found = q
		}
	})
	return found
}

// Parse reads the MIME structure of a message.
func Parse(data []byte) *Part {
	p := parser{data: data, left: maxParts}
	return p.entity(Span{End: int64(len(data))}, "", 0, "text/plain")
}

type parser struct {
	data []byte
	left int
}

// entity reads the entity in a span. The id is that of the enclosing part.
func (p *parser) entity(s Span, id string, depth int, implied string) *Part {
	p.left--
	part := &Part{}
	part.Header, part.Body = splitHeader(p.data, s)
	part.describe(ParseFields(part.Header.Of(p.data)), implied)
	if part.Multipart() {
		p.children(part, id, depth)
	}
	if !part.Multipart() {
		part.ID = id
		if id == "" {
			part.ID = "1"
		}
		part.Size = DecodedSize(part.Encoding, part.Body.Of(p.data))
	}
	return part
}

// children reads the entities of a multipart. One without any is turned into a part that keeps its content.
func (p *parser) children(part *Part, id string, depth int) {
	fields := ParseFields(part.Header.Of(p.data))
	_, params := contentType(fields)
	boundary := params["boundary"]
	if depth == maxDepth || p.left <= 0 {
		part.Type, part.Charset = octets, nil
		return
	}
	spans := splitBody(p.data, part.Body, boundary)
	if len(spans) == 0 {
		part.Type, part.Encoding = "text/plain", ""
		part.Charset = new("us-ascii")
		return
	}
	implied := "text/plain"
	if part.Type == "multipart/digest" {
		implied = "message/rfc822"
	}
	for i, span := range spans {
		childID := strconv.Itoa(i + 1)
		if id != "" {
			childID = id + "." + childID
		}
		if p.left <= 1 && i+1 < len(spans) {
			rest := Span{Start: span.Start, End: spans[len(spans)-1].End}
			part.Parts = append(part.Parts, &Part{
				ID: childID, Type: octets, Header: Span{Start: rest.Start, End: rest.Start}, Body: rest, Size: rest.Len(),
			})
			return
		}
		part.Parts = append(part.Parts, p.entity(span, childID, depth+1, implied))
	}
}

// splitHeader finds the end of the header fields. A span that does not begin like a header has none.
func splitHeader(data []byte, s Span) (header, body Span) {
	at := s.Start
	for first := true; at < s.End; first = false {
		line := nextLine(data[at:s.End])
		trimmed := bytes.TrimRight(line, "\r\n")
		if len(trimmed) == 0 {
			return Span{s.Start, at}, Span{at + int64(len(line)), s.End}
		}
		if first && !startsHeader(trimmed) {
			return Span{s.Start, s.Start}, s
		}
		at += int64(len(line))
	}
	return s, Span{s.End, s.End}
}

// IsMessage tells whether data begins as a message does: with a field, with the line that mbox files put before, or with
// the empty line after a header of no fields. All else is content of another kind.
func IsMessage(data []byte) bool {
	line := bytes.TrimRight(nextLine(data), "\r\n")
	return len(data) > 0 && (len(line) == 0 || startsHeader(line))
}

// startsHeader says whether a line can be the first of a header: a field, or the line that mbox files put before.
func startsHeader(line []byte) bool {
	if bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From ")) {
		return true
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return false
	}
	for _, c := range bytes.TrimRight(line[:colon], " \t") {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// splitBody returns the spans between the delimiter lines of a multipart (RFC 2046 section 5.1.1). A missing last
// delimiter is read as the end of the body.
func splitBody(data []byte, body Span, boundary string) []Span {
	if boundary == "" {
		return nil
	}
	var spans []Span
	start := int64(-1)
	for at := body.Start; at < body.End; {
		lineStart, after, last, found := nextDelimiter(data, Span{at, body.End}, at == body.Start, boundary)
		if !found {
			break
		}
		if start >= 0 {
			spans = append(spans, Span{start, max(start, withoutBreak(data, start, lineStart))})
		}
		if last {
			return spans
		}
		start, at = after, after
	}
	if start >= 0 {
		spans = append(spans, Span{start, body.End})
	}
	return spans
}

// nextDelimiter finds the next line of two hyphens and the boundary. Last says that two more hyphens follow.
func nextDelimiter(data []byte, s Span, lineStart bool, boundary string) (at, after int64, last, found bool) {
	delimiter := []byte("--" + boundary)
	for from := s.Start; from < s.End; {
		i := bytes.Index(data[from:s.End], delimiter)
		if i < 0 {
			return 0, 0, false, false
		}
		at = from + int64(i)
		line := nextLine(data[at:s.End])
		rest := bytes.TrimRight(line[min(len(delimiter), len(line)):], " \t\r\n")
		begins := (at == s.Start && (lineStart || at == 0 || data[at-1] == '\n')) || (at > 0 && data[at-1] == '\n')
		if begins && (len(rest) == 0 || string(rest) == "--") {
			return at, at + int64(len(line)), len(rest) > 0, true
		}
		from = at + int64(len(delimiter))
	}
	return 0, 0, false, false
}

// withoutBreak drops the line break before a delimiter, which belongs to the delimiter.
func withoutBreak(data []byte, start, end int64) int64 {
	if end > start && data[end-1] == '\n' {
		end--
	}
	if end > start && data[end-1] == '\r' {
		end--
	}
	return end
}

// nextLine returns the first line with its line break.
func nextLine(data []byte) []byte {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return data[:i+1]
	}
	return data
}

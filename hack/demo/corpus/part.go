package corpus

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
)

// field is one header field, already encoded; fields keep their order.
type field struct{ name, value string }

// part is a node of a MIME tree (RFC 2046): a leaf with a body, or a multipart.
type part struct {
	fields   []field
	body     []byte // encoded body of a leaf, with CRLF line ends
	boundary string // of a multipart
	children []part
}

// render writes header fields, an empty line and the body.
func (p part) render(out *bytes.Buffer) {
	for _, f := range p.fields {
		fmt.Fprintf(out, "%s: %s\r\n", f.name, f.value)
	}
	out.WriteString("\r\n")
	if p.boundary == "" {
		out.Write(p.body)
		return
	}
	for _, child := range p.children {
		fmt.Fprintf(out, "--%s\r\n", p.boundary)
		child.render(out)
		out.WriteString("\r\n")
	}
	fmt.Fprintf(out, "--%s--\r\n", p.boundary)
}

// bytes renders the part alone.
func (p part) bytes() []byte {
	var out bytes.Buffer
	p.render(&out)
	return out.Bytes()
}

// multipart returns a multipart of a subtype; parameters extend its content type.
func (g *generator) multipart(subtype, parameters string, children ...part) part {
	boundary := fmt.Sprintf("=_%016x_%s", g.random.Uint64(), subtype)
	value := fmt.Sprintf("multipart/%s;%s\r\n boundary=%q", subtype, parameters, boundary)
	return part{fields: []field{{"Content-Type", value}}, boundary: boundary, children: children}
}

// plain returns a 7-bit text part.
func plain(text string) part {
	return part{
		fields: []field{{"Content-Type", "text/plain; charset=us-ascii"}, {"Content-Transfer-Encoding", "7bit"}},
		body:   crlf(text),
	}
}

// text returns a text part of a charset in the transfer encoding.
func text(subtype string, set charset, encoding, content string) (part, error) {
	raw, err := set.encode(content)
	if err != nil {
		return part{}, err
	}
	body, err := transfer(encoding, raw)
	if err != nil {
		return part{}, err
	}
	kind := fmt.Sprintf("text/%s; charset=%s", subtype, set.name)
	return part{fields: []field{{"Content-Type", kind}, {"Content-Transfer-Encoding", encoding}}, body: body}, nil
}

// attachment returns a base64 part with a file name (RFC 2183), in RFC 2231 form when
// the name is not ASCII.
func attachment(kind, name string, content []byte) part {
	return part{
		fields: []field{
			{"Content-Type", kind + ";\r\n " + parameter("name", name)},
			{"Content-Disposition", "attachment;\r\n " + parameter("filename", name)},
			{"Content-Transfer-Encoding", "base64"},
		},
		body: base64Lines(content),
	}
}

// parameter renders a MIME parameter, extended per RFC 2231 section 4 when needed.
func parameter(name, value string) string {
	if isASCII(value) {
		return fmt.Sprintf("%s=%q", name, value)
	}
	var escaped strings.Builder
	for _, b := range []byte(value) {
		if b > ' ' && b < 0x7f && !strings.ContainsRune("*'%()<>@,;:\\\"/[]?=", rune(b)) {
			escaped.WriteByte(b)
		} else {
			fmt.Fprintf(&escaped, "%%%02X", b)
		}
	}
	return name + "*=utf-8''" + escaped.String()
}

// transfer applies a content transfer encoding (RFC 2045 section 6). The content has
// CRLF line ends.
func transfer(encoding string, content []byte) ([]byte, error) {
	switch encoding {
	case "7bit", "8bit":
		return content, nil
	case "base64":
		return base64Lines(content), nil
	case "quoted-printable":
		var out bytes.Buffer
		w := quotedprintable.NewWriter(&out)
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("quoted-printable: %w", err)
		}
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("quoted-printable: %w", err)
		}
		return out.Bytes(), nil
	default:
		return nil, fmt.Errorf("transfer encoding %q: not known", encoding)
	}
}

// base64Lines encodes in lines of 76 characters.
func base64Lines(content []byte) []byte {
	const width = 76
	encoded := base64.StdEncoding.EncodeToString(content)
	var out bytes.Buffer
	for len(encoded) > width {
		out.WriteString(encoded[:width] + "\r\n")
		encoded = encoded[width:]
	}
	out.WriteString(encoded + "\r\n")
	return out.Bytes()
}

// crlf gives text the line ends of mail.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7e || r < 0x20 }) < 0
}

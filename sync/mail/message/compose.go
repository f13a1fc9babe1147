package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

const (
	// lineLength is where lines are folded (RFC 5322 section 2.1.1).
	lineLength = 76
	// maxLine is the longest line that may be sent as it is.
	maxLine = 998
)

// Entity is a part of a message to be written.
type Entity struct {
	// Fields are the header fields in order, the values in Raw form, without Content-Type and
	// Content-Transfer-Encoding when Type is set.
	Fields Fields
	// Type is the media type; "multipart/..." when there are children.
	Type string
	// Params are the parameters of Content-Type in order, without the boundary.
	Params []Parameter
	// Content is what a leaf holds, before transfer encoding.
	Content []byte
	// Parts are the children of a multipart.
	Parts []*Entity
	// Boundary separates the children. It occurs nowhere in them.
	Boundary string
}

// Parameter is a parameter of a header field.
type Parameter struct {
	// Name is the name of the parameter.
	Name string
	// Value is its value before encoding.
	Value string
}

// Compose writes an entity as a message.
func Compose(e *Entity) []byte {
	var out bytes.Buffer
	e.write(&out)
	return out.Bytes()
}

func (e *Entity) write(out *bytes.Buffer) {
	for _, f := range e.Fields {
		writeField(out, f)
	}
	if len(e.Parts) > 0 {
		e.writeParts(out)
		return
	}
	encoding := transferEncoding(e)
	writeField(out, Field{"Content-Type", " " + e.Type + FormatParameters(e.Params)})
	writeField(out, Field{"Content-Transfer-Encoding", " " + encoding})
	out.WriteString("\r\n")
	writeEncoded(out, encoding, e.Content)
}

func (e *Entity) writeParts(out *bytes.Buffer) {
	params := append([]Parameter{{"boundary", e.Boundary}}, e.Params...)
	writeField(out, Field{"Content-Type", " " + e.Type + FormatParameters(params)})
	out.WriteString("\r\n")
	for _, p := range e.Parts {
		fmt.Fprintf(out, "--%s\r\n", e.Boundary)
		p.write(out)
		out.WriteString("\r\n")
	}
	fmt.Fprintf(out, "--%s--\r\n", e.Boundary)
}

func writeField(out *bytes.Buffer, f Field) {
	fmt.Fprintf(out, "%s:%s\r\n", f.Name, f.Value)
}

// transferEncoding chooses how content is sent so that any path keeps it.
func transferEncoding(e *Entity) string {
	plain := ascii(e.Content) && shortLines(e.Content) && bytes.IndexByte(e.Content, 0) < 0
	switch {
	case strings.HasPrefix(e.Type, "message/"):
		if plain {
			return "7bit"
		}
		return "8bit"
	case plain && strings.HasPrefix(e.Type, "text/"):
		return "7bit"
	case strings.HasPrefix(e.Type, "text/") && utf8.Valid(e.Content):
		return "quoted-printable"
	default:
		return "base64"
	}
}

// shortLines says whether every line ends with CRLF and is short enough to be sent.
func shortLines(content []byte) bool {
	for len(content) > 0 {
		line := nextLine(content)
		content = content[len(line):]
		body := bytes.TrimSuffix(line, []byte("\r\n"))
		if len(body) > maxLine || bytes.ContainsAny(body, "\r\n") {
			return false
		}
	}
	return true
}

// writeEncoded writes content in a transfer encoding. Writing to a buffer cannot fail, so that the errors of the
// encoders say nothing.
func writeEncoded(out *bytes.Buffer, encoding string, content []byte) {
	var w io.WriteCloser
	switch encoding {
	case "quoted-printable":
		w = quotedprintable.NewWriter(out)
	case "base64":
		w = base64.NewEncoder(base64.StdEncoding, &wrapper{out: out})
	default:
		out.Write(content)
		return
	}
	if _, err := w.Write(content); err == nil {
		_ = w.Close()
	}
}

// wrapper breaks base64 into lines (RFC 2045 section 6.8).
type wrapper struct {
	out    io.Writer
	column int
}

func (w *wrapper) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if w.column == lineLength {
			if _, err := io.WriteString(w.out, "\r\n"); err != nil {
				return 0, err
			}
			w.column = 0
		}
		chunk := p[:min(len(p), lineLength-w.column)]
		if _, err := w.out.Write(chunk); err != nil {
			return 0, err
		}
		w.column += len(chunk)
		p = p[len(chunk):]
	}
	return n, nil
}

// FormatText returns a text as the value of a field in Raw form, encoded and folded as needed.
func FormatText(text string) string {
	text = strings.NewReplacer("\r", "", "\n", " ", "\x00", "").Replace(text)
	return fold(" " + encodeWords(text))
}

// encodeWords encodes a text when it has characters that a header may not hold, or looks like an encoded word.
func encodeWords(text string) string {
	if !strings.Contains(text, "=?") && mime.QEncoding.Encode("utf-8", text) == text {
		return text
	}
	var out []string
	const chunk = 40
	for text != "" {
		n := min(len(text), chunk)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		out = append(out, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(text[:n]))+"?=")
		text = text[n:]
	}
	return strings.Join(out, " ")
}

// FormatAddresses returns addresses as the value of a field in Raw form.
func FormatAddresses(list []Address) string {
	return fold(" " + joinAddresses(list))
}

// FormatGroups returns groups of addresses as the value of a field in Raw form.
func FormatGroups(groups []AddressGroup) string {
	var out []string
	for _, g := range groups {
		if text := joinAddresses(g.Addresses); g.Name != nil {
			out = append(out, formatPhrase(*g.Name)+": "+text+";")
		} else if text != "" {
			out = append(out, text)
		}
	}
	return fold(" " + strings.Join(out, ", "))
}

func joinAddresses(list []Address) string {
	out := make([]string, 0, len(list))
	for _, a := range list {
		email := strings.NewReplacer("\r", "", "\n", "", "<", "", ">", "", "\x00", "").Replace(a.Email)
		if a.Name == nil || *a.Name == "" {
			out = append(out, email)
			continue
		}
		out = append(out, formatPhrase(*a.Name)+" <"+email+">")
	}
	return strings.Join(out, ", ")
}

// formatPhrase writes a display name as atoms, a quoted string or encoded words.
func formatPhrase(name string) string {
	name = strings.NewReplacer("\r", "", "\n", " ", "\x00", "").Replace(name)
	if encoded := encodeWords(name); encoded != name {
		return encoded
	}
	if !strings.ContainsAny(name, `()<>[]:;@\,."`) && strings.TrimSpace(name) == name {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// FormatBracketed returns message ids or URLs in angle brackets as the value of a field in Raw form.
func FormatBracketed(list []string, separator string) string {
	out := make([]string, len(list))
	for i, item := range list {
		out[i] = "<" + strings.Map(dropBracket, item) + ">"
	}
	return fold(" " + strings.Join(out, separator+" "))
}

func dropBracket(r rune) rune {
	if r == '<' || r == '>' || r <= ' ' {
		return -1
	}
	return r
}

// FormatParameters returns parameters to follow a value, each after a semicolon.
func FormatParameters(params []Parameter) string {
	var out strings.Builder
	for _, p := range params {
		value := p.Value
		switch {
		case !ascii([]byte(value)) || strings.ContainsAny(value, "\r\n\x00"):
			fmt.Fprintf(&out, ";\r\n %s*=utf-8''%s", p.Name, percentEncode(value))
		case isToken(value):
			fmt.Fprintf(&out, "; %s=%s", p.Name, value)
		default:
			fmt.Fprintf(&out, "; %s=\"%s\"", p.Name, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
		}
	}
	return out.String()
}

func percentEncode(s string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			out.WriteByte(c)
			continue
		}
		fmt.Fprintf(&out, "%%%02X", c)
	}
	return out.String()
}

// fold breaks a value, which begins with a space, into lines at spaces where it is long.
func fold(value string) string {
	if len(value) <= lineLength {
		return value
	}
	var out strings.Builder
	column := 0
	for i, word := range strings.Split(value[1:], " ") {
		if i > 0 && word != "" && column+1+len(word) > lineLength {
			out.WriteString("\r\n")
			column = 0
		}
		out.WriteString(" " + word)
		column += 1 + len(word)
	}
	return out.String()
}

// ValidRaw says whether a value can be written as a field in Raw form: its line breaks are those of folding.
func ValidRaw(value string) bool {
	rest := strings.ReplaceAll(strings.ReplaceAll(value, "\r\n ", ""), "\r\n\t", "")
	return !strings.ContainsAny(rest, "\r\n\x00") && utf8.ValidString(value)
}

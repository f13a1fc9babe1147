package message

import (
	"bytes"
	"slices"
	"strings"
)

// Wire returns a message as it travels: every line ends with CRLF, and no line of an mbox file stands before the
// header (RFC 5321 section 2.3.8). A message that is like that already is returned as it is.
func Wire(data []byte) []byte {
	if line := nextLine(data); bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From ")) {
		data = data[len(line):]
	}
	if canonical(data) {
		return data
	}
	var out bytes.Buffer
	out.Grow(len(data) + len(data)/32)
	for i, c := range data {
		switch {
		case c == '\r' && i+1 < len(data) && data[i+1] == '\n':
		case c == '\r' || c == '\n':
			out.WriteString("\r\n")
		default:
			out.WriteByte(c)
		}
	}
	if !bytes.HasSuffix(out.Bytes(), []byte("\r\n")) {
		out.WriteString("\r\n")
	}
	return out.Bytes()
}

// canonical says whether every line ends with CRLF.
func canonical(data []byte) bool {
	for i, c := range data {
		if (c == '\r' && (i+1 == len(data) || data[i+1] != '\n')) || (c == '\n' && (i == 0 || data[i-1] != '\r')) {
			return false
		}
	}
	return bytes.HasSuffix(data, []byte("\r\n"))
}

// Sendable says whether a message in the form of Wire can be sent over SMTP: it has no NUL and no line that is too
// long (RFC 5321 section 4.5.3.1.6).
func Sendable(data []byte) bool {
	if bytes.IndexByte(data, 0) >= 0 {
		return false
	}
	for len(data) > 0 {
		line := nextLine(data)
		if len(bytes.TrimRight(line, "\r\n")) > maxLine {
			return false
		}
		data = data[len(line):]
	}
	return true
}

// Without returns a message without the header fields of some names, matched without regard to case. One that has
// none of them is returned as it is.
func Without(data []byte, names ...string) []byte {
	header, _ := splitHeader(data, Span{End: int64(len(data))})
	var out []byte
	kept := 0
	for at := 0; at < int(header.End); {
		end := at + len(nextLine(data[at:header.End]))
		for end < int(header.End) && isFold(data[end]) {
			end += len(nextLine(data[end:header.End]))
		}
		if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, nameOf(data[at:end])) }) {
			out = append(out, data[kept:at]...)
			kept = end
		}
		at = end
	}
	if kept == 0 {
		return data
	}
	return append(out, data[kept:]...)
}

// nameOf returns the name of a header field, or nothing.
func nameOf(field []byte) string {
	name, _, ok := bytes.Cut(field, []byte(":"))
	if !ok {
		return ""
	}
	return string(bytes.TrimRight(name, " \t"))
}

// HeaderOf returns the header of a message with the empty line after it.
func HeaderOf(data []byte) []byte {
	header, body := splitHeader(data, Span{End: int64(len(data))})
	return data[header.Start:body.Start]
}

// ASCII says whether text holds nothing but ASCII.
func ASCII(text []byte) bool { return ascii(text) }

package message

import (
	"encoding/base64"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// DecodeText returns a field value in Text form (RFC 8621 section 4.1.2.2).
func DecodeText(value string) string {
	return DecodeWords(strings.TrimLeft(unfold(value), " "))
}

// DecodeWords decodes the encoded words of an unfolded text (RFC 2047) and normalizes it to NFC. What looks like
// an encoded word in a place where none may be, or is malformed, stays as it is.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return norm.NFC.String(s)
	}
	var out strings.Builder
	var run words
	for s != "" {
		space := s[:len(s)-len(strings.TrimLeft(s, " \t"))]
		rest := s[len(space):]
		token := rest
		if end := strings.IndexAny(rest, " \t"); end >= 0 {
			token = rest[:end]
		}
		s = rest[len(token):]
		charset, octets, ok := decodeWord(token)
		if ok && run.active {
			space = ""
		}
		if !ok {
			run.flush(&out)
		}
		if space != "" {
			run.flush(&out)
			out.WriteString(space)
		}
		if ok {
			run.add(&out, charset, octets)
			continue
		}
		out.WriteString(token)
	}
	run.flush(&out)
	return norm.NFC.String(out.String())
}

// words collects the octets of encoded words that follow each other in one charset, because senders cut
// characters in two.
type words struct {
	active  bool
	charset string
	octets  []byte
}

func (w *words) add(out *strings.Builder, charset string, octets []byte) {
	if w.active && !strings.EqualFold(w.charset, charset) {
		w.flush(out)
	}
	w.active, w.charset = true, charset
	w.octets = append(w.octets, octets...)
}

func (w *words) flush(out *strings.Builder) {
	if !w.active {
		return
	}
	text, _ := Decode(w.octets, w.charset)
	out.WriteString(strings.Map(dropControl, text))
	*w = words{}
}

func dropControl(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// decodeWord reads a token as one encoded word of a known charset.
func decodeWord(token string) (charset string, octets []byte, ok bool) {
	inner, ok := strings.CutPrefix(token, "=?")
	if !ok {
		return "", nil, false
	}
	if inner, ok = strings.CutSuffix(inner, "?="); !ok {
		return "", nil, false
	}
	parts := strings.Split(inner, "?")
	if len(parts) != 3 || !isToken(parts[0]) {
		return "", nil, false
	}
	charset, _, _ = strings.Cut(parts[0], "*")
	if !knownCharset(charset) {
		return "", nil, false
	}
	switch parts[1] {
	case "b", "B":
		octets, ok = decodeB(parts[2])
	case "q", "Q":
		octets, ok = decodeQ(parts[2])
	default:
		ok = false
	}
	return charset, octets, ok
}

func decodeB(s string) ([]byte, bool) {
	out, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return out, err == nil
}

func decodeQ(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '_':
			out = append(out, ' ')
		case '=':
			if i+2 >= len(s) {
				return nil, false
			}
			octet, ok := hexOctet(s[i+1], s[i+2])
			if !ok {
				return nil, false
			}
			out = append(out, octet)
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out, true
}

func hexOctet(hi, lo byte) (byte, bool) {
	h, okHi := hexDigit(hi)
	l, okLo := hexDigit(lo)
	return h<<4 | l, okHi && okLo
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	default:
		return 0, false
	}
}

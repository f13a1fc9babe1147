package message

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// KnownEncoding says whether a Content-Transfer-Encoding is understood. Content in another one is taken as it is.
func KnownEncoding(name string) bool {
	switch name {
	case "", "7bit", "8bit", "binary", "base64", "quoted-printable":
		return true
	default:
		return false
	}
}

// DecodeTransfer returns content after its Content-Transfer-Encoding is undone. It is lenient: octets that do not
// belong into the encoding are passed over in base64 and kept in quoted-printable.
func DecodeTransfer(name string, content []byte) []byte {
	switch name {
	case "base64":
		return decodeBase64(content)
	case "quoted-printable":
		out := make([]byte, 0, len(content))
		eachQuoted(content, func(chunk []byte) { out = append(out, chunk...) })
		return out
	default:
		return content
	}
}

// DecodedSize is the length of DecodeTransfer's result, without making it.
func DecodedSize(name string, content []byte) int64 {
	switch name {
	case "base64":
		digits := 0
		for _, c := range content {
			if c == '=' {
				break
			}
			if base64Digit(c) {
				digits++
			}
		}
		return int64(digits) * 6 / 8
	case "quoted-printable":
		size := 0
		eachQuoted(content, func(chunk []byte) { size += len(chunk) })
		return int64(size)
	default:
		return int64(len(content))
	}
}

// EncodedPrefix is how many octets of encoded content yield at least n decoded ones, or all of them.
func EncodedPrefix(content []byte, n int) []byte {
	if most := 4 * n; most > 0 && len(content) > most {
		return content[:most]
	}
	return content
}

func decodeBase64(content []byte) []byte {
	digits := make([]byte, 0, len(content))
	for _, c := range content {
		if c == '=' {
			break
		}
		if base64Digit(c) {
			digits = append(digits, c)
		}
	}
	if len(digits)%4 == 1 {
		digits = digits[:len(digits)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(digits)))
	n, _ := base64.RawStdEncoding.Decode(out, digits)
	return out[:n]
}

func base64Digit(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// eachQuoted decodes quoted-printable content in chunks (RFC 2045 section 6.7).
func eachQuoted(content []byte, emit func([]byte)) {
	for len(content) > 0 {
		i := bytes.IndexByte(content, '=')
		if i < 0 {
			emit(content)
			return
		}
		emit(content[:i])
		content = content[i:]
		if len(content) >= 3 {
			if octet, ok := hexOctet(content[1], content[2]); ok {
				emit([]byte{octet})
				content = content[3:]
				continue
			}
		}
		// Only white space is looked at, because a line may be as long as the message.
		after := bytes.TrimLeft(content[1:], " \t\r")
		if len(after) == 0 {
			return
		}
		if after[0] == '\n' {
			content = after[1:]
			continue
		}
		emit(content[:1])
		content = content[1:]
	}
}

// Decode converts octets of a charset to UTF-8 and tells whether something was wrong: the charset is unknown, or
// octets do not belong to it. UTF-8 that claims to be another charset, or none, is recognized where that is safe.
func Decode(octets []byte, charset string) (text string, problem bool) {
	switch label := strings.ToLower(strings.TrimSpace(charset)); label {
	case "", "us-ascii", "ascii":
		if ascii(octets) {
			return string(octets), false
		}
		if utf8.Valid(octets) {
			return string(octets), label != ""
		}
		text, _ = decodeWith(charmap.Windows1252, octets)
		return text, true
	case "utf-8", "utf8":
		return strings.ToValidUTF8(string(octets), "\uFFFD"), !utf8.Valid(octets)
	case "utf-16":
		// The byte order mark tells the order (RFC 2781 section 4.3); without one it is that of most machines.
		return decodeWith(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), octets)
	default:
		enc := lookup(label)
		if enc == nil {
			return strings.ToValidUTF8(string(octets), "\uFFFD"), true
		}
		return decodeWith(enc, octets)
	}
}

func decodeWith(enc encoding.Encoding, octets []byte) (text string, problem bool) {
	out, err := enc.NewDecoder().Bytes(octets)
	text = strings.ToValidUTF8(string(out), "\uFFFD")
	return text, err != nil || strings.ContainsRune(text, utf8.RuneError)
}

func knownCharset(label string) bool {
	label = strings.ToLower(label)
	return label == "us-ascii" || label == "ascii" || label == "utf-8" || label == "utf8" || lookup(label) != nil
}

func lookup(label string) encoding.Encoding {
	if enc, err := htmlindex.Get(label); err == nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(label); err == nil {
		return enc
	}
	return nil
}

func ascii(octets []byte) bool {
	for _, c := range octets {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

package message

import (
	"bytes"
	"strings"
	"testing"
)

func TestMessagesGetTheLineEndsOfTheWire(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a: b\r\n\r\nc\r\n":           "a: b\r\n\r\nc\r\n",
		"a: b\n\nc":                   "a: b\r\n\r\nc\r\n",
		"a: b\rBcc: c\r\n\r\n":        "a: b\r\nBcc: c\r\n\r\n",
		"a\r\r\nb\n\rc":               "a\r\n\r\nb\r\n\r\nc\r\n",
		"From x Mon\r\na: b\r\n\r\n":  "a: b\r\n\r\n",
		">From x Mon\r\na: b\r\n\r\n": "a: b\r\n\r\n",
		"":                            "\r\n",
	} {
		if got := string(Wire([]byte(in))); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestFieldsAreTakenOutOfTheHeader(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"To: a\r\nBcc: b,\r\n c\r\nX: y\r\n\r\nBcc: d\r\n": "To: a\r\nX: y\r\n\r\nBcc: d\r\n",
		"bcc : b\r\nBCC: c\r\n\r\n":                        "\r\n",
		"To: a\r\nBccs: b\r\n\r\n":                         "To: a\r\nBccs: b\r\n\r\n",
		"To: a\r\nBcc: b":                                  "To: a\r\n",
		"no header":                                        "no header",
		"":                                                 "",
	} {
		if got := string(Without([]byte(in), "Bcc")); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestWhatSMTPCannotCarryIsFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"a\r\n": true, strings.Repeat("x", 998) + "\r\n": true, strings.Repeat("x", 999) + "\r\n": false, "a\x00\r\n": false,
	} {
		if Sendable([]byte(text)) != want {
			t.Errorf("%d octets: sendable is not %t", len(text), want)
		}
	}
}

func FuzzWire(f *testing.F) {
	for _, seed := range []string{"a: b\nBcc: c\r\r\n\n", "From x\nBcc: y\n z\n\nBcc: q", "\r", "Bcc: a\rBcc: b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		wire := Wire(data)
		if !canonical(wire) {
			t.Errorf("%q became %q", data, wire)
		}
		sent := Without(wire, "Bcc")
		header, _ := splitHeader(sent, Span{End: int64(len(sent))})
		for _, field := range ParseFields(header.Of(sent)) {
			if strings.EqualFold(field.Name, "Bcc") {
				t.Errorf("%q still has a Bcc field: %q", data, sent)
			}
		}
		if !bytes.HasPrefix(wire, HeaderOf(wire)) {
			t.Errorf("%q does not begin with its header", wire)
		}
	})
}

package message

import (
	"strings"
	"testing"
)

func TestSubjectsOfNothingButTagsHaveABase(t *testing.T) {
	t.Parallel()
	for name, subject := range map[string]string{
		"tags":     strings.Repeat("[a]", 5_000_000),
		"replies":  strings.Repeat("Re: ", 5_000_000),
		"forwards": strings.Repeat("[Fwd: ", 3_000_000) + strings.Repeat("]", 3_000_000),
		"trailers": strings.Repeat("(fwd) ", 3_000_000),
		"letters":  strings.Repeat("\u00e9", 5_000_000),
	} {
		if got := BaseSubject(subject); len(got) > maxSubject || strings.ContainsRune(got, '\uFFFD') {
			t.Errorf("%s: a base of %d octets", name, len(got))
		}
	}
	if got := BaseSubject("Re: [list] Lunch" + strings.Repeat(" x", 400)); !strings.HasPrefix(got, "Lunch x x") {
		t.Errorf("base %q", got)
	}
}

func TestHeadersAreReadToABound(t *testing.T) {
	t.Parallel()
	small := "Subject: s\r\n" + strings.Repeat("X: "+strings.Repeat("x", 94)+"\r\n", 10_000)
	if got := len(ParseFields([]byte(small))); got != 10_001 {
		t.Errorf("%d fields of a header of a megabyte", got)
	}
	large := "Subject: s\r\n" + strings.Repeat("a:\r\n", maxHeader)
	fields := ParseFields([]byte(large))
	if subject, _ := fields.Last("Subject"); subject != " s" || len(fields) > maxHeader/4 {
		t.Errorf("%d fields, subject %q", len(fields), subject)
	}
}

func TestQuotedPrintableOnOneLineIsReadOnce(t *testing.T) {
	t.Parallel()
	const n = 5_000_000
	for content, want := range map[string]int{
		strings.Repeat("=", n):                  n - 1,
		strings.Repeat("= ", n):                 2*n - 2,
		strings.Repeat("=3D", n):                n,
		strings.Repeat("= \r\n", n):             0,
		"a=\r\nb=\nc= \t\r\nd=" + "  ":          4,
		"a" + strings.Repeat("=\r\n", n) + "b=": 2,
	} {
		if got := len(DecodeTransfer("quoted-printable", []byte(content))); got != want || int64(got) != DecodedSize("quoted-printable", []byte(content)) {
			t.Errorf("%.10q: %d octets, want %d", content, got, want)
		}
	}
}

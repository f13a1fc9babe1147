package message

import (
	"strings"
	"unicode"
)

// maxSubject is how many octets of a subject its base is made of: tags can be nested and repeated, and a subject of
// nothing else must not cost more than it is worth.
const maxSubject = 1000

// BaseSubject returns the base subject of a decoded subject (RFC 5256 section 2.1): without the markers of replies
// and forwards and the tags of lists.
func BaseSubject(subject string) string {
	if len(subject) > maxSubject {
		subject = cut(subject, maxSubject, false)
	}
	s := strings.Join(strings.FieldsFunc(subject, unicode.IsSpace), " ")
	for {
		s = withoutTrailer(s)
		s = withoutLeaders(s)
		inner, ok := strings.CutPrefix(strings.ToLower(s), "[fwd:")
		if !ok || !strings.HasSuffix(inner, "]") {
			return s
		}
		s = strings.TrimSpace(s[len("[fwd:") : len(s)-1])
	}
}

func withoutTrailer(s string) string {
	for {
		s = strings.TrimSpace(s)
		if len(s) < len("(fwd)") || !strings.EqualFold(s[len(s)-len("(fwd)"):], "(fwd)") {
			return s
		}
		s = s[:len(s)-len("(fwd)")]
	}
}

// withoutLeaders removes "Re:", "Fw:" and "[tag]" from the front, but leaves at least something.
func withoutLeaders(s string) string {
	for {
		rest, ok := cutLeader(s)
		if !ok {
			rest, ok = cutBlob(s)
			ok = ok && rest != ""
		}
		if !ok {
			return s
		}
		s = rest
	}
}

// cutLeader cuts tags and one reply or forward marker with its colon.
func cutLeader(s string) (string, bool) {
	rest := s
	for {
		next, ok := cutBlob(rest)
		if !ok {
			break
		}
		rest = next
	}
	for _, marker := range []string{"re", "fwd", "fw"} {
		if len(rest) < len(marker) || !strings.EqualFold(rest[:len(marker)], marker) {
			continue
		}
		after := strings.TrimLeft(rest[len(marker):], " ")
		if next, ok := cutBlob(after); ok {
			after = next
		}
		if after, ok := strings.CutPrefix(after, ":"); ok {
			return strings.TrimLeft(after, " "), true
		}
	}
	return s, false
}

// cutBlob cuts a tag in brackets.
func cutBlob(s string) (string, bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] != ']' || strings.HasPrefix(strings.ToLower(s), "[fwd:") {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

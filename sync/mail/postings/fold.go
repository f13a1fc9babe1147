// Package postings is the full-text index of an account: which words occur in which emails, in segments that do not
// change. What matches a search is decided by one text occurring within another, both folded. An index only finds the
// emails for which that can be so, and tells when it is so for certain.
//
// The package knows no store: it reads and writes the values of which a segment is made.
package postings

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold brings text into the form in which searches compare it: without regard to case, to the forms that one letter
// has (full width, ligatures, superscripts), and to the accents of scripts in which people leave them out.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	s = cases.Fold().String(norm.NFKC.String(s))
	return norm.NFC.String(withoutAccents(norm.NFKD.String(s)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// withoutAccents leaves out the marks, of decomposed text, that searches do not look at.
func withoutAccents(s string) string {
	var out strings.Builder
	out.Grow(len(s))
	var base *unicode.RangeTable
	for at := 0; at < len(s); {
		r, width := utf8.DecodeRuneInString(s[at:])
		switch mark := combines(r, s[at:]); {
		case mark && optional(base, r):
			at += width
			continue
		case !mark:
			base = scriptOf(r)
		}
		out.WriteString(s[at : at+width])
		at += width
	}
	return out.String()
}

// combines says whether a character, at the front of a text, is a mark of the letter before it.
func combines(r rune, text string) bool {
	return r >= utf8.RuneSelf && unicode.Is(unicode.Mn, r) && norm.NFD.PropertiesString(text).CCC() != 0
}

// optional says whether a mark can be left out after a letter of a script. Elsewhere marks are vowels, or make other
// letters: in Thai, Devanagari or Kana they stay.
func optional(base *unicode.RangeTable, mark rune) bool {
	switch base {
	case nil:
		return false
	case unicode.Cyrillic:
		// A breve makes another letter; a diaeresis and a stress do not to those who type.
		return mark == '\u0300' || mark == '\u0301' || mark == '\u0308'
	default:
		return true
	}
}

// scriptOf returns the script of a letter, when it is one whose marks can be left out.
func scriptOf(r rune) *unicode.RangeTable {
	if r < utf8.RuneSelf {
		if c := r | 0x20; c >= 'a' && c <= 'z' {
			return unicode.Latin
		}
		return nil
	}
	for _, script := range []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Hebrew, unicode.Arabic} {
		if unicode.Is(script, r) {
			return script
		}
	}
	return nil
}

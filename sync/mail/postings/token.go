package postings

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// The lengths of tokens, in characters. A longer word is cut into tokens that overlap, so that each part of it that is
// no longer than maxPiece lies in one of them.
const (
	maxToken = 32
	maxPiece = maxToken / 2
)

// class tells how a character is indexed. It depends on the character alone, so that a text and a part of it are cut
// at the same places.
type class byte

const (
	// separator stands between words and is not indexed.
	separator class = iota
	// letter is of a word.
	letter
	// dense is of a script that puts no spaces between words: pairs of characters take their place.
	dense
)

// separators are between words: white space, punctuation, signs that join, controls.
var separators = []*unicode.RangeTable{unicode.White_Space, unicode.P, unicode.Sm, unicode.Sk, unicode.Sc, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Zs}

var denseScripts = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan}

// The prolonged sound mark of Kana is common to two scripts.
const prolonged = '\u30fc'

func classOf(r rune) class {
	switch {
	case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r >= 'A' && r <= 'Z':
		return letter
	case r < utf8.RuneSelf, unicode.In(r, separators...):
		return separator
	case r == prolonged, unicode.In(r, denseScripts...):
		return dense
	default:
		return letter
	}
}

// run is a part of a text whose characters are of one class.
type run struct {
	class      class
	start, end int
	// length is the number of characters.
	length int
}

// runs calls fn with the words of a text and what lies dense in it.
func runs(text string, fn func(run)) {
	var now run
	for at := 0; at < len(text); {
		r, width := utf8.DecodeRuneInString(text[at:])
		if c := classOf(r); c != now.class {
			if now.class != separator {
				fn(now)
			}
			now = run{class: c, start: at}
		}
		at += width
		now.end = at
		now.length++
	}
	if now.class != separator {
		fn(now)
	}
}

// Tokens calls fn with each token of a text, which is folded. Tokens that occur more than once come more than once.
func Tokens(text string, fn func(token string)) {
	runs(text, func(r run) {
		switch {
		case r.class == dense && r.length > 1:
			windows(text[r.start:r.end], 2, 1, fn)
		case r.length > maxToken:
			windows(text[r.start:r.end], maxToken, maxPiece, fn)
		default:
			fn(text[r.start:r.end])
		}
	})
}

// windows calls fn with parts of a text of so many characters, each so many after the one before. The last ends with
// the text.
func windows(text string, size, step int, fn func(string)) {
	for {
		end, next := 0, 0
		for i := range size {
			if end == len(text) {
				break
			}
			_, width := utf8.DecodeRuneInString(text[end:])
			if end += width; i+1 == step {
				next = end
			}
		}
		fn(text[:end])
		if end == len(text) {
			return
		}
		text = text[next:]
	}
}

// matching says how a token has to agree with what is looked for.
type matching byte

const (
	contains matching = iota
	begins
	ends
	equals
)

// need is a token that a text must have for a term to occur in it.
type need struct {
	matching matching
	text     string
}

// Query is how a term is looked up.
type Query struct {
	needs []need
	// exact says that the term occurs in each text that has what is needed. Otherwise it may.
	exact bool
}

// Compile says how to look a term up, which is folded and not empty.
func Compile(term string) Query {
	var q Query
	runs(term, func(r run) {
		first, last := r.start == 0, r.end == len(term)
		piece := term[r.start:r.end]
		switch {
		case r.class == dense && r.length > 1:
			windows(piece, 2, 1, func(pair string) { q.add(need{matching: equals, text: pair}) })
			q.exact = first && last && r.length == 2
		case r.class == dense:
			q.add(need{text: piece})
			q.exact = first && last
		case r.length > maxPiece:
			q.addLong(piece)
		default:
			q.add(need{matching: matchingOf(first, last), text: piece})
			q.exact = first && last
		}
	})
	return q
}

// matchingOf says how a word of a text agrees with the part of a term, which goes on before and after it or not.
func matchingOf(first, last bool) matching {
	switch {
	case first && last:
		return contains
	case first:
		return ends
	case last:
		return begins
	default:
		return equals
	}
}

// addLong looks for both ends of a piece that need not be within one token.
func (q *Query) addLong(piece string) {
	start, end := 0, len(piece)
	for range maxPiece {
		_, width := utf8.DecodeRuneInString(piece[start:])
		start += width
		_, width = utf8.DecodeLastRuneInString(piece[:end])
		end -= width
	}
	q.add(need{text: piece[:start]})
	q.add(need{text: piece[end:]})
}

func (q *Query) add(n need) {
	if !slices.Contains(q.needs, n) {
		q.needs = append(q.needs, n)
	}
}

package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
)

const (
	openMark  = "<mark>"
	closeMark = "</mark>"
	ellipsis  = "…"

	// maxSnippet is the most octets of the preview of a SearchSnippet (RFC 8621 section 5).
	maxSnippet = 255
	// leadSnippet is how many octets of it come before the first match at most.
	leadSnippet = 60
)

// htmlEscaper replaces the characters that RFC 8621 section 5 names.
var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// foldedText is text in the form in which it is compared. For each octet of it, from and to tell which octets of
// the text it stems from.
type foldedText struct {
	folded   strings.Builder
	from, to []int
	// spaced says that the folded text ends with a space.
	spaced bool
}

// newFoldedText folds a text piece by piece. Each run of white space becomes one space.
func newFoldedText(text string) *foldedText {
	f := &foldedText{}
	for at := 0; at < len(text); {
		end := at + pieceLength(text[at:])
		f.add(foldPiece(text[at:end]), at, end)
		at = end
	}
	return f
}

func (f *foldedText) add(folded string, from, to int) {
	for _, r := range folded {
		if unicode.IsSpace(r) {
			if f.spaced {
				continue
			}
			r = ' '
		}
		f.spaced = r == ' '
		for range utf8.RuneLen(r) {
			f.from, f.to = append(f.from, from), append(f.to, to)
		}
		f.folded.WriteRune(r)
	}
}

// pieceLength is how many octets at the front of a text fold together: a run of white space, an ASCII character
// that nothing combines with, or a character with all that combines with it.
func pieceLength(text string) int {
	if end := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsSpace(r) }); end != 0 {
		if end < 0 {
			return len(text)
		}
		return end
	}
	if text[0] < utf8.RuneSelf && (len(text) == 1 || text[1] < utf8.RuneSelf) {
		return 1
	}
	return max(1, norm.NFKC.NextBoundaryInString(text, true))
}

func foldPiece(piece string) string {
	first, _ := utf8.DecodeRuneInString(piece)
	switch {
	case unicode.IsSpace(first):
		return " "
	case len(piece) > 1 || first >= utf8.RuneSelf:
		return postings.Fold(piece)
	case first >= 'A' && first <= 'Z':
		return string(first - 'A' + 'a')
	default:
		return piece
	}
}

// findMarks returns where the terms, which are folded, occur in a text: in order, and apart from each other.
func findMarks(text string, terms []string) []message.Span {
	f := newFoldedText(text)
	folded := f.folded.String()
	marked := make([]bool, len(text))
	for _, term := range terms {
		for at := 0; ; at += len(term) {
			next := strings.Index(folded[at:], term)
			if next < 0 {
				break
			}
			at += next
			for i := f.from[at]; i < f.to[at+len(term)-1]; i++ {
				marked[i] = true
			}
		}
	}
	return runs(marked)
}

// runs returns where a value is true, and true again right after.
func runs(marked []bool) []message.Span {
	var out []message.Span
	for i, is := range marked {
		switch at := int64(i); {
		case !is:
		case i > 0 && marked[i-1]:
			out[len(out)-1].End = at + 1
		default:
			out = append(out, message.Span{Start: at, End: at + 1})
		}
	}
	return out
}

// markAll escapes a text for HTML and wraps what is marked.
func markAll(text string, marks []message.Span) string {
	var out strings.Builder
	at := int64(0)
	for _, m := range marks {
		out.WriteString(htmlEscaper.Replace(text[at:m.Start]) + openMark + htmlEscaper.Replace(text[m.Start:m.End]) + closeMark)
		at = m.End
	}
	return out.String() + htmlEscaper.Replace(text[at:])
}

// markPreview does the same for as much around the first mark as fits a preview.
func markPreview(text string, marks []message.Span) string {
	start := leadOf(text, int(marks[0].Start))
	budget := maxSnippet - len(ellipsis)
	var prefix string
	if start > 0 {
		prefix = ellipsis
	}
	budget -= len(prefix)
	end, tags, next := start, 0, 0
	for end < len(text) {
		_, width := utf8.DecodeRuneInString(text[end:])
		if next < len(marks) && int(marks[next].Start) == end {
			tags += len(openMark) + len(closeMark)
			next++
		}
		cost := len(htmlEscaper.Replace(text[end : end+width]))
		if budget -= cost; budget < tags {
			break
		}
		end += width
	}
	suffix := ellipsis
	if end == len(text) {
		suffix = ""
	}
	return prefix + markAll(text[start:end], within(marks, start, end)) + suffix
}

// leadOf returns where a preview begins whose first mark is at a place: at a word, when there is one near.
func leadOf(text string, mark int) int {
	start, room := mark, leadSnippet
	for start > 0 {
		_, width := utf8.DecodeLastRuneInString(text[:start])
		if room -= len(htmlEscaper.Replace(text[start-width : start])); room < 0 {
			break
		}
		start -= width
	}
	if start > 0 {
		if space := strings.IndexByte(text[start:mark], ' '); space >= 0 {
			start += space + 1
		}
	}
	return start
}

// within returns the marks between two places, counted from the first.
func within(marks []message.Span, start, end int) []message.Span {
	var out []message.Span
	for _, m := range marks {
		if m.Start < int64(end) {
			out = append(out, message.Span{Start: m.Start - int64(start), End: min(m.End, int64(end)) - int64(start)})
		}
	}
	return out
}

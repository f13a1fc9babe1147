package label

import (
	"html"
	"regexp"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Subject returns a subject with the prefix of a label. Prefixes of the tenant's other labels are taken off, and a
// prefix that is there already is not repeated: a draft is composed anew each time that it is edited.
func (s *Set) Subject(subject string, l *tenantdoc.Label) string {
	for _, other := range s.All() {
		if p := other.Marking.SubjectPrefix; p != "" {
			if rest, ok := strings.CutPrefix(subject, p); ok {
				subject = strings.TrimPrefix(rest, " ")
				break
			}
		}
	}
	if l == nil || l.Marking.SubjectPrefix == "" {
		return subject
	}
	return strings.TrimRight(l.Marking.SubjectPrefix+" "+subject, " ")
}

// lineBreak separates the lines of composed text.
const lineBreak = "\r\n"

// Text returns a plain text with the header and the footer of a label, in place of those of others.
func (s *Set) Text(text string, l *tenantdoc.Label) string {
	for _, other := range s.All() {
		if h := other.Marking.Header; h != "" {
			text = strings.TrimPrefix(text, h+lineBreak+lineBreak)
		}
		if f := other.Marking.Footer; f != "" {
			text = strings.TrimSuffix(text, lineBreak+lineBreak+f+lineBreak)
		}
	}
	if l == nil {
		return text
	}
	if h := l.Marking.Header; h != "" {
		text = h + lineBreak + lineBreak + text
	}
	if f := l.Marking.Footer; f != "" {
		text += lineBreak + lineBreak + f + lineBreak
	}
	return text
}

var (
	bodyOpens  = regexp.MustCompile(`(?i)<body(\s[^>]*)?>`)
	bodyCloses = regexp.MustCompile(`(?i)</body\s*>`)
)

// HTML returns an HTML text with the header and the footer of a label, in place of those of others.
func (s *Set) HTML(text string, l *tenantdoc.Label) string {
	for _, other := range s.All() {
		for _, mark := range []string{element("header", other.Marking.Header), element("footer", other.Marking.Footer)} {
			if mark != "" {
				text = strings.ReplaceAll(text, mark, "")
			}
		}
	}
	if l == nil {
		return text
	}
	from, to := 0, len(text)
	if at := bodyOpens.FindStringIndex(text); at != nil {
		from = at[1]
	}
	if all := bodyCloses.FindAllStringIndex(text, -1); len(all) > 0 && all[len(all)-1][0] >= from {
		to = all[len(all)-1][0]
	}
	return text[:from] + element("header", l.Marking.Header) + text[from:to] + element("footer", l.Marking.Footer) + text[to:]
}

// element is the paragraph that shows a mark; empty when there is none.
func element(place, text string) string {
	if text == "" {
		return ""
	}
	return `<p class="sensitivity-` + place + `">` + html.EscapeString(text) + `</p>`
}

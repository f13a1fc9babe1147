package message

import (
	"strings"
)

// Bodies are the flat lists of the parts of a message (RFC 8621 section 4.1.4).
type Bodies struct {
	// Text are the parts to show as the body, plain text preferred.
	Text []*Part
	// HTML are the parts to show as the body, HTML preferred.
	HTML []*Part
	// Attachments are the parts to offer as attachments.
	Attachments []*Part
}

// Flatten sorts the parts below root into the three lists by the algorithm that RFC 8621 section 4.1.4 suggests.
func Flatten(root *Part) Bodies {
	f := flattener{}
	f.walk([]*Part{root}, "mixed", false, &f.html, &f.text)
	return Bodies{Text: f.text, HTML: f.html, Attachments: f.attachments}
}

// HasAttachment says whether a client should show that there is something to download: an attachment that is not
// inline.
func (b Bodies) HasAttachment() bool {
	for _, p := range b.Attachments {
		if p.Disposition == nil || *p.Disposition != "inline" {
			return true
		}
	}
	return false
}

type flattener struct {
	text, html, attachments []*Part
}

// walk visits parts. A nil list means that the parts do not belong into it.
func (f *flattener) walk(parts []*Part, multipart string, inAlternative bool, html, text *[]*Part) {
	textLen, htmlLen := lengthOf(text), lengthOf(html)
	for i, p := range parts {
		switch {
		case p.Multipart():
			kind := strings.TrimPrefix(p.Type, "multipart/")
			f.walk(p.Parts, kind, inAlternative || kind == "alternative", html, text)
		case !isInline(p, i, multipart):
			f.attachments = append(f.attachments, p)
		case multipart == "alternative":
			f.alternative(p, html, text)
		case inAlternative:
			html, text = oneKind(p, html, text)
			f.inline(p, html, text)
		default:
			f.inline(p, html, text)
		}
	}
	if multipart == "alternative" && text != nil && html != nil {
		onlyOne(text, html, textLen, htmlLen)
	}
}

// oneKind ends the list of the other kind: within an alternative, text is for one of the two only.
func oneKind(p *Part, html, text *[]*Part) (h, t *[]*Part) {
	switch p.Type {
	case "text/plain":
		return nil, text
	case "text/html":
		return html, nil
	default:
		return html, text
	}
}

func (f *flattener) alternative(p *Part, html, text *[]*Part) {
	switch {
	case p.Type == "text/plain" && text != nil:
		*text = append(*text, p)
	case p.Type == "text/html" && html != nil:
		*html = append(*html, p)
	default:
		f.attachments = append(f.attachments, p)
	}
}

func (f *flattener) inline(p *Part, html, text *[]*Part) {
	if text != nil {
		*text = append(*text, p)
	}
	if html != nil {
		*html = append(*html, p)
	}
	if (text == nil || html == nil) && isMedia(p.Type) {
		f.attachments = append(f.attachments, p)
	}
}

// onlyOne lets an alternative that has one of the two kinds only stand in both lists.
func onlyOne(text, html *[]*Part, textLen, htmlLen int) {
	if textLen == len(*text) && htmlLen != len(*html) {
		*text = append(*text, (*html)[htmlLen:]...)
		return
	}
	if htmlLen == len(*html) && textLen != len(*text) {
		*html = append(*html, (*text)[textLen:]...)
	}
}

// isInline says whether a part is shown as a part of the body rather than offered as an attachment.
func isInline(p *Part, i int, multipart string) bool {
	if p.Disposition != nil && *p.Disposition == "attachment" {
		return false
	}
	if p.Type != "text/plain" && p.Type != "text/html" && !isMedia(p.Type) {
		return false
	}
	return i == 0 || (multipart != "related" && (isMedia(p.Type) || p.Name == nil))
}

func isMedia(kind string) bool {
	return strings.HasPrefix(kind, "image/") || strings.HasPrefix(kind, "audio/") || strings.HasPrefix(kind, "video/")
}

func lengthOf(list *[]*Part) int {
	if list == nil {
		return -1
	}
	return len(*list)
}

package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

const (
	// previewLength is how many characters a preview has at most; RFC 8621 allows 256.
	previewLength = 250
	// previewSource is how many octets of a part are read for its preview.
	previewSource = 32 << 10
)

// Value is the text of a part (RFC 8621 section 4.1.4, EmailBodyValue).
type Value struct {
	// Value is the text, with line feeds as line breaks.
	Value string `json:"value"`
	// Problem says that something could not be decoded.
	Problem bool `json:"isEncodingProblem"`
	// Truncated says that the text goes on.
	Truncated bool `json:"isTruncated"`
}

// Text decodes a text part of a message. A limit above zero bounds the octets of the result: it never ends within
// a character, nor within a tag of HTML.
func Text(data []byte, p *Part, limit int64) Value {
	return decodeText(p.Body.Of(data), p, limit)
}

// TextOf decodes a text part whose encoded content is at hand.
func TextOf(encoded []byte, p *Part, limit int64) Value { return decodeText(encoded, p, limit) }

func decodeText(encoded []byte, p *Part, limit int64) Value {
	charset := ""
	if p.Charset != nil {
		charset = *p.Charset
	}
	text, problem := Decode(DecodeTransfer(p.Encoding, encoded), charset)
	text = strings.ReplaceAll(text, "\r\n", "\n")
	v := Value{Value: text, Problem: problem || !KnownEncoding(p.Encoding)}
	if limit > 0 && int64(len(text)) > limit {
		v.Value, v.Truncated = cut(text, int(limit), p.Type == "text/html"), true
	}
	return v
}

func cut(text string, limit int, markup bool) string {
	for limit > 0 && limit < len(text) && !utf8.RuneStart(text[limit]) {
		limit--
	}
	text = text[:limit]
	if open := strings.LastIndexByte(text, '<'); markup && open > strings.LastIndexByte(text, '>') {
		text = text[:open]
	}
	return text
}

// hidden are the elements whose content no reader sees.
var hidden = map[string]bool{"head": true, "script": true, "style": true, "title": true, "template": true}

// breaking are the elements that begin a new line.
var breaking = map[string]bool{
	"br": true, "p": true, "div": true, "tr": true, "td": true, "th": true, "li": true, "ul": true, "ol": true, "table": true,
	"h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "blockquote": true, "pre": true, "hr": true,
}

// Plain returns what a reader sees of HTML: text and the alt and title attributes, without markup, scripts, style
// sheets and the head.
func Plain(markup string) string {
	reader := visibleText{}
	tokens := html.NewTokenizer(strings.NewReader(markup))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return reader.out.String()
		case html.TextToken:
			if reader.skip == "" {
				reader.out.WriteString(html.UnescapeString(string(tokens.Raw())))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			reader.start(tokens.Token())
		case html.EndTagToken:
			if name, _ := tokens.TagName(); string(name) == reader.skip {
				reader.skip = ""
			}
		default:
		}
	}
}

// visibleText collects what a reader sees.
type visibleText struct {
	out strings.Builder
	// skip is the element whose content is hidden at the moment.
	skip string
}

func (v *visibleText) start(token html.Token) {
	if hidden[token.Data] && v.skip == "" && token.Type == html.StartTagToken {
		v.skip = token.Data
	}
	if v.skip == "head" && token.Data == "body" {
		v.skip = ""
	}
	if v.skip == "" {
		visible(&v.out, token)
	}
}

func visible(out *strings.Builder, token html.Token) {
	if breaking[token.Data] {
		out.WriteByte('\n')
	}
	for _, a := range token.Attr {
		if (a.Key == "alt" || a.Key == "title") && a.Val != "" {
			out.WriteString(" " + a.Val + " ")
		}
	}
}

// Preview returns a line of the body for lists of messages. It passes over quoted lines and is empty when the
// body has no text.
func Preview(data []byte, b Bodies) string {
	for _, parts := range [][]*Part{b.Text, b.HTML} {
		for _, p := range parts {
			if !p.Text() {
				continue
			}
			if line := previewOf(readable(data, p, previewSource)); line != "" {
				return line
			}
		}
	}
	return ""
}

// readable returns what a reader sees of a text part, from the first octets of it.
func readable(data []byte, p *Part, limit int) string {
	text := decodeText(EncodedPrefix(p.Body.Of(data), limit), p, int64(limit)).Value
	if p.Type == "text/html" {
		return Plain(text)
	}
	return text
}

func previewOf(text string) string {
	var words []string
	length := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), ">") {
			continue
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			words = append(words, word)
			if length += utf8.RuneCountInString(word) + 1; length > previewLength {
				return firstRunes(strings.Join(words, " "), previewLength)
			}
		}
	}
	return strings.Join(words, " ")
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// Searchable returns the text of all text parts that a reader can see, at most limit octets of it.
func Searchable(data []byte, root *Part, limit int) string {
	var out strings.Builder
	root.Walk(func(p *Part) {
		if left := limit - out.Len(); p.Text() && left > 1 {
			text := readable(data, p, left-1)
			out.WriteString(cut(text, min(len(text), left-1), false) + "\n")
		}
	})
	return out.String()
}

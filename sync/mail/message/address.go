package message

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Address is a mailbox of an address list (RFC 8621 section 4.1.2.3).
type Address struct {
	// Name is the display name, or nil.
	Name *string `json:"name"`
	// Email is the addr-spec; in a broken header it is whatever stands in its place.
	Email string `json:"email"`
}

// AddressGroup is a group of an address list (RFC 8621 section 4.1.2.4).
type AddressGroup struct {
	// Name is the display name of the group, or nil for mailboxes outside of groups.
	Name *string `json:"name"`
	// Addresses are the mailboxes of the group.
	Addresses []Address `json:"addresses"`
}

// ParseAddresses reads a field value in Addresses form.
func ParseAddresses(value string) []Address {
	out := []Address{}
	for _, group := range ParseGroups(value) {
		out = append(out, group.Addresses...)
	}
	return out
}

// ParseGroups reads a field value in GroupedAddresses form, as well as it can be read.
func ParseGroups(value string) []AddressGroup {
	p := addressParser{in: strings.TrimSpace(unfold(value)), groups: []AddressGroup{}}
	for p.at < len(p.in) {
		p.step()
	}
	p.finish()
	return p.groups
}

type addressParser struct {
	in      string
	at      int
	groups  []AddressGroup
	grouped bool
	// phrase is the text of the present mailbox as a display name, plain the same text as an address. Encoded words are
	// decoded in the one, but not within quotes, where none may be (RFC 2047 section 5).
	phrase, plain strings.Builder
	angle         *string
	comment       string
}

func (p *addressParser) step() {
	switch c := p.in[p.at]; c {
	case ',':
		p.at++
		p.finish()
	case ';':
		p.at++
		p.finish()
		p.grouped = false
	case ':':
		p.at++
		p.group()
	case '<':
		p.angleAddress()
	case '(':
		p.comment = p.cut(commentEnd(p.in, p.at))
		p.comment = strings.TrimSuffix(strings.TrimPrefix(p.comment, "("), ")")
	case '"':
		quoted := p.cut(p.quotedEnd())
		p.plain.WriteString(quoted)
		p.phrase.WriteString(unquote(quoted))
	default:
		end := len(p.in)
		if i := strings.IndexAny(p.in[p.at+1:], `,;:<("`); i >= 0 {
			end = p.at + 1 + i
		}
		text := p.cut(end)
		p.plain.WriteString(text)
		p.phrase.WriteString(DecodeWords(text))
	}
}

func (p *addressParser) cut(end int) string {
	text := p.in[p.at:end]
	p.at = end
	return text
}

// angleAddress reads an address in angle brackets, without a source route.
func (p *addressParser) angleAddress() {
	end := len(p.in)
	if i := strings.IndexByte(p.in[p.at:], '>'); i >= 0 {
		end = p.at + i + 1
	}
	text := strings.TrimSpace(strings.Trim(p.cut(end), "<>"))
	if strings.HasPrefix(text, "@") {
		if _, address, ok := strings.Cut(text, ":"); ok {
			text = address
		}
	}
	p.angle = new(strings.Join(strings.Fields(text), ""))
	if strings.Contains(text, `"`) {
		p.angle = &text
	}
}

func (p *addressParser) quotedEnd() int {
	for i := p.at + 1; i < len(p.in); i++ {
		switch p.in[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(p.in)
}

// group begins a group with what was read as its name.
func (p *addressParser) group() {
	name := displayName(p.phrase.String())
	p.reset()
	p.groups = append(p.groups, AddressGroup{Name: &name, Addresses: []Address{}})
	p.grouped = true
}

// finish ends the present mailbox.
func (p *addressParser) finish() {
	address, ok := p.mailbox()
	p.reset()
	if !ok {
		return
	}
	last := len(p.groups) - 1
	if last < 0 || (!p.grouped && p.groups[last].Name != nil) {
		p.groups = append(p.groups, AddressGroup{Addresses: []Address{}})
		last++
	}
	p.groups[last].Addresses = append(p.groups[last].Addresses, address)
}

func (p *addressParser) mailbox() (Address, bool) {
	name := displayName(p.phrase.String())
	comment := displayName(DecodeWords(strings.TrimSpace(p.comment)))
	if p.angle == nil {
		plain := strings.TrimSpace(p.plain.String())
		if plain == "" {
			return Address{}, false
		}
		return Address{Name: orNull(comment), Email: plain}, true
	}
	if name == "" {
		name = comment
	}
	return Address{Name: orNull(name), Email: *p.angle}, true
}

func (p *addressParser) reset() {
	p.phrase.Reset()
	p.plain.Reset()
	p.angle, p.comment = nil, ""
}

// displayName normalizes a phrase, without the white space around its words.
func displayName(phrase string) string { return strings.TrimSpace(norm.NFC.String(phrase)) }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

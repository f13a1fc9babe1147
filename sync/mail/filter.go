package mail

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// utcTime is a UTCDate argument, in milliseconds since 1970 (RFC 8620 section 1.4).
type utcTime int64

// UnmarshalJSON reads a date-time in UTC.
func (t *utcTime) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	at, err := parseUTC(text)
	*t = utcTime(at)
	return err
}

// parseUTC reads a UTCDate, in milliseconds since 1970.
func parseUTC(text string) (int64, error) {
	at, err := time.Parse("2006-01-02T15:04:05.999999999Z", text)
	if err != nil || strings.Contains(text, ",") {
		return 0, jmap.InvalidArguments("%q is not a UTCDate such as 2026-11-23T18:25:00Z", text)
	}
	return at.UnixMilli(), nil
}

// emailCondition is a FilterCondition of Email/query (RFC 8621 section 4.4.1).
type emailCondition struct {
	smimeCondition

	InMailbox               *string  `json:"inMailbox"`
	InMailboxOtherThan      []string `json:"inMailboxOtherThan"`
	Before                  *utcTime `json:"before"`
	After                   *utcTime `json:"after"`
	MinSize                 *int64   `json:"minSize"`
	MaxSize                 *int64   `json:"maxSize"`
	AllInThreadHaveKeyword  *string  `json:"allInThreadHaveKeyword"`
	SomeInThreadHaveKeyword *string  `json:"someInThreadHaveKeyword"`
	NoneInThreadHaveKeyword *string  `json:"noneInThreadHaveKeyword"`
	HasKeyword              *string  `json:"hasKeyword"`
	NotKeyword              *string  `json:"notKeyword"`
	HasAttachment           *bool    `json:"hasAttachment"`
	Text                    *string  `json:"text"`
	From                    *string  `json:"from"`
	To                      *string  `json:"to"`
	Cc                      *string  `json:"cc"`
	Bcc                     *string  `json:"bcc"`
	Subject                 *string  `json:"subject"`
	Body                    *string  `json:"body"`
	Header                  []string `json:"header"`
}

// parseEmailFilter reads and checks a filter. Keywords in it are brought to lower case.
func parseEmailFilter(raw json.RawMessage, using map[string]bool) (*jmap.Filter[emailCondition], error) {
	f, err := jmap.ParseFilter[emailCondition](raw)
	if err != nil {
		return nil, err
	}
	f.Walk(func(c *emailCondition) {
		if err == nil {
			err = cmp.Or(c.check(), c.checkSMIME(using))
		}
	})
	return f, err
}

// maxSearch is the most octets of one search text: every word of it is looked for in every email.
const maxSearch = 1024

func (c *emailCondition) check() error {
	if c.Header != nil && len(c.Header) != 1 && len(c.Header) != 2 {
		return jmap.InvalidArguments("filter: header: one or two strings, a field name and a text")
	}
	for name, size := range map[string]*int64{"minSize": c.MinSize, "maxSize": c.MaxSize} {
		if size != nil && (*size < 0 || *size > jmap.MaxInt) {
			return jmap.InvalidArguments("filter: %s: not an UnsignedInt", name)
		}
	}
	for _, search := range c.searches() {
		if len(search) > maxSearch {
			return &jmap.MethodError{Type: jmap.ErrorUnsupportedFilter, Description: fmt.Sprintf("filter: a text to search for has more than %d octets", maxSearch)}
		}
	}
	for _, keyword := range c.keywords() {
		if *keyword != nil {
			*keyword = new(strings.ToLower(**keyword))
		}
	}
	return nil
}

// searches are the texts that the condition looks for.
func (c *emailCondition) searches() []string {
	out := slices.Clone(c.Header)
	for _, search := range c.words() {
		out = append(out, search.text)
	}
	return out
}

// wordSearch is a text that a condition looks for, and the property that has to have it, empty for any of them.
type wordSearch struct{ in, text string }

// words are the texts that the condition looks for in the row and the body of an email.
func (c *emailCondition) words() []wordSearch {
	var out []wordSearch
	for _, search := range []struct {
		text *string
		in   string
	}{{c.From, "from"}, {c.To, "to"}, {c.Cc, "cc"}, {c.Bcc, "bcc"}, {c.Subject, "subject"}, {c.Body, textBody}, {c.Text, ""}} {
		if search.text != nil {
			out = append(out, wordSearch{in: search.in, text: *search.text})
		}
	}
	return out
}

func (c *emailCondition) keywords() []**string {
	return []**string{
		&c.AllInThreadHaveKeyword, &c.SomeInThreadHaveKeyword, &c.NoneInThreadHaveKeyword, &c.HasKeyword, &c.NotKeyword,
	}
}

// aboutThread says whether the condition looks at other emails of the thread.
func (c *emailCondition) aboutThread() bool {
	return c.AllInThreadHaveKeyword != nil || c.SomeInThreadHaveKeyword != nil || c.NoneInThreadHaveKeyword != nil
}

// mutable says whether the condition looks at properties that can change.
func (c *emailCondition) mutable() bool {
	return c.InMailbox != nil || c.InMailboxOtherThan != nil || c.aboutThread() || c.HasKeyword != nil || c.NotKeyword != nil
}

// only says whether the condition is that of a mailbox and nothing else.
func (c *emailCondition) only() bool {
	rest := *c
	rest.InMailbox = nil
	return rest.empty()
}

// onlyWords says whether the condition looks for texts that are indexed and for nothing else.
func (c *emailCondition) onlyWords() bool {
	rest := *c
	rest.Text, rest.From, rest.To, rest.Cc, rest.Bcc, rest.Subject, rest.Body = nil, nil, nil, nil, nil, nil, nil
	return rest.empty()
}

// empty says whether the condition is none.
func (c *emailCondition) empty() bool {
	raw, err := json.Marshal(c)
	empty, emptyErr := json.Marshal(emailCondition{})
	return err == nil && emptyErr == nil && string(raw) == string(empty)
}

// mailboxOf returns a mailbox that every match of the filter is in, or nothing.
func mailboxOf(f *jmap.Filter[emailCondition]) (id string, ok bool) {
	switch {
	case f == nil:
		return "", false
	case f.Condition != nil:
		if f.Condition.InMailbox == nil {
			return "", false
		}
		return *f.Condition.InMailbox, true
	case f.Operator != jmap.OperatorAnd:
		return "", false
	}
	for _, child := range f.Conditions {
		if id, ok := mailboxOf(child); ok {
			return id, true
		}
	}
	return "", false
}

// terms splits a search text into words and phrases, folded, all of which must be found (RFC 8621 section 4.4.1).
func terms(text string) []string {
	var out []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		term, rest, quoted := cutPhrase(text)
		if !quoted {
			term, rest = text, ""
			if end := strings.IndexFunc(text, unicode.IsSpace); end >= 0 {
				term, rest = text[:end], text[end:]
			}
		}
		if term = plain(term); term != "" {
			out = append(out, term)
		}
		text = rest
	}
	return out
}

// cutPhrase cuts a phrase in quotes from the front. It is false when the text does not begin with one.
func cutPhrase(text string) (phrase, rest string, ok bool) {
	quote := text[0]
	if quote != '"' && quote != '\'' {
		return "", text, false
	}
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
		case text[i] == quote:
			return out.String(), text[i+1:], true
		}
		out.WriteByte(text[i])
	}
	return "", text, false
}

// foundIn says whether each term occurs in one of the texts, which are folded.
func foundIn(terms []string, texts ...string) bool {
	for _, term := range terms {
		found := false
		for _, text := range texts {
			found = found || strings.Contains(text, term)
		}
		if !found {
			return false
		}
	}
	return true
}

package mail

import (
	"encoding/json"
	"strings"
	"time"

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
	if err != nil {
		return 0, jmap.InvalidArguments("%q is not a UTCDate such as 2026-11-23T18:25:00Z", text)
	}
	return at.UnixMilli(), nil
}

// emailCondition is a FilterCondition of Email/query (RFC 8621 section 4.4.1).
type emailCondition struct {
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
func parseEmailFilter(raw json.RawMessage) (*jmap.Filter[emailCondition], error) {
	f, err := jmap.ParseFilter[emailCondition](raw)
	if err != nil {
		return nil, err
	}
	f.Walk(func(c *emailCondition) {
		if err == nil {
			err = c.check()
		}
	})
	return f, err
}

func (c *emailCondition) check() error {
	if c.Header != nil && len(c.Header) != 1 && len(c.Header) != 2 {
		return jmap.InvalidArguments("filter: header: one or two strings, a field name and a text")
	}
	for _, keyword := range c.keywords() {
		if *keyword != nil {
			*keyword = new(strings.ToLower(**keyword))
		}
	}
	return nil
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
	raw, err := json.Marshal(rest)
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
	var term strings.Builder
	quote := rune(0)
	flush := func() {
		if s := strings.Join(strings.Fields(foldText(term.String())), " "); s != "" {
			out = append(out, s)
		}
		term.Reset()
	}
	closes := func(q rune, rest string) bool { return strings.ContainsRune(rest, q) }
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case quote != 0 && r == '\\' && i+1 < len(runes):
			i++
			term.WriteRune(runes[i])
		case quote != 0 && r == quote:
			flush()
			quote = 0
		case quote == 0 && (r == '"' || r == '\'') && term.Len() == 0 && closes(r, string(runes[i+1:])):
			quote = r
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			flush()
		default:
			term.WriteRune(r)
		}
	}
	flush()
	return out
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

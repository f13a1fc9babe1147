package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// snippetArguments are the arguments of SearchSnippet/get.
type snippetArguments struct {
	AccountID string          `json:"accountId"`
	Filter    json.RawMessage `json:"filter"`
	EmailIDs  []string        `json:"emailIds"`
}

// Validate checks the account and the number of emails.
func (a *snippetArguments) Validate(call *jmap.Call) error {
	get := jmap.GetArguments{AccountID: a.AccountID, IDs: a.EmailIDs}
	if err := get.Validate(call); err != nil {
		return err
	}
	if a.EmailIDs == nil {
		return jmap.InvalidArguments("emailIds: missing")
	}
	return nil
}

// snippetResponse is the response of SearchSnippet/get. There is no state: snippets are made anew each time.
type snippetResponse struct {
	AccountID string                    `json:"accountId"`
	List      jmap.List[*searchSnippet] `json:"list"`
	// NotFound is empty when all emails were found, as that of every other /get. The standard says null, and clients
	// of both kinds read it.
	NotFound jmap.List[string] `json:"notFound"`
}

// searchSnippet is a SearchSnippet (RFC 8621 section 5).
type searchSnippet struct {
	EmailID string  `json:"emailId"`
	Subject *string `json:"subject"`
	Preview *string `json:"preview"`
}

// snippetTerms are the words and phrases of a filter that are marked, folded.
type snippetTerms struct{ subject, body []string }

// collect takes the texts that an email may match. What the filter rules out is not marked.
func (t *snippetTerms) collect(f *jmap.Filter[emailCondition], negated bool) {
	if f == nil {
		return
	}
	for _, child := range f.Conditions {
		t.collect(child, negated != (f.Operator == jmap.OperatorNot))
	}
	c := f.Condition
	if c == nil || negated {
		return
	}
	if c.Text != nil {
		t.subject, t.body = append(t.subject, terms(*c.Text)...), append(t.body, terms(*c.Text)...)
	}
	if c.Subject != nil {
		t.subject = append(t.subject, terms(*c.Subject)...)
	}
	if len(c.Header) > 1 && strings.EqualFold(c.Header[0], "Subject") {
		t.subject = append(t.subject, terms(c.Header[1])...)
	}
	if c.Body != nil {
		t.body = append(t.body, terms(*c.Body)...)
	}
}

func distinct(terms []string) []string { return slices.Compact(slices.Sorted(slices.Values(terms))) }

// snippetGet answers SearchSnippet/get (RFC 8621 section 5.1).
func (s *Service) snippetGet(ctx context.Context, call *jmap.Call, args *snippetArguments) (*snippetResponse, error) {
	filter, err := parseEmailFilter(args.Filter, call.Using)
	if err != nil {
		return nil, err
	}
	tenant, err := s.tenantOf(ctx, args.AccountID)
	if err != nil {
		return nil, err
	}
	var want snippetTerms
	want.collect(filter, false)
	want.subject, want.body = distinct(want.subject), distinct(want.body)
	out := &snippetResponse{AccountID: args.AccountID}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		f := &finder{ctx: ctx, service: s, reader: r, account: args.AccountID, tenant: tenant, effort: effort{most: s.opts.MaxEffort}}
		v, err := s.visitor(ctx, r, call.Principal, args.AccountID)
		if err != nil {
			return err
		}
		var ids []string
		ids, out.NotFound = resolveIDs(call, args.EmailIDs)
		for _, id := range ids {
			m, err := s.readEmail(ctx, r, v, args.AccountID, id)
			if err != nil {
				return err
			}
			if m == nil {
				out.NotFound = append(out.NotFound, id)
				continue
			}
			snippet, err := (&candidate{id: id, email: m, finder: f}).snippet(&want)
			if err != nil {
				return err
			}
			out.List = append(out.List, snippet)
		}
		return nil
	})
	return out, err
}

// snippet returns the SearchSnippet of an email.
func (c *candidate) snippet(want *snippetTerms) (*searchSnippet, error) {
	out := &searchSnippet{EmailID: c.id}
	f := c.finder
	sel := &selection{properties: []string{"subject", "textBody"}}
	src, err := f.service.storedSource(f.ctx, f.reader, f.account, f.tenant, c.email, sel)
	if err != nil {
		return nil, err
	}
	if len(want.subject) > 0 {
		out.Subject, err = src.markedSubject(want.subject)
	}
	if err == nil && c.bodyHasAny(want.body) {
		out.Preview, err = src.markedBody(want.body)
	}
	return out, errors.Join(err, f.err, src.Close())
}

// bodyHasAny says whether the text kept beside the message has one of the terms, so that only such messages are
// opened.
func (c *candidate) bodyHasAny(terms []string) bool {
	for _, term := range terms {
		if c.finder.found([]string{term}, c.searchable()) {
			return true
		}
	}
	return false
}

// markedSubject returns the subject with the terms marked, or nil when it has none of them.
func (s *source) markedSubject(terms []string) (*string, error) {
	value, err := s.rowProperty("subject")
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode subject: %w", err)
	}
	var subject *string
	if err := json.Unmarshal(raw, &subject); err != nil {
		return nil, fmt.Errorf("read subject: %w", err)
	}
	if subject == nil {
		return nil, nil //nolint:nilnil // there is no subject to mark
	}
	if marks := findMarks(*subject, terms); len(marks) > 0 {
		return new(markAll(*subject, marks)), nil
	}
	return nil, nil //nolint:nilnil // the subject does not match
}

// markedBody returns the place of the body where a term occurs first, or nil when there is none.
func (s *source) markedBody(terms []string) (*string, error) {
	root, err := s.structure()
	if err != nil {
		return nil, err
	}
	var parts []*message.Part
	root.Walk(func(p *message.Part) {
		if p.Text() {
			parts = append(parts, p)
		}
	})
	left := maxText
	for _, p := range parts {
		text, err := s.readable(p, left)
		if err != nil {
			return nil, err
		}
		if marks := findMarks(text, terms); len(marks) > 0 {
			return new(markPreview(text, marks)), nil
		}
		if left -= len(text); left <= 0 {
			break
		}
	}
	return nil, nil //nolint:nilnil // the body does not match
}

// readable returns what a reader sees of a text part, on one line, from the first octets of it.
func (s *source) readable(p *message.Part, limit int) (string, error) {
	span := p.Body
	span.End = min(span.End, span.Start+4*maxText)
	data, err := s.span(span)
	if err != nil {
		return "", err
	}
	text := message.TextOf(message.EncodedPrefix(data, limit), p, int64(limit)).Value
	if p.Type == "text/html" {
		text = message.Plain(text)
	}
	return strings.Join(strings.Fields(text), " "), nil
}

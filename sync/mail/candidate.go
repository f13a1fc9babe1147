package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// finder looks emails up for a query, each thing at most once.
type finder struct {
	ctx     context.Context //nolint:containedctx // a finder lives as long as the query that it serves
	service *Service
	reader  store.Reader
	account string
	tenant  string
	// visitor is who asks, nil for one who may see everything.
	visitor *visitor
	threads map[string][]member
	terms   map[string][]string
	effort  effort
	// index answers for texts of most emails, nil for a finder that reads them all.
	index *searchIndex
	// signatures tells what S/MIME signatures are worth.
	signatures *verifier
	// err is the first error of a condition, which has no other way to tell it.
	err error
}

// candidate is an email that may be in the results.
type candidate struct {
	id       string
	thread   string
	received int64

	finder *finder
	email  *email
	// hidden says that the email is none that who asks may see; its record is empty then.
	hidden bool
	row    map[string]json.RawMessage
	body   *string
	// order is what the candidate is sorted by, once it is in the results.
	order []sortKey
}

func (f *finder) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// meta returns the record of the candidate.
func (c *candidate) meta() *email {
	if c.email == nil {
		c.email = &email{ID: c.id}
		c.finder.spend(effortLookup)
		if _, err := readJSON(c.finder.ctx, c.finder.reader, keys(c.finder.account).email(c.id), c.email); err != nil {
			c.finder.fail(err)
		}
		if seen := c.finder.visitor.email(c.email); seen != nil {
			c.email = seen
		} else {
			c.email, c.hidden = &email{ID: c.id}, true
		}
	}
	return c.email
}

// visible says whether who asks may see the candidate.
func (c *candidate) visible() bool {
	if c.finder.visitor != nil {
		c.meta()
	}
	return !c.hidden
}

// members returns the thread of the candidate.
func (c *candidate) members() []member {
	f := c.finder
	if have, ok := f.threads[c.thread]; ok {
		return have
	}
	members, err := readThread(f.ctx, f.reader, f.account, c.thread)
	if err != nil {
		f.fail(err)
	}
	f.spend(effortLookup * (1 + len(members)))
	members = f.visitor.members(members)
	f.threads[c.thread] = members
	return members
}

// matches says whether the candidate meets a condition: first what the indexes tell, then the record, then the
// list row, then the text.
func (c *candidate) matches(cond *emailCondition) bool {
	return c.matchesIndex(cond) && c.indexed(cond) != ruledOut && c.matchesMeta(cond) && c.matchesKeywords(cond) && c.matchesThread(cond) && c.matchesSMIME(&cond.smimeCondition) && c.matchesText(cond) && c.finder.err == nil
}

func (c *candidate) matchesIndex(cond *emailCondition) bool {
	return (cond.Before == nil || c.received < int64(*cond.Before)) && (cond.After == nil || c.received >= int64(*cond.After))
}

func (c *candidate) matchesMeta(cond *emailCondition) bool {
	return (cond.InMailbox == nil || c.meta().in(*cond.InMailbox)) &&
		(cond.InMailboxOtherThan == nil || c.elsewhere(cond.InMailboxOtherThan)) &&
		(cond.HasAttachment == nil || c.meta().Attachment == *cond.HasAttachment) &&
		c.matchesSize(cond)
}

func (c *candidate) matchesSize(cond *emailCondition) bool {
	return (cond.MinSize == nil || c.meta().Size >= *cond.MinSize) && (cond.MaxSize == nil || c.meta().Size < *cond.MaxSize)
}

func (c *candidate) matchesKeywords(cond *emailCondition) bool {
	return (cond.HasKeyword == nil || c.meta().has(*cond.HasKeyword)) &&
		(cond.NotKeyword == nil || !c.meta().has(*cond.NotKeyword))
}

func (c *candidate) elsewhere(mailboxes []string) bool {
	return slices.ContainsFunc(c.meta().Mailboxes, func(id string) bool { return !slices.Contains(mailboxes, id) })
}

func (c *candidate) matchesThread(cond *emailCondition) bool {
	return (cond.AllInThreadHaveKeyword == nil || c.allInThread(*cond.AllInThreadHaveKeyword)) &&
		(cond.SomeInThreadHaveKeyword == nil || c.someInThread(*cond.SomeInThreadHaveKeyword)) &&
		(cond.NoneInThreadHaveKeyword == nil || !c.someInThread(*cond.NoneInThreadHaveKeyword))
}

func (c *candidate) allInThread(keyword string) bool {
	return !slices.ContainsFunc(c.members(), func(m member) bool { return !slices.Contains(m.keywords, keyword) })
}

func (c *candidate) someInThread(keyword string) bool {
	return slices.ContainsFunc(c.members(), func(m member) bool { return slices.Contains(m.keywords, keyword) })
}

func (c *candidate) matchesText(cond *emailCondition) bool {
	if c.indexed(cond) != certain && !c.matchesWords(cond) {
		return false
	}
	return cond.Header == nil || c.matchesHeader(cond.Header)
}

// matchesWords reads the texts of an email for what the condition looks for in them.
func (c *candidate) matchesWords(cond *emailCondition) bool {
	for _, search := range cond.words() {
		if search.in != "" && !c.finder.found(c.finder.termsOf(search.text), c.property(search.in)) {
			return false
		}
	}
	return cond.Text == nil || c.matchesAnywhere(*cond.Text)
}

func (c *candidate) matchesAnywhere(text string) bool {
	terms := c.finder.termsOf(text)
	fields := []string{c.text("from"), c.text("to"), c.text("cc"), c.text("bcc"), c.text("subject")}
	return c.finder.found(terms, fields...) || c.finder.found(terms, append(fields, c.searchable())...)
}

func (f *finder) termsOf(text string) []string {
	have, ok := f.terms[text]
	if !ok {
		have = terms(text)
		f.terms[text] = have
	}
	return have
}

// property returns what is searched under a name, folded.
func (c *candidate) property(name string) string {
	if name == textBody {
		return c.searchable()
	}
	return c.text(name)
}

// text returns a property of the list row as folded text.
func (c *candidate) text(name string) string {
	if c.row == nil {
		c.row = map[string]json.RawMessage{}
		c.finder.spend(effortLookup * effortRead)
		if _, err := readJSON(c.finder.ctx, c.finder.reader, keys(c.finder.account).row(c.id), &c.row); err != nil {
			c.finder.fail(err)
		}
	}
	raw, ok := c.row[name]
	if !ok {
		return c.longText(name)
	}
	return textOf(raw)
}

// textOf returns a subject, or addresses, as folded text.
func textOf(raw json.RawMessage) string {
	var subject string
	if json.Unmarshal(raw, &subject) == nil {
		return plain(subject)
	}
	var addresses []message.Address
	if json.Unmarshal(raw, &addresses) != nil {
		return ""
	}
	var out strings.Builder
	for _, a := range addresses {
		if a.Name != nil {
			out.WriteString(*a.Name + " ")
		}
		out.WriteString("<" + a.Email + ">\n")
	}
	return plain(out.String())
}

// plain folds text and makes any white space one space, so that phrases are found across line breaks.
func plain(s string) string { return strings.Join(strings.Fields(postings.Fold(s)), " ") }

// longText reads a property that is too long for the row from the message.
func (c *candidate) longText(name string) string {
	fields := c.header()
	h, _ := message.Convenience(name)
	raw, err := json.Marshal(h.Of(fields))
	if err != nil {
		c.finder.fail(err)
	}
	return textOf(raw)
}

// header reads the header of the message.
func (c *candidate) header() message.Fields {
	f := c.finder
	if !f.spend(effortOpen) {
		return nil
	}
	sel := &selection{properties: []string{"headers"}}
	src, err := f.service.storedSource(f.ctx, f.reader, f.account, f.tenant, c.meta(), sel)
	if err != nil {
		f.fail(err)
		return nil
	}
	fields, err := src.header()
	if err = errors.Join(err, src.Close()); err != nil {
		f.fail(err)
	}
	return fields
}

// matchesHeader looks for a field, and for a text in it.
func (c *candidate) matchesHeader(want []string) bool {
	for _, value := range c.header().All(want[0]) {
		if len(want) == 1 || c.finder.found(c.finder.termsOf(want[1]), plain(message.DecodeText(value))) {
			return true
		}
	}
	return false
}

// searchable returns the folded text of the body.
func (c *candidate) searchable() string {
	if c.body != nil {
		return *c.body
	}
	var out strings.Builder
	f := c.finder
	if !f.spend(effortLookup) {
		return ""
	}
	for p, err := range f.reader.Scan(f.ctx, keys(f.account).text(c.id).Range(), store.ScanOptions{}) {
		if err != nil {
			f.fail(fmt.Errorf("read text: %w", err))
			break
		}
		out.Write(p.Value)
	}
	f.spend(effortRead * out.Len())
	c.body = new(plain(out.String()))
	return *c.body
}

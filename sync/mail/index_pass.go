package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// The bounds of indexing.
const (
	// indexAfter is how many emails are new before they are indexed: a search reads the text of fewer.
	indexAfter = 64
	// indexEmails and indexText bound what one commit indexes.
	indexEmails = 2048
	indexText   = 4 << 20
	// indexSteps is how many such commits a search makes. When that is not enough for all, the next one goes on.
	indexSteps = 4
	// indexPasses is how many accounts a process indexes at a time.
	indexPasses = 2
	// maxSegmentEmails and maxSegmentSize bound a segment, so that merging and purging do.
	maxSegmentEmails = 8192
	maxSegmentSize   = 4 << 20
	// mergeFactor is how many times as large as a segment has to be what is merged with it.
	mergeFactor = 3
)

// indexing are the accounts whose index is being made by this process.
type indexing struct {
	mu       sync.Mutex
	accounts map[string]bool
}

// begin is false when the account is being indexed already, or others are and that is enough.
func (i *indexing) begin(account string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.accounts[account] || len(i.accounts) >= indexPasses {
		return false
	}
	if i.accounts == nil {
		i.accounts = map[string]bool{}
	}
	i.accounts[account] = true
	return true
}

func (i *indexing) end(account string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.accounts, account)
}

// catchUp indexes emails that came since that was last done, if they are many: so many as one search can wait for.
// The search is right without, only slower, so that nothing that goes wrong here is an error of it.
func (s *Service) catchUp(ctx context.Context, account, tenant string) {
	if !s.indexing.begin(account) {
		return
	}
	defer s.indexing.end(account)
	for range indexSteps {
		more, err := s.indexStep(ctx, account, tenant)
		if errors.Is(err, postings.ErrDamaged) {
			s.failed(ctx, "an index is damaged and is made anew", err)
			err = s.resetIndex(ctx, account)
		}
		if err != nil && !contended(err) {
			s.failed(ctx, "indexing failed", err)
		}
		if err != nil || !more {
			return
		}
	}
}

// indexStep makes one commit that brings the index of an account forward, if that is due. More says that another one
// is.
func (s *Service) indexStep(ctx context.Context, account, tenant string) (more bool, err error) {
	var change *indexChange
	var is condition
	err = s.view(ctx, account, func(r store.Reader) (err error) {
		p := &indexPass{ctx: ctx, service: s, reader: r, account: account, tenant: tenant}
		if p.state, is, err = readIndex(ctx, r, account); err != nil || is == indexNewer || is == indexOlder {
			return err
		}
		due, err := p.due()
		if err != nil || !due {
			return err
		}
		if change = p.change(); is == indexAbsent {
			// The record comes first: from then on, the index hears of emails that are destroyed.
			return nil
		}
		more, err = p.step(change)
		return err
	})
	if err == nil && is == indexOlder {
		return true, s.resetIndex(ctx, account)
	}
	if err != nil || change == nil {
		return false, err
	}
	return more || is == indexAbsent, s.commitIndex(ctx, account, change)
}

// indexPass is one look at the index of an account, to bring it forward.
type indexPass struct {
	ctx     context.Context //nolint:containedctx // a pass lives as long as the step that it serves
	service *Service
	reader  store.Reader
	account string
	tenant  string
	state   *indexState
}

// indexChange is what a commit does to an index.
type indexChange struct {
	// from is the record that it changes, as it is stored, and to what it becomes.
	from []byte
	to   *indexState
	// drop are the segments that go, and add is the one that comes, unless it is nil.
	drop []uint64
	add  *postings.Segment
	id   uint64
	// forget are the destroyed emails that no segment holds any more.
	forget []uint64
	// queued is the entry of the queue of purges that is done, or nil.
	queued []byte
}

// change returns a change that does nothing yet.
func (p *indexPass) change() *indexChange {
	to := *p.state
	to.Segments = slices.Clone(to.Segments)
	return &indexChange{from: p.state.stored, to: &to}
}

// replace puts a segment in the place of some others. An empty one is left out.
func (c *indexChange) replace(from, to int, b *postings.Builder) {
	var with []indexSegment
	if b.Docs() > 0 {
		c.add, c.id = b.Segment(), c.to.Segment
		with = append(with, indexSegment{ID: c.id, First: b.First(), Emails: b.Docs(), Octets: c.add.Size()})
		c.to.Segment++
	}
	for _, s := range c.to.Segments[from:to] {
		c.drop = append(c.drop, s.ID)
	}
	c.to.Segments = slices.Replace(c.to.Segments, from, to, with...)
}

// commitIndex makes a change, unless the index changed meanwhile.
func (s *Service) commitIndex(ctx context.Context, account string, c *indexChange) error {
	k := keys(account)
	record, err := json.Marshal(c.to)
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	return s.journal.Update(ctx, account, func(tx *store.Tx) error {
		have, err := tx.Get(ctx, k.indexState())
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		_, exists, err := readMeta(ctx, tx, account)
		if err != nil {
			return err
		}
		if !exists || !bytes.Equal(have, c.from) {
			return store.ErrLeased
		}
		for _, id := range c.drop {
			if err := deleteAll(ctx, tx, store.Key(k.segment(id)).Range()); err != nil {
				return fmt.Errorf("write index: %w", err)
			}
		}
		if c.add != nil {
			writeSegment(tx, account, c.id, c.add)
		}
		for _, n := range c.forget {
			tx.Delete(k.indexGone().String(formatID("m", n)))
		}
		if c.queued != nil {
			tx.Delete(c.queued)
		}
		tx.Set(k.indexState(), record)
		return nil
	})
}

// resetIndex forgets an index that cannot be used, so that it is made anew. What a later version made stays.
func (s *Service) resetIndex(ctx context.Context, account string) error {
	return s.journal.Update(ctx, account, func(tx *store.Tx) error {
		_, is, err := readIndex(ctx, tx, account)
		if err != nil || is == indexNewer || is == indexAbsent {
			return err
		}
		if err := deleteAll(ctx, tx, keys(account).index().Range()); err != nil {
			return fmt.Errorf("write index: %w", err)
		}
		return nil
	})
}

// fresh are the emails that are not indexed.
func (p *indexPass) fresh() store.Range {
	k := keys(p.account)
	return store.Range{Start: k.email(formatID("m", p.state.Next)), End: k.emails().Range().End}
}

// due says whether the new emails are many.
func (p *indexPass) due() (bool, error) {
	n := 0
	for _, err := range p.reader.Scan(p.ctx, p.fresh(), store.ScanOptions{Limit: indexAfter}) {
		if err != nil {
			return false, fmt.Errorf("read index: %w", err)
		}
		n++
	}
	return n == indexAfter, nil
}

// step indexes new emails, and merges the segment that they make with those before it. More says that there are more
// of them.
func (p *indexPass) step(c *indexChange) (more bool, err error) {
	gone, err := goneEmails(p.ctx, p.reader, p.account)
	if err != nil {
		return false, err
	}
	added := &postings.Builder{}
	text, more, err := p.read(added, c.to)
	if err != nil {
		return false, err
	}
	first, oldest, b := p.mergeable(added.Docs(), text/2), p.state.Next, added
	if merged := p.state.Segments[first:]; len(merged) > 0 {
		oldest, b = merged[0].First, &postings.Builder{}
		if err := p.merge(b, merged, gone); err != nil {
			return false, err
		}
		if err := b.Merge(added.Segment(), func(uint64) bool { return true }); err != nil {
			return false, err
		}
	}
	c.replace(first, len(p.state.Segments), b)
	for n := range gone {
		if n >= oldest {
			c.forget = append(c.forget, n)
		}
	}
	return more, nil
}

// read adds new emails to a segment, and returns the length of their texts.
func (p *indexPass) read(b *postings.Builder, to *indexState) (text int, more bool, err error) {
	prefix := keys(p.account).emails()
	for pair, err := range p.reader.Scan(p.ctx, p.fresh(), store.ScanOptions{}) {
		if err != nil {
			return 0, false, fmt.Errorf("read index: %w", err)
		}
		if b.Docs() == indexEmails || text >= indexText {
			return text, true, nil
		}
		id, _, err := store.CutString(pair.Key[len(prefix):])
		if err != nil {
			return 0, false, fmt.Errorf("read index: %w", err)
		}
		n, err := numberOf(id)
		if err != nil {
			return 0, false, fmt.Errorf("read index: %w", err)
		}
		octets, err := p.add(b, id, n)
		if err != nil {
			return 0, false, err
		}
		text += octets
		to.Next = n + 1
	}
	return text, false, nil
}

// add indexes an email: just what a search that reads it compares with.
func (p *indexPass) add(b *postings.Builder, id string, n uint64) (text int, err error) {
	f := &finder{ctx: p.ctx, service: p.service, reader: p.reader, account: p.account, tenant: p.tenant, effort: effort{most: math.MaxInt64}}
	c := &candidate{id: id, finder: f}
	b.Add(n)
	for name, field := range indexFields {
		value := c.property(name)
		b.Text(field, value)
		text += len(value)
	}
	return text, f.err
}

// mergeable returns the first of the segments, from the end, that a new one of so many emails is merged with. A segment
// is merged with what makes it several times as large, so that each email is rewritten a few times at most.
func (p *indexPass) mergeable(emails, octets int) int {
	first := len(p.state.Segments)
	for i, s := range slices.Backward(p.state.Segments) {
		if emails+s.Emails > maxSegmentEmails || octets+s.Octets > maxSegmentSize {
			break
		}
		if s.Emails*mergeFactor <= emails {
			first = i
		}
		emails, octets = emails+s.Emails, octets+s.Octets
	}
	return first
}

// merge adds segments to one in the making, without emails that are gone.
func (p *indexPass) merge(b *postings.Builder, segments []indexSegment, gone map[uint64]bool) error {
	for _, s := range segments {
		segment, err := readSegment(p.ctx, p.reader, p.account, s.ID)
		if err != nil {
			return err
		}
		if err := b.Merge(segment, func(n uint64) bool { return !gone[n] }); err != nil {
			return err
		}
	}
	return nil
}

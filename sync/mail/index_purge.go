package mail

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// purgeQueue lists the accounts of a tenant with postings of emails that were destroyed, by when they are removed.
func purgeQueue(tenant string) store.Key { return store.NewKey("purges/" + tenant) }

// purgeEvery is how long postings of a destroyed email may stay. Each account has its time of the day.
const purgeEvery = 24 * time.Hour

// purgeTime returns the next time, in seconds since 1970, at which an account is purged.
func purgeTime(account string, now time.Time) int64 {
	h := fnv.New32a()
	// A hash takes all that is written to it.
	_, _ = h.Write([]byte(account))
	day := int64(purgeEvery / time.Second)
	at := now.Unix() + 1
	return at + ((int64(h.Sum32())-at)%day+day)%day
}

// purgeDue removes the postings of destroyed emails from the accounts of a tenant that are due.
func (s *Service) purgeDue(ctx context.Context, tenant string) error {
	prefix := purgeQueue(tenant)
	entries, err := dueEntries(ctx, s.engine, prefix, s.opts.Now())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		account, _, err := store.CutString(entry[len(prefix)+8:])
		if err != nil {
			return err
		}
		err = s.purge(ctx, account, entry)
		if errors.Is(err, postings.ErrDamaged) {
			s.failed(ctx, "an index is damaged and is made anew", err)
			err = s.resetIndex(ctx, account)
		}
		if err != nil && !contended(err) {
			return fmt.Errorf("purge the index of account %q: %w", account, err)
		}
	}
	return nil
}

// purge rewrites the segments of an account that tell of destroyed emails, one in a commit, and takes its entry out of
// the queue. An account that is written elsewhere stays in it.
func (s *Service) purge(ctx context.Context, account string, entry []byte) error {
	for {
		var change *indexChange
		var is condition
		err := s.view(ctx, account, func(r store.Reader) (err error) {
			p := &indexPass{ctx: ctx, service: s, reader: r, account: account}
			if p.state, is, err = readIndex(ctx, r, account); err != nil || is != indexUsable {
				return err
			}
			change, err = p.purge()
			return err
		})
		switch {
		case err != nil:
			return err
		case is == indexOlder:
			return s.resetIndex(ctx, account)
		case is == indexNewer:
			return nil
		case is == indexAbsent:
			b := &store.Batch{}
			b.Delete(entry)
			return s.engine.Commit(ctx, b)
		}
		last := len(change.drop) == 0
		if last {
			change.queued = entry
		}
		if err := s.commitIndex(ctx, account, change); err != nil || last {
			return err
		}
	}
}

// purge returns the change that rewrites the first segment with a destroyed email. When there is none, the change
// forgets which emails were destroyed.
func (p *indexPass) purge() (*indexChange, error) {
	c := p.change()
	gone, err := goneEmails(p.ctx, p.reader, p.account)
	if err != nil {
		return nil, err
	}
	for i, segment := range p.state.Segments {
		docs, err := readDocs(p.ctx, p.reader, p.account, segment.ID)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(docs, func(n uint64) bool { return gone[n] }) {
			continue
		}
		b := &postings.Builder{}
		if err := p.merge(b, p.state.Segments[i:i+1], gone); err != nil {
			return nil, err
		}
		c.replace(i, i+1, b)
		return c, nil
	}
	for n := range gone {
		c.forget = append(c.forget, n)
	}
	return c, nil
}

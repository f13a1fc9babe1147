package mail

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// offers are what others share with a principal: the accounts of which it may use parts, and notices of changes that
// wait to become notifications. They lie where the account of the principal does, in one range, so that a request
// finds both with one read. What they say of an account is for finding it: what may be done there, it says itself.
func offers(scope, account string) store.Key { return store.NewKey("shares/" + scope).String(account) }

func offerAccounts(scope, account string) store.Key { return offers(scope, account).String("account") }

func offerNotices(scope, account string) store.Key { return offers(scope, account).String("notice") }

// offer is what a request needs to know of an account of which parts are shared.
type offer struct {
	ReadOnly     bool `json:"readOnly,omitempty"`
	Unsubscribed bool `json:"unsubscribed,omitempty"`
}

// words are what an account has to tell those with whom it shares, by account and mailbox: a notification of a mailbox,
// and without one that the offer changed. They are a part of the commit that they tell of, and are sent after it, since
// the accounts may lie in different places. One that could not be sent goes with the next.
func (k keys) words() store.Key { return store.NewKey(string(k)).String("word") }

// sendAttempts bounds how often a word is sent again when there is more to say meanwhile.
const sendAttempts = 8

// SharedWith returns the accounts of which parts are shared with a principal. It costs one read at most when nothing is.
func (s *Service) SharedWith(ctx context.Context, p *jmap.Principal) ([]jmap.SharedAccount, error) {
	place, err := store.FindPlace(ctx, s.engine, p.AccountID)
	if err != nil {
		return nil, err
	}
	scope := p.Tenant + place.Suffix
	key := string(offers(scope, p.AccountID))
	nothing, changes := s.unshared.has(key)
	if nothing && !s.opts.Shared {
		return nil, nil
	}
	out, notices, err := s.offered(ctx, p, scope)
	switch {
	case err != nil:
		return nil, err
	case notices:
		return out, s.takeNotices(ctx, scope, p.AccountID)
	case out == nil:
		s.unshared.add(key, changes)
	}
	return out, nil
}

// offered reads the offers to a principal, and tells whether notices wait there.
func (s *Service) offered(ctx context.Context, p *jmap.Principal, scope string) (out []jmap.SharedAccount, notices bool, err error) {
	accounts := offerAccounts(scope, p.AccountID)
	for pair, err := range s.engine.Scan(ctx, offers(scope, p.AccountID).Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, false, fmt.Errorf("list offers: %w", err)
		}
		if !bytes.HasPrefix(pair.Key, accounts) {
			notices = true
			continue
		}
		shared, err := readOffer(pair, accounts)
		if err != nil {
			return nil, false, err
		}
		out = append(out, shared)
	}
	for i := range out {
		owner, _, err := readPrincipal(ctx, s.engine, p.Tenant, out[i].AccountID)
		if err != nil {
			return nil, false, err
		}
		// A mailbox that nobody signs in with has no principal.
		out[i].Name = cmp.Or(owner.Email, out[i].AccountID)
	}
	return out, notices, nil
}

func readOffer(p store.Pair, prefix store.Key) (jmap.SharedAccount, error) {
	entry, err := decodeRecord[offer](p)
	if err != nil {
		return jmap.SharedAccount{}, err
	}
	account, _, err := store.CutString(p.Key[len(prefix):])
	return jmap.SharedAccount{AccountID: account, ReadOnly: entry.ReadOnly, Partial: true, Unsubscribed: entry.Unsubscribed}, err
}

// sendWords tells those with whom an account shares what it has to tell them.
func (s *Service) sendWords(ctx context.Context, tenant, owner string) error {
	prefix := keys(owner).words()
	var sharees []string
	for p, err := range s.engine.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("list words: %w", err)
		}
		sharee, _, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return fmt.Errorf("list words: %w", err)
		}
		if len(sharees) == 0 || sharees[len(sharees)-1] != sharee {
			sharees = append(sharees, sharee)
		}
	}
	var errs []error
	for _, sharee := range sharees {
		errs = append(errs, s.sendWord(ctx, tenant, owner, sharee))
	}
	return errors.Join(errs...)
}

// sendWord tells one of them. Its offer is written from what is so at present; when that changes meanwhile, anew.
func (s *Service) sendWord(ctx context.Context, tenant, owner, sharee string) error {
	place, err := store.PlaceOf(ctx, s.engine, sharee)
	if err != nil {
		return err
	}
	scope := tenant + place.Suffix
	for range sendAttempts {
		if err = s.sendOnce(ctx, scope, owner, sharee); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	return errors.Join(err, s.takeNotices(ctx, scope, sharee), s.engine.Hints().Publish(ctx, sharee))
}

func (s *Service) sendOnce(ctx context.Context, scope, owner, sharee string) error {
	prefix := keys(owner).words().String(sharee)
	sent, b := &store.Batch{}, &store.Batch{}
	for p, err := range s.engine.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("read words: %w", err)
		}
		key := bytes.Clone(p.Key)
		sent.Assert(key, bytes.Clone(p.Value))
		sent.Delete(key)
		mailbox, _, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return fmt.Errorf("read words: %w", err)
		}
		if mailbox == "" {
			continue
		}
		n, err := decodeRecord[notification](p)
		if err != nil {
			return err
		}
		if err := s.addNotice(ctx, b, offerNotices(scope, sharee).String(owner).String(mailbox), n); err != nil {
			return err
		}
	}
	if err := s.addOffer(ctx, b, offerAccounts(scope, sharee).String(owner), owner, sharee); err != nil {
		return err
	}
	err := s.engine.Commit(ctx, b)
	s.unshared.changed(string(offers(scope, sharee)))
	if err != nil {
		return fmt.Errorf("write offer: %w", err)
	}
	if sent.Empty() {
		return nil
	}
	return s.engine.Commit(ctx, sent)
}

// addNotice leaves a notice. One that waits already is about the same mailbox: together they tell of both changes.
func (s *Service) addNotice(ctx context.Context, b *store.Batch, key []byte, n notification) error {
	have, err := s.engine.Get(ctx, key)
	if err != nil && !isNotFound(err) {
		return err
	}
	b.Assert(key, have)
	if have != nil {
		earlier, err := decodeRecord[notification](store.Pair{Key: key, Value: have})
		if err != nil {
			return err
		}
		n.Old = earlier.Old
	}
	return setRecord(b, key, n)
}

// addOffer writes what a principal may use of an account, or that it is nothing.
func (s *Service) addOffer(ctx context.Context, b *store.Batch, key []byte, owner, sharee string) error {
	entry, err := s.offerOf(ctx, owner, sharee)
	if err != nil {
		return err
	}
	if entry == nil {
		b.Delete(key)
		return nil
	}
	return setRecord(b, key, entry)
}

// offerOf returns what a principal may use of an account, or nil when it is nothing.
func (s *Service) offerOf(ctx context.Context, owner, sharee string) (*offer, error) {
	v := &visitor{}
	if _, err := readJSON(ctx, s.engine, keys(owner).visitor(sharee), v); err != nil || len(v.Boxes) == 0 {
		return nil, err
	}
	entry := &offer{ReadOnly: true, Unsubscribed: true}
	for _, visit := range v.Boxes {
		entry.ReadOnly = entry.ReadOnly && visit.Rights&^reading == 0
		entry.Unsubscribed = entry.Unsubscribed && visit.Unsubscribed
	}
	return entry, nil
}

package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Home tells of a domain whose mail the region takes.
type Home struct {
	// Tenant is the "namespace/name" of the Tenant that has the domain.
	Tenant string
	// Suspended says that the tenant takes no mail at present.
	Suspended bool
	// Elsewhere says that the tenant has mailboxes in other regions too.
	Elsewhere bool
	// Withdrawn tells of an account that it takes no mail although it is kept, as that of a shared mailbox that was
	// deleted; nil means that none is withdrawn.
	Withdrawn func(account string) bool
}

// Homes tells which domains are homed in the region. It must be safe for concurrent use.
type Homes interface {
	// Home returns the home of a domain, which is in lower case. It is false for one that is not homed here.
	Home(domain string) (Home, bool)
}

// directory finds the account of an address. Its owner has a slash in its name, which no account has.
func directory() store.Key { return store.NewKey("directory/addresses") }

// directoryEntry is what the directory holds under the key of an address.
type directoryEntry struct {
	Account string `json:"account"`
}

// resident is the account that takes the mail for an address.
type resident struct {
	account, tenant string
}

// homeOf returns the home of the domain of an address.
func (s *Service) homeOf(address string) (p path, home Home, ok bool) {
	p, ok = parsePath(address)
	if !ok || s.opts.Homes == nil {
		return p, Home{}, false
	}
	home, ok = s.opts.Homes.Home(p.domain)
	return p, home, ok
}

// locate returns who takes the mail for an address, or an error that wraps one of those that delivery names.
func (s *Service) locate(ctx context.Context, address string) (resident, error) {
	p, home, ok := s.homeOf(address)
	switch {
	case !ok:
		return resident{}, delivery.ErrNotHomed
	case home.Suspended:
		return resident{}, delivery.ErrSuspended
	}
	holder, meta, err := s.holder(ctx, s.engine, p.key())
	if err != nil {
		return resident{}, err
	}
	if holder == "" || meta.Tenant != home.Tenant || (home.Withdrawn != nil && home.Withdrawn(holder)) {
		return resident{}, delivery.ErrNoMailbox
	}
	place, err := store.FindPlace(ctx, s.engine, holder)
	return resident{account: holder, tenant: meta.Tenant + place.Suffix}, err
}

// holder returns the live account that holds an address, by its key; none is "".
func (s *Service) holder(ctx context.Context, r store.Reader, key string) (account string, meta accountMeta, err error) {
	entry, exists, err := readEntry(ctx, r, key)
	if err != nil || !exists {
		return "", accountMeta{}, err
	}
	meta, exists, err = readMeta(ctx, r, entry.Account)
	if err != nil || !exists || meta.Address != key {
		return "", accountMeta{}, err
	}
	return entry.Account, meta, nil
}

// readEntry reads an entry of the directory. Its errors do not tell the address.
func readEntry(ctx context.Context, r store.Reader, key string) (entry directoryEntry, exists bool, err error) {
	value, err := r.Get(ctx, directory().String(key))
	if errors.Is(err, store.ErrNotFound) {
		return entry, false, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &entry)
	}
	if err != nil {
		return entry, false, fmt.Errorf("read directory: %w", err)
	}
	return entry, true, nil
}

// foreign tells whether an address is held by another account than the one of a principal.
func (s *Service) foreign(ctx context.Context, r store.Reader, p *jmap.Principal) (bool, error) {
	holder, _, err := s.holder(ctx, r, addressKey(p.Address))
	return holder != "" && holder != p.AccountID, err
}

// settled tells whether an account has nothing to be brought up to date with its principal.
func (s *Service) settled(ctx context.Context, r store.Reader, p *jmap.Principal, meta *accountMeta) (bool, error) {
	switch {
	case p.Address == "":
		return true, nil
	case meta.Identity == "":
		return false, nil
	case meta.Address == addressKey(p.Address):
		return true, nil
	}
	return s.foreign(ctx, r, p)
}

// claimAddress makes an account the one that takes the mail for the address of its principal. An address that
// another live account holds stays with that one, until it gives it up.
func (e *edit) claimAddress(p *jmap.Principal, meta *accountMeta) (claimed bool, err error) {
	key := addressKey(p.Address)
	region := e.regional()
	foreign, err := e.service.foreign(e.ctx, region.reader(), p)
	if err != nil || foreign {
		return false, err
	}
	at := directory().String(key)
	have, err := region.reader().Get(e.ctx, at)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	value, err := json.Marshal(directoryEntry{Account: e.account})
	if err != nil {
		return false, fmt.Errorf("encode directory entry: %w", err)
	}
	// Of two accounts that claim an address at once, one fails here.
	if err := region.replace(at, have, value); err != nil {
		return false, err
	}
	if meta.Address != "" && meta.Address != key {
		if err := e.releaseAddress(meta.Address); err != nil {
			return false, err
		}
	}
	meta.Address = key
	return true, nil
}

// releaseAddress takes an address that the account had out of the directory.
func (e *edit) releaseAddress(key string) error {
	region := e.regional()
	at := directory().String(key)
	have, err := region.reader().Get(e.ctx, at)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	var entry directoryEntry
	if err == nil {
		err = json.Unmarshal(have, &entry)
	}
	if err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
	if entry.Account != e.account {
		return nil
	}
	return region.replace(at, have, nil)
}

// contended says whether a write did not happen because of another one, so that it may be tried again.
func contended(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLeased)
}

package mail

import (
	"context"
	"errors"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// accountMeta is what an account is.
type accountMeta struct {
	// Tenant is the tenant that the account belongs to.
	Tenant string `json:"tenant"`
	// Address is the key of the address whose mail the account takes; empty while it takes none.
	Address string `json:"address,omitempty"`
	// Identity is the id of the default identity.
	Identity string `json:"identity,omitempty"`
}

// standard are the mailboxes that a new account has.
var standard = []struct {
	name, role string
	sortOrder  int64
}{
	{"Inbox", "inbox", 10},
	{"Drafts", "drafts", 20},
	{"Sent", "sent", 30},
	{"Archive", "archive", 40},
	{"Junk", "junk", 50},
	{"Trash", "trash", 60},
}

// provisionAttempts bounds how often an account is provisioned again when others write at the same time.
const provisionAttempts = 4

// Provision makes the principal's account complete and the principal known to its tenant.
func (s *Service) Provision(ctx context.Context, p *jmap.Principal) error {
	if err := s.provisionAccount(ctx, p); err != nil {
		return err
	}
	return s.register(ctx, p)
}

// provisionAccount makes the principal's account with its standard mailboxes and its identity in one commit, unless it
// exists, and has it take the mail for the principal's address.
func (s *Service) provisionAccount(ctx context.Context, p *jmap.Principal) error {
	if !jmap.ValidID(p.AccountID) || p.Tenant == "" {
		return fmt.Errorf("provision account %q of tenant %q: %w", p.AccountID, p.Tenant, store.ErrInvalid)
	}
	at, now := home{account: p.AccountID, tenant: p.Tenant, address: p.Address}, s.opts.Now()
	if s.completed.has(at, now) {
		return nil
	}
	exists, settled, err := s.stands(ctx, p)
	switch {
	case err != nil:
		return err
	case settled.whole:
		s.completed.add(at, now)
		return nil
	case settled.enough:
		return nil
	}
	for range provisionAttempts {
		err = s.provision(ctx, p)
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if exists && contended(err) {
		// The account can be used as it is, and a later request brings it up to date.
		return nil
	}
	return err
}

// settlement is how an account stands.
type settlement struct {
	// enough tells that a request needs to do nothing for it.
	enough bool
	// whole tells besides that it takes the mail for the principal's address.
	whole bool
}

// stands tells whether the principal's account exists, and how it stands.
func (s *Service) stands(ctx context.Context, p *jmap.Principal) (exists bool, _ settlement, err error) {
	have, exists, err := readMeta(ctx, s.engine, p.AccountID)
	if err != nil || !exists {
		return false, settlement{}, err
	}
	if err := sameTenant(have, p); err != nil {
		return true, settlement{}, err
	}
	enough, err := s.settled(ctx, s.engine, p, &have)
	return true, settlement{enough: enough, whole: enough && have.Address == addressKey(p.Address)}, err
}

func (s *Service) provision(ctx context.Context, p *jmap.Principal) error {
	place, err := store.PlaceOf(ctx, s.engine, p.AccountID)
	if err != nil {
		return err
	}
	return s.journal.Update(ctx, p.AccountID, func(tx *store.Tx) error {
		meta, exists, err := readMeta(ctx, tx, p.AccountID)
		if err != nil {
			return err
		}
		e := newEdit(ctx, s, tx, p.AccountID, p.Tenant+place.Suffix)
		if !exists {
			if err := importing(ctx, tx, p.AccountID); err != nil {
				return err
			}
			meta.Tenant = p.Tenant
			tx.Add(census(place.Suffix).String(p.Tenant), 1)
			if err := e.createStandard(); err != nil {
				return err
			}
		}
		if err := sameTenant(meta, p); err != nil {
			return err
		}
		if p.Address != "" {
			if err := e.settle(p, &meta); err != nil {
				return err
			}
		}
		if err := e.setJSON(e.keys.meta(), meta); err != nil {
			return err
		}
		return e.flush()
	})
}

// settle gives an account the address and the default identity of its principal.
func (e *edit) settle(p *jmap.Principal, meta *accountMeta) error {
	before := meta.Address
	claimed, err := e.claimAddress(p, meta)
	if err != nil || (meta.Identity != "" && (!claimed || before == meta.Address)) {
		return err
	}
	return e.setDefaultIdentity(p, meta)
}

// createStandard makes the mailboxes that a new account has.
func (e *edit) createStandard() error {
	for _, m := range standard {
		box := &mailbox{Name: m.name, Role: &m.role, SortOrder: m.sortOrder, IsSubscribed: true}
		if err := e.createMailbox(box); err != nil {
			return err
		}
	}
	return nil
}

func sameTenant(have accountMeta, p *jmap.Principal) error {
	if have.Tenant != p.Tenant {
		return fmt.Errorf("provision account %q of tenant %q: %w", p.AccountID, p.Tenant, jmap.ErrForeignAccount)
	}
	return nil
}

func readMeta(ctx context.Context, r store.Reader, account string) (meta accountMeta, exists bool, err error) {
	exists, err = readJSON(ctx, r, keys(account).meta(), &meta)
	return meta, exists, err
}

// tenantOf returns the scope of an account's blobs: its tenant, in the place where the account lies.
func (s *Service) tenantOf(ctx context.Context, account string) (string, error) {
	meta, exists, err := readMeta(ctx, s.engine, account)
	if err == nil && !exists {
		err = fmt.Errorf("account %q: %w: it was never provisioned", account, store.ErrNotFound)
	}
	if err != nil {
		return "", err
	}
	place, err := store.FindPlace(ctx, s.engine, account)
	return meta.Tenant + place.Suffix, err
}

package mail

import (
	"context"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// accountMeta is what an account is.
type accountMeta struct {
	// Tenant is the scope of the account's blobs.
	Tenant string `json:"tenant"`
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

// Provision makes the principal's account with its standard mailboxes in one commit, unless it exists.
func (s *Service) Provision(ctx context.Context, p *jmap.Principal) error {
	if !jmap.ValidID(p.AccountID) || p.Tenant == "" {
		return fmt.Errorf("provision account %q of tenant %q: %w", p.AccountID, p.Tenant, store.ErrInvalid)
	}
	have, exists, err := readMeta(ctx, s.engine, p.AccountID)
	if err != nil {
		return err
	}
	if exists {
		return sameTenant(have, p)
	}
	return s.journal.Update(ctx, p.AccountID, func(tx *store.Tx) error {
		have, exists, err := readMeta(ctx, tx, p.AccountID)
		if err != nil {
			return err
		}
		if exists {
			return sameTenant(have, p)
		}
		e := newEdit(ctx, s, tx, p.AccountID, p.Tenant)
		if err := e.setJSON(e.keys.meta(), accountMeta{Tenant: p.Tenant}); err != nil {
			return err
		}
		tx.Add(census().String(p.Tenant), 1)
		for _, m := range standard {
			box := &mailbox{Name: m.name, Role: &m.role, SortOrder: m.sortOrder, IsSubscribed: true}
			if err := e.createMailbox(box); err != nil {
				return err
			}
		}
		return e.flush()
	})
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

// tenantOf returns the scope of an account's blobs.
func (s *Service) tenantOf(ctx context.Context, account string) (string, error) {
	meta, exists, err := readMeta(ctx, s.engine, account)
	if err == nil && !exists {
		err = fmt.Errorf("account %q: %w: it was never provisioned", account, store.ErrNotFound)
	}
	return meta.Tenant, err
}

package mail

import (
	"context"
	"errors"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// usage is how much an account holds. It is kept in the same commit as the emails; an account that no version with
// this record has changed yet lacks it, and is counted once.
type usage struct {
	// Octets is the size of all emails together.
	Octets int64 `json:"octets"`
	// Emails is their number.
	Emails int64 `json:"emails"`
}

func (k keys) usage() []byte { return store.NewKey(string(k)).String("usage") }

// readUsage returns what an account holds. Recorded is false when it had to be counted.
func readUsage(ctx context.Context, r store.Reader, account string) (u usage, recorded bool, err error) {
	if recorded, err = readJSON(ctx, r, keys(account).usage(), &u); recorded || err != nil {
		return u, recorded, err
	}
	err = eachEmail(ctx, r, account, func(m *email) {
		u.Octets += m.Size
		u.Emails++
	})
	return u, false, err
}

// recordUsage writes what an account holds when it had to be counted. That is left for later while another process
// writes the account.
func (s *Service) recordUsage(ctx context.Context, account string) error {
	err := s.journal.Update(ctx, account, func(tx *store.Tx) error {
		u, recorded, err := readUsage(ctx, tx, account)
		if err != nil || recorded {
			return err
		}
		return newEdit(ctx, s, tx, account, "").setJSON(keys(account).usage(), u)
	})
	if errors.Is(err, store.ErrLeased) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// usage returns what the account holds, as the edit leaves it. It must be called before the first email is written.
func (e *edit) usage() (*usage, error) {
	if e.used != nil {
		return e.used, nil
	}
	u, recorded, err := readUsage(e.ctx, e.tx, e.account)
	if err != nil {
		return nil, err
	}
	e.used, e.counted = &u, !recorded
	e.usedBefore = u
	return e.used, nil
}

// take counts an email that comes, or refuses it when the account may hold no more. A refusal is a SetError and
// delivery.ErrFull.
func (e *edit) take(m *email) error {
	u, err := e.usage()
	if err != nil {
		return err
	}
	if why := e.service.opts.Quota.exceeded(u, m.Size, 1); why != "" {
		return fmt.Errorf("%w: %w", delivery.ErrFull, &jmap.SetError{Type: jmap.SetErrorOverQuota, Description: why})
	}
	u.Octets += m.Size
	u.Emails++
	return nil
}

// leave counts an email that goes.
func (e *edit) leave(m *email) error {
	u, err := e.usage()
	if err != nil {
		return err
	}
	u.Octets -= m.Size
	u.Emails--
	return nil
}

// flushUsage writes what the account holds when that changed.
func (e *edit) flushUsage() error {
	if e.used == nil || (!e.counted && *e.used == e.usedBefore) {
		return nil
	}
	if err := e.setJSON(e.keys.usage(), e.used); err != nil {
		return err
	}
	for _, q := range quotas(e.service.opts.Quota) {
		if q.used(e.used) != q.used(&e.usedBefore) {
			e.tx.Changed(store.Change{Type: typeQuota, ID: q.id, Kind: store.Updated, Minor: true})
		}
	}
	e.usedBefore, e.counted = *e.used, false
	return nil
}

// room returns jmap.ErrOverQuota when an account may not hold so many octets more.
func (s *Service) room(ctx context.Context, account string, octets int64) error {
	if s.opts.Quota.Octets == 0 {
		return nil
	}
	u, _, err := readUsage(ctx, s.engine, account)
	if err != nil {
		return err
	}
	if why := s.opts.Quota.exceeded(&u, octets, 0); why != "" {
		return fmt.Errorf("%w: %s", jmap.ErrOverQuota, why)
	}
	return nil
}

package mail

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// typeNotification is the name of the data type in states and changes.
const typeNotification = "ShareNotification"

// maxNotifications is how many notifications a user has; when there are more, the oldest is destroyed.
const maxNotifications = 500

// notification is a ShareNotification (RFC 9670 section 3): what a user may do with a mailbox of somebody else changed.
type notification struct {
	ID      string `json:"-"`
	Created int64  `json:"created"` // milliseconds since 1970
	ByName  string `json:"byName"`
	ByEmail string `json:"byEmail,omitempty"`
	// By is the account of who made the change.
	By      string `json:"by"`
	Account string `json:"account"`
	Mailbox string `json:"mailbox"`
	Name    string `json:"name"`
	// Old and New are the rights; none is no access.
	Old rights `json:"old"`
	New rights `json:"new"`
}

func (k keys) notifications() store.Key { return store.NewKey(string(k)).String("notification") }
func (k keys) notification(id string) []byte {
	return k.notifications().String(id)
}

// object returns a ShareNotification as clients see it.
func (n *notification) object() map[string]any {
	by := map[string]any{"name": n.ByName, "email": nil, "principalId": principalID(n.By)}
	if n.ByEmail != "" {
		by["email"] = n.ByEmail
	}
	out := map[string]any{
		"id": n.ID, "created": utcDate(n.Created), "changedBy": by, "objectType": typeMailbox, "objectAccountId": n.Account,
		"objectId": n.Mailbox, "oldRights": nil, "newRights": nil, "name": n.Name,
	}
	if n.Old != 0 {
		out["oldRights"] = n.Old.object()
	}
	if n.New != 0 {
		out["newRights"] = n.New.object()
	}
	return out
}

// readNotifications returns the notifications of an account, oldest first.
func readNotifications(ctx context.Context, r store.Reader, account string) ([]notification, error) {
	prefix := keys(account).notifications()
	var out []notification
	for p, err := range r.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("list notifications: %w", err)
		}
		n, err := decodeRecord[notification](p)
		if err != nil {
			return nil, err
		}
		if n.ID, _, err = store.CutString(p.Key[len(prefix):]); err != nil {
			return nil, fmt.Errorf("list notifications: %w", err)
		}
		out = append(out, n)
	}
	return out, nil
}

// takeNotices turns the notices that wait for a principal into notifications. When another process writes the account,
// they wait for the principal's next request.
func (s *Service) takeNotices(ctx context.Context, scope, account string) error {
	err := s.journal.Update(ctx, account, func(tx *store.Tx) error {
		if _, exists, err := readMeta(ctx, tx, account); err != nil || !exists {
			return err
		}
		var notices []notification
		var taken [][]byte
		for p, err := range tx.Scan(ctx, offerNotices(scope, account).Range(), store.ScanOptions{}) {
			if err != nil {
				return fmt.Errorf("read notices: %w", err)
			}
			n, err := decodeRecord[notification](p)
			if err != nil {
				return err
			}
			tx.Assert(bytes.Clone(p.Key), bytes.Clone(p.Value))
			notices, taken = append(notices, n), append(taken, bytes.Clone(p.Key))
		}
		for _, key := range taken {
			tx.Delete(key)
		}
		return newEdit(ctx, s, tx, account, scope).addNotifications(notices)
	})
	if contended(err) {
		return nil
	}
	return err
}

// addNotifications adds notifications to the account. One about a mailbox takes the place of an earlier one about it, and none is
// left when the rights are again what they were.
func (e *edit) addNotifications(notices []notification) error {
	if len(notices) == 0 {
		return nil
	}
	slices.SortStableFunc(notices, func(a, b notification) int { return int(a.Created - b.Created) })
	have, err := readNotifications(e.ctx, e.tx, e.account)
	if err != nil {
		return err
	}
	for _, n := range notices {
		at := slices.IndexFunc(have, func(o notification) bool { return o.Account == n.Account && o.Mailbox == n.Mailbox })
		if at >= 0 {
			n.Old = have[at].Old
			e.dropNotification(have[at].ID)
			have = slices.Delete(have, at, at+1)
		}
		e.tx.Changed(store.Change{Type: typePrincipal, ID: principalID(n.Account), Kind: store.Updated})
		if n.Old == n.New {
			continue
		}
		if n.ID, err = e.newID("n"); err != nil {
			return err
		}
		if err := e.setJSON(e.keys.notification(n.ID), n); err != nil {
			return err
		}
		e.tx.Changed(store.Change{Type: typeNotification, ID: n.ID, Kind: store.Created})
		have = append(have, n)
	}
	for _, n := range have[:max(0, len(have)-maxNotifications)] {
		e.dropNotification(n.ID)
	}
	return nil
}

func (e *edit) dropNotification(id string) {
	e.tx.Delete(e.keys.notification(id))
	e.tx.Changed(store.Change{Type: typeNotification, ID: id, Kind: store.Destroyed})
}

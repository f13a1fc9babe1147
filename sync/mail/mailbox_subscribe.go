package mail

import (
	"context"
	"errors"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// subscriberOf returns whose subscriptions to the mailboxes of an account a call is about: those of the user, whom
// the account does not belong to. It is empty in the user's own account, whose mailboxes say so themselves (RFC 8621
// section 2, isSubscribed), and where only mailboxes are shared, of which the visitor keeps account.
func subscriberOf(call *jmap.Call, account string) string {
	if call.Principal.AccountID == account || call.Principal.Partial(account) {
		return ""
	}
	return call.Principal.AccountID
}

// subscribers finds the users of other accounts that are subscribed to a mailbox.
func (k keys) subscribers(mailbox string) store.Key {
	return store.NewKey(string(k)).String("subscriber").String(mailbox)
}

// showSubscriptions makes mailboxes say whether a subscriber is subscribed to them.
func showSubscriptions(ctx context.Context, r store.Reader, account, subscriber string, boxes []*mailbox) error {
	if subscriber == "" {
		return nil
	}
	for _, box := range boxes {
		_, err := r.Get(ctx, keys(account).subscribers(box.ID).String(subscriber))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("read subscription: %w", err)
		}
		box.IsSubscribed = err == nil
	}
	return nil
}

// seenMailboxes returns all mailboxes of an account as the user sees them.
func (s *Service) seenMailboxes(ctx context.Context, r store.Reader, v *visitor, call *jmap.Call, account string) ([]*mailbox, error) {
	boxes, err := s.readVisited(ctx, r, v, account, false)
	if err != nil {
		return nil, err
	}
	return boxes, showSubscriptions(ctx, r, account, subscriberOf(call, account), boxes)
}

// seen returns a mailbox as the user sees it.
func (m *mailboxSetter) seen(e *edit, box *mailbox) (*mailbox, error) {
	own := *e.visitor.mailbox(box)
	return &own, showSubscriptions(e.ctx, e.tx, e.account, m.subscriber, []*mailbox{&own})
}

// subscribe keeps whether the user is subscribed to a mailbox of somebody else.
func (m *mailboxSetter) subscribe(e *edit, id string, subscribed bool) error {
	if m.subscriber == "" {
		return nil
	}
	key := e.keys.subscribers(id).String(m.subscriber)
	have, err := e.get(key)
	if err != nil || (have != nil) == subscribed {
		return err
	}
	if subscribed {
		e.tx.Set(key, []byte{1})
	} else {
		e.tx.Delete(key)
	}
	// A mailbox that is new in this commit is told as created.
	if _, stored := e.stored[id]; stored {
		e.tx.Changed(store.Change{Type: typeMailbox, ID: id, Kind: store.Updated})
	}
	return nil
}

// endSubscriptions forgets who is subscribed to a mailbox.
func (e *edit) endSubscriptions(id string) error {
	if err := deleteAll(e.ctx, e.tx, e.keys.subscribers(id).Range()); err != nil {
		return fmt.Errorf("list subscribers: %w", err)
	}
	return nil
}

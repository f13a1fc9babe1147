package mail

import (
	"cmp"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// destroyAll destroys mailboxes, children before their parents.
func (m *mailboxSetter) destroyAll(e *edit) error {
	ids := map[string]string{}
	for _, reference := range m.args.Destroy {
		id, _ := m.call.ResolveID(reference)
		ids[id] = reference
	}
	order := slices.Sorted(maps.Keys(ids))
	depth := map[string]int{}
	for _, id := range order {
		below, err := e.depthBelow(id)
		if err != nil {
			return err
		}
		depth[id] = below
	}
	slices.SortStableFunc(order, func(a, b string) int { return depth[a] - depth[b] })
	for _, id := range order {
		err := e.destroyMailbox(id, m.args.OnDestroyRemoveEmails)
		if err == nil {
			m.out.destroyed(id)
			continue
		}
		if err := m.out.notDestroyed(ids[id], err); err != nil {
			return err
		}
	}
	return nil
}

func (e *edit) destroyMailbox(id string, removeEmails bool) error {
	box, err := e.mailbox(id)
	if err != nil {
		return err
	}
	if refused := e.visitor.mayDestroyMailbox(box); refused != nil {
		return refused
	}
	children, err := e.children()
	if err != nil {
		return err
	}
	switch {
	case len(children[id]) > 0:
		return &jmap.SetError{Type: "mailboxHasChild", Description: "destroy its children first"}
	case box.has("inbox"):
		return &jmap.SetError{Type: jmap.SetErrorForbidden, Description: "the inbox cannot be destroyed"}
	case box.TotalEmails > 0 && !removeEmails:
		return &jmap.SetError{Type: "mailboxHasEmail", Description: "move its emails, or set onDestroyRemoveEmails"}
	}
	if err := cmp.Or(e.emptyMailbox(id), e.endSubscriptions(id)); err != nil {
		return err
	}
	return e.dropMailbox(box)
}

// dropMailbox takes an empty mailbox out of the account.
func (e *edit) dropMailbox(box *mailbox) error {
	trash := box.has("trash")
	if box.Role != nil {
		e.tx.Delete(e.keys.role(*box.Role))
	}
	if err := e.unshare(box); err != nil {
		return err
	}
	e.boxes[box.ID] = nil
	if _, stored := e.stored[box.ID]; stored {
		e.tx.Delete(e.keys.mailbox(box.ID))
		e.tx.Changed(store.Change{Type: typeMailbox, ID: box.ID, Kind: store.Destroyed})
		delete(e.stored, box.ID)
	}
	if trash {
		return e.recountUnreadThreads()
	}
	return nil
}

// emptyMailbox removes every email from a mailbox and destroys those that are in no other.
func (e *edit) emptyMailbox(id string) error {
	emails, err := e.emailsIn(id)
	if err != nil {
		return err
	}
	for _, emailID := range emails {
		email, err := e.email(emailID)
		if err != nil {
			return err
		}
		if email == nil {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(email.Mailboxes), func(box string) bool { return box == id })
		if len(left) == 0 {
			err = e.destroyEmail(email)
		} else {
			err = e.updateEmail(email, left, email.Keywords)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

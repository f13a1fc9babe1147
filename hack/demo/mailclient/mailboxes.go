package mailclient

import (
	"context"
	"fmt"

	"git.sr.ht/~rockorager/go-jmap"
	"git.sr.ht/~rockorager/go-jmap/mail/mailbox"
)

// Mailboxes returns the names of the mailboxes by their identifiers.
func (a *Account) Mailboxes(ctx context.Context) (map[string]string, error) {
	answer, err := call[mailbox.GetResponse](ctx, a, &mailbox.Get{Account: a.id})
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, box := range answer.List {
		names[string(box.ID)] = box.Name
	}
	return names, nil
}

// roles returns the mailboxes that have a role (RFC 8621 section 2).
func (a *Account) roles(ctx context.Context) (map[mailbox.Role]jmap.ID, error) {
	answer, err := call[mailbox.GetResponse](ctx, a, &mailbox.Get{Account: a.id})
	if err != nil {
		return nil, err
	}
	ids := map[mailbox.Role]jmap.ID{}
	for _, box := range answer.List {
		ids[box.Role] = box.ID
	}
	return ids, nil
}

// CreateMailbox makes a mailbox and returns its identifier.
func (a *Account) CreateMailbox(ctx context.Context, name string) (string, error) {
	answer, err := call[mailbox.SetResponse](ctx, a, &mailbox.Set{
		Account: a.id, Create: map[jmap.ID]*mailbox.Mailbox{"m": {Name: name}},
	})
	if err != nil {
		return "", err
	}
	created, ok := answer.Created["m"]
	if !ok {
		return "", refusal(fmt.Sprintf("create mailbox %q", name), answer.NotCreated["m"])
	}
	return string(created.ID), nil
}

// RenameMailbox gives a mailbox another name.
func (a *Account) RenameMailbox(ctx context.Context, id, name string) error {
	answer, err := call[mailbox.SetResponse](ctx, a, &mailbox.Set{
		Account: a.id, Update: map[jmap.ID]jmap.Patch{jmap.ID(id): {"name": name}},
	})
	if err != nil {
		return err
	}
	if _, ok := answer.Updated[jmap.ID(id)]; !ok {
		return refusal(fmt.Sprintf("rename mailbox %q", id), answer.NotUpdated[jmap.ID(id)])
	}
	return nil
}

// DestroyMailbox destroys an empty mailbox.
func (a *Account) DestroyMailbox(ctx context.Context, id string) error {
	answer, err := call[mailbox.SetResponse](ctx, a, &mailbox.Set{Account: a.id, Destroy: []jmap.ID{jmap.ID(id)}})
	if err != nil {
		return err
	}
	if len(answer.Destroyed) != 1 {
		return refusal(fmt.Sprintf("destroy mailbox %q", id), answer.NotDestroyed[jmap.ID(id)])
	}
	return nil
}

package mailclient

import (
	"context"
	"errors"
	"fmt"

	"git.sr.ht/~rockorager/go-jmap"
	"git.sr.ht/~rockorager/go-jmap/mail"
	"git.sr.ht/~rockorager/go-jmap/mail/email"
	"git.sr.ht/~rockorager/go-jmap/mail/emailsubmission"
	"git.sr.ht/~rockorager/go-jmap/mail/identity"
	"git.sr.ht/~rockorager/go-jmap/mail/mailbox"
)

// Letter is a message of plain text from one person to another.
type Letter struct{ From, To, Subject, Text string }

// Sent identifies a message that was sent, and its submission.
type Sent struct{ Message, Submission string }

// Send writes a letter as a draft, submits it with the account's first identity, and
// has it moved to the mailbox for sent messages (RFC 8621 sections 4.6, 6.1 and 7.5).
func (a *Account) Send(ctx context.Context, to, subject, text string) (Sent, error) {
	identities, err := call[identity.GetResponse](ctx, a, &identity.Get{Account: a.id})
	if err != nil {
		return Sent{}, err
	}
	if len(identities.List) == 0 {
		return Sent{}, errors.New("identities: none")
	}
	boxes, err := a.roles(ctx)
	if err != nil {
		return Sent{}, err
	}
	from, drafts, sent := identities.List[0], boxes[mailbox.RoleDrafts], boxes[mailbox.RoleSent]
	if drafts == "" || sent == "" {
		return Sent{}, errors.New("mailboxes: no drafts or sent")
	}
	message, err := a.draft(ctx, &email.Email{
		MailboxIDs: map[jmap.ID]bool{drafts: true}, Keywords: map[string]bool{"$draft": true, "$seen": true},
		From: []*mail.Address{{Name: from.Name, Email: from.Email}}, To: []*mail.Address{{Email: to}}, Subject: subject,
		BodyValues: map[string]*email.BodyValue{"text": {Value: text}}, TextBody: []*email.BodyPart{{PartID: "text", Type: "text/plain"}},
	})
	if err != nil {
		return Sent{}, err
	}
	answer, err := call[emailsubmission.SetResponse](ctx, a, &emailsubmission.Set{
		Account: a.id, Create: map[jmap.ID]*emailsubmission.EmailSubmission{"s": {IdentityID: from.ID, EmailID: message}},
		OnSuccessUpdateEmail: map[jmap.ID]jmap.Patch{
			"#s": {"mailboxIds/" + string(drafts): nil, "mailboxIds/" + string(sent): true, "keywords/$draft": nil},
		},
	})
	if err != nil {
		return Sent{}, err
	}
	created, ok := answer.Created["s"]
	if !ok {
		return Sent{}, refusal("submit message", answer.NotCreated["s"])
	}
	return Sent{Message: string(message), Submission: string(created.ID)}, nil
}

func (a *Account) draft(ctx context.Context, message *email.Email) (jmap.ID, error) {
	answer, err := call[email.SetResponse](ctx, a, &email.Set{Account: a.id, Create: map[jmap.ID]*email.Email{"m": message}})
	if err != nil {
		return "", err
	}
	created, ok := answer.Created["m"]
	if !ok {
		return "", refusal("write message", answer.NotCreated["m"])
	}
	return created.ID, nil
}

// Delivery returns what became of a submission: the "delivered" of each recipient (RFC
// 8621 section 7).
func (a *Account) Delivery(ctx context.Context, submission string) (map[string]string, error) {
	answer, err := call[emailsubmission.GetResponse](ctx, a, &emailsubmission.Get{Account: a.id, IDs: []jmap.ID{jmap.ID(submission)}})
	if err != nil {
		return nil, err
	}
	if len(answer.List) != 1 {
		return nil, fmt.Errorf("submission %q: %d found", submission, len(answer.List))
	}
	delivered := map[string]string{}
	for address, status := range answer.List[0].DeliveryStatus {
		delivered[address] = status.Delivered
	}
	return delivered, nil
}

// Discard destroys messages.
func (a *Account) Discard(ctx context.Context, ids ...string) error {
	request := &email.Set{Account: a.id}
	for _, id := range ids {
		request.Destroy = append(request.Destroy, jmap.ID(id))
	}
	answer, err := call[email.SetResponse](ctx, a, request)
	if err != nil {
		return err
	}
	for _, id := range request.Destroy {
		if refused, ok := answer.NotDestroyed[id]; ok {
			return refusal(fmt.Sprintf("destroy message %q", id), refused)
		}
	}
	if len(answer.Destroyed) != len(ids) {
		return fmt.Errorf("destroy messages: %d of %d are destroyed", len(answer.Destroyed), len(ids))
	}
	return nil
}

// refusal makes an error of what the server says of one object (RFC 8620 section 5.3).
func refusal(what string, refused *jmap.SetError) error {
	switch {
	case refused == nil:
		return fmt.Errorf("%s: no answer", what)
	case refused.Description == nil:
		return fmt.Errorf("%s: %s", what, refused.Type)
	default:
		return fmt.Errorf("%s: %s: %s", what, refused.Type, *refused.Description)
	}
}

package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// emailToCopy is an Email in the create argument of Email/copy (RFC 8621 section 4.7). What is absent is as in the
// original, but for the mailboxes: those of the one account are not in the other.
type emailToCopy struct {
	ID         string           `json:"id"`
	MailboxIDs map[string]bool  `json:"mailboxIds"`
	Keywords   *map[string]bool `json:"keywords"`
	ReceivedAt *string          `json:"receivedAt"`
}

// copied is an email that is about to be copied, or why it is not.
type copied struct {
	emailToCopy

	original *email
	refused  *jmap.SetError
}

// emailCopier runs an Email/copy call.
type emailCopier struct {
	service *Service
	call    *jmap.Call
	args    *jmap.CopyArguments
	out     *outcome
	// wanted are the emails by creation id.
	wanted map[string]*copied
	// done are the originals of those that were copied.
	done []string
}

// emailCopy answers Email/copy (RFC 8620 section 5.4, RFC 8621 section 4.7). An email may be copied more than once.
func (s *Service) emailCopy(ctx context.Context, call *jmap.Call, args *jmap.CopyArguments) (*jmap.CopyResponse, error) {
	c := &emailCopier{service: s, call: call, args: args, out: newOutcome(args.AccountID), wanted: map[string]*copied{}}
	if err := c.read(ctx); err != nil {
		return nil, err
	}
	w := &setter{service: s, principal: call.Principal, account: args.AccountID, kind: typeEmail, ifInState: args.IfInState, save: c.save}
	var ops []func(*edit) error
	for _, creation := range slices.Sorted(maps.Keys(args.Create)) {
		ops = append(ops, c.create(creation))
	}
	if err := w.run(ctx, ops); err != nil {
		return nil, err
	}
	if err := c.destroyOriginals(ctx); err != nil {
		return nil, err
	}
	return &jmap.CopyResponse{
		FromAccountID: args.FromAccountID, AccountID: args.AccountID, OldState: w.oldState, NewState: w.newState,
		Created: c.out.set.Created, NotCreated: c.out.set.NotCreated,
	}, nil
}

// read looks the originals up, all at one moment.
func (c *emailCopier) read(ctx context.Context) error {
	from := c.args.FromAccountID
	return c.service.view(ctx, from, func(r store.Reader) error {
		v, err := c.service.visitor(ctx, r, c.call.Principal, from)
		if isRevoked(err) {
			return &jmap.MethodError{Type: jmap.ErrorFromAccountNotFound}
		}
		if err != nil {
			return err
		}
		state, err := v.state(ctx, r, from, typeEmail)
		if err != nil {
			return err
		}
		if c.args.IfFromInState != nil && *c.args.IfFromInState != state {
			return &jmap.MethodError{Type: jmap.ErrorStateMismatch, Description: fmt.Sprintf("the state of fromAccountId is %q", state)}
		}
		for creation, raw := range c.args.Create {
			want := &copied{}
			c.wanted[creation] = want
			if want.refused, err = refusal(c.readOne(ctx, r, v, raw, want)); err != nil {
				return err
			}
		}
		return nil
	})
}

// readOne looks one original up, or returns a SetError.
func (c *emailCopier) readOne(ctx context.Context, r store.Reader, v *visitor, raw json.RawMessage, want *copied) error {
	if refused := jmap.DecodeObject(raw, &want.emailToCopy); refused != nil {
		return refused
	}
	if want.ID == "" {
		return jmap.InvalidProperties("id: missing, name the email of fromAccountId to copy", "id")
	}
	id, _ := c.call.ResolveID(want.ID)
	var err error
	want.original, err = c.service.readEmail(ctx, r, v, c.args.FromAccountID, id)
	if err == nil && want.original == nil {
		err = &jmap.SetError{Type: jmap.SetErrorNotFound, Description: fmt.Sprintf("id: fromAccountId has no email %q", want.ID)}
	}
	return err
}

// save returns what puts back what the operations keep.
func (c *emailCopier) save() (restore func()) {
	done, out := slices.Clone(c.done), c.out.save(c.call)
	return func() {
		c.done = slices.Clone(done)
		out()
	}
}

func (c *emailCopier) create(creation string) func(*edit) error {
	return func(e *edit) error {
		in, err := c.incoming(e, c.wanted[creation])
		if err != nil {
			return c.out.notCreated(creation, err)
		}
		created, err := e.addMessage(in)
		if err != nil {
			return c.out.notCreated(creation, err)
		}
		c.call.CreatedIDs[creation] = created.ID
		c.done = append(c.done, c.wanted[creation].original.ID)
		return c.out.created(creation, created.summary())
	}
}

// incoming returns the copy of an email, or a SetError.
func (c *emailCopier) incoming(e *edit, want *copied) (*incoming, error) {
	if want.refused != nil {
		return nil, want.refused
	}
	in := &incoming{received: want.original.Received, dated: true, keywords: want.original.Keywords, label: want.original.Label}
	var err error
	if in.mailboxes, err = e.checkMailboxIDs(c.call, want.MailboxIDs); err != nil {
		return nil, err
	}
	if want.Keywords != nil {
		keywords, refused := limitedKeywords(*want.Keywords)
		if refused != nil {
			return nil, refused
		}
		in.keywords = keywords
	}
	if want.ReceivedAt != nil {
		if in.received, err = parseUTC(*want.ReceivedAt); err != nil {
			return nil, jmap.InvalidProperties("receivedAt: not a UTCDate such as 2026-11-23T18:25:00Z", "receivedAt")
		}
	}
	return in, c.content(e, want.original, in)
}

// content reads the message. Within a tenant the content is there already, and only the account's right to it is
// new.
func (c *emailCopier) content(e *edit, original *email, in *incoming) error {
	blob := blobRef{hash: original.Blob}
	_, data, err := c.service.readBlob(e.ctx, nil, c.args.FromAccountID, blob.String())
	if errors.Is(err, jmap.ErrBlobNotFound) {
		return &jmap.SetError{Type: jmap.SetErrorNotFound, Description: fmt.Sprintf("id: email %q was destroyed meanwhile", original.ID)}
	}
	if err != nil {
		return err
	}
	tenant, err := c.service.tenantOf(e.ctx, c.args.FromAccountID)
	if in.data = data; tenant == e.tenant {
		in.blob = original.Blob
	}
	return err
}

// destroyOriginals makes the implicit Email/set call, whose response follows that of Email/copy (RFC 8620 section
// 5.4). That it is refused does not undo the copies.
func (c *emailCopier) destroyOriginals(ctx context.Context) error {
	if !c.args.OnSuccessDestroyOriginal || len(c.done) == 0 {
		return nil
	}
	args := &jmap.SetArguments{AccountID: c.args.FromAccountID, IfInState: c.args.DestroyFromIfInState, Destroy: c.done}
	var response *jmap.SetResponse
	err := args.Validate(c.call)
	if err == nil {
		response, err = c.service.emailSet(ctx, c.call, args)
	}
	refused, ok := errors.AsType[*jmap.MethodError](err)
	switch {
	case ok:
		c.call.AddResponse("error", refused)
	case err != nil:
		return partial(err)
	default:
		c.call.AddResponse("Email/set", response)
	}
	return nil
}

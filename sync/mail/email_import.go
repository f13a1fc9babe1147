package mail

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// emailImportArguments are the arguments of Email/import.
type emailImportArguments struct {
	AccountID string                     `json:"accountId"`
	IfInState *string                    `json:"ifInState"`
	Emails    map[string]json.RawMessage `json:"emails"`
}

// Validate checks the account and the number of emails.
func (a *emailImportArguments) Validate(call *jmap.Call) error {
	set := jmap.SetArguments{AccountID: a.AccountID, Create: a.Emails}
	if err := set.Validate(call); err != nil {
		return err
	}
	if a.Emails == nil {
		return jmap.InvalidArguments("emails: missing")
	}
	return nil
}

// emailImportResponse is the response of Email/import.
type emailImportResponse struct {
	AccountID  string                    `json:"accountId"`
	OldState   *string                   `json:"oldState"`
	NewState   string                    `json:"newState"`
	Created    map[string]any            `json:"created"`
	NotCreated map[string]*jmap.SetError `json:"notCreated"`
}

// emailToImport is an EmailImport (RFC 8621 section 4.8).
type emailToImport struct {
	BlobID     string          `json:"blobId"`
	MailboxIDs map[string]bool `json:"mailboxIds"`
	Keywords   map[string]bool `json:"keywords"`
	ReceivedAt *string         `json:"receivedAt"`
}

// incoming is a message that is about to become an email. Its mailboxes and keywords are checked.
type incoming struct {
	// blob is the hash of the message when it is kept already.
	blob      string
	data      []byte
	mailboxes []string
	keywords  []string
	// received is when it came, in milliseconds since 1970. Unless it is dated, that is left to the message, or else
	// to the clock.
	received int64
	dated    bool
	// label is the sensitivity label that was set beside the message; nil when none was.
	label *string
}

// emailImport answers Email/import (RFC 8621 section 4.8). A message may be imported more than once.
func (s *Service) emailImport(ctx context.Context, call *jmap.Call, args *emailImportArguments) (*emailImportResponse, error) {
	w := &setter{service: s, principal: call.Principal, account: args.AccountID, kind: typeEmail, ifInState: args.IfInState}
	out := newOutcome(args.AccountID)
	w.save = func() func() { return out.save(call) }
	var ops []func(*edit) error
	for _, creation := range slices.Sorted(maps.Keys(args.Emails)) {
		ops = append(ops, func(e *edit) error {
			created, err := e.importOne(call, args.Emails[creation])
			if err != nil {
				return out.notCreated(creation, err)
			}
			call.CreatedIDs[creation] = created.ID
			return out.created(creation, created.summary())
		})
	}
	if err := w.run(ctx, ops); err != nil {
		return nil, err
	}
	return &emailImportResponse{
		AccountID: args.AccountID, OldState: w.oldState, NewState: w.newState,
		Created: out.set.Created, NotCreated: out.set.NotCreated,
	}, nil
}

// importOne makes an email of a blob, or returns a SetError, which names all that is wrong.
func (e *edit) importOne(call *jmap.Call, raw json.RawMessage) (*email, error) {
	var want emailToImport
	if refused := jmap.DecodeObject(raw, &want); refused != nil {
		return nil, refused
	}
	f := &faults{}
	in, err := e.importAs(call, &want, f)
	if err != nil {
		return nil, err
	}
	ref, data, err := e.service.readBlob(e.ctx, e.actor, e.account, want.BlobID)
	switch {
	case errors.Is(err, jmap.ErrBlobNotFound):
		f.invalid("blobId", fmt.Sprintf("there is no blob %q", want.BlobID))
	case err != nil:
		return nil, err
	}
	if refused := f.refusal(); refused != nil {
		return nil, refused
	}
	if !message.IsMessage(data) {
		return nil, &jmap.SetError{Type: setErrorInvalidEmail, Description: "the blob is no message, which begins with a header: give the blobId of one"}
	}
	if in.data = data; len(ref.sections) == 0 {
		in.blob = ref.hash
	}
	return e.addMessage(in)
}

// importAs reads where and as what a blob is imported. What is wrong with it is left to the faults.
func (e *edit) importAs(call *jmap.Call, want *emailToImport, f *faults) (*incoming, error) {
	in := &incoming{dated: want.ReceivedAt != nil}
	var err error
	if in.mailboxes, err = e.checkMailboxIDs(call, want.MailboxIDs); f.note(err) != nil {
		return nil, err
	}
	keywords, refused := limitedKeywords(want.Keywords)
	if refused != nil && f.note(refused) != nil {
		return nil, refused
	}
	in.keywords = keywords
	if in.dated {
		if in.received, err = parseUTC(*want.ReceivedAt); err != nil {
			f.invalid("receivedAt", "not a UTCDate such as 2026-11-23T18:25:00Z")
		}
	}
	return in, nil
}

// addMessage makes an email of a message, or returns a SetError. Any content becomes an email as it is, but for
// none at all and too much of it.
func (e *edit) addMessage(in *incoming) (*email, error) {
	if refused := e.visitor.mayAdd(in.mailboxes, in.keywords); refused != nil {
		return nil, refused
	}
	switch {
	case len(in.data) == 0:
		return nil, &jmap.SetError{Type: setErrorInvalidEmail, Description: "the message has no octets"}
	case len(in.data) > maxSizeMessage:
		return nil, &jmap.SetError{Type: jmap.SetErrorTooLarge, Description: fmt.Sprintf("the message has %d octets, the limit is %d", len(in.data), int64(maxSizeMessage))}
	}
	if in.blob == "" {
		info, err := e.service.blobs.Put(e.ctx, e.tenant, bytes.NewReader(in.data))
		if err != nil {
			return nil, err
		}
		in.blob = info.Hash
	}
	content, err := render(in.data)
	if err != nil {
		return nil, err
	}
	m := &email{
		Blob: in.blob, Size: int64(len(in.data)), Mailboxes: in.mailboxes, Keywords: in.keywords, Received: in.received,
		Label: in.label, visited: e.visitor != nil,
	}
	if !in.dated {
		m.Received = cmp.Or(content.received, e.service.opts.Now().UnixMilli())
	}
	return m, e.createEmail(m, content)
}

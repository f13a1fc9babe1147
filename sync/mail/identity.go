package mail

import (
	"context"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// The limits of identities.
const (
	maxIdentities = 200
	maxSignature  = 64 << 10
	maxReplyTo    = 100
	maxName       = 1 << 10
)

// identity is the record of an Identity (RFC 8621 section 6).
type identity struct {
	Name          string            `json:"name"`
	Email         string            `json:"email"`
	ReplyTo       []message.Address `json:"replyTo"`
	Bcc           []message.Address `json:"bcc"`
	TextSignature string            `json:"textSignature"`
	HTMLSignature string            `json:"htmlSignature"`
	// Default marks the identity of the account's own address, which stays.
	Default bool `json:"default,omitempty"`
}

// identityObject is an identity as clients see it.
type identityObject struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	Email         string            `json:"email"`
	ReplyTo       []message.Address `json:"replyTo"`
	Bcc           []message.Address `json:"bcc"`
	TextSignature string            `json:"textSignature"`
	HTMLSignature string            `json:"htmlSignature"`
	MayDelete     bool              `json:"mayDelete"`
}

var identities = shelf[identity]{
	kind:       typeIdentity,
	properties: []string{"id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete"},
	prefix:     keys.identities,
	object:     func(id string, i *identity) any { return i.object(id) },
}

func (i *identity) object(id string) identityObject {
	return identityObject{
		ID: id, Name: i.Name, Email: i.Email, ReplyTo: i.ReplyTo, Bcc: i.Bcc,
		TextSignature: i.TextSignature, HTMLSignature: i.HTMLSignature, MayDelete: !i.Default,
	}
}

// identityGet answers Identity/get (RFC 8621 section 6.1).
func (s *Service) identityGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	return identities.get(ctx, s, call, args)
}

// identityChanges answers Identity/changes (RFC 8621 section 6.2).
func (s *Service) identityChanges(ctx context.Context, _ *jmap.Call, args *jmap.ChangesArguments) (*jmap.ChangesResponse, error) {
	c, err := s.changes(ctx, typeIdentity, args)
	if err != nil {
		return nil, err
	}
	return new(changesResponse(args.AccountID, c)), nil
}

// setDefaultIdentity makes the default identity of an account. When the address of the account changed, a new one
// takes the place of the old and keeps what the user wrote: the address of an identity never changes.
func (e *edit) setDefaultIdentity(p *jmap.Principal, meta *accountMeta) error {
	next := &identity{Name: p.Name, Email: p.Address, Default: true}
	if meta.Identity != "" {
		old, err := identities.read(e.ctx, e.tx, e.account, meta.Identity)
		if err != nil {
			return err
		}
		if old != nil {
			if addressKey(old.Email) == addressKey(p.Address) {
				return nil
			}
			*next = *old
			next.Email = p.Address
			identities.remove(e, meta.Identity)
		}
	}
	id, err := e.newID("i")
	if err != nil {
		return err
	}
	meta.Identity = id
	return identities.write(e, id, next, store.Created)
}

// check returns what is wrong with an identity.
func (i *identity) check() *jmap.SetError {
	var wrong []string
	var why string
	note := func(property, reason string) {
		wrong, why = append(wrong, property), property+": "+reason
	}
	if len(i.Name) > maxName {
		note("name", fmt.Sprintf("longer than %d octets", maxName))
	}
	for property, list := range map[string][]message.Address{"replyTo": i.ReplyTo, "bcc": i.Bcc} {
		if reason := checkAddresses(list); reason != "" {
			note(property, reason)
		}
	}
	for property, text := range map[string]string{"textSignature": i.TextSignature, "htmlSignature": i.HTMLSignature} {
		if len(text) > maxSignature {
			note(property, fmt.Sprintf("longer than %d octets", maxSignature))
		}
	}
	if wrong == nil {
		return nil
	}
	return jmap.InvalidProperties(why, wrong...)
}

// checkAddresses says what is wrong with a list of addresses.
func checkAddresses(list []message.Address) string {
	if len(list) > maxReplyTo {
		return fmt.Sprintf("more than %d addresses", maxReplyTo)
	}
	for _, a := range list {
		if _, ok := parsePath(a.Email); !ok {
			return fmt.Sprintf("%q is not an email address", a.Email)
		}
	}
	return ""
}

package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// identityCreate is what a client sends to create an identity.
type identityCreate struct {
	Name          string            `json:"name"`
	Email         *string           `json:"email"`
	ReplyTo       []message.Address `json:"replyTo"`
	Bcc           []message.Address `json:"bcc"`
	TextSignature string            `json:"textSignature"`
	HTMLSignature string            `json:"htmlSignature"`
}

// identitySetter runs an Identity/set call.
type identitySetter struct {
	call *jmap.Call
	args *jmap.SetArguments
	out  *outcome
}

// identitySet answers Identity/set (RFC 8621 section 6.3).
func (s *Service) identitySet(ctx context.Context, call *jmap.Call, args *jmap.SetArguments) (*jmap.SetResponse, error) {
	m := &identitySetter{call: call, args: args, out: newOutcome(args.AccountID)}
	w := &setter{service: s, account: args.AccountID, kind: typeIdentity, ifInState: args.IfInState}
	w.save = func() func() { return m.out.save(call) }
	var ops []func(*edit) error
	for _, creation := range slices.Sorted(maps.Keys(args.Create)) {
		ops = append(ops, func(e *edit) error { return reported(m.out.notCreated, creation, m.create(e, creation)) })
	}
	for _, id := range slices.Sorted(maps.Keys(args.Update)) {
		ops = append(ops, func(e *edit) error { return reported(m.out.notUpdated, id, m.update(e, id)) })
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(args.Destroy))) {
		ops = append(ops, func(e *edit) error { return reported(m.out.notDestroyed, id, m.destroy(e, id)) })
	}
	if err := w.run(ctx, ops); err != nil {
		return nil, err
	}
	return m.out.response(w), nil
}

func (m *identitySetter) create(e *edit, creation string) error {
	var want identityCreate
	raw := m.args.Create[creation]
	if refused := jmap.DecodeObject(raw, &want); refused != nil {
		return refused
	}
	if want.Email == nil {
		return jmap.InvalidProperties("email: missing", "email")
	}
	if _, ok := parsePath(*want.Email); !ok {
		return jmap.InvalidProperties(fmt.Sprintf("email: %q is not an email address", *want.Email), "email")
	}
	i := &identity{
		Name: want.Name, Email: *want.Email, ReplyTo: want.ReplyTo, Bcc: want.Bcc,
		TextSignature: want.TextSignature, HTMLSignature: want.HTMLSignature,
	}
	if refused := i.check(); refused != nil {
		return refused
	}
	if ok, _ := sendersOf(m.call.Principal).may(i.Email); !ok {
		return &jmap.SetError{Type: setErrorForbiddenFrom, Description: "email: use your own address or that of a mailbox that you may send from"}
	}
	ids, _, err := identities.all(e.ctx, e.tx, e.account)
	if err != nil {
		return err
	}
	if len(ids) >= maxIdentities {
		return &jmap.SetError{Type: jmap.SetErrorOverQuota, Description: fmt.Sprintf("an account has at most %d identities", maxIdentities)}
	}
	id, err := e.newID("i")
	if err != nil {
		return err
	}
	if err := identities.write(e, id, i, store.Created); err != nil {
		return err
	}
	m.call.CreatedIDs[creation] = id
	created, err := unsent(i.object(id), id, identities.properties, raw)
	if err != nil {
		return err
	}
	return m.out.created(creation, created)
}

func (m *identitySetter) update(e *edit, reference string) error {
	id, _ := m.call.ResolveID(reference)
	i, err := identities.read(e.ctx, e.tx, e.account, id)
	switch {
	case err != nil:
		return err
	case i == nil:
		return &jmap.SetError{Type: jmap.SetErrorNotFound}
	case slices.Contains(m.args.Destroy, reference):
		return &jmap.SetError{Type: jmap.SetErrorWillDestroy}
	}
	next, err := i.patched(id, m.args.Update[reference])
	if err != nil {
		return err
	}
	if err := identities.write(e, id, next, store.Updated); err != nil {
		return err
	}
	return m.out.updated(id, nil)
}

// patched returns the identity as a patch makes it, or a SetError.
func (i *identity) patched(id string, patch jmap.PatchObject) (*identity, error) {
	have := i.object(id)
	raw, err := json.Marshal(have)
	if err != nil {
		return nil, fmt.Errorf("encode identity: %w", err)
	}
	changed, refused := patch.Apply(raw)
	if refused != nil {
		return nil, refused
	}
	var want identityObject
	if refused := jmap.DecodeObject(changed, &want); refused != nil {
		return nil, refused
	}
	var wrong []string
	for name, differs := range map[string]bool{
		"id": want.ID != have.ID, "email": want.Email != have.Email, "mayDelete": want.MayDelete != have.MayDelete,
	} {
		if differs {
			wrong = append(wrong, name)
		}
	}
	if slices.Sort(wrong); wrong != nil {
		return nil, jmap.InvalidProperties("cannot be changed", wrong...)
	}
	next := &identity{
		Name: want.Name, Email: want.Email, ReplyTo: want.ReplyTo, Bcc: want.Bcc,
		TextSignature: want.TextSignature, HTMLSignature: want.HTMLSignature, Default: i.Default,
	}
	if refused := next.check(); refused != nil {
		return nil, refused
	}
	return next, nil
}

func (m *identitySetter) destroy(e *edit, reference string) error {
	id, _ := m.call.ResolveID(reference)
	i, err := identities.read(e.ctx, e.tx, e.account, id)
	switch {
	case err != nil:
		return err
	case i == nil:
		return &jmap.SetError{Type: jmap.SetErrorNotFound}
	case i.Default:
		return &jmap.SetError{Type: jmap.SetErrorForbidden, Description: "the identity of the mailbox's own address stays"}
	}
	identities.remove(e, id)
	m.out.destroyed(id)
	return nil
}

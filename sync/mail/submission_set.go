package mail

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// submissionSetArguments are the arguments of EmailSubmission/set.
type submissionSetArguments struct {
	jmap.SetArguments

	OnSuccessUpdateEmail  map[string]jmap.PatchObject `json:"onSuccessUpdateEmail"`
	OnSuccessDestroyEmail []string                    `json:"onSuccessDestroyEmail"`
}

// Validate checks the arguments that every /set method has, and the references of the others.
func (a *submissionSetArguments) Validate(call *jmap.Call) error {
	if err := a.SetArguments.Validate(call); err != nil {
		return err
	}
	for reference, patch := range a.OnSuccessUpdateEmail {
		if !jmap.ValidID(strings.TrimPrefix(reference, "#")) {
			return jmap.InvalidArguments("onSuccessUpdateEmail: %q is not an Id", reference)
		}
		if patch == nil {
			return jmap.InvalidArguments("onSuccessUpdateEmail: the PatchObject of %q is null", reference)
		}
	}
	for _, reference := range a.OnSuccessDestroyEmail {
		if !jmap.ValidID(strings.TrimPrefix(reference, "#")) {
			return jmap.InvalidArguments("onSuccessDestroyEmail: %q is not an Id", reference)
		}
	}
	return nil
}

// submissionSetter runs an EmailSubmission/set call.
type submissionSetter struct {
	service *Service
	call    *jmap.Call
	args    *submissionSetArguments
	out     *outcome
	// done are the emails of the submissions that were created, updated or destroyed, by their ids.
	done map[string]string
}

// submissionSet answers EmailSubmission/set (RFC 8621 section 7.5).
func (s *Service) submissionSet(ctx context.Context, call *jmap.Call, args *submissionSetArguments) (*jmap.SetResponse, error) {
	m := &submissionSetter{service: s, call: call, args: args, out: newOutcome(args.AccountID), done: map[string]string{}}
	w := &setter{service: s, account: args.AccountID, kind: typeSubmission, ifInState: args.IfInState, save: m.save}
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
	err := w.run(ctx, ops)
	if len(m.done) > 0 {
		s.wakeOutbox(ctx)
	}
	if err != nil {
		return nil, err
	}
	return m.out.response(w), m.changeEmails(ctx)
}

// save returns what puts back what the operations keep.
func (m *submissionSetter) save() (restore func()) {
	done, out := maps.Clone(m.done), m.out.save(m.call)
	return func() {
		m.done = maps.Clone(done)
		out()
	}
}

func (m *submissionSetter) create(e *edit, creation string) error {
	raw := m.args.Create[creation]
	l := &letter{edit: e, call: m.call, now: m.service.opts.Now()}
	if err := l.read(raw); err != nil {
		return err
	}
	id, sub, err := l.submit()
	if err != nil {
		return err
	}
	m.call.CreatedIDs[creation] = id
	m.done[id] = sub.Email
	created, err := unsent(sub.object(id), id, submissions.properties, raw)
	if err != nil {
		return err
	}
	return m.out.created(creation, created)
}

func (m *submissionSetter) update(e *edit, reference string) error {
	id, _ := m.call.ResolveID(reference)
	sub, err := submissions.read(e.ctx, e.tx, e.account, id)
	switch {
	case err != nil:
		return err
	case sub == nil:
		return &jmap.SetError{Type: jmap.SetErrorNotFound}
	case slices.Contains(m.args.Destroy, reference):
		return &jmap.SetError{Type: jmap.SetErrorWillDestroy}
	}
	undo, err := sub.patched(id, m.args.Update[reference])
	if err != nil {
		return err
	}
	m.done[id] = sub.Email
	if undo == sub.Undo {
		return m.out.updated(id, nil)
	}
	if err := e.cancel(id, sub, undo); err != nil {
		delete(m.done, id)
		return err
	}
	return m.out.updated(id, map[string]any{"deliveryStatus": sub.object(id).DeliveryStatus})
}

// patched returns the undoStatus that a patch makes of a submission, or a SetError: nothing else can be changed.
func (s *submission) patched(id string, patch jmap.PatchObject) (undo string, err error) {
	have, err := json.Marshal(s.object(id))
	if err != nil {
		return "", err
	}
	want, refused := patch.Apply(have)
	if refused != nil {
		return "", refused
	}
	wrong, err := differing(have, want)
	if err != nil {
		return "", err
	}
	if wrong = slices.DeleteFunc(wrong, func(name string) bool { return name == "undoStatus" }); len(wrong) > 0 {
		return "", jmap.InvalidProperties("only undoStatus can change", wrong...)
	}
	var next struct {
		UndoStatus string `json:"undoStatus"`
	}
	if json.Unmarshal(want, &next) != nil || (next.UndoStatus != s.Undo && next.UndoStatus != undoCanceled) {
		return "", jmap.InvalidProperties("undoStatus: can only become "+undoCanceled, "undoStatus")
	}
	return next.UndoStatus, nil
}

// cancel takes a message out of the outbox, unless it is on its way already.
func (e *edit) cancel(id string, sub *submission, undo string) error {
	o, err := e.outgoing(id)
	if err != nil {
		return err
	}
	if sub.Undo != undoPending || o == nil || o.Claim != nil {
		return &jmap.SetError{Type: "cannotUnsend", Description: "the message is on its way"}
	}
	if err := e.endOutgoing(o); err != nil {
		return err
	}
	sub.Undo = undo
	for i := range sub.Status {
		sub.Status[i].Delivered, sub.Status[i].Reply = deliveredNo, replyCanceled
	}
	return submissions.write(e, id, sub, store.Updated)
}

// destroy removes the record of a submission. What it sends is sent all the same (RFC 8621 section 7.5).
func (m *submissionSetter) destroy(e *edit, reference string) error {
	id, _ := m.call.ResolveID(reference)
	sub, err := submissions.read(e.ctx, e.tx, e.account, id)
	if err != nil {
		return err
	}
	if sub == nil {
		return &jmap.SetError{Type: jmap.SetErrorNotFound}
	}
	if err := e.removeSubmission(id, sub); err != nil {
		return err
	}
	m.done[id] = sub.Email
	m.out.destroyed(id)
	return nil
}

// changeEmails makes the implicit Email/set call, whose response follows that of EmailSubmission/set (RFC 8621
// section 7.5). That it is refused does not undo the submissions.
func (m *submissionSetter) changeEmails(ctx context.Context) error {
	args := &jmap.SetArguments{AccountID: m.args.AccountID, Update: map[string]jmap.PatchObject{}}
	for _, reference := range slices.Sorted(maps.Keys(m.args.OnSuccessUpdateEmail)) {
		email, ok := m.emailOf(reference)
		if !ok {
			continue
		}
		if args.Update[email] == nil {
			args.Update[email] = jmap.PatchObject{}
		}
		maps.Copy(args.Update[email], m.args.OnSuccessUpdateEmail[reference])
	}
	for _, reference := range m.args.OnSuccessDestroyEmail {
		if email, ok := m.emailOf(reference); ok && !slices.Contains(args.Destroy, email) {
			args.Destroy = append(args.Destroy, email)
		}
	}
	if len(args.Update)+len(args.Destroy) == 0 {
		return nil
	}
	var response *jmap.SetResponse
	err := args.Validate(m.call)
	if err == nil {
		response, err = m.service.emailSet(ctx, m.call, args)
	}
	refused, ok := errors.AsType[*jmap.MethodError](err)
	switch {
	case ok:
		m.call.AddResponse("error", refused)
	case err != nil:
		return partial(err)
	default:
		m.call.AddResponse("Email/set", response)
	}
	return nil
}

// emailOf returns the email of a submission of this call, when what was asked of the submission was done.
func (m *submissionSetter) emailOf(reference string) (string, bool) {
	id, _ := m.call.ResolveID(reference)
	email, ok := m.done[id]
	return email, ok
}

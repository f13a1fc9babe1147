package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
)

// emailSetter runs an Email/set call.
type emailSetter struct {
	service *Service
	call    *jmap.Call
	args    *jmap.SetArguments
	out     *outcome
	// downgrades are those of sensitivity labels since the last commit.
	downgrades []label.Downgrade
}

// emailSet answers Email/set (RFC 8621 section 4.6).
func (s *Service) emailSet(ctx context.Context, call *jmap.Call, args *jmap.SetArguments) (*jmap.SetResponse, error) {
	m := &emailSetter{service: s, call: call, args: args, out: newOutcome(args.AccountID)}
	w := &setter{service: s, principal: call.Principal, account: args.AccountID, kind: typeEmail, ifInState: args.IfInState, committed: func() { m.audit(ctx) }}
	w.save = m.save
	var ops []func(*edit) error
	for _, id := range slices.Sorted(maps.Keys(args.Create)) {
		ops = append(ops, m.create(id))
	}
	for _, id := range slices.Sorted(maps.Keys(args.Update)) {
		ops = append(ops, m.update(id))
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(args.Destroy))) {
		ops = append(ops, m.destroy(id))
	}
	if err := w.run(ctx, ops); err != nil {
		return nil, err
	}
	return m.out.response(w), nil
}

// save returns what puts back what the operations keep.
func (m *emailSetter) save() (restore func()) {
	downgrades, out := slices.Clone(m.downgrades), m.out.save(m.call)
	return func() {
		m.downgrades = slices.Clone(downgrades)
		out()
	}
}

func (m *emailSetter) create(creation string) func(*edit) error {
	return func(e *edit) error {
		draft, err := m.draft(e, m.args.Create[creation])
		if err != nil {
			return m.out.notCreated(creation, err)
		}
		created, err := e.addMessage(draft)
		if err != nil {
			return m.out.notCreated(creation, err)
		}
		m.call.CreatedIDs[creation] = created.ID
		return m.out.created(creation, created.summary())
	}
}

// summary is what the answer to a creation tells (RFC 8621 section 4.6).
func (m *email) summary() map[string]any {
	return map[string]any{"id": m.ID, "blobId": m.ref().String(), "threadId": m.Thread, "size": m.Size}
}

func (m *emailSetter) update(reference string) func(*edit) error {
	return func(e *edit) error {
		id, _ := m.call.ResolveID(reference)
		email, err := e.email(id)
		if err != nil {
			return err
		}
		seen := e.visitor.email(email)
		if seen == nil {
			return m.out.notUpdated(reference, &jmap.SetError{Type: jmap.SetErrorNotFound})
		}
		if slices.Contains(m.args.Destroy, reference) {
			return m.out.notUpdated(reference, &jmap.SetError{Type: jmap.SetErrorWillDestroy})
		}
		patch, change, err := m.relabelling(e, email, m.args.Update[reference])
		if err != nil {
			return m.out.notUpdated(reference, err)
		}
		mailboxes, keywords, err := m.patched(e, seen, patch)
		if err != nil {
			return m.out.notUpdated(reference, err)
		}
		if refused := e.visitor.mayChange(email, seen, mailboxes, keywords, change != nil); refused != nil {
			return m.out.notUpdated(reference, refused)
		}
		if err := m.relabel(e, email, change); err != nil {
			return err
		}
		mailboxes = e.visitor.withHidden(email, seen, mailboxes)
		if err := e.updateEmail(email, mailboxes, keywords); err != nil {
			return err
		}
		return m.out.updated(id, nil)
	}
}

// patched returns the mailboxes and keywords of an email as the patch makes them. Other properties may only be
// given as they are (RFC 8620 section 5.3).
func (m *emailSetter) patched(e *edit, email *email, patch jmap.PatchObject) (mailboxes, keywords []string, err error) {
	own, others := m.splitPatch(patch)
	raw, err := json.Marshal(map[string]any{"mailboxIds": set(email.Mailboxes), "keywords": set(email.Keywords)})
	if err != nil {
		return nil, nil, fmt.Errorf("patch email: %w", err)
	}
	next, refused := own.Apply(raw)
	if refused != nil {
		return nil, nil, refused
	}
	wrong, err := m.changes(e, email, others)
	if err != nil {
		return nil, nil, err
	}
	if len(wrong) > 0 {
		return nil, nil, jmap.InvalidProperties("only mailboxIds, keywords and "+label.Property+" can change", wrong...)
	}
	var want struct {
		MailboxIDs map[string]bool `json:"mailboxIds"`
		Keywords   map[string]bool `json:"keywords"`
	}
	if refused := jmap.DecodeObject(next, &want); refused != nil {
		return nil, nil, refused
	}
	if mailboxes, err = e.checkMailboxIDs(m.call, want.MailboxIDs); err != nil {
		return nil, nil, err
	}
	keywords, refused = limitedKeywords(want.Keywords)
	if refused != nil {
		return nil, nil, refused
	}
	return mailboxes, keywords, nil
}

// splitPatch parts the patches of mailboxIds and keywords, with keywords in lower case and creation ids resolved, from
// those of other properties.
func (m *emailSetter) splitPatch(patch jmap.PatchObject) (own, others jmap.PatchObject) {
	own, others = jmap.PatchObject{}, jmap.PatchObject{}
	for path, value := range patch {
		property, member, _ := strings.Cut(path, "/")
		switch property {
		case "keywords":
			own[strings.ToLower(path)] = value
		case "mailboxIds":
			if id, ok := m.call.ResolveID(member); ok && strings.HasPrefix(member, "#") {
				path = "mailboxIds/" + id
			}
			own[path] = value
		default:
			others[path] = value
		}
	}
	return own, others
}

// changes lists the properties of an email that a patch would change, or that no email has. A patch that cannot be
// applied is a SetError.
func (m *emailSetter) changes(e *edit, email *email, patch jmap.PatchObject) ([]string, error) {
	have := map[string]any{}
	var wrong []string
	for _, property := range patch.Properties() {
		value, known, err := m.value(e, email, property)
		if err != nil {
			return nil, err
		}
		if have[property] = value; !known {
			wrong = append(wrong, property)
		}
	}
	raw, err := json.Marshal(have)
	if err != nil {
		return nil, fmt.Errorf("patch email: %w", err)
	}
	next, refused := patch.Apply(raw)
	if refused != nil {
		return nil, refused
	}
	changed, err := differing(raw, next)
	wrong = append(wrong, changed...)
	slices.Sort(wrong)
	return slices.Compact(wrong), err
}

// value returns a property of an email; known is false when emails have no such property.
func (m *emailSetter) value(e *edit, email *email, property string) (value any, known bool, err error) {
	properties, smimeNames := cutSMIME(m.call, []string{property})
	sel, err := newSelection(properties, nil, bodyArguments{})
	if err != nil {
		return nil, false, nil //nolint:nilerr // the property does not exist, so the patch is wrong
	}
	sel.signatures = m.service.newVerifier(e.account, e.tenant)
	sel.signatures.names = smimeNames
	object, err := m.service.emailObject(e.ctx, e.tx, e.account, e.tenant, email, sel)
	return object[property], true, err
}

func sameJSON(a, b json.RawMessage) bool {
	var left, right any
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil {
		return false
	}
	x, errX := json.Marshal(left)
	y, errY := json.Marshal(right)
	return errX == nil && errY == nil && string(x) == string(y)
}

func (m *emailSetter) destroy(reference string) func(*edit) error {
	return func(e *edit) error {
		id, _ := m.call.ResolveID(reference)
		email, err := e.email(id)
		if err != nil {
			return err
		}
		if e.visitor.email(email) == nil {
			return m.out.notDestroyed(reference, &jmap.SetError{Type: jmap.SetErrorNotFound})
		}
		if !e.visitor.mayAll(email.Mailboxes, mayRemoveItems) {
			return m.out.notDestroyed(reference, forbidden("you do not have the right to remove the email from all its mailboxes"))
		}
		if err := e.destroyEmail(email); err != nil {
			return err
		}
		m.out.destroyed(id)
		return nil
	}
}

// checkMailboxIDs returns the mailboxes of an email, sorted, or a SetError.
func (e *edit) checkMailboxIDs(call *jmap.Call, ids map[string]bool) ([]string, error) {
	var out []string
	for reference, value := range ids {
		id, ok := call.ResolveID(reference)
		if !ok || !value {
			return nil, jmap.InvalidProperties(fmt.Sprintf("mailboxIds: %q is no mailbox, or its value is not true", reference), "mailboxIds")
		}
		box, err := e.mailbox(id)
		if err != nil {
			return nil, err
		}
		if box == nil || !e.visitor.sees(id) {
			return nil, jmap.InvalidProperties(fmt.Sprintf("mailboxIds: there is no mailbox %q", id), "mailboxIds")
		}
		out = append(out, id)
	}
	if len(out) == 0 {
		return nil, jmap.InvalidProperties("mailboxIds: an email is in one mailbox at least", "mailboxIds")
	}
	if len(out) > maxMailboxesPerEmail {
		return nil, &jmap.SetError{Type: "tooManyMailboxes", Description: fmt.Sprintf("mailboxIds: at most %d", maxMailboxesPerEmail)}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// limitedKeywords returns the keywords of an email, sorted, or a SetError.
func limitedKeywords(keywords map[string]bool) ([]string, *jmap.SetError) {
	if len(keywords) > maxKeywordsPerEmail {
		return nil, &jmap.SetError{Type: "tooManyKeywords", Description: fmt.Sprintf("keywords: at most %d", maxKeywordsPerEmail)}
	}
	sorted, why := checkKeywords(keywords)
	if why != "" {
		return nil, jmap.InvalidProperties(why, "keywords")
	}
	return sorted, nil
}

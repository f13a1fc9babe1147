package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// roles are the names that a mailbox's role may have: those of the IANA registry of IMAP mailbox name attributes
// that name a purpose.
var roles = []string{
	"all", "archive", "drafts", "flagged", "important", "inbox", "junk", "memos", "scheduled", "sent", "snoozed",
	"subscribed", "trash",
}

// maxSortOrder is the greatest sortOrder (RFC 8621 section 2).
const maxSortOrder = 1<<31 - 1

// mailboxSetArguments are the arguments of Mailbox/set.
type mailboxSetArguments struct {
	jmap.SetArguments

	OnDestroyRemoveEmails bool `json:"onDestroyRemoveEmails"`
}

// mailboxCreate is what a client sends to create a mailbox.
type mailboxCreate struct {
	Name         *string `json:"name"`
	ParentID     *string `json:"parentId"`
	Role         *string `json:"role"`
	SortOrder    int64   `json:"sortOrder"`
	IsSubscribed *bool   `json:"isSubscribed"`
}

// mailboxSet answers Mailbox/set (RFC 8621 section 2.5).
func (s *Service) mailboxSet(ctx context.Context, call *jmap.Call, args *mailboxSetArguments) (*jmap.SetResponse, error) {
	m := &mailboxSetter{call: call, args: args, out: newOutcome(args.AccountID), subscriber: subscriberOf(call, args.AccountID), subscribed: map[string]bool{}}
	w := &setter{service: s, account: args.AccountID, kind: typeMailbox, ifInState: args.IfInState, save: m.save}
	var ops []func(*edit) error
	for _, id := range creationOrder(args.Create) {
		ops = append(ops, m.try(&attempt{reference: id, run: m.create(id), report: m.out.notCreated}))
	}
	for _, id := range slices.Sorted(maps.Keys(args.Update)) {
		ops = append(ops, m.try(&attempt{reference: id, run: m.update(id), report: m.out.notUpdated, patch: args.Update[id]}))
	}
	ops = append(ops, m.settle)
	if len(args.Destroy) > 0 {
		ops = append(ops, m.destroyAll, m.settle)
	}
	ops = append(ops, m.report)
	if err := w.run(ctx, ops); err != nil {
		return nil, err
	}
	return m.out.response(w), nil
}

// creationOrder sorts creations so that a parent that is created in the same call comes before its children.
func creationOrder(create map[string]json.RawMessage) []string {
	var order []string
	placed := map[string]bool{}
	var put func(id string)
	put = func(id string) {
		if placed[id] {
			return
		}
		placed[id] = true
		var ref struct {
			ParentID any `json:"parentId"`
		}
		if json.Unmarshal(create[id], &ref) == nil {
			if parent, ok := ref.ParentID.(string); ok && strings.HasPrefix(parent, "#") && create[parent[1:]] != nil {
				put(parent[1:])
			}
		}
		order = append(order, id)
	}
	for _, id := range slices.Sorted(maps.Keys(create)) {
		put(id)
	}
	return order
}

type mailboxSetter struct {
	call *jmap.Call
	args *mailboxSetArguments
	out  *outcome
	// pending are the creations and updates that were refused so far.
	pending []*attempt
	// subscriber is the user, when the account is somebody else's. Then subscribed is what updates want its
	// subscriptions to be, by the id of the mailbox.
	subscriber string
	subscribed map[string]bool
}

func (m *mailboxSetter) create(creation string) func(*edit) error {
	return func(e *edit) error {
		var c mailboxCreate
		if refused := jmap.DecodeObject(m.args.Create[creation], &c); refused != nil {
			return refused
		}
		if c.Name == nil {
			return jmap.InvalidProperties("name: missing", "name")
		}
		box := &mailbox{Name: *c.Name, Role: c.Role, SortOrder: c.SortOrder, IsSubscribed: c.IsSubscribed == nil || *c.IsSubscribed}
		if refused := m.parent(box, c.ParentID); refused != nil {
			return refused
		}
		if err := e.checkMailbox(box); err != nil {
			return err
		}
		if err := e.createMailbox(box); err != nil {
			return err
		}
		m.call.CreatedIDs[creation] = box.ID
		created, err := m.unsent(creation, box)
		if err != nil {
			return err
		}
		if err := m.subscribe(e, box.ID, box.IsSubscribed); err != nil {
			return err
		}
		box.IsSubscribed = box.IsSubscribed && m.subscriber == ""
		return m.out.created(creation, created)
	}
}

// unsent returns the properties of a new mailbox that the client did not send, and those that it sent as creation ids.
func (m *mailboxSetter) unsent(creation string, box *mailbox) (map[string]any, error) {
	created, err := box.object().properties(nil)
	if err != nil {
		return nil, err
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(m.args.Create[creation], &sent); err != nil {
		return nil, err
	}
	for name, value := range sent {
		if reference := string(value); !strings.HasPrefix(reference, `"#`) {
			delete(created, name)
		}
	}
	return created, nil
}

// parent sets the parent of a box, which a creation id may name.
func (m *mailboxSetter) parent(box *mailbox, reference *string) *jmap.SetError {
	box.ParentID = nil
	if reference == nil {
		return nil
	}
	id, ok := m.call.ResolveID(*reference)
	if !ok {
		return jmap.InvalidProperties("parentId: nothing was created as "+*reference, "parentId")
	}
	box.ParentID = &id
	return nil
}

func (m *mailboxSetter) update(reference string) func(*edit) error {
	return func(e *edit) error {
		id, _ := m.call.ResolveID(reference)
		box, err := e.mailbox(id)
		if err != nil {
			return err
		}
		if box == nil {
			return &jmap.SetError{Type: jmap.SetErrorNotFound}
		}
		if slices.Contains(m.args.Destroy, reference) {
			return &jmap.SetError{Type: jmap.SetErrorWillDestroy}
		}
		changed, err := m.patched(e, box, m.args.Update[reference])
		if err != nil {
			return err
		}
		if err := e.checkMailbox(changed); err != nil {
			return err
		}
		if err := e.updateMailbox(box, changed); err != nil {
			return err
		}
		if err := m.subscribe(e, id, m.subscribed[id]); err != nil {
			return err
		}
		return m.out.updated(id, nil)
	}
}

// patched returns the mailbox as the patch makes it.
func (m *mailboxSetter) patched(e *edit, box *mailbox, patch jmap.PatchObject) (*mailbox, error) {
	seen, err := m.seen(e, box)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(seen.object())
	if err != nil {
		return nil, fmt.Errorf("encode mailbox: %w", err)
	}
	next, refused := patch.Apply(raw)
	if refused != nil {
		return nil, refused
	}
	want := mailboxObject{MyRights: box.object().MyRights}
	if refused := jmap.DecodeObject(next, &want); refused != nil {
		return nil, refused
	}
	changed := *box
	changed.Name, changed.Role = want.Name, want.Role
	changed.SortOrder = want.SortOrder
	if m.subscribed[box.ID] = want.IsSubscribed; m.subscriber == "" {
		changed.IsSubscribed = want.IsSubscribed
	}
	if refused := m.parent(&changed, want.ParentID); refused != nil {
		return nil, refused
	}
	if wrong := serverSet(box.object(), want); len(wrong) > 0 {
		return nil, jmap.InvalidProperties("set by the server only", wrong...)
	}
	if box.has("inbox") && !changed.has("inbox") {
		return nil, &jmap.SetError{Type: jmap.SetErrorForbidden, Description: "the inbox keeps its role"}
	}
	return &changed, nil
}

// serverSet lists the properties that a client tried to change though the server sets them.
func serverSet(have, want mailboxObject) []string {
	var wrong []string
	for name, differs := range map[string]bool{
		"id":            have.ID != want.ID,
		"totalEmails":   have.TotalEmails != want.TotalEmails,
		"unreadEmails":  have.UnreadEmails != want.UnreadEmails,
		"totalThreads":  have.TotalThreads != want.TotalThreads,
		"unreadThreads": have.UnreadThreads != want.UnreadThreads,
		"myRights":      have.MyRights != want.MyRights,
	} {
		if differs {
			wrong = append(wrong, name)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func (e *edit) createMailbox(box *mailbox) (err error) {
	if box.ID, err = e.newID("b"); err != nil {
		return err
	}
	if box.Role != nil {
		e.tx.Set(e.keys.role(*box.Role), []byte(box.ID))
	}
	e.boxes[box.ID] = box
	return nil
}

func (e *edit) updateMailbox(box, changed *mailbox) error {
	trash := box.has("trash") != changed.has("trash")
	if !same(box.Role, changed.Role) {
		if box.Role != nil {
			e.tx.Delete(e.keys.role(*box.Role))
		}
		if changed.Role != nil {
			e.tx.Set(e.keys.role(*changed.Role), []byte(box.ID))
		}
	}
	*box = *changed
	if trash {
		return e.recountUnreadThreads()
	}
	return nil
}

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
	if box == nil {
		return &jmap.SetError{Type: jmap.SetErrorNotFound}
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
	trash := box.has("trash")
	if box.Role != nil {
		e.tx.Delete(e.keys.role(*box.Role))
	}
	e.boxes[id] = nil
	if _, stored := e.stored[id]; stored {
		e.tx.Delete(e.keys.mailbox(id))
		e.tx.Changed(store.Change{Type: typeMailbox, ID: id, Kind: store.Destroyed})
		delete(e.stored, id)
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

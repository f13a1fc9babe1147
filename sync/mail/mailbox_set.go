package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
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

// Validate checks the arguments. Who may only read what is shared of an account may still subscribe to it.
func (a *mailboxSetArguments) Validate(call *jmap.Call) error {
	if !call.Principal.Partial(a.AccountID) {
		return a.SetArguments.Validate(call)
	}
	if err := call.CheckAccount(a.AccountID); err != nil {
		return err
	}
	return a.ValidateObjects(call)
}

// mailboxCreate is what a client sends to create a mailbox.
type mailboxCreate struct {
	Name         *string `json:"name"`
	ParentID     *string `json:"parentId"`
	Role         *string `json:"role"`
	SortOrder    int64   `json:"sortOrder"`
	IsSubscribed *bool   `json:"isSubscribed"`

	ShareWith sharees `json:"shareWith"`
}

// sharees are those to share a mailbox with, by principal, and whether the property was there.
type sharees struct {
	given bool
	with  map[string]mailboxRights
}

// UnmarshalJSON notes that the property was there.
func (s *sharees) UnmarshalJSON(raw []byte) error {
	s.given = true
	return jmap.DecodeArguments(raw, &s.with)
}

// notSharing refuses the property in requests that do not use principals.
func notSharing() *jmap.SetError {
	return jmap.InvalidProperties(propertyShareWith+": no such property without "+PrincipalsCapabilityURI+" in using", propertyShareWith)
}

// mailboxSet answers Mailbox/set (RFC 8621 section 2.5).
func (s *Service) mailboxSet(ctx context.Context, call *jmap.Call, args *mailboxSetArguments) (*jmap.SetResponse, error) {
	m := &mailboxSetter{call: call, args: args, out: newOutcome(args.AccountID), subscriber: subscriberOf(call, args.AccountID), subscribed: map[string]bool{}}
	w := &setter{service: s, principal: call.Principal, account: args.AccountID, kind: typeMailbox, ifInState: args.IfInState, save: m.save}
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
	if w.told {
		if err := s.sendWords(ctx, call.Principal.Tenant, args.AccountID); err != nil {
			// The change is made. What was not told goes with the next one.
			s.failed(ctx, "telling of shares failed", err)
		}
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
		c, refused := m.wanted(creation)
		if refused != nil {
			return refused
		}
		box := &mailbox{Name: *c.Name, Role: c.Role, SortOrder: c.SortOrder, IsSubscribed: c.IsSubscribed == nil || *c.IsSubscribed}
		if refused := m.parent(box, c.ParentID); refused != nil {
			return refused
		}
		if err := e.shareNew(box, c.ShareWith.with); err != nil {
			return err
		}
		if err := e.checkMailbox(box); err != nil {
			return err
		}
		if err := e.createMailbox(box); err != nil {
			return err
		}
		m.call.CreatedIDs[creation] = box.ID
		created, err := m.unsent(e, creation, box)
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

// wanted reads a mailbox that is to be created, or returns a SetError.
func (m *mailboxSetter) wanted(creation string) (*mailboxCreate, *jmap.SetError) {
	c := &mailboxCreate{}
	switch refused := jmap.DecodeObject(m.args.Create[creation], c); {
	case refused != nil:
		return nil, refused
	case c.ShareWith.given && !sharing(m.call):
		return nil, notSharing()
	case c.Name == nil:
		return nil, jmap.InvalidProperties("name: missing", "name")
	}
	return c, nil
}

// unsent returns the properties of a new mailbox that the client did not send, and those that it sent as creation ids.
func (m *mailboxSetter) unsent(e *edit, creation string, box *mailbox) (map[string]any, error) {
	created, err := e.visitor.mailbox(box).object(e.visitor).properties(m.call, nil)
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
		if box == nil || !e.visitor.sees(id) {
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
		if e.visitor != nil {
			subscribed := changed.IsSubscribed
			changed.IsSubscribed = box.IsSubscribed
			if err := e.subscribe(id, subscribed); err != nil {
				return err
			}
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

// patched returns the mailbox as the patch makes it. IsSubscribed is that of a visitor, when it is one who patches.
func (m *mailboxSetter) patched(e *edit, box *mailbox, patch jmap.PatchObject) (*mailbox, error) {
	if slices.Contains(patch.Properties(), propertyShareWith) && !sharing(m.call) {
		return nil, notSharing()
	}
	seen, err := m.seen(e, box)
	if err != nil {
		return nil, err
	}
	have := seen.object(e.visitor)
	raw, err := json.Marshal(have)
	if err != nil {
		return nil, fmt.Errorf("encode mailbox: %w", err)
	}
	next, refused := patch.Apply(raw)
	if refused != nil {
		return nil, refused
	}
	want := mailboxObject{MyRights: have.MyRights}
	if refused := jmap.DecodeObject(next, &want); refused != nil {
		return nil, refused
	}
	if wrong := serverSet(have, want); len(wrong) > 0 {
		return nil, jmap.InvalidProperties("set by the server only", wrong...)
	}
	return m.changed(e, box, have, want)
}

// changed returns the mailbox as a user wants it, who has seen it as it is.
func (m *mailboxSetter) changed(e *edit, box *mailbox, have, want mailboxObject) (*mailbox, error) {
	changed := *box
	changed.Name, changed.Role = want.Name, want.Role
	changed.SortOrder = want.SortOrder
	if m.subscribed[box.ID] = want.IsSubscribed; m.subscriber == "" {
		changed.IsSubscribed = want.IsSubscribed
	}
	if !same(want.ParentID, have.ParentID) {
		if refused := m.parent(&changed, want.ParentID); refused != nil {
			return nil, refused
		}
	}
	if !maps.Equal(want.ShareWith, have.ShareWith) {
		var err error
		if changed.Shares, err = e.checkShares(box, want.ShareWith); err != nil {
			return nil, err
		}
	}
	if refused := e.visitor.mayUpdateMailbox(box, &changed); refused != nil {
		return nil, refused
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
	if e.visitor != nil {
		e.visitor.Boxes[box.ID] = visit{Rights: box.Shares[e.visitor.account], Unsubscribed: !box.IsSubscribed}
		box.IsSubscribed = true
	}
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

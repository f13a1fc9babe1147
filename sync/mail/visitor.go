package mail

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// visitor is a principal in an account of which mailboxes are shared with it: what it may do with each. A nil visitor
// may do everything.
type visitor struct {
	// Since is the sequence number of the commit that last changed which emails the visitor may see, other than by
	// what the log tells of its mailboxes: no change can be calculated from before.
	Since uint64 `json:"since"`
	// Epoch is that of the commit.
	Epoch uint64 `json:"epoch,omitempty"`
	// Boxes are the mailboxes by id.
	Boxes map[string]visit `json:"boxes"`
	// account is that of the visitor.
	account string
}

// visit is what a visitor has of one mailbox.
type visit struct {
	Rights       rights `json:"rights"`
	Unsubscribed bool   `json:"unsubscribed,omitempty"`
}

func (k keys) visitor(account string) []byte {
	return store.NewKey(string(k)).String("visitor").String(account)
}

// visitor returns who a principal is in an account: nil when all of it is its own to use. It is read anew for each call,
// so that what is revoked is gone at once.
func (s *Service) visitor(ctx context.Context, r store.Reader, p *jmap.Principal, account string) (*visitor, error) {
	if p == nil || !p.Partial(account) {
		return nil, nil //nolint:nilnil // nobody is a visitor at home
	}
	v := &visitor{account: p.AccountID}
	exists, err := readJSON(ctx, r, keys(account).visitor(p.AccountID), v)
	if err == nil && !exists {
		err = &jmap.MethodError{Type: jmap.ErrorAccountNotFound}
	}
	return v, err
}

// isRevoked says whether an error means that nothing of the account is shared any more.
func isRevoked(err error) bool {
	refused, ok := errors.AsType[*jmap.MethodError](err)
	return ok && refused.Type == jmap.ErrorAccountNotFound
}

// may says whether the visitor has some rights to a mailbox.
func (v *visitor) may(mailbox string, wanted rights) bool {
	return v == nil || v.Boxes[mailbox].Rights.has(wanted)
}

// mayAll says whether the visitor has some rights to all of the mailboxes.
func (v *visitor) mayAll(mailboxes []string, wanted rights) bool {
	return !slices.ContainsFunc(mailboxes, func(id string) bool { return !v.may(id, wanted) })
}

// sees says whether a mailbox is shown to the visitor.
func (v *visitor) sees(mailbox string) bool { return v == nil || v.Boxes[mailbox].Rights != 0 }

// readable are the mailboxes whose emails the visitor may see, in order.
func (v *visitor) readable() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(v.Boxes)), func(id string) bool { return !v.may(id, mayReadItems) })
}

// visible returns those of some mailboxes whose emails the visitor may see.
func (v *visitor) visible(mailboxes []string) []string {
	return slices.DeleteFunc(slices.Clone(mailboxes), func(id string) bool { return !v.may(id, mayReadItems) })
}

// email returns an email as the visitor sees it, or nil when it does not.
func (v *visitor) email(m *email) *email {
	if v == nil || m == nil {
		return m
	}
	seen := *m
	seen.Mailboxes, seen.visited = v.visible(m.Mailboxes), true
	if len(seen.Mailboxes) == 0 {
		return nil
	}
	return &seen
}

// members returns the emails of a thread that the visitor sees.
func (v *visitor) members(all []member) []member {
	if v == nil {
		return all
	}
	var out []member
	for _, m := range all {
		if m.mailboxes = v.visible(m.mailboxes); len(m.mailboxes) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// mailbox returns a mailbox as the visitor sees it. What counts unread threads is not known from the record alone.
func (v *visitor) mailbox(box *mailbox) *mailbox {
	if v == nil {
		return box
	}
	seen := *box
	if seen.ParentID != nil && !v.sees(*seen.ParentID) {
		seen.ParentID = nil
	}
	if !v.may(box.ID, mayShare) {
		seen.Shares = nil
	}
	if !v.may(box.ID, mayReadItems) {
		seen.TotalEmails, seen.UnreadEmails, seen.TotalThreads, seen.UnreadThreads = 0, 0, 0, 0
	}
	seen.IsSubscribed = !v.Boxes[box.ID].Unsubscribed
	return &seen
}

// idOf returns the id of a mailbox, or nothing when the visitor does not see it.
func (v *visitor) idOf(box *mailbox) string {
	if !v.sees(box.ID) {
		return ""
	}
	return box.ID
}

// rightsTo returns what the visitor, or the owner, may do with a mailbox.
func (v *visitor) rightsTo(box *mailbox) rights {
	all := rights(allRights)
	if v != nil {
		all = v.Boxes[box.ID].Rights
	}
	return box.limit(all)
}

// limit takes away what nobody may do with a mailbox, whatever its rights.
func (m *mailbox) limit(r rights) rights {
	if m.has("inbox") {
		return r &^ mayDelete
	}
	return r
}

// readEmail returns an email as a visitor sees it, or nil.
func (s *Service) readEmail(ctx context.Context, r store.Reader, v *visitor, account, id string) (*email, error) {
	m := &email{ID: id}
	exists, err := readJSON(ctx, r, keys(account).email(id), m)
	if err != nil || !exists {
		return nil, err
	}
	return v.email(m), nil
}

// readVisited returns the mailboxes that a visitor sees as it sees them, in the order of their ids. It counts unread
// threads when that is wanted.
func (s *Service) readVisited(ctx context.Context, r store.Reader, v *visitor, account string, counts bool) ([]*mailbox, error) {
	boxes, err := readMailboxes(ctx, r, account)
	if v == nil || err != nil {
		return boxes, err
	}
	boxes = slices.DeleteFunc(boxes, func(box *mailbox) bool { return !v.sees(box.ID) })
	for i, box := range boxes {
		boxes[i] = v.mailbox(box)
		if err := v.countUnread(ctx, r, account, boxes[i], counts); err != nil {
			return nil, err
		}
	}
	return boxes, nil
}

// countUnread counts the threads of a mailbox that have an unread email which the visitor sees. The record counts those
// with one anywhere.
func (v *visitor) countUnread(ctx context.Context, r store.Reader, account string, box *mailbox, wanted bool) error {
	if v == nil || !wanted || box.UnreadThreads == 0 {
		return nil
	}
	trash, err := r.Get(ctx, keys(account).role("trash"))
	if err != nil && !isNotFound(err) {
		return err
	}
	box.UnreadThreads = 0
	index := keys(account).box(box.ID)
	counted := map[string]bool{}
	for p, err := range r.Scan(ctx, index.Range(), store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("count threads: %w", err)
		}
		thread := string(p.Value)
		if counted[thread] {
			continue
		}
		counted[thread] = true
		members, err := readThread(ctx, r, account, thread)
		if err != nil {
			return err
		}
		box.UnreadThreads += shares(v.members(members), string(trash))[box.ID].unread
	}
	return nil
}

// logged is the name under which the changes of a type are logged for those who may see one mailbox only.
func logged(kind, mailbox string) string { return kind + "@" + mailbox }

// kinds are the names under which what the visitor sees of a type is logged.
func (v *visitor) kinds(kind string) []string {
	if v == nil {
		return []string{kind}
	}
	boxes := v.readable()
	if kind == typeMailbox {
		boxes = slices.Sorted(maps.Keys(v.Boxes))
	}
	for i, id := range boxes {
		boxes[i] = logged(kind, id)
	}
	return boxes
}

func (v *visitor) floor() string { return store.FormatState(v.Since, v.Epoch) }

// state returns the state of a type as the visitor sees it.
func (v *visitor) state(ctx context.Context, r store.Reader, account, kind string) (string, error) {
	if v == nil {
		return store.State(ctx, r, account, kind)
	}
	last, err := store.LastState(ctx, r, account, v.kinds(kind))
	return store.Later(last, v.floor()), err
}

// newState returns the state of a type to which a commit led, as the visitor sees it, or nothing.
func (v *visitor) newState(tx *store.Tx, kind string) string {
	for _, kind := range v.kinds(kind) {
		if state := tx.NewState(kind); state != "" {
			return state
		}
	}
	return ""
}

// changes returns the changes of a type as the visitor sees them.
func (v *visitor) changes(ctx context.Context, r store.Reader, account, kind, since string, limit int) (store.Changes, error) {
	if v == nil {
		return store.ChangesSince(ctx, r, account, kind, since, limit)
	}
	if store.Later(since, v.floor()) != since {
		return store.Changes{}, fmt.Errorf("state %q: %w", since, store.ErrTooOld)
	}
	byBox, err := store.ChangesByType(ctx, r, account, v.kinds(kind), since, limit)
	if err != nil {
		return store.Changes{}, err
	}
	c := &crossing{visitor: v, kind: kind, byBox: byBox, out: store.Changes{Old: since, New: v.floor(), OnlyMinor: true}}
	for _, one := range byBox {
		c.out.HasMore = one.HasMore
		c.out.OnlyMinor = c.out.OnlyMinor && one.OnlyMinor
		if c.out.New = one.New; !one.HasMore {
			c.out.New = store.Later(one.New, v.floor())
		}
	}
	if len(byBox) == 0 {
		c.out.New = store.Later(since, v.floor())
	}
	return c.out, c.sum(ctx, r, account)
}

// crossing sums up what came into the view of a visitor, changed there, and went out of it.
type crossing struct {
	visitor *visitor
	kind    string
	// byBox are the changes by the name under which they are logged.
	byBox map[string]store.Changes
	out   store.Changes
}

func (c *crossing) sum(ctx context.Context, r store.Reader, account string) error {
	ids := map[string]bool{}
	// stayed are the mailboxes in which an object was before, touched those whose log has it.
	stayed, touched := map[string]bool{}, map[[2]string]bool{}
	for name, one := range c.byBox {
		for _, id := range slices.Concat(one.Created, one.Updated, one.Destroyed) {
			ids[id], touched[[2]string{name, id}] = true, true
		}
		for _, id := range slices.Concat(one.Updated, one.Destroyed) {
			stayed[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		now, err := c.now(ctx, r, account, id)
		if err != nil {
			return err
		}
		before := stayed[id] || slices.ContainsFunc(now, func(box string) bool { return !touched[[2]string{logged(c.kind, box), id}] })
		switch {
		case before && len(now) > 0:
			c.out.Updated = append(c.out.Updated, id)
		case before:
			c.out.Destroyed = append(c.out.Destroyed, id)
		case len(now) > 0:
			c.out.Created = append(c.out.Created, id)
		}
	}
	return nil
}

// now returns the mailboxes in which the visitor sees an object at present.
func (c *crossing) now(ctx context.Context, r store.Reader, account, id string) ([]string, error) {
	switch c.kind {
	case typeMailbox:
		box := &mailbox{}
		exists, err := readJSON(ctx, r, keys(account).mailbox(id), box)
		if err != nil || !exists {
			return nil, err
		}
		return []string{id}, nil
	case typeThread:
		members, err := readThread(ctx, r, account, id)
		if err != nil {
			return nil, err
		}
		var boxes []string
		for _, m := range c.visitor.members(members) {
			boxes = append(boxes, m.mailboxes...)
		}
		return boxes, nil
	default:
		m := &email{}
		if _, err := readJSON(ctx, r, keys(account).email(id), m); err != nil {
			return nil, err
		}
		return c.visitor.visible(m.Mailboxes), nil
	}
}

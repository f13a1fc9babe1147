package mail

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// checkMailbox returns a SetError for a mailbox that may not be: its own properties, then its place among others.
func (e *edit) checkMailbox(box *mailbox) error {
	if wrong, why := box.invalid(); len(wrong) > 0 {
		return jmap.InvalidProperties(why, wrong...)
	}
	if err := e.checkAncestors(box); err != nil {
		return err
	}
	if err := e.checkRole(box); err != nil {
		return err
	}
	return e.checkSiblings(box)
}

// checkRole refuses a role that another mailbox has.
func (e *edit) checkRole(box *mailbox) error {
	if box.Role == nil {
		return nil
	}
	if err := e.loadMailboxes(); err != nil {
		return err
	}
	for id, other := range e.boxes {
		if other != nil && id != box.ID && other.has(*box.Role) {
			return jmap.InvalidProperties(fmt.Sprintf("role: mailbox %q has it", id), "role")
		}
	}
	return nil
}

// invalid lists the properties that are wrong by themselves.
func (m *mailbox) invalid() (wrong []string, why string) {
	if m.Name == "" || len(m.Name) > maxSizeMailboxName || strings.ContainsFunc(m.Name, unicode.IsControl) || !norm.NFC.IsNormalString(m.Name) {
		wrong = append(wrong, "name")
		why = fmt.Sprintf("name: 1 to %d octets of normalized Unicode without control characters; ", maxSizeMailboxName)
	}
	if m.Role != nil && !slices.Contains(roles, *m.Role) {
		wrong = append(wrong, "role")
		why += "role: one of " + strings.Join(roles, ", ") + "; "
	}
	if m.SortOrder < 0 || m.SortOrder > maxSortOrder {
		wrong = append(wrong, "sortOrder")
		why += fmt.Sprintf("sortOrder: 0 to %d; ", int64(maxSortOrder))
	}
	return wrong, strings.TrimSuffix(why, "; ")
}

// checkAncestors refuses a parent that does not exist, loops and trees that are too deep.
func (e *edit) checkAncestors(box *mailbox) error {
	below, err := e.depthBelow(box.ID)
	if err != nil {
		return err
	}
	depth := 1
	for at := box.ParentID; at != nil; depth++ {
		parent, err := e.mailbox(*at)
		if err != nil {
			return err
		}
		switch {
		case parent == nil:
			return jmap.InvalidProperties("parentId: no such mailbox", "parentId")
		case parent.ID == box.ID:
			return jmap.InvalidProperties("parentId: a mailbox cannot lie within itself", "parentId")
		case depth+below >= maxMailboxDepth:
			return jmap.InvalidProperties(fmt.Sprintf("parentId: deeper than %d levels", maxMailboxDepth), "parentId")
		}
		at = parent.ParentID
	}
	return nil
}

// depthBelow is how many levels of children a mailbox has.
func (e *edit) depthBelow(id string) (int, error) {
	if id == "" {
		return 0, nil
	}
	children, err := e.children()
	if err != nil {
		return 0, err
	}
	depth, level := 0, children[id]
	for ; len(level) > 0 && depth < maxMailboxDepth; depth++ {
		var next []*mailbox
		for _, child := range level {
			next = append(next, children[child.ID]...)
		}
		level = next
	}
	return depth, nil
}

// children returns the mailboxes of the account, as the edit leaves them, by the id of their parent; "" for those
// at the top.
func (e *edit) children() (map[string][]*mailbox, error) {
	if err := e.loadMailboxes(); err != nil {
		return nil, err
	}
	out := map[string][]*mailbox{}
	for _, box := range e.boxes {
		if box == nil {
			continue
		}
		parent := ""
		if box.ParentID != nil {
			parent = *box.ParentID
		}
		out[parent] = append(out[parent], box)
	}
	return out, nil
}

// loadMailboxes reads all mailboxes of the account, once.
func (e *edit) loadMailboxes() error {
	if e.loaded {
		return nil
	}
	stored, err := readMailboxes(e.ctx, e.tx, e.account)
	if err != nil {
		return err
	}
	for _, box := range stored {
		if _, known := e.boxes[box.ID]; !known {
			e.boxes[box.ID], e.stored[box.ID] = box, *box
		}
	}
	e.loaded = true
	return nil
}

func (e *edit) checkSiblings(box *mailbox) error {
	if err := e.loadMailboxes(); err != nil {
		return err
	}
	for _, sibling := range e.boxes {
		if sibling != nil && sibling.ID != box.ID && sibling.Name == box.Name && same(sibling.ParentID, box.ParentID) {
			return &jmap.SetError{Type: jmap.SetErrorAlreadyExists, Description: "a mailbox of this name stands beside", ExistingID: e.visitor.idOf(sibling)}
		}
	}
	return nil
}

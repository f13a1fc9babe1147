package mail

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// maxSharees is how many principals a mailbox can be shared with: they are read with each email that comes into it.
const maxSharees = 200

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// visitorOf returns the record of a principal with whom mailboxes of the account are shared, to be changed. One who is
// new has no mailboxes yet.
func (e *edit) visitorOf(account string) (*visitor, error) {
	if e.visitor != nil && e.visitor.account == account {
		e.visitors[account] = e.visitor
	}
	if v := e.visitors[account]; v != nil {
		return v, nil
	}
	v := &visitor{account: account}
	if _, err := readJSON(e.ctx, e.tx, e.keys.visitor(account), v); err != nil {
		return nil, err
	}
	if v.Boxes == nil {
		v.Boxes = map[string]visit{}
	}
	e.visitors[account] = v
	return v, nil
}

// reshare brings the records of those with whom a mailbox is or was shared up to date, and leaves word for them.
func (e *edit) reshare(box *mailbox, old map[string]rights, fresh bool) error {
	seq, epoch, err := e.tx.Next()
	if err != nil {
		return err
	}
	sharees := slices.Concat(slices.Collect(maps.Keys(old)), slices.Collect(maps.Keys(box.Shares)))
	slices.Sort(sharees)
	for _, account := range slices.Compact(sharees) {
		before, after := old[account], box.Shares[account]
		if before == after {
			continue
		}
		v, err := e.visitorOf(account)
		if err != nil {
			return err
		}
		// A mailbox that is new has no earlier emails, and all that becomes of it is logged.
		if shown := before == 0 || after == 0 || (before ^ after).has(mayReadItems); len(v.Boxes) == 0 || (shown && !fresh) {
			v.Since, v.Epoch = seq, epoch
		}
		v.Boxes[box.ID] = visit{Rights: after, Unsubscribed: v.Boxes[box.ID].Unsubscribed}
		if after == 0 {
			delete(v.Boxes, box.ID)
		}
		if err := e.tell(account, box, before, after); err != nil {
			return err
		}
	}
	return nil
}

// tell leaves word for a principal of its rights to a mailbox, as myRights shows them, unless it changed them itself.
func (e *edit) tell(account string, box *mailbox, before, after rights) error {
	n := &notification{
		Created: e.service.opts.Now().UnixMilli(), Account: e.account, Mailbox: box.ID, Name: box.Name,
		Old: box.limit(before), New: box.limit(after),
	}
	if e.actor != nil {
		if e.actor.AccountID == account {
			return nil
		}
		n.By, n.ByName, n.ByEmail = e.actor.AccountID, e.actor.Name, e.actor.Address
		if n.ByName == "" {
			n.ByName = e.actor.Address
		}
	}
	key := e.keys.words().String(account).String(box.ID)
	var earlier notification
	waits, err := readJSON(e.ctx, e.tx, key, &earlier)
	if waits {
		n.Old = earlier.Old
	}
	if err != nil {
		return err
	}
	return e.setJSON(key, n)
}

// unshare takes a mailbox that is destroyed away from those with whom it is shared.
func (e *edit) unshare(box *mailbox) error {
	// What is not stored yet was told to nobody.
	old := e.stored[box.ID].Shares
	box.Shares = nil
	if e.visitor != nil && len(old) == 0 {
		delete(e.visitor.Boxes, box.ID)
	}
	return e.reshare(box, old, false)
}

// shareNew shares a mailbox that is created, or returns a SetError.
func (e *edit) shareNew(box *mailbox, shareWith map[string]mailboxRights) (err error) {
	if box.Shares, err = e.checkShares(box, shareWith); err != nil {
		return err
	}
	return e.mayCreateMailbox(box, len(shareWith) > 0)
}

// subscribe notes whether a visitor subscribes to a mailbox.
func (e *edit) subscribe(id string, subscribed bool) error {
	v, err := e.visitorOf(e.visitor.account)
	if err != nil || v.Boxes[id].Unsubscribed == !subscribed {
		return err
	}
	v.Boxes[id] = visit{Rights: v.Boxes[id].Rights, Unsubscribed: !subscribed}
	e.tx.Changed(store.Change{Type: logged(typeMailbox, id), ID: id, Kind: store.Updated})
	return nil
}

// flushVisitors writes the records of visitors that changed, and that there is something to tell them.
func (e *edit) flushVisitors() error {
	for _, account := range slices.Sorted(maps.Keys(e.visitors)) {
		v := e.visitors[account]
		seq, err := e.tx.Seq()
		if err != nil {
			return err
		}
		e.tx.Set(e.keys.words().String(account).String(""), store.Key(nil).Uint(seq))
		e.told = true
		if len(v.Boxes) == 0 {
			e.tx.Delete(e.keys.visitor(account))
			continue
		}
		if err := e.setJSON(e.keys.visitor(account), v); err != nil {
			return err
		}
	}
	clear(e.visitors)
	return nil
}

// logFor logs a change of an object for those who may see a mailbox, if it is shared.
func (e *edit) logFor(mailbox string, c store.Change) error {
	box, err := e.mailbox(mailbox)
	if err != nil || box == nil || len(box.Shares) == 0 {
		return err
	}
	c.Type = logged(c.Type, mailbox)
	e.tx.Changed(c)
	return nil
}

// logThread logs a change of the members of a thread for those who may see some of them.
func (e *edit) logThread(id string, before, after []member) error {
	count := map[string][2]int{}
	for i, members := range [][]member{before, after} {
		for _, m := range members {
			for _, box := range m.mailboxes {
				n := count[box]
				n[i]++
				count[box] = n
			}
		}
	}
	for _, box := range slices.Sorted(maps.Keys(count)) {
		n := count[box]
		change := store.Change{Type: typeThread, ID: id, Kind: store.Updated}
		switch {
		case n[0] == 0:
			change.Kind = store.Created
		case n[1] == 0:
			change.Kind = store.Destroyed
		}
		var err error
		if n[0] != n[1] {
			err = e.logFor(box, change)
		}
		// What is unread in a mailbox depends on who sees what of its threads.
		err = errors.Join(err, e.logFor(box, store.Change{Type: typeMailbox, ID: box, Kind: store.Updated, Minor: true}))
		if err != nil {
			return err
		}
	}
	return nil
}

// logPlace logs for those who may see some mailboxes that an email came, changed or went. One of the two may be nil.
func (e *edit) logPlace(m, old *email) error {
	var err error
	if old != nil {
		for _, id := range old.Mailboxes {
			switch {
			case m == nil || !m.in(id):
				err = errors.Join(err, e.logFor(id, store.Change{Type: typeEmail, ID: old.ID, Kind: store.Destroyed}))
			case !slices.Equal(m.Keywords, old.Keywords):
				err = errors.Join(err, e.logFor(id, store.Change{Type: typeEmail, ID: old.ID, Kind: store.Updated}))
			}
		}
	}
	if m != nil {
		for _, id := range m.Mailboxes {
			if old == nil || !old.in(id) {
				err = errors.Join(err, e.logFor(id, store.Change{Type: typeEmail, ID: m.ID, Kind: store.Created}))
			}
		}
	}
	return err
}

// checkShares reads the property shareWith, or returns a SetError. Only rights that one has can be given.
func (e *edit) checkShares(box *mailbox, shareWith map[string]mailboxRights) (map[string]rights, error) {
	if len(shareWith) > maxSharees {
		return nil, jmap.InvalidProperties(fmt.Sprintf("shareWith: at most %d principals", maxSharees), propertyShareWith)
	}
	own := rights(allRights)
	if e.visitor != nil {
		own = e.visitor.rightsTo(box)
	}
	var out map[string]rights
	for id, object := range shareWith {
		given := object.bits()
		account, ok := accountOf(id)
		if ok && box.Shares[account] == 0 {
			var err error
			if _, ok, err = readPrincipal(e.ctx, e.service.engine, plainTenant(e.tenant), account); err != nil {
				return nil, err
			}
		}
		switch {
		case !ok || account == e.account:
			return nil, jmap.InvalidProperties(fmt.Sprintf("shareWith: %q is no principal, or owns the mailbox", id), propertyShareWith)
		case given == 0:
			return nil, jmap.InvalidProperties(fmt.Sprintf("shareWith: %q is given no right: leave it out", id), propertyShareWith)
		case given&^box.Shares[account]&^own != 0:
			return nil, forbidden("shareWith: only rights that you have can be given")
		}
		if out == nil {
			out = map[string]rights{}
		}
		out[account] = given
	}
	return out, nil
}

func forbidden(why string) *jmap.SetError {
	return &jmap.SetError{Type: jmap.SetErrorForbidden, Description: why}
}

// mayAdd returns a SetError unless an email with these keywords may be put into these mailboxes.
func (v *visitor) mayAdd(mailboxes, keywords []string) *jmap.SetError {
	if !v.mayAll(mailboxes, mayAddItems) {
		return forbidden("mailboxIds: adding emails is not among your rights")
	}
	return v.maySet(mailboxes, nil, keywords)
}

// maySet returns a SetError unless the keywords of an email in these mailboxes may change so.
func (v *visitor) maySet(mailboxes, old, keywords []string) *jmap.SetError {
	var wanted rights
	for _, keyword := range slices.Concat(old, keywords) {
		switch {
		case slices.Contains(old, keyword) == slices.Contains(keywords, keyword):
		case keyword == "$seen":
			wanted |= maySetSeen
		default:
			wanted |= maySetKeywords
		}
	}
	if !v.mayAll(mailboxes, wanted) {
		return forbidden("keywords: you do not have the right to set them in all mailboxes of the email")
	}
	return nil
}

// mayChange returns a SetError unless an email may be changed so. Mailboxes are those that the visitor sees.
func (v *visitor) mayChange(m, seen *email, mailboxes, keywords []string, label bool) *jmap.SetError {
	if v == nil {
		return nil
	}
	if label && !v.mayAll(m.Mailboxes, maySetKeywords) {
		return forbidden("setting labels in all mailboxes of the email, as keywords, is not among your rights")
	}
	for _, id := range seen.Mailboxes {
		if !slices.Contains(mailboxes, id) && !v.may(id, mayRemoveItems) {
			return forbidden("mailboxIds: removing emails is not among your rights")
		}
	}
	for _, id := range mailboxes {
		if !seen.in(id) && !v.may(id, mayAddItems) {
			return forbidden("mailboxIds: adding emails is not among your rights")
		}
	}
	return v.maySet(m.Mailboxes, m.Keywords, keywords)
}

// withHidden adds the mailboxes of an email that the visitor does not see to those that it wants.
func (v *visitor) withHidden(m, seen *email, mailboxes []string) []string {
	out := slices.Clone(mailboxes)
	for _, id := range m.Mailboxes {
		if !seen.in(id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// mayCreateMailbox returns a SetError unless a mailbox may be created so. It is shared as its parent is, so that who
// made it sees it.
func (e *edit) mayCreateMailbox(box *mailbox, shareWith bool) error {
	if e.visitor == nil {
		return nil
	}
	if box.ParentID == nil || !e.visitor.may(*box.ParentID, mayCreateChild) {
		return forbidden("parentId: creating mailboxes there is not among your rights")
	}
	if box.Role != nil || shareWith {
		return forbidden("role, shareWith: left to the owner")
	}
	parent, err := e.mailbox(*box.ParentID)
	if err == nil && parent != nil {
		box.Shares = parent.Shares
	}
	return err
}

// mayUpdateMailbox returns a SetError unless a mailbox may be changed so.
func (v *visitor) mayUpdateMailbox(box, changed *mailbox) *jmap.SetError {
	moved := !same(box.ParentID, changed.ParentID)
	switch {
	case v == nil:
		return nil
	case !same(box.Role, changed.Role):
		return forbidden("role: left to the owner")
	case (box.Name != changed.Name || moved || box.SortOrder != changed.SortOrder) && !v.may(box.ID, mayRename):
		return forbidden("name, parentId, sortOrder: changing them is not among your rights")
	case moved && (changed.ParentID == nil || !v.may(*changed.ParentID, mayCreateChild)):
		return forbidden("parentId: creating mailboxes there is not among your rights")
	case !maps.Equal(box.Shares, changed.Shares) && !v.may(box.ID, mayShare):
		return forbidden("shareWith: sharing is not among your rights")
	}
	return nil
}

// mayDestroyMailbox returns a SetError unless a mailbox may be destroyed.
func (v *visitor) mayDestroyMailbox(box *mailbox) *jmap.SetError {
	switch {
	case box == nil || !v.sees(box.ID):
		return &jmap.SetError{Type: jmap.SetErrorNotFound}
	case !v.may(box.ID, mayDelete), box.TotalEmails > 0 && !v.may(box.ID, mayRemoveItems):
		return forbidden("destroying the mailbox, or its emails, is not among your rights")
	}
	return nil
}

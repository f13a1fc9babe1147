package mail

import (
	"errors"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// attempt is the creation or update of one mailbox within a call. One that is refused is tried again when the others
// are done: a call is judged by where it leads to, so two mailboxes may swap their names, and a role may move (RFC
// 8620 section 5.3).
type attempt struct {
	// reference is the id or creation id that the answer names.
	reference string
	// run makes the change, or returns a SetError and changes nothing.
	run func(*edit) error
	// report puts the refusal into the answer.
	report func(reference string, err error) error
	// patch is set for an update.
	patch jmap.PatchObject
	// refused is why it did not succeed so far.
	refused error
}

// try runs an attempt and keeps it for later when it is refused.
func (m *mailboxSetter) try(a *attempt) func(*edit) error {
	return func(e *edit) error {
		if err := a.again(e); err != nil {
			return err
		}
		if a.refused != nil {
			m.pending = append(m.pending, a)
		}
		return nil
	}
}

func (a *attempt) again(e *edit) error {
	refused, err := refusal(a.run(e))
	a.refused = nil
	if refused != nil {
		a.refused = refused
	}
	return err
}

// settle tries what is pending again for as long as that gets on, first one by one and then updates together.
func (m *mailboxSetter) settle(e *edit) error {
	for before := -1; before != len(m.pending) && len(m.pending) > 0; {
		before = len(m.pending)
		for _, a := range m.pending {
			if err := a.again(e); err != nil {
				return err
			}
		}
		m.pending = slices.DeleteFunc(m.pending, func(a *attempt) bool { return a.refused == nil })
	}
	return m.together(e)
}

// report tells what is refused in the end.
func (m *mailboxSetter) report(*edit) error {
	for _, a := range m.pending {
		if err := a.report(a.reference, a.refused); err != nil {
			return err
		}
	}
	m.pending = nil
	return nil
}

// save returns what puts back what the operations keep. Attempts that are not pending are judged anew in any case.
func (m *mailboxSetter) save() (restore func()) {
	pending, out := slices.Clone(m.pending), m.out.save(m.call)
	refused := make([]error, len(pending))
	for i, a := range pending {
		refused[i] = a.refused
	}
	return func() {
		m.pending = slices.Clone(pending)
		for i, a := range pending {
			a.refused = refused[i]
		}
		out()
	}
}

// swap is an update that waits for others.
type swap struct {
	attempt  *attempt
	box      *mailbox
	old, new mailbox
}

// together makes the pending updates at once, without those that are wrong even then. That is for the owner: what a
// visitor may do is judged change by change.
func (m *mailboxSetter) together(e *edit) error {
	if e.visitor != nil {
		return nil
	}
	swaps, err := m.swaps(e)
	for err == nil && len(swaps) > 1 {
		for _, s := range swaps {
			*s.box = s.new
		}
		var good []*swap
		if good, err = e.validSwaps(swaps); err != nil {
			return err
		}
		if len(good) == len(swaps) {
			return m.swapped(e, swaps)
		}
		for _, s := range swaps {
			*s.box = s.old
		}
		swaps = good
	}
	return err
}

// swaps are the pending updates whose patch can be applied.
func (m *mailboxSetter) swaps(e *edit) ([]*swap, error) {
	var swaps []*swap
	for _, a := range m.pending {
		id, _ := m.call.ResolveID(a.reference)
		box, err := e.mailbox(id)
		if err != nil {
			return nil, err
		}
		if a.patch == nil || box == nil || slices.Contains(m.args.Destroy, a.reference) {
			continue
		}
		changed, err := m.patched(e, box, a.patch)
		if refused, err := refusal(err); refused != nil || err != nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		swaps = append(swaps, &swap{attempt: a, box: box, old: *box, new: *changed})
	}
	return swaps, nil
}

// validSwaps are those that may be as they are now.
func (e *edit) validSwaps(swaps []*swap) ([]*swap, error) {
	var good []*swap
	for _, s := range swaps {
		refused, err := refusal(e.checkMailbox(s.box))
		if err != nil {
			return nil, err
		}
		if refused == nil {
			good = append(good, s)
		}
	}
	return good, nil
}

// swapped reports updates that were made together.
func (m *mailboxSetter) swapped(e *edit, swaps []*swap) error {
	var errs []error
	trash := false
	for _, s := range swaps {
		if s.old.Role != nil {
			e.tx.Delete(e.keys.role(*s.old.Role))
		}
	}
	for _, s := range swaps {
		if s.new.Role != nil {
			e.tx.Set(e.keys.role(*s.new.Role), []byte(s.box.ID))
		}
		trash = trash || s.old.has("trash") != s.new.has("trash")
		errs = append(errs, m.subscribe(e, s.box.ID, m.subscribed[s.box.ID]), m.out.updated(s.box.ID, nil))
		s.attempt.refused = nil
	}
	m.pending = slices.DeleteFunc(m.pending, func(a *attempt) bool { return a.refused == nil })
	if trash {
		errs = append(errs, e.recountUnreadThreads())
	}
	return errors.Join(errs...)
}

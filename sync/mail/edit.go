package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// commitSize is about how many octets go into one commit of a method that changes many objects.
const commitSize = 1 << 20

// edit is a change of an account in the making. It keeps the mailboxes that it touches in memory until flush.
type edit struct {
	ctx     context.Context //nolint:containedctx // an edit lives as long as the call that it serves
	service *Service
	tx      *store.Tx
	account string
	tenant  string
	keys    keys
	boxes   map[string]*mailbox
	// stored are the mailboxes as they were read, to tell what changed.
	stored map[string]mailbox
	// loaded says that boxes holds every mailbox of the account.
	loaded bool
	// indexed says whether the account has an index, nil until that is asked.
	indexed *bool
	// actor is who makes the change, nil for the service itself, and visitor what it may do when it is not at home.
	actor   *jmap.Principal
	visitor *visitor
	// visitors are the records of visitors that change, by account. Told says that they have to hear of it.
	visitors map[string]*visitor
	told     bool
	// used is what the account holds, nil until it is asked for, and usedBefore what is recorded of it. It is counted
	// when nothing is.
	used       *usage
	usedBefore usage
	counted    bool
	// fresh is content that becomes a blob with the first reference to it, unless it is one; published says that it is.
	fresh     *store.Content
	published bool
}

func newEdit(ctx context.Context, s *Service, tx *store.Tx, account, tenant string) *edit {
	return &edit{
		ctx: ctx, service: s, tx: tx, account: account, tenant: tenant, keys: keys(account),
		boxes: map[string]*mailbox{}, stored: map[string]mailbox{}, visitors: map[string]*visitor{},
	}
}

// setter applies the objects of a method that changes state, each on its own, in commits of bounded size.
type setter struct {
	service *Service
	// principal is who calls, nil for the service itself.
	principal *jmap.Principal
	account   string
	kind      string
	ifInState *string
	// committed is called after each commit; may be nil.
	committed func()
	// oldState and newState are filled in by run. The old one is nil when somebody else made changes in between, of
	// which a client that goes from the one to the other would never hear.
	oldState *string
	newState string
	// save returns what puts back all that operations keep outside of the commit, for a commit that starts over
	// because another process came first. Without it, a commit does not start over.
	save func() (restore func())
	// told says that there is something to tell those with whom the account shares.
	told bool
}

// run applies the operations in order. An operation that fails on its own reports that itself; an error ends the
// method. Operations of commits that went through stay, and the error tells so then.
func (w *setter) run(ctx context.Context, ops []func(*edit) error) error {
	tenant, err := w.service.tenantOf(ctx, w.account)
	if err != nil {
		return err
	}
	for first := true; first || len(ops) > 0; first = false {
		var commit *store.Tx
		var left []func(*edit) error
		again := w.saved()
		e := &edit{}
		err := w.service.journal.Update(ctx, w.account, func(tx *store.Tx) (err error) {
			if commit != nil && !again() {
				return store.ErrLeased
			}
			commit = tx
			if e, err = w.start(ctx, tx, tenant, first); err == nil {
				left, err = e.apply(ops)
			}
			return err
		})
		ops = left
		if err != nil && !first {
			return partial(err)
		}
		if err != nil {
			return unavailable(err)
		}
		w.newState = cmp.Or(e.visitor.newState(commit, w.kind), w.newState)
		w.told = w.told || e.told
		if w.committed != nil {
			w.committed()
		}
	}
	return nil
}

// start begins a commit on behalf of who calls.
func (w *setter) start(ctx context.Context, tx *store.Tx, tenant string, first bool) (*edit, error) {
	e := newEdit(ctx, w.service, tx, w.account, tenant)
	visitor, err := w.service.visitor(ctx, tx, w.principal, w.account)
	if err == nil {
		err = w.begin(ctx, tx, visitor, first)
	}
	e.actor, e.visitor = w.principal, visitor
	return e, err
}

// apply applies operations until the commit is large enough, and returns those that are left.
func (e *edit) apply(ops []func(*edit) error) (left []func(*edit) error, err error) {
	for len(ops) > 0 && e.tx.Size() < commitSize {
		if err := ops[0](e); err != nil {
			return nil, err
		}
		ops = ops[1:]
	}
	return ops, e.flush()
}

// saved returns what puts everything back as it is now, and tells whether it can.
func (w *setter) saved() (restore func() bool) {
	if w.save == nil {
		return func() bool { return false }
	}
	oldState, restoreCall := w.oldState, w.save()
	return func() bool {
		w.oldState = oldState
		restoreCall()
		return true
	}
}

// begin looks at the state before a commit: ifInState must be that before the first one.
func (w *setter) begin(ctx context.Context, tx *store.Tx, v *visitor, first bool) error {
	state, err := v.state(ctx, tx, w.account, w.kind)
	switch {
	case err != nil:
		return err
	case !first && state != w.newState:
		w.oldState = nil
	case !first:
	case w.ifInState != nil && *w.ifInState != state:
		return &jmap.MethodError{Type: jmap.ErrorStateMismatch, Description: fmt.Sprintf("the state is %q", state)}
	default:
		w.oldState, w.newState = &state, state
	}
	return nil
}

// partial tells a client that some of the changes were made before the error (RFC 8620 section 3.6.2).
func partial(err error) error {
	return fmt.Errorf("%w: %w", &jmap.MethodError{Type: jmap.ErrorServerPartialFail, Description: "some of the changes were made: fetch what changed"}, err)
}

// unavailable tells a client to try again when another process has the account.
func unavailable(err error) error {
	if errors.Is(err, store.ErrLeased) || errors.Is(err, store.ErrConflict) {
		return &jmap.MethodError{Type: jmap.ErrorServerUnavailable, Description: "the account is being written elsewhere: try again"}
	}
	return err
}

// refer counts references of the account to a blob.
func (e *edit) refer(hash string, delta int64) error {
	fresh := e.fresh != nil && e.fresh.Hash() == hash
	switch {
	case fresh && e.published:
		return e.service.refer(e.ctx, e.tx, e.tx, e.account, e.tenant, hash, delta)
	case fresh && delta > 0:
		e.published = true
		e.tx.Add(e.keys.blob(hash), delta)
		return e.service.blobs.Publish(e.ctx, e.service.engine, e.tx, e.fresh, delta)
	default:
		return e.service.refer(e.ctx, e.service.engine, e.tx, e.account, e.tenant, hash, delta)
	}
}

// get returns the value of a key, or nil when there is none.
func (e *edit) get(key []byte) ([]byte, error) {
	value, err := e.tx.Get(e.ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return value, err
}

func (e *edit) setJSON(key []byte, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode record %q: %w", key, err)
	}
	e.tx.Set(key, value)
	return nil
}

// mailbox returns a mailbox of the account to be read and changed, or nil when it does not exist.
func (e *edit) mailbox(id string) (*mailbox, error) {
	if box, ok := e.boxes[id]; ok {
		return box, nil
	}
	box := &mailbox{ID: id}
	exists, err := readJSON(e.ctx, e.tx, e.keys.mailbox(id), box)
	if err != nil {
		return nil, err
	}
	if !exists {
		box = nil
	} else {
		e.stored[id] = *box
	}
	e.boxes[id] = box
	return box, nil
}

// flush writes the mailboxes that changed, and what the account holds.
func (e *edit) flush() error {
	for _, id := range slices.Sorted(maps.Keys(e.boxes)) {
		box := e.boxes[id]
		old, known := e.stored[id]
		if box == nil || (known && box.equal(&old)) {
			continue
		}
		if !maps.Equal(box.Shares, old.Shares) {
			if err := e.reshare(box, old.Shares, !known); err != nil {
				return err
			}
		}
		if err := e.setJSON(e.keys.mailbox(id), box); err != nil {
			return err
		}
		change := store.Change{Type: typeMailbox, ID: id, Kind: store.Created}
		if known {
			change.Kind, change.Minor = store.Updated, box.equalButCounts(&old)
		}
		e.tx.Changed(change)
		if len(box.Shares) > 0 {
			change.Type = logged(typeMailbox, id)
			e.tx.Changed(change)
		}
		e.stored[id] = *box
	}
	return errors.Join(e.flushVisitors(), e.flushUsage())
}

package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// Options are the choices of a journal.
type Options struct {
	// Owner names this process among those that share the engine. The same name takes its own leases over at
	// once, so it must never be in use twice. Required.
	Owner string
	// Shared lets every process write every account. A lease then belongs to one commit: each commit changes it and
	// asserts what it was, and starts over when another process came first. Without it, the lease is kept for a
	// time and other processes are refused meanwhile.
	Shared bool
	// LeaseTTL is how long a lease lasts after the last commit; 0 means 30 seconds.
	LeaseTTL time.Duration
	// KeepLog is how many commits the change log of an account reaches back; 0 means 100,000.
	KeepLog uint64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Journal makes the writes to an account one after the other: one writer at a time by a lease that each commit
// asserts, one sequence, one change log from which /changes is answered (RFC 8620 section 5.2).
type Journal struct {
	engine Engine
	opts   Options

	mu       sync.Mutex
	accounts map[string]*account
	// epochs are those of the places of accounts, by suffix. They change only while nothing runs.
	epochs map[string]uint64
}

// account is what a process knows about an account: who may read or write it at the moment, and its lease.
type account struct {
	// mu makes updates one after the other, but not what follows once a commit is applied: that of several updates waits
	// for the disk together.
	mu sync.Mutex
	// applying is held while a commit is applied, so that whoever sees it knows last.
	applying sync.RWMutex
	// last is the commit that was applied last, and with which all before it are durable.
	last *pending
	// lease is the stored lease when this process holds it, else nil.
	lease []byte
	// renew is when the lease should be written again.
	renew time.Time
}

// lease says who may write an account. Epoch grows with each new holder.
type lease struct {
	Owner   string    `json:"owner"`
	Epoch   uint64    `json:"epoch"`
	Expires time.Time `json:"expires,omitzero"`
	// Nonce makes each lease of a shared journal another one, though an account be erased and made again.
	Nonce string `json:"nonce,omitempty"`
}

// NewJournal returns the journal of an engine. ErrInvalid says that the owner is missing.
func NewJournal(e Engine, o Options) (*Journal, error) {
	if o.Owner == "" {
		return nil, fmt.Errorf("journal: %w: owner is empty: name the process", ErrInvalid)
	}
	if o.LeaseTTL == 0 {
		o.LeaseTTL = 30 * time.Second
	}
	if o.KeepLog == 0 {
		o.KeepLog = 100_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Journal{engine: e, opts: o, accounts: map[string]*account{}, epochs: map[string]uint64{}}, nil
}

// View calls fn with a consistent view of the store in which every commit to the account is durable.
func (j *Journal) View(ctx context.Context, id string, fn func(Reader) error) (err error) {
	place, err := FindPlace(ctx, j.engine, id)
	if err != nil {
		return err
	}
	snap, last, err := j.viewed(ctx, place.Engine, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	if err := last.wait(ctx); err != nil {
		return fmt.Errorf("view account %q: %w", id, err)
	}
	return fn(snap)
}

// viewed makes the snapshot of a view, and returns the last commit that it may show. Commits of other processes are
// durable when they are seen.
func (j *Journal) viewed(ctx context.Context, e Engine, id string) (Snapshot, *pending, error) {
	if j.opts.Shared {
		snap, err := e.Snapshot(ctx)
		return snap, nil, err
	}
	a := j.account(id)
	a.applying.RLock()
	defer a.applying.RUnlock()
	snap, err := e.Snapshot(ctx)
	return snap, a.last, err
}

// Update calls fn to write to an account and commits what it wrote with the next sequence number. Nothing is
// written when fn fails or writes nothing. The next update of the account may see what this one wrote before it is
// durable, but none returns until all that it saw is. fn must not call Update or View for the same account. ErrLeased says
// that another process is the writer; ErrConflict that it became the writer meanwhile, or that an assertion of
// fn did not hold.
//
// In a shared journal a commit that meets a conflict starts over: fn is called again with a new Tx on what is
// there now, so it must begin anew each time and keep nothing of a call that was not its last.
func (j *Journal) Update(ctx context.Context, id string, fn func(*Tx) error) error {
	a := j.account(id)
	logged, durable, err := j.applied(ctx, a, id, fn)
	if late := durable(); err == nil && late != nil {
		err = fmt.Errorf("commit to account %q: %w", id, late)
	}
	if err != nil || !logged {
		return err
	}
	return j.engine.Hints().Publish(ctx, id)
}

// applied makes an update, and returns what waits until all that it wrote or saw is durable.
func (j *Journal) applied(ctx context.Context, a *account, id string, fn func(*Tx) error) (logged bool, durable func() error, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	place, err := PlaceOf(ctx, j.engine, id)
	if err != nil {
		return false, settled, err
	}
	logged, durable, err = j.try(ctx, place, a, id, fn)
	for attempt := 1; j.opts.Shared && errors.Is(err, ErrConflict) && attempt < updateAttempts; attempt++ {
		if err := pause(ctx, attempt); err != nil {
			return false, durable, err
		}
		logged, durable, err = j.try(ctx, place, a, id, fn)
	}
	return logged, durable, err
}

// updateAttempts bounds how often an update starts over. Each conflict is another process's success, so that one
// that loses so often is told to try again later.
const updateAttempts = 100

// pause waits before another attempt, at random so that processes do not meet again, and longer each time.
func pause(ctx context.Context, attempt int) error {
	most := time.Millisecond << min(attempt, 5)
	timer := time.NewTimer(mathrand.N(most)) //nolint:gosec // spreads attempts, keeps no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// try makes one attempt at an update and tells whether it logged changes.
func (j *Journal) try(ctx context.Context, p Place, a *account, id string, fn func(*Tx) error) (logged bool, durable func() error, err error) {
	epoch, err := j.epoch(ctx, p)
	if err != nil {
		return false, settled, err
	}
	snap, err := p.Engine.Snapshot(ctx)
	if err != nil {
		return false, settled, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	tx := newTx(ctx, snap, id, epoch)
	durable, err = j.update(tx, a, fn)
	return tx.logged, durable, err
}

// epoch returns the epoch of a place.
func (j *Journal) epoch(ctx context.Context, p Place) (uint64, error) {
	j.mu.Lock()
	epoch, known := j.epochs[p.Suffix]
	j.mu.Unlock()
	if known {
		return epoch, nil
	}
	epoch, err := Epoch(ctx, p.Engine)
	if err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.epochs[p.Suffix] = epoch
	return epoch, nil
}

func (j *Journal) update(tx *Tx, a *account, fn func(*Tx) error) (durable func() error, err error) {
	seen := a.last
	durable = func() error { return seen.wait(tx.ctx) }
	if err := fn(tx); err != nil {
		return durable, err
	}
	if tx.batch.Empty() && len(tx.changes) == 0 {
		return durable, nil
	}
	if err := j.claim(tx, a); err != nil {
		return durable, err
	}
	if err := tx.log(j.opts.KeepLog); err != nil {
		return durable, err
	}
	applied, err := j.apply(tx.ctx, a, &tx.batch)
	if err != nil {
		a.lease = nil
		return durable, fmt.Errorf("commit to account %q: %w", tx.account, err)
	}
	if tx.lease != nil {
		a.lease = tx.lease
		a.renew = j.opts.Now().Add(j.opts.LeaseTTL / 2)
	}
	return applied, nil
}

// apply applies a commit. Those who see it before it is durable find it as the last one of the account.
func (j *Journal) apply(ctx context.Context, a *account, b *Batch) (durable func() error, err error) {
	a.applying.Lock()
	defer a.applying.Unlock()
	wait, err := Apply(ctx, j.engine, b)
	if err != nil {
		return nil, err
	}
	p := &pending{done: make(chan struct{})}
	a.last = p
	return func() error {
		defer close(p.done)
		p.err = wait()
		return p.err
	}, nil
}

// claim asserts the lease in the batch of tx, and takes or renews it there when needed.
func (j *Journal) claim(tx *Tx, a *account) error {
	if j.opts.Shared {
		return j.pass(tx)
	}
	key := leaseKey(tx.account)
	now := j.opts.Now()
	if a.lease != nil && now.Before(a.renew) {
		tx.batch.Assert(key, a.lease)
		return nil
	}
	l, have, err := readLease(tx.ctx, tx.snap, tx.account)
	if err != nil {
		return err
	}
	if l.Owner != j.opts.Owner && now.Before(l.Expires) {
		return fmt.Errorf("account %q: %w: %q until %s", tx.account, ErrLeased, l.Owner, l.Expires.Format(time.RFC3339))
	}
	if a.lease == nil {
		l.Epoch++
	}
	l.Owner, l.Expires = j.opts.Owner, now.Add(j.opts.LeaseTTL)
	if tx.lease, err = json.Marshal(l); err != nil {
		return fmt.Errorf("write lease: %w", err)
	}
	tx.batch.Assert(key, have)
	tx.batch.Set(key, tx.lease)
	return nil
}

// pass hands the lease from whoever committed last to this commit, unless somebody else comes in between.
func (j *Journal) pass(tx *Tx) error {
	l, have, err := readLease(tx.ctx, tx.snap, tx.account)
	if err != nil {
		return err
	}
	next, err := json.Marshal(lease{Owner: j.opts.Owner, Epoch: l.Epoch + 1, Nonce: rand.Text()})
	if err != nil {
		return fmt.Errorf("write lease: %w", err)
	}
	tx.batch.Assert(leaseKey(tx.account), have)
	tx.batch.Set(leaseKey(tx.account), next)
	return nil
}

// readLease returns the lease of an account and how it is stored, which is nil when there is none.
func readLease(ctx context.Context, r Reader, id string) (l lease, stored []byte, err error) {
	stored, err = r.Get(ctx, leaseKey(id))
	if errors.Is(err, ErrNotFound) {
		return lease{}, nil, nil
	}
	if err != nil {
		return lease{}, nil, fmt.Errorf("read lease: %w", err)
	}
	if err := json.Unmarshal(stored, &l); err != nil {
		return lease{}, nil, fmt.Errorf("read lease of account %q: %w", id, err)
	}
	return l, stored, nil
}

// Erase removes everything that an account's range holds, the lease included.
func (j *Journal) Erase(ctx context.Context, id string) error {
	a := j.account(id)
	a.mu.Lock()
	defer a.mu.Unlock()
	err := j.erase(ctx, a, id)
	for attempt := 1; j.opts.Shared && errors.Is(err, ErrConflict) && attempt < updateAttempts; attempt++ {
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		err = j.erase(ctx, a, id)
	}
	if err != nil {
		return fmt.Errorf("erase account %q: %w", id, err)
	}
	return nil
}

// erase asserts the lease, so that no commit of another process falls into the middle.
func (j *Journal) erase(ctx context.Context, a *account, id string) error {
	b := &Batch{}
	if j.opts.Shared {
		_, have, err := readLease(ctx, j.engine, id)
		if err != nil {
			return err
		}
		b.Assert(leaseKey(id), have)
	}
	if a.lease != nil {
		b.Assert(leaseKey(id), a.lease)
	}
	b.DeleteRange(NewKey(id).Range())
	a.lease = nil
	durable, err := j.apply(ctx, a, b)
	if err != nil {
		return err
	}
	return durable()
}

func (j *Journal) account(id string) *account {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.accounts[id]
	if a == nil {
		a = &account{}
		j.accounts[id] = a
	}
	return a
}

func leaseKey(id string) []byte { return NewKey(id).String("lease") }
func seqKey(id string) []byte   { return NewKey(id).String("seq") }
func floorKey(id string) []byte { return NewKey(id).String("floor") }
func logKey(id string) Key      { return NewKey(id).String("log") }

func stateKey(id, kind string) []byte { return NewKey(id).String("state").String(kind) }

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Options are the choices of a journal.
type Options struct {
	// Owner names this process among those that share the engine. The same name takes its own leases over at
	// once, so it must never be in use twice. Required.
	Owner string
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
}

// account is what a process knows about an account: who may read or write it at the moment, and its lease.
type account struct {
	mu sync.RWMutex
	// lease is the stored lease when this process holds it, else nil.
	lease []byte
	// renew is when the lease should be written again.
	renew time.Time
}

// lease says who may write an account. Epoch grows with each new holder.
type lease struct {
	Owner   string    `json:"owner"`
	Epoch   uint64    `json:"epoch"`
	Expires time.Time `json:"expires"`
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
	return &Journal{engine: e, opts: o, accounts: map[string]*account{}}, nil
}

// View calls fn with a consistent view of the store in which every commit to the account is durable.
func (j *Journal) View(ctx context.Context, id string, fn func(Reader) error) (err error) {
	a := j.account(id)
	a.mu.RLock()
	snap, err := j.engine.Snapshot(ctx)
	a.mu.RUnlock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	return fn(snap)
}

// Update calls fn to write to an account and commits what it wrote with the next sequence number. Nothing is
// written when fn fails or writes nothing. fn must not call Update or View for the same account. ErrLeased says
// that another process is the writer; ErrConflict that it became the writer meanwhile, or that an assertion of
// fn did not hold.
func (j *Journal) Update(ctx context.Context, id string, fn func(*Tx) error) (err error) {
	a := j.account(id)
	a.mu.Lock()
	defer a.mu.Unlock()
	snap, err := j.engine.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	tx := newTx(ctx, snap, id)
	if err := j.update(tx, a, fn); err != nil || !tx.logged {
		return err
	}
	return j.engine.Hints().Publish(ctx, id)
}

func (j *Journal) update(tx *Tx, a *account, fn func(*Tx) error) error {
	if err := fn(tx); err != nil {
		return err
	}
	if tx.batch.Empty() && len(tx.changes) == 0 {
		return nil
	}
	if err := j.claim(tx, a); err != nil {
		return err
	}
	if err := tx.log(j.opts.KeepLog); err != nil {
		return err
	}
	if err := j.engine.Commit(tx.ctx, &tx.batch); err != nil {
		a.lease = nil
		return fmt.Errorf("commit to account %q: %w", tx.account, err)
	}
	if tx.lease != nil {
		a.lease = tx.lease
		a.renew = j.opts.Now().Add(j.opts.LeaseTTL / 2)
	}
	return nil
}

// claim asserts the lease in the batch of tx, and takes or renews it there when needed.
func (j *Journal) claim(tx *Tx, a *account) error {
	key := leaseKey(tx.account)
	now := j.opts.Now()
	if a.lease != nil && now.Before(a.renew) {
		tx.batch.Assert(key, a.lease)
		return nil
	}
	have, err := tx.snap.Get(tx.ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("read lease: %w", err)
	}
	var l lease
	if have != nil {
		if err := json.Unmarshal(have, &l); err != nil {
			return fmt.Errorf("read lease of account %q: %w", tx.account, err)
		}
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

// Erase removes everything that an account's range holds, the lease included.
func (j *Journal) Erase(ctx context.Context, id string) error {
	a := j.account(id)
	a.mu.Lock()
	defer a.mu.Unlock()
	b := &Batch{}
	if a.lease != nil {
		b.Assert(leaseKey(id), a.lease)
	}
	b.DeleteRange(NewKey(id).Range())
	a.lease = nil
	if err := j.engine.Commit(ctx, b); err != nil {
		return fmt.Errorf("erase account %q: %w", id, err)
	}
	return nil
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

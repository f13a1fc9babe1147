package store

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
)

// ChangeKind says what happened to an object.
type ChangeKind byte

const (
	// Created says that the object is new.
	Created ChangeKind = 'c'
	// Updated says that the object changed.
	Updated ChangeKind = 'u'
	// Destroyed says that the object is gone. Its id is never used again.
	Destroyed ChangeKind = 'd'
)

// Change is one entry of the change log.
type Change struct {
	// Type is the name of the data type, such as "Email".
	Type string
	// ID is the id of the object.
	ID string
	// Kind says what happened.
	Kind ChangeKind
	// Minor marks an update that only touched derived counts (RFC 8621 section 2.2, updatedProperties).
	Minor bool
}

// Tx collects the writes of one Update and reads through them: Get and Scan see what the same Tx set and
// deleted. Counters that it added to are seen as they were. It is not safe for concurrent use.
type Tx struct {
	ctx     context.Context //nolint:containedctx // a Tx lives as long as the call that it serves
	snap    Reader
	account string
	batch   Batch
	written map[string][]byte
	// keys are the keys of written, sorted.
	keys    []string
	changes []Change
	index   map[Change]int
	lease   []byte
	logged  bool
	// at is the commit, when it is logged.
	at position
	// epoch is that of the engine.
	epoch uint64
	// before is the last commit of the account, once it was looked up.
	before *position
}

func newTx(ctx context.Context, snap Reader, account string, epoch uint64) *Tx {
	return &Tx{ctx: ctx, snap: snap, account: account, epoch: epoch, written: map[string][]byte{}, index: map[Change]int{}}
}

// Get returns the value of key as the Tx left it, or ErrNotFound.
func (tx *Tx) Get(ctx context.Context, key []byte) ([]byte, error) {
	if value, ok := tx.written[string(key)]; ok {
		if value == nil {
			return nil, ErrNotFound
		}
		return bytes.Clone(value), nil
	}
	return tx.snap.Get(ctx, key)
}

// Scan yields the pairs of a range as the Tx left them. The Tx must not be written to while it is scanned.
func (tx *Tx) Scan(ctx context.Context, r Range, o ScanOptions) iter.Seq2[Pair, error] {
	own := tx.keysIn(r)
	if len(own) == 0 {
		return tx.snap.Scan(ctx, r, o)
	}
	if o.Reverse {
		slices.Reverse(own)
	}
	return func(yield func(Pair, error) bool) {
		left := o.Limit
		tx.merge(ctx, r, o.Reverse, own, func(p Pair, err error) bool {
			left--
			return yield(p, err) && left != 0
		})
	}
}

// merge walks the snapshot and the Tx's own keys in step; an own key hides the same key of the snapshot.
func (tx *Tx) merge(ctx context.Context, r Range, reverse bool, own []string, yield func(Pair, error) bool) {
	for p, err := range tx.snap.Scan(ctx, r, ScanOptions{Reverse: reverse}) {
		if err != nil {
			yield(Pair{}, err)
			return
		}
		ahead := 0
		for ahead < len(own) && own[ahead] != string(p.Key) && (own[ahead] < string(p.Key)) != reverse {
			ahead++
		}
		if !tx.yield(own[:ahead], yield) {
			return
		}
		own = own[ahead:]
		if len(own) > 0 && own[0] == string(p.Key) {
			continue
		}
		if !yield(p, nil) {
			return
		}
	}
	tx.yield(own, yield)
}

// yield passes on own keys but for those that the Tx deleted, and tells whether to go on.
func (tx *Tx) yield(own []string, yield func(Pair, error) bool) bool {
	for _, key := range own {
		if value := tx.written[key]; value != nil && !yield(Pair{Key: []byte(key), Value: value}, nil) {
			return false
		}
	}
	return true
}

// Set stores value under key.
func (tx *Tx) Set(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	tx.remember(key, value)
	tx.batch.Set(key, value)
}

// Delete removes key.
func (tx *Tx) Delete(key []byte) {
	tx.remember(key, nil)
	tx.batch.Delete(key)
}

// Add adds delta to the counter at key.
func (tx *Tx) Add(key []byte, delta int64) { tx.batch.Add(key, delta) }

// Assert makes the commit fail with ErrConflict unless key holds value before it. What the Tx wrote itself is as it left
// it.
func (tx *Tx) Assert(key, value []byte) {
	if _, own := tx.written[string(key)]; !own {
		tx.batch.Assert(key, value)
	}
}

// Size is roughly how many octets the Tx writes so far.
func (tx *Tx) Size() int { return tx.batch.Size() }

// Changed logs a change. Several changes of one object within a Tx count as one; an object that is created and
// destroyed leaves no trace.
func (tx *Tx) Changed(c Change) {
	id := Change{Type: c.Type, ID: c.ID}
	at, ok := tx.index[id]
	if !ok {
		tx.index[id] = len(tx.changes)
		tx.changes = append(tx.changes, c)
		return
	}
	have := &tx.changes[at]
	switch {
	case have.Kind == 0:
		*have = c
	case c.Kind == Destroyed && have.Kind == Created:
		have.Kind = 0
	case c.Kind == Destroyed:
		have.Kind, have.Minor = Destroyed, false
	case have.Kind == Destroyed && c.Kind == Created:
		// It left a list and came back.
		have.Kind = Updated
	case c.Kind == Updated:
		have.Minor = have.Minor && c.Minor
	}
}

// NewState returns the state of a type to which the Tx led, once Update has returned without an error. It is empty
// when the Tx did not touch the type.
func (tx *Tx) NewState(kind string) string {
	touched := slices.ContainsFunc(tx.changes, func(c Change) bool { return c.Type == kind && c.Kind != 0 })
	if !tx.logged || !touched {
		return ""
	}
	return tx.at.String()
}

// Seq returns the sequence number that the commit has if the Tx logs a change.
func (tx *Tx) Seq() (uint64, error) {
	seq, _, err := tx.Next()
	return seq, err
}

// log adds the sequence number, the log entry and the states of the types to the batch.
func (tx *Tx) log(keep uint64) error {
	tx.changes = slices.DeleteFunc(tx.changes, func(c Change) bool { return c.Kind == 0 })
	changes := tx.changes
	if len(changes) == 0 {
		return nil
	}
	last, err := tx.last()
	if err != nil {
		return err
	}
	at := position{seq: last.seq + 1, epoch: max(last.epoch, tx.epoch)}
	if at.epoch > last.epoch {
		if err := tx.enter(last, at.epoch); err != nil {
			return err
		}
	}
	seq, value := at.seq, at.encode()
	tx.batch.Set(seqKey(tx.account), value)
	tx.batch.Set(logKey(tx.account).Uint(seq), encodeChanges(changes))
	for _, c := range changes {
		tx.batch.Set(stateKey(tx.account, c.Type), value)
	}
	if trimEvery := max(keep/8, 1); seq > keep && seq%trimEvery == 0 {
		tx.trim(seq - keep)
	}
	tx.logged, tx.at = true, at
	return nil
}

// trim forgets the log up to and including floor.
func (tx *Tx) trim(floor uint64) {
	tx.batch.DeleteRange(Range{Start: logKey(tx.account), End: logKey(tx.account).Uint(floor + 1)})
	tx.batch.Set(floorKey(tx.account), Key(nil).Uint(floor))
}

func (tx *Tx) remember(key, value []byte) {
	if _, ok := tx.written[string(key)]; !ok {
		at, _ := slices.BinarySearch(tx.keys, string(key))
		tx.keys = slices.Insert(tx.keys, at, string(key))
	}
	tx.written[string(key)] = value
}

func (tx *Tx) keysIn(r Range) []string {
	from, _ := slices.BinarySearch(tx.keys, string(r.Start))
	to := len(tx.keys)
	if len(r.End) > 0 {
		to, _ = slices.BinarySearch(tx.keys, string(r.End))
	}
	if from >= to {
		return nil
	}
	return slices.Clone(tx.keys[from:to])
}

func readUint(ctx context.Context, r Reader, key []byte) (uint64, error) {
	value, err := r.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, _, err := CutUint(value)
	return n, err
}

package store

import (
	"fmt"
	"slices"
)

// OpKind says what one operation of a batch does.
type OpKind int

const (
	// OpSet stores a value under a key.
	OpSet OpKind = iota + 1
	// OpDelete removes a key, which need not exist.
	OpDelete
	// OpDeleteRange removes every key of a range.
	OpDeleteRange
)

// Op is one write of a batch.
type Op struct {
	// Kind says which of the other fields count.
	Kind OpKind
	// Key is the key to set or delete, or the start of the range.
	Key []byte
	// Value is what to set, or the end of the range.
	Value []byte
}

// Assertion is a condition on the keys as they are before the batch.
type Assertion struct {
	// Key is the key that is checked.
	Key []byte
	// Value is what it must hold; nil means that it must not exist.
	Value []byte
}

// Batch collects writes that are applied together or not at all. Its writes are applied in order; assertions
// are checked before the first. It is not safe for concurrent use and keeps the slices that it is given.
type Batch struct {
	ops     []Op
	asserts []Assertion
	adds    map[string]int64
	size    int
}

// Set stores value under key.
func (b *Batch) Set(key, value []byte) { b.op(Op{Kind: OpSet, Key: key, Value: value}) }

// Delete removes key.
func (b *Batch) Delete(key []byte) { b.op(Op{Kind: OpDelete, Key: key}) }

// DeleteRange removes every key of r, which must have an end.
func (b *Batch) DeleteRange(r Range) { b.op(Op{Kind: OpDeleteRange, Key: r.Start, Value: r.End}) }

// Add adds delta to the counter at key. A counter that does not exist counts as zero, and one that becomes
// zero is removed. A key that is added to cannot be written otherwise in the same batch.
func (b *Batch) Add(key []byte, delta int64) {
	if b.adds == nil {
		b.adds = map[string]int64{}
	}
	b.adds[string(key)] += delta
	b.size += len(key) + 8
}

// Assert makes the batch fail with ErrConflict unless key holds value before it; a nil value asserts that the
// key does not exist.
func (b *Batch) Assert(key, value []byte) {
	b.asserts = append(b.asserts, Assertion{Key: key, Value: value})
}

// Size is roughly how many octets the batch writes.
func (b *Batch) Size() int { return b.size }

// Empty says whether the batch neither writes nor asserts anything.
func (b *Batch) Empty() bool { return len(b.ops) == 0 && len(b.adds) == 0 && len(b.asserts) == 0 }

// Ops returns the writes in order, for engines.
func (b *Batch) Ops() []Op { return b.ops }

// Assertions returns the conditions, for engines.
func (b *Batch) Assertions() []Assertion { return b.asserts }

// Adds returns the sum to add to each counter, for engines.
func (b *Batch) Adds() map[string]int64 { return b.adds }

// Validate returns ErrInvalid for a batch that breaks the contract. Engines call it before they apply one.
func (b *Batch) Validate() error {
	for _, op := range b.ops {
		if err := b.validate(op); err != nil {
			return err
		}
	}
	for key := range b.adds {
		if key == "" {
			return fmt.Errorf("add: %w: empty key", ErrInvalid)
		}
	}
	if slices.ContainsFunc(b.asserts, func(a Assertion) bool { return len(a.Key) == 0 }) {
		return fmt.Errorf("assert: %w: empty key", ErrInvalid)
	}
	return nil
}

func (b *Batch) validate(op Op) error {
	if op.Kind == OpDeleteRange {
		return b.validateRange(Range{Start: op.Key, End: op.Value})
	}
	if len(op.Key) == 0 {
		return fmt.Errorf("write: %w: empty key", ErrInvalid)
	}
	if _, both := b.adds[string(op.Key)]; both {
		return fmt.Errorf("write: %w: key %q is also added to", ErrInvalid, op.Key)
	}
	return nil
}

func (b *Batch) validateRange(r Range) error {
	if len(r.End) == 0 || string(r.Start) > string(r.End) {
		return fmt.Errorf("delete range: %w: from %q to %q", ErrInvalid, r.Start, r.End)
	}
	for key := range b.adds {
		if r.Contains([]byte(key)) {
			return fmt.Errorf("delete range: %w: key %q is also added to", ErrInvalid, key)
		}
	}
	return nil
}

func (b *Batch) op(op Op) {
	b.ops = append(b.ops, op)
	b.size += len(op.Key) + len(op.Value)
}

// Package store is the contract between the sync server and whatever keeps its data: an ordered key-value
// space of few operations, large objects and change hints beside it, and the structures that every engine
// shares on top of it (blobs, writer leases, the change journal).
//
// The first segment of a key names its owner, an account or the blobs of a tenant, so that everything that
// belongs to one owner is one contiguous range: moving, exporting and erasing it are range operations.
package store

import (
	"context"
	"errors"
	"io"
	"iter"
)

var (
	// ErrNotFound says that a key, blob or object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that an assertion of a batch did not hold; nothing of the batch was applied.
	ErrConflict = errors.New("conflict")
	// ErrClosed says that the engine was closed before the operation ended.
	ErrClosed = errors.New("store is closed")
	// ErrInvalid says that the caller broke the contract, such as an empty key in a batch.
	ErrInvalid = errors.New("invalid")
	// ErrFormat says that the data was written by a version whose format this one does not know.
	ErrFormat = errors.New("unknown store format")
	// ErrLeased says that another live writer holds the lease of an account.
	ErrLeased = errors.New("account is leased by another writer")
	// ErrUnavailable says that what keeps the data does not answer at the moment, or takes no writes. Trying again
	// later may help; Unavailable is how packages know it that do not import this one.
	ErrUnavailable error = unavailable{}
	// ErrTooOld says that the change log no longer reaches back to the state that was asked for, or never
	// issued it (cannotCalculateChanges, RFC 8620 section 5.2).
	ErrTooOld = errors.New("changes cannot be calculated from this state")
)

// unavailable is the type of ErrUnavailable.
type unavailable struct{}

// Error says what is wrong.
func (unavailable) Error() string { return "store is not available now" }

// Unavailable marks an error that passes.
func (unavailable) Unavailable() bool { return true }

// Pair is one key and its value, valid only until the next step of the scan that yields it.
type Pair struct {
	// Key is the whole key.
	Key []byte
	// Value is what the key holds.
	Value []byte
}

// Range is the keys from Start, inclusive, to End, exclusive. An empty End means no upper bound.
type Range struct {
	// Start is the first key of the range.
	Start []byte
	// End is the first key after the range.
	End []byte
}

// Contains says whether key lies in the range.
func (r Range) Contains(key []byte) bool {
	return string(key) >= string(r.Start) && (len(r.End) == 0 || string(key) < string(r.End))
}

// ScanOptions says how a range is walked. The zero value walks all of it forward.
type ScanOptions struct {
	// Reverse walks from the last key to the first.
	Reverse bool
	// Limit ends the scan after so many pairs; 0 means no limit.
	Limit int
}

// Reader reads keys. Its methods are safe for concurrent use.
type Reader interface {
	// Get returns a copy of the value of key, or ErrNotFound.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Scan yields the pairs of a range in the order of their keys. An error ends the scan as its last element.
	// It sees the keys as they were at one moment not before the call.
	Scan(ctx context.Context, r Range, o ScanOptions) iter.Seq2[Pair, error]
}

// Snapshot reads the keys as they were when it was made. It must be closed.
type Snapshot interface {
	Reader
	io.Closer
}

// Engine is what keeps the data. All methods are safe for concurrent use; after Close each of them returns
// ErrClosed.
type Engine interface {
	Reader
	// Snapshot returns a view that later commits do not change.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Commit applies a batch atomically and returns when it is durable. ErrConflict says that an assertion did
	// not hold and nothing was applied.
	Commit(ctx context.Context, b *Batch) error
	// Objects returns the space for large values.
	Objects() Objects
	// Hints returns the change hints that the processes on this engine share.
	Hints() Hints
	// Close releases the engine.
	Close() error
}

// Objects keeps large values by name, outside of the ordered space. A name is written once.
type Objects interface {
	// Write keeps what r yields under name, durably, and returns its size in octets.
	Write(ctx context.Context, name string, r io.Reader) (int64, error)
	// Open returns the object, or ErrNotFound.
	Open(ctx context.Context, name string) (Object, error)
	// Remove deletes the object. Removing one that does not exist is no error.
	Remove(ctx context.Context, name string) error
}

// Object is an open object: any range of it can be read, by several readers at a time.
type Object interface {
	io.ReaderAt
	io.Closer
	// Size is the length in octets.
	Size() int64
}

// Hints carries "something changed" between those who share an engine. Hints are coalesced and may be lost:
// they tell a listener when to look, never what is there.
type Hints interface {
	// Publish wakes the listeners of a topic.
	Publish(ctx context.Context, topic string) error
	// Listen returns a channel that receives after each Publish of the topic; several may arrive as one.
	// The channel is closed by cancel and when the engine closes.
	Listen(topic string) (hints <-chan struct{}, cancel func())
}

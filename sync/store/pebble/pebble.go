// Package pebble is the embedded engine of the store: Pebble on a local volume, large objects in files beside
// it. One process at a time opens a folder.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/files"
)

// Options are the choices of an engine. The zero value is right for a volume of its own.
type Options struct {
	// CacheBytes is the memory for cached blocks; 0 means 64 MiB.
	CacheBytes int64
	// FS is where the ordered space lies; nil means the disk. Tests put a file system here that forgets what was
	// not synced.
	FS vfs.FS
	// Logger receives what Pebble says; nil discards it.
	Logger pebble.Logger
}

// Engine is a store.Engine on Pebble.
type Engine struct {
	db      *pebble.DB
	objects *files.Folder
	hints   store.Bus
	gate    gate
	// write orders the checks of a batch and its application to memory; waiting for the disk happens outside, so
	// that batches share a sync of the log.
	write sync.Mutex
}

var (
	_ store.Engine  = (*Engine)(nil)
	_ store.Applier = (*Engine)(nil)
)

// Open opens the store in folder dir and makes it when it does not exist. store.ErrFormat says that another
// version wrote it.
func Open(ctx context.Context, dir string, o Options) (*Engine, error) {
	objects, err := files.Open(filepath.Join(dir, "objects"))
	if err != nil {
		return nil, err
	}
	db, err := pebble.Open(filepath.Join(dir, "kv"), o.pebble())
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", dir, err)
	}
	e := &Engine{db: db, objects: objects}
	e.gate.cond = sync.NewCond(&e.gate.mu)
	if err := store.CheckFormat(ctx, e); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %q: %w", dir, err), e.Close())
	}
	return e, nil
}

func (o Options) pebble() *pebble.Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = silence{}
	}
	return &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest,
		CacheSize:          o.CacheBytes,
		MemTableSize:       16 << 20,
		FS:                 o.FS,
		Logger:             o.Logger,
	}
}

// Get returns a copy of the value of key, or store.ErrNotFound.
func (e *Engine) Get(ctx context.Context, key []byte) ([]byte, error) {
	leave, err := e.gate.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	return get(ctx, e.db, key)
}

// Scan yields the pairs of a range.
func (e *Engine) Scan(ctx context.Context, r store.Range, o store.ScanOptions) iter.Seq2[store.Pair, error] {
	return func(yield func(store.Pair, error) bool) {
		leave, err := e.gate.enter()
		if err != nil {
			yield(store.Pair{}, err)
			return
		}
		defer leave()
		scan(ctx, e.db, r, o, yield)
	}
}

// Snapshot returns a view that later commits do not change. Close of the engine waits until it is closed.
func (e *Engine) Snapshot(_ context.Context) (store.Snapshot, error) {
	leave, err := e.gate.enter()
	if err != nil {
		return nil, err
	}
	return &snapshot{snap: e.db.NewSnapshot(), leave: leave}, nil
}

// Commit applies a batch and returns when the log that holds it is on disk.
func (e *Engine) Commit(ctx context.Context, b *store.Batch) error {
	wait, err := e.Apply(ctx, b)
	if err != nil {
		return err
	}
	return wait()
}

// Apply applies a batch. Its wait returns when the log that holds it is on disk; batches share a sync of the log. Close
// of the engine waits for it.
func (e *Engine) Apply(ctx context.Context, b *store.Batch) (wait func() error, err error) {
	if err := errors.Join(ctx.Err(), b.Validate()); err != nil {
		return nil, err
	}
	leave, err := e.gate.enter()
	if err != nil {
		return nil, err
	}
	pb := e.db.NewBatch()
	end := func() error {
		defer leave()
		return pb.Close()
	}
	if err := e.apply(ctx, pb, b); err != nil {
		return nil, errors.Join(err, end())
	}
	return func() error {
		if err := errors.Join(pb.SyncWait(), end()); err != nil {
			return fmt.Errorf("sync commit: %w", err)
		}
		return nil
	}, nil
}

// Packs says that small blobs are to be compressed: the log holds values as they come.
func (e *Engine) Packs() bool { return true }

// Objects returns the folder of large values.
func (e *Engine) Objects() store.Objects { return e.objects }

// Hints returns the hints of this process, the only one on the folder.
func (e *Engine) Hints() store.Hints { return &e.hints }

// Checkpoint makes a copy of the store in folder dir, which must not exist, by hard links. The copy is
// consistent and can be opened as a store; writing goes on meanwhile.
func (e *Engine) Checkpoint(_ context.Context, dir string) error {
	leave, err := e.gate.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	release := e.objects.Hold()
	defer release()
	if err := e.db.Checkpoint(filepath.Join(dir, "kv"), pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return e.objects.Link(filepath.Join(dir, "objects"))
}

// Close waits for what runs, closes the channels of listeners and releases the folder. A second Close returns
// store.ErrClosed.
func (e *Engine) Close() error {
	if err := e.gate.close(); err != nil {
		return err
	}
	e.hints.Close()
	return e.db.Close()
}

// apply checks a batch and makes it visible. It holds the lock on writes, so that nothing comes between.
func (e *Engine) apply(ctx context.Context, pb *pebble.Batch, b *store.Batch) error {
	e.write.Lock()
	defer e.write.Unlock()
	for _, a := range b.Assertions() {
		if err := check(ctx, e.db, a); err != nil {
			return err
		}
	}
	for _, op := range b.Ops() {
		if err := write(pb, op); err != nil {
			return fmt.Errorf("write batch: %w", err)
		}
	}
	for key, delta := range b.Adds() {
		if err := add(ctx, e.db, pb, []byte(key), delta); err != nil {
			return err
		}
	}
	if pb.Empty() {
		// What only asserts waits for what it saw: the log gets a record that says nothing.
		if err := pb.LogData(nil, nil); err != nil {
			return fmt.Errorf("write batch: %w", err)
		}
	}
	if err := e.db.ApplyNoSyncWait(pb, pebble.Sync); err != nil {
		return fmt.Errorf("apply batch: %w", err)
	}
	return nil
}

func check(ctx context.Context, r pebble.Reader, a store.Assertion) error {
	have, err := get(ctx, r, a.Key)
	absent := errors.Is(err, store.ErrNotFound)
	if err != nil && !absent {
		return err
	}
	if absent != (a.Value == nil) || string(have) != string(a.Value) {
		return fmt.Errorf("assert key %q: %w", a.Key, store.ErrConflict)
	}
	return nil
}

func write(pb *pebble.Batch, op store.Op) error {
	switch op.Kind {
	case store.OpSet:
		return pb.Set(op.Key, op.Value, nil)
	case store.OpDelete:
		return pb.Delete(op.Key, nil)
	case store.OpDeleteRange:
		return pb.DeleteRange(op.Key, op.Value, nil)
	default:
		return fmt.Errorf("%w: operation %d", store.ErrInvalid, op.Kind)
	}
}

func add(ctx context.Context, r pebble.Reader, pb *pebble.Batch, key []byte, delta int64) error {
	have, err := get(ctx, r, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n, err := store.DecodeCounter(have)
	if err != nil {
		return fmt.Errorf("add to key %q: %w", key, err)
	}
	if n+delta == 0 {
		return pb.Delete(key, nil)
	}
	return pb.Set(key, store.EncodeCounter(n+delta), nil)
}

// silence discards what Pebble says about its background work.
type silence struct{}

// Infof discards a line.
func (silence) Infof(string, ...any) {}

// Errorf discards a line; the operation that failed returns the error.
func (silence) Errorf(string, ...any) {}

// Fatalf ends the process: Pebble calls it when going on would lose data.
func (silence) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "store: "+format+"\n", args...)
	os.Exit(1)
}

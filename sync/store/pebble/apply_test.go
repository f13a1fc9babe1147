package pebble

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

var errDisk = errors.New("disk failed")

// slow is an engine whose commits are durable when the test says so, and tells when one is applied.
type slow struct {
	*Engine

	applied chan struct{}
	// durable ends the waits, with an error that it yields.
	durable chan error
}

// Apply applies a batch whose wait the test ends.
func (s *slow) Apply(ctx context.Context, b *store.Batch) (wait func() error, err error) {
	inner, err := s.Engine.Apply(ctx, b)
	if err != nil {
		return nil, err
	}
	s.applied <- struct{}{}
	return func() error { return errors.Join(inner(), <-s.durable) }, nil
}

func newSlow(t *testing.T) (*slow, *store.Journal) {
	t.Helper()
	s := &slow{Engine: newEngine(t, t.TempDir(), Options{FS: vfs.NewMem()}), applied: make(chan struct{}), durable: make(chan error)}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	j, err := store.NewJournal(s, store.Options{Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s, j
}

// begin starts an update of an account that writes a key.
func begin(t *testing.T, j *store.Journal, key string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		done <- j.Update(t.Context(), "acc", func(tx *store.Tx) error {
			tx.Set(store.NewKey("acc").String(key), nil)
			tx.Changed(store.Change{Type: "Email", ID: key, Kind: store.Created})
			return nil
		})
	}()
	return done
}

func pending(t *testing.T, what string, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		t.Errorf("%s ended before the commit was durable: %v", what, err)
	default:
	}
}

func TestNothingIsToldBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	s, j := newSlow(t)
	hints, cancel := s.Hints().Listen("acc")
	defer cancel()
	first := begin(t, j, "a")
	<-s.applied
	// The second update of the account is applied while the first waits for the disk.
	second := begin(t, j, "b")
	<-s.applied
	views, reads, seen := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() {
		views <- j.View(t.Context(), "acc", func(r store.Reader) error {
			_, err := r.Get(t.Context(), store.NewKey("acc").String("b"))
			return err
		})
	}()
	go func() {
		reads <- j.Update(t.Context(), "acc", func(tx *store.Tx) error {
			defer close(seen)
			_, err := tx.Get(t.Context(), store.NewKey("acc").String("b"))
			return err
		})
	}()
	<-seen
	pending(t, "the first update", first)
	pending(t, "the second update", second)
	pending(t, "a view", views)
	pending(t, "an update that only read", reads)
	select {
	case <-hints:
		t.Error("a hint was published before the commit was durable")
	default:
	}
	s.durable <- nil
	s.durable <- nil
	for what, done := range map[string]<-chan error{"first update": first, "second update": second, "view": views, "reading update": reads} {
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	<-hints
}

func TestFailedDiskIsToldToAllWhoSawTheCommit(t *testing.T) {
	t.Parallel()
	s, j := newSlow(t)
	hints, cancel := s.Hints().Listen("acc")
	defer cancel()
	done := begin(t, j, "a")
	<-s.applied
	s.durable <- errDisk
	if err := <-done; !errors.Is(err, errDisk) {
		t.Errorf("update: got error %v", err)
	}
	if err := j.View(t.Context(), "acc", func(store.Reader) error { return nil }); !errors.Is(err, errDisk) {
		t.Errorf("view: got error %v", err)
	}
	if err := j.Update(t.Context(), "acc", func(*store.Tx) error { return nil }); !errors.Is(err, errDisk) {
		t.Errorf("reading update: got error %v", err)
	}
	select {
	case <-hints:
		t.Error("a hint was published for a commit that failed")
	default:
	}
}

func TestErasureIsSeenOnceItIsDurable(t *testing.T) {
	t.Parallel()
	s, j := newSlow(t)
	done := begin(t, j, "a")
	<-s.applied
	s.durable <- nil
	if err := <-done; err != nil {
		t.Fatalf("update: %v", err)
	}
	erased, views := make(chan error, 1), make(chan error, 1)
	go func() { erased <- j.Erase(t.Context(), "acc") }()
	<-s.applied
	go func() {
		views <- j.View(t.Context(), "acc", func(r store.Reader) error {
			_, err := r.Get(t.Context(), store.NewKey("acc").String("a"))
			return err
		})
	}()
	pending(t, "the erasure", erased)
	pending(t, "a view", views)
	s.durable <- nil
	if err := <-erased; err != nil {
		t.Errorf("erase: %v", err)
	}
	if err := <-views; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("view after the erasure: got error %v", err)
	}
}

// TestAssertionsWaitForWhatTheySaw crashes after a commit that only asserted what another had applied.
func TestAssertionsWaitForWhatTheySaw(t *testing.T) {
	t.Parallel()
	fs, dir := vfs.NewCrashableMem(), t.TempDir()
	e := newEngine(t, dir, Options{FS: fs})
	written, asserted := &store.Batch{}, &store.Batch{}
	written.Set([]byte("a"), []byte("1"))
	asserted.Assert([]byte("a"), []byte("1"))
	wait, err := e.Apply(t.Context(), written)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Commit(t.Context(), asserted); err != nil {
		t.Fatal(err)
	}
	crashed := newEngine(t, dir, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	if value, err := crashed.Get(t.Context(), []byte("a")); string(value) != "1" {
		t.Errorf("after the crash the key holds %q: %v", value, err)
	}
	if err := errors.Join(wait(), e.Close(), crashed.Close()); err != nil {
		t.Error(err)
	}
}

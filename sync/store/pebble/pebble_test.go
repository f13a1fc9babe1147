package pebble

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/storetest"
)

func newEngine(tb testing.TB, dir string, o Options) *Engine {
	tb.Helper()
	e, err := Open(tb.Context(), dir, o)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	return e
}

// TestEngineKeepsTheContract runs the contract on a file system that forgets what was not synced.
func TestEngineKeepsTheContract(t *testing.T) {
	t.Parallel()
	type home struct {
		fs  *vfs.MemFS
		dir string
	}
	homes := map[store.Engine]home{}
	storetest.Run(t, storetest.Factory{
		Open: func(t *testing.T) store.Engine {
			h := home{fs: vfs.NewCrashableMem(), dir: t.TempDir()}
			e := newEngine(t, h.dir, Options{FS: h.fs})
			homes[e] = h
			return e
		},
		Reopen: func(t *testing.T, e store.Engine) store.Engine {
			h := homes[e]
			return newEngine(t, h.dir, Options{FS: h.fs.CrashClone(vfs.CrashCloneCfg{})})
		},
	})
}

func TestDataOnDiskOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := newEngine(t, dir, Options{})
	blobs := store.NewBlobs(e, nil)
	info, err := blobs.Put(t.Context(), "s", strings.NewReader(strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if _, err := Open(t.Context(), dir, Options{}); err == nil {
		t.Error("a second process opened the folder")
	}
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	again := newEngine(t, dir, Options{})
	defer again.Close()
	if o, err := store.NewBlobs(again, nil).Open(t.Context(), "s", info.Hash); err != nil || o.Size() != 1<<20 {
		t.Errorf("open blob: %v", err)
	} else {
		o.Close()
	}
}

func TestStoreOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := newEngine(t, dir, Options{})
	b := &store.Batch{}
	b.Set(store.NewKey("!").String("format"), []byte("3"))
	if err := e.Commit(t.Context(), b); err != nil {
		t.Fatalf("commit: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	_, err := Open(t.Context(), dir, Options{})
	if err == nil || !strings.Contains(err.Error(), `the data has format "3", this version reads "2"`) {
		t.Errorf("got error %v", err)
	}
}

func TestCheckpointOpensAsAStore(t *testing.T) {
	t.Parallel()
	e := newEngine(t, t.TempDir(), Options{})
	defer e.Close()
	blobs := store.NewBlobs(e, nil)
	large := strings.Repeat("x", 1<<20)
	info, err := blobs.Put(t.Context(), "s", strings.NewReader(large))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	target := filepath.Join(t.TempDir(), "copy")
	if err := e.Checkpoint(t.Context(), target); err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
	if err := e.Checkpoint(t.Context(), target); err == nil {
		t.Error("a checkpoint overwrote another one")
	}
	if _, err := blobs.Collect(t.Context(), "s", 0); err != nil {
		t.Fatalf("collect: %v", err)
	}
	backup := newEngine(t, target, Options{})
	defer backup.Close()
	o, err := store.NewBlobs(backup, nil).Open(t.Context(), "s", info.Hash)
	if err != nil {
		t.Fatalf("open blob of the copy: %v", err)
	}
	defer o.Close()
	if o.Size() != int64(len(large)) {
		t.Errorf("blob of the copy has %d octets", o.Size())
	}
}

func TestUnusableFolderIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), file, Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got error %v, want one that names %q", err, file)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d-writers", writers), func(b *testing.B) {
			e := newEngine(b, b.TempDir(), Options{})
			defer e.Close()
			b.SetParallelism(writers)
			b.RunParallel(func(pb *testing.PB) {
				n := 0
				for pb.Next() {
					batch := &store.Batch{}
					batch.Set([]byte("k"+strconv.Itoa(n)), make([]byte, 200))
					if err := e.Commit(b.Context(), batch); err != nil {
						b.Error(err)
					}
					n++
				}
			})
		})
	}
}

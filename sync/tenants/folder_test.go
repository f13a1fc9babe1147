package tenants

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, file string, raw []byte) {
	t.Helper()
	temporary := filepath.Join(filepath.Dir(file), ".new")
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, file); err != nil {
		t.Fatal(err)
	}
}

// run runs a folder until the test ends.
func run(t *testing.T, dir string, set *Set) {
	t.Helper()
	f, err := OpenFolder(dir, set, quiet)
	if err != nil {
		t.Fatalf("OpenFolder: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func TestFolderIsFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.json"), encode(t, document("n/a", 1, nil)))
	write(t, filepath.Join(dir, "notes.txt"), []byte("not a document"))
	write(t, filepath.Join(dir, ".hidden.json"), []byte("not a document"))
	if err := os.Mkdir(filepath.Join(dir, "folder.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSet()
	run(t, dir, s)
	if !s.Ready() || generation(s, "n/a") != 1 || len(s.Statuses()) != 1 {
		t.Fatalf("after opening: ready %v, statuses %+v", s.Ready(), s.Statuses())
	}
	write(t, filepath.Join(dir, "a.json"), encode(t, document("n/a", 2, nil)))
	waitFor(t, "the changed document", func() bool { return generation(s, "n/a") == 2 })
	write(t, filepath.Join(dir, "b.json"), encode(t, document("n/b", 1, nil)))
	waitFor(t, "the new document", func() bool { return generation(s, "n/b") == 1 })
	write(t, filepath.Join(dir, "a.json"), []byte("{"))
	waitFor(t, "the refusal", func() bool { return s.Statuses()["n/a"].Refused != "" })
	if generation(s, "n/a") != 2 {
		t.Fatal("the last good document is gone")
	}
	if err := os.Remove(filepath.Join(dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the removal", func() bool { return s.ByTenant("n/a") == nil })
}

func TestSwappedMountIsFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	swap := func(version string, generation int64) {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "document.json"), encode(t, document("n/a", generation, nil)))
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", 1)
	if err := os.Symlink(filepath.Join("..data", "document.json"), filepath.Join(dir, "document.json")); err != nil {
		t.Fatal(err)
	}
	s := newSet()
	run(t, dir, s)
	if generation(s, "n/a") != 1 {
		t.Fatalf("after opening: %+v", s.Statuses())
	}
	swap("..2", 2)
	waitFor(t, "the swapped document", func() bool { return generation(s, "n/a") == 2 })
}

func TestUnreadableFileLeavesItsDocumentInForce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "a.json")
	write(t, file, encode(t, document("n/a", 1, nil)))
	s := newSet()
	run(t, dir, s)
	if err := os.Symlink("nowhere", filepath.Join(dir, ".dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, ".dangling"), file); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the refusal", func() bool { return s.Statuses()["n/a"].Refused != "" })
	if generation(s, "n/a") != 1 {
		t.Fatal("the last good document is gone")
	}
}

func TestFolderThatVanishesIsNotAnEmptyFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "documents")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.json"), encode(t, document("n/a", 1, nil)))
	s := newSet()
	f, err := OpenFolder(dir, s, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := f.read(); err == nil {
		t.Fatal("read of a folder that is not there succeeds")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Run(ctx); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if diff := cmp.Diff(int64(1), generation(s, "n/a")); diff != "" {
		t.Fatal(diff)
	}
}

func TestMissingFolderIsAnErrorWithARemedy(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := OpenFolder(missing, newSet(), quiet)
	if err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "create it") {
		t.Fatalf("OpenFolder = %v", err)
	}
}

package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeAssets makes a folder in which etcd is the shell script.
func fakeAssets(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, etcdName), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFailedStartSaysWhyAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		assets  func(t *testing.T) string
		options Options
		want    []string
	}{
		"a broken binary": {
			assets: func(t *testing.T) string {
				return fakeAssets(t, "echo first words\necho the disk is on fire >&2\nexit 3")
			},
			want: []string{"start the control plane: etcd ended: exit status 3: ", "first words", "the disk is on fire"},
		},
		"a binary that ends at once": {
			assets: func(t *testing.T) string { return fakeAssets(t, "exit 0") },
			want:   []string{"etcd ended: exit status 0: its log is empty"},
		},
		"a missing binary": {
			assets: func(t *testing.T) string { return t.TempDir() },
			want:   []string{"start etcd: ", "no such file or directory"},
		},
		"a binary that never gets ready": {
			assets:  func(t *testing.T) string { return fakeAssets(t, "echo thinking\nexec sleep 600") },
			options: Options{ReadyTimeout: 300 * time.Millisecond},
			want:    []string{"etcd: not ready in time: ", "connection refused", "thinking"},
		},
		"a binary that ignores the request to end": {
			assets: func(t *testing.T) string {
				return fakeAssets(t, "trap '' TERM\necho deaf\nwhile true; do sleep 0.05; done")
			},
			options: Options{ReadyTimeout: 300 * time.Millisecond, Grace: 100 * time.Millisecond},
			want:    []string{"etcd: not ready in time: ", "deaf"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := test.options
			o.Assets, o.Parent = test.assets(t), t.TempDir()
			p, err := Start(t.Context(), o)
			if err == nil {
				t.Fatalf("the plane started; stopping: %v", p.Stop())
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not contain %q", err, want)
				}
			}
			checkEmpty(t, o.Parent)
		})
	}
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		t.Errorf("%q is left in the parent folder", entry.Name())
	}
}

func TestStartEndsWithTheContext(t *testing.T) {
	t.Parallel()
	impatient := errors.New("impatient")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := Options{Assets: fakeAssets(t, "exec sleep 600"), Parent: t.TempDir()}
	time.AfterFunc(100*time.Millisecond, func() { cancel(impatient) })
	if _, err := Start(ctx, o); !errors.Is(err, impatient) {
		t.Errorf("error %v, want the cause of the context's end", err)
	}
	checkEmpty(t, o.Parent)
}

func TestAddressMustBeALoopbackAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0", "10.0.0.1", "::1", "localhost", "127.0.0.1:80", "127.0.0"} {
		_, err := Start(t.Context(), Options{Address: address, Assets: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), `address "`+address+`": give an IPv4 address of the loopback network`) {
			t.Errorf("address %q gives error %v", address, err)
		}
	}
}

func TestParentFolderMustExist(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Assets: t.TempDir(), Parent: filepath.Join(t.TempDir(), "missing")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the folder does not exist", err)
	}
}

func TestOnlyAbandonedFoldersAreSwept(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	owned, owner, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	abandoned, dead, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(parent, folderPrefix+"foreign")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sweep(parent); err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{owned, foreign} {
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("the folder was removed: %v", err)
		}
	}
	if _, err := os.Stat(abandoned); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the abandoned folder is still there: %v", err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReservedPortsAreDistinctAndHeld(t *testing.T) {
	t.Parallel()
	seen := make(map[int]bool)
	for range 50 {
		p, err := reservePort([]byte{127, 0, 0, 1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := p.release(); err != nil {
				t.Errorf("release: %v", err)
			}
		}()
		if p.number == 0 || seen[p.number] {
			t.Errorf("port %d is given twice or is none", p.number)
		}
		seen[p.number] = true
	}
	if p, err := reservePort([]byte{192, 0, 2, 1}); err == nil {
		t.Errorf("port %d of an address that the machine does not have", p.number)
	}
}

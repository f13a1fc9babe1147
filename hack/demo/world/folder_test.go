package world

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFolderOfADeadRunIsRemovedAndThatOfALiveOneStays(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dead := filepath.Join(parent, folderPrefix+"dead")
	if err := os.MkdirAll(filepath.Join(dead, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the abandoned folder is there: %v", err)
	}
	for _, f := range []*folder{first, second} {
		if _, err := os.Stat(f.path); err != nil {
			t.Errorf("a folder in use went: %v", err)
		}
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestFolderNeedsAParent(t *testing.T) {
	t.Parallel()
	if _, err := newFolder(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

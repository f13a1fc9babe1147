package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func TestNamesCannotLeaveTheFolder(t *testing.T) {
	t.Parallel()
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a", "../ab", "ab/../cd", "ab.cd", "ab\x00", "/etc/passwd"} {
		_, writeErr := f.Write(t.Context(), name, strings.NewReader("x"))
		_, openErr := f.Open(t.Context(), name)
		for _, err := range []error{writeErr, openErr, f.Remove(t.Context(), name)} {
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("name %q: got error %v", name, err)
			}
		}
	}
}

func TestHalfWrittenFilesAreRemovedAtOpen(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if _, err := Open(root); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(root, "tmp", "object-1")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

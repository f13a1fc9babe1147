package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Names of the folders of runs. A folder is made and locked under the first name, so
// that one under the second is locked for as long as its run lives.
const (
	preparedPrefix = "bailiwick-prepared-demo-"
	folderPrefix   = "bailiwick-demo-"
)

// folder is the temporary folder of a run.
type folder struct {
	path string
	lock *os.File
}

// newFolder makes a folder in parent that only this user can read, and removes those
// whose runs were killed before they could.
func newFolder(parent string) (*folder, error) {
	if err := sweep(parent); err != nil {
		return nil, err
	}
	prepared, err := os.MkdirTemp(parent, preparedPrefix)
	if err != nil {
		return nil, fmt.Errorf("make temporary folder: %w", err)
	}
	lock, err := lockFolder(prepared)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(prepared))
	}
	final := filepath.Join(parent, folderPrefix+strings.TrimPrefix(filepath.Base(prepared), preparedPrefix))
	if err := os.Rename(prepared, final); err != nil {
		return nil, errors.Join(fmt.Errorf("name temporary folder: %w", err), lock.Close(), os.RemoveAll(prepared))
	}
	return &folder{path: final, lock: lock}, nil
}

// remove removes the folder with all that is in it.
func (f *folder) remove() error {
	return errors.Join(os.RemoveAll(f.path), f.lock.Close())
}

// lockFolder locks a folder without waiting. The kernel gives the lock back when this
// process dies.
func lockFolder(path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock temporary folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %q: %w", path, err), file.Close())
	}
	return file, nil
}

// sweep removes the folders that no run owns any more. Those of other users are left
// alone: they cannot be opened.
func sweep(parent string) error {
	abandoned, err := filepath.Glob(filepath.Join(parent, folderPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for abandoned folders: %w", err)
	}
	for _, path := range abandoned {
		lock, err := lockFolder(path)
		if err != nil {
			continue
		}
		if err := errors.Join(os.RemoveAll(path), lock.Close()); err != nil {
			return fmt.Errorf("remove abandoned folder: %w", err)
		}
	}
	return nil
}

package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Names of data folders. A folder is prepared and locked under the first name,
// so that one under the second is locked for as long as its owner lives.
const (
	preparedPrefix = "bailiwick-prepared-"
	folderPrefix   = "bailiwick-controlplane-"
	ownerLock      = "owner.lock"
)

// tryLock takes an exclusive lock of the file without waiting for it. It fails
// with EWOULDBLOCK when another open file has it.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// newFolder makes a data folder in parent that only this user can read, and
// removes those whose owners were killed.
func newFolder(parent string) (string, *os.File, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if err := sweep(parent); err != nil {
		return "", nil, err
	}
	prepared, err := os.MkdirTemp(parent, preparedPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("make the data folder: %w", err)
	}
	owner, err := os.OpenFile(filepath.Join(prepared, ownerLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock the data folder: %w", err), os.RemoveAll(prepared))
	}
	if err := tryLock(owner); err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock the data folder: %w", err), owner.Close(), os.RemoveAll(prepared))
	}
	final := filepath.Join(parent, folderPrefix+strings.TrimPrefix(filepath.Base(prepared), preparedPrefix))
	if err := os.Rename(prepared, final); err != nil {
		return "", nil, errors.Join(fmt.Errorf("name the data folder: %w", err), owner.Close(), os.RemoveAll(prepared))
	}
	return final, owner, nil
}

// sweep removes the data folders that nobody owns any more. Folders of other
// users are left alone: their lock cannot be opened.
func sweep(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("look for abandoned data folders: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), folderPrefix) {
			continue
		}
		dir := filepath.Join(parent, entry.Name())
		owner, err := os.OpenFile(filepath.Join(dir, ownerLock), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if tryLock(owner) == nil {
			err = os.RemoveAll(dir)
		}
		if err := errors.Join(err, owner.Close()); err != nil {
			return fmt.Errorf("remove the abandoned data folder %q: %w", dir, err)
		}
	}
	return nil
}

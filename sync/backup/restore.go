package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

// Names in the folder of a store, beside the store itself.
const (
	// copyName is the copy of which a backup is being written.
	copyName = "backup"
	// stagingName is what a restore has unpacked. When it is empty, the restore is complete.
	stagingName = "restoring"
	// foundName is what file systems put at the top of a volume.
	foundName = "lost+found"

	ordered = "kv"
	objects = "objects"
)

// Prepare makes the folder of a store ready to be opened, after a process ended in the middle of a backup. It returns
// ErrUnfinished where a restore was begun and has not ended.
func Prepare(dir string) error {
	staging := filepath.Join(dir, stagingName)
	left, err := os.ReadDir(staging)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("prepare store: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: restore the backup again, or remove %q", ErrUnfinished, staging)
	}
	if err := errors.Join(os.RemoveAll(staging), os.RemoveAll(filepath.Join(dir, copyName))); err != nil {
		return fmt.Errorf("prepare store: %w", err)
	}
	return nil
}

// Restore makes a store in a folder from a backup, unless there is one. The store appears when all of the backup is
// verified, or not at all. It begins a new epoch, by which states of what came after the backup are known as such. A
// restore that broke off can be made again.
func Restore(ctx context.Context, from io.Reader, dir string, o Origin, now time.Time) (Head, error) {
	if err := vacant(dir); err != nil {
		return Head{}, err
	}
	r, err := open(from)
	if err != nil {
		return Head{}, err
	}
	defer r.close()
	if r.head.Origin != o {
		return r.head, fmt.Errorf("%w: cloud %q and region %q, and this is cloud %q and region %q: restore it where it is from", ErrOrigin, r.head.Cloud, r.head.Region, o.Cloud, o.Region)
	}
	if err := fits(dir, r.head.Octets); err != nil {
		return r.head, err
	}
	staging := filepath.Join(dir, stagingName)
	if err = r.unpack(ctx, staging); err == nil {
		err = settle(ctx, staging, now)
	}
	if err != nil {
		return r.head, errors.Join(err, os.RemoveAll(staging))
	}
	return r.head, publish(staging, dir)
}

// vacant refuses a folder that holds anything but what a restore left behind, which it removes.
func vacant(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	begun := false
	have := ""
	for _, entry := range entries {
		switch entry.Name() {
		case foundName:
		case stagingName:
			begun = true
		case objects:
			// A restore moves these first.
			if have == "" {
				have = objects
			}
		default:
			have = entry.Name()
		}
	}
	if have != "" && (!begun || have != objects) {
		return fmt.Errorf("%w: %q has %q: a backup is restored into an empty folder", ErrNotEmpty, dir, have)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, objects)), os.RemoveAll(filepath.Join(dir, stagingName))); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// fits refuses a backup that is larger than what is free.
func fits(dir string, octets int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("restore: free space of %q: %w", dir, err)
	}
	free := s.Bavail * uint64(s.Bsize) //nolint:gosec // the size of a block is positive
	if uint64(octets) > free {         //nolint:gosec // checked to be positive
		return fmt.Errorf("%w: the backup has %d octets, and %q has %d left: use a larger volume", ErrSpace, octets, dir, free)
	}
	return nil
}

// unpack writes the files of a backup.
func (r *reader) unpack(ctx context.Context, to string) (err error) {
	if err := os.Mkdir(to, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return r.each(ctx, func(name string, content io.Reader) error { return unpackFile(root, name, content) })
}

func unpackFile(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: member %q comes twice", ErrBroken, name)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("restore %q: %w", name, err)
	}
	return nil
}

// settle opens what was unpacked as a store, and begins a new epoch there.
func settle(ctx context.Context, dir string, now time.Time) error {
	engine, err := pebble.Open(ctx, dir, pebble.Options{})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	_, err = store.BeginEpoch(ctx, engine, now)
	if err = errors.Join(err, engine.Close()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncFolders(dir)
}

// syncFolders makes the entries of all folders durable.
func syncFolders(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncFolder(path)
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// publish moves a store to its place. The ordered space comes last: with it, the store is there.
func publish(staging, dir string) error {
	for _, part := range []string{objects, ordered} {
		err := os.Rename(filepath.Join(staging, part), filepath.Join(dir, part))
		if err == nil {
			err = syncFolder(dir)
		}
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	if err := errors.Join(os.Remove(staging), syncFolder(dir)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

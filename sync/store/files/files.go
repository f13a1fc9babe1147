// Package files keeps the store's objects as files in a folder.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Folder is a folder of objects. Objects are spread over subfolders by the first octets of their names.
type Folder struct {
	root string
	// removal is held shared while an object is removed, and alone while Link walks the folder.
	removal sync.RWMutex
}

// Open returns the folder at root and makes it when it does not exist. What an earlier process left half
// written is removed.
func Open(root string) (*Folder, error) {
	if err := os.MkdirAll(filepath.Join(root, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("object folder: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(root, "tmp", "*"))
	if err != nil {
		return nil, fmt.Errorf("object folder: %w", err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("object folder: %w", err)
		}
	}
	return &Folder{root: root}, nil
}

// Write keeps what r yields under name. The file appears whole or not at all, and is durable on return.
func (f *Folder) Write(ctx context.Context, name string, r io.Reader) (int64, error) {
	path, err := f.path(name)
	if err != nil {
		return 0, err
	}
	tmp, err := os.CreateTemp(filepath.Join(f.root, "tmp"), "object-*")
	if err != nil {
		return 0, fmt.Errorf("write object: %w", err)
	}
	size, err := io.Copy(tmp, contextReader{ctx: ctx, r: r})
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = f.publish(tmp.Name(), path)
	}
	if err != nil {
		return 0, fmt.Errorf("write object: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return size, nil
}

// Open returns the object, or store.ErrNotFound.
func (f *Folder) Open(_ context.Context, name string) (store.Object, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("object %q: %w", name, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open object: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open object: %w", errors.Join(err, file.Close()))
	}
	return object{File: file, size: info.Size()}, nil
}

// Remove deletes the object if it exists.
func (f *Folder) Remove(_ context.Context, name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	f.removal.RLock()
	defer f.removal.RUnlock()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove object: %w", err)
	}
	return nil
}

// Hold keeps objects from being removed until release is called, for a backup of what refers to them.
func (f *Folder) Hold() (release func()) {
	f.removal.Lock()
	return f.removal.Unlock
}

// Link makes a folder at target with hard links to every object. The caller holds the folder.
func (f *Folder) Link(target string) error {
	if err := os.MkdirAll(target, 0o700); err != nil {
		return fmt.Errorf("link objects: %w", err)
	}
	shards, err := os.ReadDir(f.root)
	if err != nil {
		return fmt.Errorf("link objects: %w", err)
	}
	for _, shard := range shards {
		if shard.Name() == "tmp" {
			continue
		}
		if err := linkAll(filepath.Join(f.root, shard.Name()), filepath.Join(target, shard.Name())); err != nil {
			return fmt.Errorf("link objects: %w", err)
		}
	}
	return nil
}

func linkAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Link(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// publish moves a written file to its place and makes the move durable.
func (f *Folder) publish(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncFolder(filepath.Dir(to)), syncFolder(f.root))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// path returns where an object lies. Names come from the store and are plain; anything else is refused so that
// no name can leave the folder.
func (f *Folder) path(name string) (string, error) {
	const plain = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	if len(name) < 2 || strings.Trim(name, plain) != "" {
		return "", fmt.Errorf("object name %q: %w: two or more letters, digits, hyphens and underscores", name, store.ErrInvalid)
	}
	return filepath.Join(f.root, "o-"+strings.ToLower(name[:2]), name), nil
}

type object struct {
	*os.File

	size int64
}

// Size is the length of the file when it was opened; objects do not change.
func (o object) Size() int64 { return o.size }

// contextReader ends a copy when its context does.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives as long as one Write
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

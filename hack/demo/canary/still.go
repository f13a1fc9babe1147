package canary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// stillPatience bounds the wait for a folder that keeps still while it is copied.
const stillPatience = time.Minute

// file is what tells that a file was changed.
type file struct {
	size     int64
	modified time.Time
}

// copyStill copies a folder that a running program writes to. No file came, went or
// changed while it was copied, so the copy is what the disk held at one moment, which a
// store has to be able to open.
func copyStill(ctx context.Context, from, to string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stillPatience, fmt.Errorf("%q keeps changing", from))
	defer cancel()
	for {
		before, err := listing(from)
		if err != nil {
			return err
		}
		copyErr := os.CopyFS(to, os.DirFS(from))
		after, err := listing(from)
		if err != nil {
			return err
		}
		if maps.Equal(before, after) {
			return copyErr
		}
		if err := os.RemoveAll(to); err != nil {
			return fmt.Errorf("remove a bad copy: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// listing describes the files of a folder by their paths.
func listing(folder string) (map[string]file, error) {
	files := map[string]file{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != folder {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files[path] = file{size: info.Size(), modified: info.ModTime()}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", folder, err)
	}
	return files, nil
}

package canary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

// Search is what was looked at, and what was seen.
type Search struct {
	Canary

	// Found are the words that were seen.
	Found Found
	// Octets is how much was looked at.
	Octets int64
}

// Start begins a search.
func (c Canary) Start() *Search { return &Search{Canary: c, Found: Found{}} }

// Data looks at data.
func (s *Search) Data(where string, data []byte) {
	s.Octets += int64(len(data))
	s.Found.add(s.Look(where, data))
}

// Files looks at the content and the path of every file below a folder that wanted,
// unless it is nil, agrees to. A file that is removed meanwhile is not there.
func (s *Search) Files(folder string, wanted func(path string) bool) (err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("search %q: %w", folder, err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() || wanted != nil && !wanted(path) {
			return err
		}
		data, err := root.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		where := filepath.Join(folder, path)
		s.Data("the name of "+where, []byte(path))
		s.Data(where, data)
		return err
	})
	if err != nil {
		return fmt.Errorf("search %q: %w", folder, err)
	}
	return nil
}

// Store looks at the store of a region that runs: at its files as they are, and through
// its engine, which undoes every compression, at all keys, values and blobs. The work
// folder takes a copy of the store and must not exist.
func (s *Search) Store(ctx context.Context, folder, work string) (err error) {
	if err := copyStill(ctx, folder, work); err != nil {
		return err
	}
	if err := s.Files(work, nil); err != nil {
		return err
	}
	engine, err := pebble.Open(ctx, work, pebble.Options{})
	if err != nil {
		return fmt.Errorf("copy of %q: %w", folder, err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	for pair, err := range engine.Scan(ctx, store.Range{}, store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("copy of %q: %w", folder, err)
		}
		s.Data(fmt.Sprintf("the key %q of %s", pair.Key, folder), pair.Key)
		s.Data(fmt.Sprintf("the value of key %q of %s", pair.Key, folder), pair.Value)
	}
	if err := s.blobs(ctx, folder, engine); err != nil {
		return fmt.Errorf("copy of %q: %w", folder, err)
	}
	return nil
}

// blobs looks at the content of every blob.
func (s *Search) blobs(ctx context.Context, folder string, engine store.Engine) error {
	blobs := store.NewBlobs(engine, nil)
	scopes, err := blobs.Scopes(ctx)
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		prefix := store.NewKey("tenant/" + scope).String("blob")
		for pair, err := range engine.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
			if err != nil {
				return err
			}
			hash, _, err := store.CutString(pair.Key[len(prefix):])
			if err != nil {
				return err
			}
			content, err := read(ctx, blobs, scope, hash)
			if err != nil {
				return err
			}
			s.Data(fmt.Sprintf("the blob %q of %s", hash, folder), content)
		}
	}
	return nil
}

func read(ctx context.Context, blobs *store.Blobs, scope, hash string) (content []byte, err error) {
	object, err := blobs.Open(ctx, scope, hash)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	return io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
}

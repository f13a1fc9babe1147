package tenants

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the folder is left alone after it began to change, so that
	// one change of many files is read once.
	settle = 50 * time.Millisecond
	// rescan is how often the folder is read without an event, for file systems that
	// tell nothing.
	rescan = 30 * time.Second
)

// Folder keeps a set up to date from the *.json files of a folder. It follows the
// symbolic links that Kubernetes swaps when it updates a mounted ConfigMap.
type Folder struct {
	dir     string
	set     *Set
	log     *slog.Logger
	watcher *fsnotify.Watcher
}

// OpenFolder reads the folder once, which makes the set ready, and begins to watch
// it. Run goes on from there; it must be called, because it ends the watch.
func OpenFolder(dir string, set *Set, log *slog.Logger) (*Folder, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch folder %q: %w", dir, err)
	}
	f := &Folder{dir: dir, set: set, log: log, watcher: watcher}
	if err = watcher.Add(dir); err == nil {
		err = f.read()
	}
	if err != nil {
		closeErr := watcher.Close()
		return nil, fmt.Errorf("documents folder %q: create it or name another: %w", dir, joined(err, closeErr))
	}
	return f, nil
}

func joined(err, closeErr error) error {
	if closeErr != nil {
		return fmt.Errorf("%w (and close: %w)", err, closeErr)
	}
	return err
}

// Run follows the folder until the context ends.
func (f *Folder) Run(ctx context.Context) error {
	defer func() {
		if err := f.watcher.Close(); err != nil {
			f.log.Warn("closing the folder watch failed", "error", err)
		}
	}()
	idle := time.NewTicker(rescan)
	defer idle.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-f.watcher.Events:
			if !open {
				return nil
			}
			if settled == nil {
				settled = time.After(settle)
			}
			continue
		case err := <-f.watcher.Errors:
			f.log.Warn("folder watch failed, reading the folder again", "error", err)
		case <-idle.C:
		case <-settled:
		}
		settled = nil
		if err := f.read(); err != nil {
			f.log.Warn("documents folder cannot be read, the last good documents stay in force", "folder", f.dir, "error", err)
		}
	}
}

// read takes in every document of the folder. A folder that cannot be listed changes
// nothing: that is not the same as an empty one.
func (f *Folder) read() error {
	files, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	var all []Input
	for _, file := range files {
		name := file.Name()
		if strings.HasPrefix(name, ".") || filepath.Ext(name) != ".json" || file.IsDir() {
			continue
		}
		in := Input{Source: name}
		in.Raw, in.Err = os.ReadFile(filepath.Join(f.dir, name))
		all = append(all, in)
	}
	f.set.Replace(all)
	return nil
}

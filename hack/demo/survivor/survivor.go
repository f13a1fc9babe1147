// Package survivor looks for what a run of the demonstration left behind: processes of
// its programs and files in the temporary folder.
package survivor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Watch remembers the programs of a run, so that their processes are known also after
// the files are gone or were moved into another mount namespace.
type Watch struct {
	programs map[inode]string
	folders  []string
}

type inode struct{ device, number uint64 }

// New remembers the programs and folders of a run, while they are there.
func New(programs, folders []string) (*Watch, error) {
	w := &Watch{programs: map[inode]string{}, folders: folders}
	for _, program := range programs {
		id, err := identify(program)
		if err != nil {
			return nil, err
		}
		w.programs[id] = program
	}
	return w, nil
}

func identify(path string) (inode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return inode{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}, fmt.Errorf("%q: no inode on this system", path)
	}
	return inode{uint64(stat.Dev), stat.Ino}, nil //nolint:unconvert // the type of Dev differs between systems
}

// Check returns an error that names each process and folder that is left after a grace
// period in which the kernel may reap what was killed.
func (w *Watch) Check(grace time.Duration) error {
	deadline := time.Now().Add(grace)
	for {
		left := append(w.processes("/proc"), w.remaining()...)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			slices.Sort(left)
			return fmt.Errorf("left behind: %v", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// processes lists the processes of the remembered programs. Where there is no /proc it
// finds none.
func (w *Watch) processes(proc string) []string {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil
	}
	var left []string
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		id, err := identify(filepath.Join(proc, entry.Name(), "exe"))
		if err != nil {
			continue // it ended, is a zombie, or belongs to somebody else
		}
		if program, ok := w.programs[id]; ok {
			left = append(left, fmt.Sprintf("process %d of %s", pid, program))
		}
	}
	return left
}

func (w *Watch) remaining() []string {
	var left []string
	for _, folder := range w.folders {
		if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
			left = append(left, "folder "+folder)
		}
	}
	return left
}

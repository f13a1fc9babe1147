package volume

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// dataLink is the symbolic link through which all files of a rendered volume are reached; replacing it replaces
// them all at once.
const dataLink = "..data"

// Write makes the folder dir show the payload. Readers see all of the old files or all of the new ones, as with a
// kubelet: files are symbolic links through ..data, which is replaced by one rename. It says whether anything
// changed. The error names the file that could not be written.
func Write(dir string, payload Payload) (bool, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the process of the pod reads it
		return false, err
	}
	for name := range payload {
		if !filepath.IsLocal(name) || strings.HasPrefix(name, "..") {
			return false, fmt.Errorf("file %q: must be a path within the volume that does not begin with \"..\"", name)
		}
	}
	previous, _ := os.Readlink(filepath.Join(dir, dataLink)) // no link means a new volume
	if previous != "" && same(filepath.Join(dir, previous), payload) {
		return false, nil
	}
	current, err := writeVersion(dir, payload)
	if err != nil {
		return false, err
	}
	if err := swapLink(dir, dataLink, current); err != nil {
		return false, err
	}
	if err := linkFiles(dir, payload); err != nil {
		return false, err
	}
	if previous != "" {
		return true, os.RemoveAll(filepath.Join(dir, previous))
	}
	return true, nil
}

// same compares a written version with a payload, modes included.
func same(version string, payload Payload) bool {
	count := 0
	err := filepath.WalkDir(version, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(version, name)
		if err != nil {
			return err
		}
		file, ok := payload[filepath.ToSlash(relative)]
		if !ok {
			return fs.ErrNotExist
		}
		count++
		return unchanged(name, entry, file)
	})
	return err == nil && count == len(payload)
}

func unchanged(name string, entry fs.DirEntry, file File) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if info.Mode().Perm() != file.Mode || !bytes.Equal(data, file.Data) {
		return fs.ErrInvalid
	}
	return nil
}

// writeVersion writes the payload into a new hidden folder and returns the folder's name.
func writeVersion(dir string, payload Payload) (string, error) {
	version, err := os.MkdirTemp(dir, "..version-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(version, 0o755); err != nil { //nolint:gosec // the process of the pod reads it
		return "", err
	}
	for name, file := range payload {
		target := filepath.Join(version, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // as above
			return "", err
		}
		if err := os.WriteFile(target, file.Data, file.Mode); err != nil {
			return "", err
		}
		if err := os.Chmod(target, file.Mode); err != nil { // the umask must not narrow the mode
			return "", err
		}
	}
	return filepath.Base(version), nil
}

// swapLink points a link somewhere else in one step.
func swapLink(dir, name, target string) error {
	temporary := filepath.Join(dir, "..new-link")
	if err := os.Remove(temporary); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(target, temporary); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(dir, name))
}

// linkFiles makes the visible names of a volume: one link for each first path element.
func linkFiles(dir string, payload Payload) error {
	wanted := map[string]bool{}
	for name := range payload {
		first, _, _ := strings.Cut(name, "/")
		wanted[first] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case strings.HasPrefix(name, ".."):
		case wanted[name]:
			delete(wanted, name)
		default:
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name := range wanted {
		if err := swapLink(dir, name, filepath.Join(dataLink, name)); err != nil {
			return err
		}
	}
	return nil
}

// Package image maps image names to programs of this machine: a node that runs processes pulls nothing.
package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Host is the path that maps an image to the machine's own programs instead of one binary.
const Host = "host"

// ErrUnknown says that no local program is mapped to an image.
var ErrUnknown = errors.New("no local program for the image")

// Program is what runs for an image.
type Program struct {
	// Path is the absolute path of the binary; it is empty when the image is mapped to the host's own programs.
	Path string
	// NeedsHost says that the host's libraries or programs have to be visible: the image is mapped to the host, or
	// the binary is linked dynamically.
	NeedsHost bool
}

// Catalog maps image names to programs.
type Catalog map[string]string

// Parse reads mappings of the form REF=PATH. PATH is a binary, or the word "host".
func Parse(mappings []string) (Catalog, error) {
	catalog := Catalog{}
	for _, mapping := range mappings {
		ref, path, ok := strings.Cut(mapping, "=")
		if !ok || ref == "" || path == "" {
			return nil, fmt.Errorf("image mapping %q: must have the form REF=PATH", mapping)
		}
		if path != Host {
			abs, err := filepath.Abs(path)
			if err != nil {
				return nil, fmt.Errorf("image mapping %q: %w", mapping, err)
			}
			path = abs
		}
		catalog[ref] = path
	}
	return catalog, nil
}

// Resolve finds the program for an image: the mapping of the exact name, or the longest one that ends where the
// name has a "/", ":" or "@". The error wraps ErrUnknown and names the image and the remedy, or says what is
// wrong with the mapped file.
func (c Catalog) Resolve(image string) (Program, error) {
	path := c.match(image)
	switch path {
	case "":
		return Program{}, fmt.Errorf("%w %q: start the node with --image %s=PATH", ErrUnknown, image, repository(image))
	case Host:
		return Program{NeedsHost: true}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return Program{}, fmt.Errorf("program for the image %q: %w", image, err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return Program{}, fmt.Errorf("program for the image %q: %q is not an executable file", image, path)
	}
	return Program{Path: path, NeedsHost: dynamic(path)}, nil
}

func (c Catalog) match(image string) string {
	best := ""
	for ref := range c {
		rest, ok := strings.CutPrefix(image, ref)
		if !ok || len(ref) <= len(best) {
			continue
		}
		if rest == "" || strings.HasSuffix(ref, "/") || strings.ContainsRune("/:@", rune(rest[0])) {
			best = ref
		}
	}
	return c[best]
}

// repository is the image name without tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		image = image[:colon]
	}
	return image
}

// dynamic says whether a file needs a loader or an interpreter from the host. A script counts as dynamic.
func dynamic(path string) bool {
	file, err := elf.Open(path)
	if err != nil {
		return true
	}
	defer func() { _ = file.Close() }()
	for _, prog := range file.Progs {
		if prog.Type == elf.PT_INTERP {
			return true
		}
	}
	return false
}

// Package rewrite replaces the mount paths in a container's arguments and environment by the real folders, for nodes
// that cannot give a process a file system of its own.
package rewrite

import (
	"sort"
	"strings"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

// Paths rewrites text for the mounts of one container.
type Paths []volume.Mount

// New returns a rewriter for the mounts. Longer mount paths win over their parents.
func New(mounts []volume.Mount) Paths {
	sorted := append(Paths(nil), mounts...)
	sort.SliceStable(sorted, func(i, j int) bool { return len(sorted[i].Target) > len(sorted[j].Target) })
	return sorted
}

// Text replaces each mount path that stands as a whole path or as the beginning of one: after the start of the
// text, a blank, a quote or one of = : , ; ( and before its end, a slash, or one of those.
func (p Paths) Text(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		mount, ok := p.at(text, i)
		if !ok {
			out.WriteByte(text[i])
			i++
			continue
		}
		out.WriteString(mount.Source)
		i += len(mount.Target)
	}
	return out.String()
}

// List rewrites each text.
func (p Paths) List(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = p.Text(text)
	}
	return out
}

func (p Paths) at(text string, i int) (volume.Mount, bool) {
	if text[i] != '/' || (i > 0 && !boundary(text[i-1])) {
		return volume.Mount{}, false
	}
	for _, mount := range p {
		end := i + len(mount.Target)
		if mount.Target == "/" || !strings.HasPrefix(text[i:], mount.Target) {
			continue
		}
		if end == len(text) || text[end] == '/' || boundary(text[end]) {
			return mount, true
		}
	}
	return volume.Mount{}, false
}

func boundary(c byte) bool { return strings.IndexByte(" \t\n'\"`=:,;()[]{}<>|&@", c) >= 0 }

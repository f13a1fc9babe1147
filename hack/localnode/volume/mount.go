package volume

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Mount shows a file or folder of this machine at a path of a container.
type Mount struct {
	Source   string
	Target   string
	ReadOnly bool
}

// Mounts returns the mounts of a container, parents before children. Prepare must have succeeded. subPathExpr is
// expanded with expand. The error names the mount.
func (s *Set) Mounts(container *corev1.Container, expand func(string) string) ([]Mount, error) {
	mounts := make([]Mount, 0, len(container.VolumeMounts))
	for i := range container.VolumeMounts {
		wanted := &container.VolumeMounts[i]
		source, ok := s.paths[wanted.Name]
		if !ok {
			return nil, fmt.Errorf("mount %q: the pod has no volume %q", wanted.MountPath, wanted.Name)
		}
		sub := wanted.SubPath
		if wanted.SubPathExpr != "" {
			sub = expand(wanted.SubPathExpr)
		}
		if sub != "" {
			below, err := subPath(source, sub)
			if err != nil {
				return nil, fmt.Errorf("mount %q: %w", wanted.MountPath, err)
			}
			source = below
		}
		readOnly := wanted.ReadOnly || s.readOnly[wanted.Name]
		mounts = append(mounts, Mount{Source: source, Target: path.Clean("/" + wanted.MountPath), ReadOnly: readOnly})
	}
	sort.SliceStable(mounts, func(i, j int) bool { return mounts[i].Target < mounts[j].Target })
	return mounts, nil
}

// subPath returns a path below a volume, and makes it a folder when there is nothing. Links that lead out of the
// volume are refused.
func subPath(volume, sub string) (string, error) {
	if !filepath.IsLocal(sub) {
		return "", fmt.Errorf("subPath %q: must be a relative path without \"..\"", sub)
	}
	root, err := os.OpenRoot(volume)
	if err != nil {
		return "", fmt.Errorf("subPath %q: %w", sub, err)
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Stat(sub); os.IsNotExist(err) {
		if err := root.MkdirAll(sub, 0o755); err != nil {
			return "", fmt.Errorf("subPath %q: %w", sub, err)
		}
	} else if err != nil {
		return "", fmt.Errorf("subPath %q: %w", sub, err)
	}
	found, err := filepath.EvalSymlinks(filepath.Join(volume, sub))
	if err != nil {
		return "", fmt.Errorf("subPath %q: %w", sub, err)
	}
	base, err := filepath.EvalSymlinks(volume)
	if err != nil {
		return "", fmt.Errorf("subPath %q: %w", sub, err)
	}
	if found != base && !strings.HasPrefix(found, base+string(filepath.Separator)) {
		return "", fmt.Errorf("subPath %q: leads out of the volume", sub)
	}
	return found, nil
}

package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Claims finds the folder of a PersistentVolumeClaim. The error says why there is none yet.
type Claims interface {
	Folder(ctx context.Context, namespace, claim string) (path string, readOnly bool, err error)
}

// Set is the volumes of one pod.
type Set struct {
	// Dir is the folder under which rendered and empty volumes live; it belongs to the pod.
	Dir      string
	Renderer *Renderer
	Claims   Claims

	readOnly map[string]bool
	paths    map[string]string
}

// Prepare makes all volumes of a pod and returns when the first of them wants to be rendered again (zero: only
// after a change of its objects). It can be repeated after an error, which names the volume.
func (s *Set) Prepare(ctx context.Context, pod *corev1.Pod) (time.Time, error) {
	s.paths, s.readOnly = map[string]string{}, map[string]bool{}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if Rendered(volume) {
			s.paths[volume.Name] = s.folder(volume.Name)
			continue
		}
		place, readOnly, err := s.place(ctx, pod, volume)
		if err != nil {
			return time.Time{}, fmt.Errorf("volume %q: %w", volume.Name, err)
		}
		s.paths[volume.Name], s.readOnly[volume.Name] = place, readOnly
	}
	return s.Refresh(ctx, pod)
}

// Refresh renders the volumes that come from objects of the API again and writes those that changed. A volume
// whose object is gone keeps its last content, and the errors of all volumes are joined.
func (s *Set) Refresh(ctx context.Context, pod *corev1.Pod) (time.Time, error) {
	var next time.Time
	var errs []error
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if !Rendered(volume) {
			continue
		}
		payload, refresh, err := s.Renderer.Render(ctx, pod, volume)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if _, err := Write(s.folder(volume.Name), payload); err != nil {
			errs = append(errs, fmt.Errorf("volume %q: %w", volume.Name, err))
		}
		if !refresh.IsZero() && (next.IsZero() || refresh.Before(next)) {
			next = refresh
		}
	}
	return next, errors.Join(errs...)
}

func (s *Set) folder(name string) string { return filepath.Join(s.Dir, name) }

func (s *Set) place(ctx context.Context, pod *corev1.Pod, volume *corev1.Volume) (path string, readOnly bool, err error) {
	switch {
	case volume.EmptyDir != nil:
		return s.folder(volume.Name), false, openFolder(s.folder(volume.Name))
	case volume.HostPath != nil:
		return volume.HostPath.Path, false, hostPath(volume.HostPath)
	case volume.PersistentVolumeClaim != nil:
		claim := volume.PersistentVolumeClaim
		path, readOnly, err = s.Claims.Folder(ctx, pod.Namespace, claim.ClaimName)
		return path, readOnly || claim.ReadOnly, err
	case volume.Ephemeral != nil:
		return s.Claims.Folder(ctx, pod.Namespace, pod.Name+"-"+volume.Name)
	}
	return "", false, errors.New("the kind of volume is not supported by this node")
}

// openFolder makes a folder that any user may write to, as emptyDir volumes are.
func openFolder(path string) error {
	if err := os.MkdirAll(path, 0o777); err != nil { //nolint:gosec // emptyDir is writable for every user of the pod
		return err
	}
	return os.Chmod(path, 0o777) //nolint:gosec // as above; the umask must not narrow it
}

// hostPath checks or makes the path as its type demands.
func hostPath(source *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if source.Type != nil {
		kind = *source.Type
	}
	switch kind { //nolint:exhaustive // the other kinds are only checked, below
	case corev1.HostPathUnset:
		return nil
	case corev1.HostPathDirectoryOrCreate:
		return os.MkdirAll(source.Path, 0o755) //nolint:gosec // the mode that the API promises
	case corev1.HostPathFileOrCreate:
		file, err := os.OpenFile(source.Path, os.O_CREATE|os.O_RDONLY, defaultMode)
		if err != nil {
			return err
		}
		return file.Close()
	}
	info, err := os.Stat(source.Path)
	if err != nil {
		return err
	}
	if want, ok := hostPathModes[kind]; !ok || info.Mode().Type()&os.ModeType != want {
		return fmt.Errorf("hostPath %q: is not of type %s", source.Path, kind)
	}
	return nil
}

var hostPathModes = map[corev1.HostPathType]os.FileMode{
	corev1.HostPathDirectory: os.ModeDir,
	corev1.HostPathFile:      0,
	corev1.HostPathSocket:    os.ModeSocket,
	corev1.HostPathCharDev:   os.ModeDevice | os.ModeCharDevice,
	corev1.HostPathBlockDev:  os.ModeDevice,
}

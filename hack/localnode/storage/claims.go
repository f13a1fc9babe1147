// Package storage is a small provisioner of persistent volumes: each is a folder of this machine.
package storage

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// ErrUnbound says that a claim has no volume yet.
var ErrUnbound = errors.New("persistent volume claim is not bound")

// Claims finds the folders of claims. It implements volume.Claims.
type Claims struct{ Client kubernetes.Interface }

// Folder returns the folder of the volume to which a claim is bound, and whether the volume may only be read. The
// error is ErrUnbound, one of the API, or names the kind of volume that is no folder of this machine.
func (c *Claims) Folder(ctx context.Context, namespace, claim string) (path string, readOnly bool, err error) {
	found, err := c.Client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, claim, metav1.GetOptions{})
	if err != nil {
		return "", false, fmt.Errorf("persistent volume claim %q: %w", claim, err)
	}
	if found.Status.Phase != corev1.ClaimBound || found.Spec.VolumeName == "" {
		return "", false, fmt.Errorf("%w: %q", ErrUnbound, claim)
	}
	volume, err := c.Client.CoreV1().PersistentVolumes().Get(ctx, found.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return "", false, fmt.Errorf("persistent volume %q: %w", found.Spec.VolumeName, err)
	}
	switch {
	case volume.Spec.Local != nil:
		path = volume.Spec.Local.Path
	case volume.Spec.HostPath != nil:
		path = volume.Spec.HostPath.Path
	default:
		return "", false, fmt.Errorf("persistent volume %q: is neither a local nor a hostPath volume", volume.Name)
	}
	return path, onlyRead(volume.Spec.AccessModes), nil
}

func onlyRead(modes []corev1.PersistentVolumeAccessMode) bool {
	for _, mode := range modes {
		if mode != corev1.ReadOnlyMany {
			return false
		}
	}
	return len(modes) > 0
}

package world

import (
	"context"
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
)

// nodeFolder is everything that the node writes.
func (w *World) nodeFolder() string { return filepath.Join(w.Folder, "node") }

// StoreFolder returns the folder in which the sync server of a region keeps its store.
func (w *World) StoreFolder(ctx context.Context, region cast.Object) (string, error) {
	volumes, err := kube.List[corev1.PersistentVolume](ctx, w.Cluster, kube.Volumes, "", "")
	if err != nil {
		return "", err
	}
	claim := "data-" + region.Name + "-sync-0"
	for i := range volumes {
		spec := &volumes[i].Spec
		if spec.Local != nil && spec.ClaimRef != nil && spec.ClaimRef.Namespace == region.Namespace && spec.ClaimRef.Name == claim {
			return spec.Local.Path, nil
		}
	}
	return "", fmt.Errorf("region %q: no volume of claim %q", region, claim)
}

// PodFolder returns the folder in which the node keeps what belongs to a pod but its
// persistent volumes: its logs, its mounted objects and its temporary files.
func (w *World) PodFolder(pod *corev1.Pod) string {
	return filepath.Join(w.nodeFolder(), "pods", string(pod.UID))
}

// PlaneFolder returns the folder of the control plane: the database of the API server and
// the logs of all components.
func (w *World) PlaneFolder() string { return filepath.Dir(w.plane.AdminKubeconfig()) }

package storage

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

const (
	// Class is the storage class that the node makes; it is the default one.
	Class = "local"
	// ProvisionerName is what classes name to get folders of this node.
	ProvisionerName = "localnode.bailiwick.dev/folder"

	annotationDefaultClass  = "storageclass.kubernetes.io/is-default-class"
	annotationSelectedNode  = "volume.kubernetes.io/selected-node"
	annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"
)

// Provisioner makes a volume for each claim of its classes, and removes the folder of a released one.
type Provisioner struct {
	Client   kubernetes.Interface
	Recorder record.EventRecorder
	Log      *slog.Logger
	// Node is the name of the node on whose machine the folders are.
	Node string
	// Dir is the folder that holds the folders.
	Dir string
}

// EnsureClass makes the default storage class when there is none of its name. A class that exists is left alone.
func (p *Provisioner) EnsureClass(ctx context.Context) error {
	reclaim, binding, expand := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingWaitForFirstConsumer, false
	class := &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: Class, Annotations: map[string]string{annotationDefaultClass: "true"}},
		Provisioner: ProvisionerName, ReclaimPolicy: &reclaim, VolumeBindingMode: &binding, AllowVolumeExpansion: &expand,
	}
	_, err := p.Client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// SyncClaim makes the volume of a claim that asks for one of this node. It does nothing for other claims, and for one
// that waits for its pod to be scheduled.
func (p *Provisioner) SyncClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Status.Phase == corev1.ClaimBound || claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := p.Client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // a class may be no object; then the claim is not for a provisioner
	}
	if err != nil {
		return fmt.Errorf("storage class %q: %w", *claim.Spec.StorageClassName, err)
	}
	if !p.mine(claim, class) {
		return nil
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		p.Recorder.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", "volumeMode Block is not supported by this node: use Filesystem")
		return nil
	}
	return p.provision(ctx, claim, class)
}

// mine says whether this node provides for a claim now.
func (p *Provisioner) mine(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) bool {
	if class.Provisioner != ProvisionerName {
		return false
	}
	selected := claim.Annotations[annotationSelectedNode]
	waits := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	return selected == p.Node || (selected == "" && !waits)
}

func (p *Provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	volume := p.volume(claim, class)
	if err := os.MkdirAll(volume.Spec.Local.Path, 0o777); err != nil { //nolint:gosec // pods run as any user
		return fmt.Errorf("folder of the volume %q: %w", volume.Name, err)
	}
	if err := os.Chmod(volume.Spec.Local.Path, 0o777); err != nil { //nolint:gosec // as above; the umask must not narrow it
		return fmt.Errorf("folder of the volume %q: %w", volume.Name, err)
	}
	_, err := p.Client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("volume %q: %w", volume.Name, err)
	}
	p.Log.Info("made a persistent volume", "volume", volume.Name, "claim", claim.Namespace+"/"+claim.Name)
	p.Recorder.Event(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "made the volume "+volume.Name)
	return nil
}

// volume is the volume for a claim, bound to it from the beginning and tied to this node.
func (p *Provisioner) volume(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	reclaim := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationProvisionedBy: ProvisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: reclaim,
			StorageClassName:              class.Name,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
				ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: filepath.Join(p.Dir, name)}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{p.Node}}},
			}}}},
		},
	}
}

// SyncVolume removes a volume of this node that was released and is to be deleted, folder and object.
func (p *Provisioner) SyncVolume(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Annotations[annotationProvisionedBy] != ProvisionerName || volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete || volume.Spec.Local == nil {
		return nil
	}
	path := filepath.Clean(volume.Spec.Local.Path)
	if !strings.HasPrefix(path, filepath.Clean(p.Dir)+string(filepath.Separator)) {
		return nil // the folder of another node, or one that somebody chose by hand
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("folder of the volume %q: %w", volume.Name, err)
	}
	err := p.Client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("volume %q: %w", volume.Name, err)
	}
	p.Log.Info("removed a persistent volume", "volume", volume.Name)
	return nil
}

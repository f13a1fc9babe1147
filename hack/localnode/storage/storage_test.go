package storage

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
)

func provisioner(t *testing.T, objects ...runtime.Object) (*Provisioner, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(objects...)
	return &Provisioner{
		Client: client, Recorder: record.NewFakeRecorder(10), Log: slog.New(slog.DiscardHandler), Node: "local", Dir: filepath.Join(t.TempDir(), "volumes"),
	}, client
}

func class(name, provisioner string, mode storagev1.VolumeBindingMode) *storagev1.StorageClass {
	retain := corev1.PersistentVolumeReclaimRetain
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode, ReclaimPolicy: &retain}
}

func claim(class string, change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "n", UID: "u-1"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}},
		},
	}
	if change != nil {
		change(c)
	}
	return c
}

func selected(node string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Annotations = map[string]string{annotationSelectedNode: node}
	}
}

func TestDefaultClassIsMadeOnce(t *testing.T) {
	t.Parallel()
	p, client := provisioner(t)
	for range 2 {
		if err := p.EnsureClass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.StorageV1().StorageClasses().Get(t.Context(), Class, metav1.GetOptions{})
	if err != nil || got.Annotations[annotationDefaultClass] != "true" || *got.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestVolumeIsMadeForTheClaimsOfThisNode(t *testing.T) {
	t.Parallel()
	wait, now := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	deleted := metav1.Now()
	block := corev1.PersistentVolumeBlock
	for _, test := range []struct {
		name  string
		claim *corev1.PersistentVolumeClaim
		made  bool
	}{
		{"waits for its pod", claim("wait", nil), false},
		{"its pod is here", claim("wait", selected("local")), true},
		{"its pod is elsewhere", claim("wait", selected("other")), false},
		{"at once", claim("now", nil), true},
		{"at once, but for another node", claim("now", selected("other")), false},
		{"of another provisioner", claim("other", selected("local")), false},
		{"of a class that is none", claim("none", selected("local")), false},
		{"without a class", claim("wait", func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = nil }), false},
		{"bound", claim("now", func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimBound }), false},
		{"for a certain volume", claim("now", func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "x" }), false},
		{"being deleted", claim("now", func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &deleted }), false},
		{"a block device", claim("now", func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block }), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, client := provisioner(t, class("wait", ProvisionerName, wait), class("now", ProvisionerName, now), class("other", "example.test/other", now))
			for range 2 {
				if err := p.SyncClaim(t.Context(), test.claim); err != nil {
					t.Fatal(err)
				}
			}
			volume, err := client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-u-1", metav1.GetOptions{})
			if !test.made {
				if !apierrors.IsNotFound(err) {
					t.Errorf("got %v, %v", volume, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(volume.Spec.Local.Path)
			if err != nil || info.Mode().Perm() != 0o777 {
				t.Errorf("folder: %v, %v", info, err)
			}
			if volume.Spec.ClaimRef.UID != "u-1" || volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
				t.Errorf("volume: %+v", volume.Spec)
			}
			values := volume.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values
			if diff := cmp.Diff([]string{"local"}, values); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestFailureToMakeAVolumeIsReported(t *testing.T) {
	t.Parallel()
	p, client := provisioner(t, class("now", ProvisionerName, storagev1.VolumeBindingImmediate))
	refuse := func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("refused") }
	client.PrependReactor("create", "persistentvolumes", refuse)
	if err := p.SyncClaim(t.Context(), claim("now", nil)); err == nil || !strings.Contains(err.Error(), "pvc-u-1") {
		t.Errorf("volume: got %v", err)
	}
	client.PrependReactor("get", "storageclasses", refuse)
	if err := p.SyncClaim(t.Context(), claim("now", nil)); err == nil || !strings.Contains(err.Error(), `"now"`) {
		t.Errorf("class: got %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blocked, _ := provisioner(t, class("now", ProvisionerName, storagev1.VolumeBindingImmediate))
	blocked.Dir = file
	if err := blocked.SyncClaim(t.Context(), claim("now", nil)); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("folder: got %v", err)
	}
}

func volume(dir string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", Annotations: map[string]string{annotationProvisionedBy: ProvisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: dir}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased},
	}
	if change != nil {
		change(v)
	}
	return v
}

func TestReleasedVolumeIsRemovedOnlyWhenItIsOurs(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	for _, test := range []struct {
		name    string
		change  func(*corev1.PersistentVolume)
		removed bool
	}{
		{"released", nil, true},
		{"bound", func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound }, false},
		{"retained", func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		}, false},
		{"of another provisioner", func(v *corev1.PersistentVolume) { v.Annotations = nil }, false},
		{"outside of the node's folder", func(v *corev1.PersistentVolume) { v.Spec.Local.Path = outside }, false},
		{"no folder", func(v *corev1.PersistentVolume) { v.Spec.Local = nil }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, client := provisioner(t)
			dir := filepath.Join(p.Dir, "pvc-1")
			if err := os.MkdirAll(filepath.Join(dir, "inside"), 0o700); err != nil {
				t.Fatal(err)
			}
			v := volume(dir, test.change)
			if err := client.Tracker().Add(v); err != nil {
				t.Fatal(err)
			}
			if err := p.SyncVolume(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			_, diskErr := os.Stat(dir)
			_, apiErr := client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1", metav1.GetOptions{})
			if os.IsNotExist(diskErr) != test.removed || apierrors.IsNotFound(apiErr) != test.removed {
				t.Errorf("folder: %v, object: %v, want removed %v", diskErr, apiErr, test.removed)
			}
			if _, err := os.Stat(outside); err != nil {
				t.Errorf("a folder outside was removed: %v", err)
			}
		})
	}
}

func TestFolderOfAClaimIsThatOfItsVolume(t *testing.T) {
	t.Parallel()
	bound := func(name, volume string) *corev1.PersistentVolumeClaim {
		return claim("", func(c *corev1.PersistentVolumeClaim) {
			c.Name, c.Spec.VolumeName, c.Status.Phase = name, volume, corev1.ClaimBound
		})
	}
	named := func(name string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		return volume("/folders/"+name, func(v *corev1.PersistentVolume) {
			v.Name = name
			if change != nil {
				change(v)
			}
		})
	}
	claims := &Claims{Client: fake.NewClientset(
		claim("", nil), bound("local", "local"), bound("host", "host"), bound("nfs", "nfs"), bound("lost", "lost"),
		named("local", nil),
		named("host", func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/folders/host"}}
			v.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}
		}),
		named("nfs", func(v *corev1.PersistentVolume) { v.Spec.Local = nil }),
	)}
	for name, wantReadOnly := range map[string]bool{"local": false, "host": true} {
		path, readOnly, err := claims.Folder(t.Context(), "n", name)
		if err != nil || path != "/folders/"+name || readOnly != wantReadOnly {
			t.Errorf("%s: got %q, %v, %v", name, path, readOnly, err)
		}
	}
	if _, _, err := claims.Folder(t.Context(), "n", "data"); !errors.Is(err, ErrUnbound) {
		t.Errorf("unbound: got %v", err)
	}
	for _, name := range []string{"nfs", "lost", "none"} {
		if _, _, err := claims.Folder(t.Context(), "n", name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

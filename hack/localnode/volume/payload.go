// Package volume makes the volumes of a pod: files rendered from objects of the API, and folders of this machine.
package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/downward"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/objects"
)

const defaultMode = 0o644

// File is one rendered file.
type File struct {
	Data []byte
	Mode os.FileMode
}

// Payload is the content of a rendered volume: files by their path within the volume.
type Payload map[string]File

// Renderer renders the volumes that come from objects of the API.
type Renderer struct {
	Objects     objects.Reader
	Tokens      TokenSource
	Allocatable corev1.ResourceList
}

// TokenSource gives service account tokens bound to a pod, and says when the token should be replaced.
type TokenSource interface {
	Token(ctx context.Context, pod *corev1.Pod, projection *corev1.ServiceAccountTokenProjection) (token string, refresh time.Time, err error)
}

// Rendered says whether a volume is one that Render makes.
func Rendered(volume *corev1.Volume) bool {
	return volume.ConfigMap != nil || volume.Secret != nil || volume.Projected != nil || volume.DownwardAPI != nil
}

// rendering is one call of Render: what was rendered so far and when the first token in it wants replacement.
type rendering struct {
	*Renderer

	pod     *corev1.Pod
	payload Payload
	refresh time.Time
}

// Render returns the content of a volume and the time after which it should be rendered again, which is zero when
// only a change of its objects calls for that. The pod's status must carry its addresses. The error names the
// object or the key that is missing.
func (r *Renderer) Render(ctx context.Context, pod *corev1.Pod, volume *corev1.Volume) (Payload, time.Time, error) {
	run := &rendering{Renderer: r, pod: pod, payload: Payload{}}
	var err error
	switch {
	case volume.ConfigMap != nil:
		err = run.configMap(ctx, volume.ConfigMap.Name, volume.ConfigMap.Items, volume.ConfigMap.Optional, volume.ConfigMap.DefaultMode)
	case volume.Secret != nil:
		err = run.secret(ctx, volume.Secret.SecretName, volume.Secret.Items, volume.Secret.Optional, volume.Secret.DefaultMode)
	case volume.DownwardAPI != nil:
		err = run.downward(volume.DownwardAPI.Items, volume.DownwardAPI.DefaultMode)
	case volume.Projected != nil:
		err = run.projected(ctx, volume.Projected)
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("volume %q: %w", volume.Name, err)
	}
	return run.payload, run.refresh, nil
}

func (r *rendering) projected(ctx context.Context, projected *corev1.ProjectedVolumeSource) error {
	mode := projected.DefaultMode
	for i := range projected.Sources {
		source := &projected.Sources[i]
		var err error
		switch {
		case source.ConfigMap != nil:
			err = r.configMap(ctx, source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional, mode)
		case source.Secret != nil:
			err = r.secret(ctx, source.Secret.Name, source.Secret.Items, source.Secret.Optional, mode)
		case source.DownwardAPI != nil:
			err = r.downward(source.DownwardAPI.Items, mode)
		case source.ServiceAccountToken != nil:
			err = r.token(ctx, source.ServiceAccountToken, mode)
		default:
			err = fmt.Errorf("projected.sources[%d]: the source is not supported by this node", i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rendering) configMap(ctx context.Context, name string, items []corev1.KeyToPath, optional *bool, mode *int32) error {
	object, err := r.Objects.ConfigMap(ctx, r.pod.Namespace, name)
	if err != nil {
		return absent(err, optional, "configmap", name)
	}
	data := make(map[string][]byte, len(object.Data)+len(object.BinaryData))
	for key, value := range object.Data {
		data[key] = []byte(value)
	}
	maps.Copy(data, object.BinaryData)
	return r.keys(fmt.Sprintf("configmap %q", name), data, items, optional, mode)
}

func (r *rendering) secret(ctx context.Context, name string, items []corev1.KeyToPath, optional *bool, mode *int32) error {
	object, err := r.Objects.Secret(ctx, r.pod.Namespace, name)
	if err != nil {
		return absent(err, optional, "secret", name)
	}
	return r.keys(fmt.Sprintf("secret %q", name), object.Data, items, optional, mode)
}

func absent(err error, optional *bool, kind, name string) error {
	if optional != nil && *optional && apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%s %q: %w", kind, name, err)
}

// keys adds all keys of an object, or the listed ones under the paths that they are given.
func (r *rendering) keys(object string, data map[string][]byte, items []corev1.KeyToPath, optional *bool, mode *int32) error {
	if len(items) == 0 {
		for key, value := range data {
			r.payload[key] = File{Data: value, Mode: fileMode(nil, mode)}
		}
		return nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		switch {
		case ok:
			r.payload[path.Clean(item.Path)] = File{Data: value, Mode: fileMode(item.Mode, mode)}
		case optional == nil || !*optional:
			return fmt.Errorf("%s: has no key %q", object, item.Key)
		}
	}
	return nil
}

func (r *rendering) downward(items []corev1.DownwardAPIVolumeFile, mode *int32) error {
	for i := range items {
		item := &items[i]
		text, err := r.field(item)
		if err != nil {
			return fmt.Errorf("downward API file %q: %w", item.Path, err)
		}
		r.payload[path.Clean(item.Path)] = File{Data: []byte(text), Mode: fileMode(item.Mode, mode)}
	}
	return nil
}

func (r *rendering) field(item *corev1.DownwardAPIVolumeFile) (string, error) {
	if item.FieldRef != nil {
		return downward.Field(r.pod, item.FieldRef.FieldPath)
	}
	for i := range r.pod.Spec.Containers {
		container := &r.pod.Spec.Containers[i]
		if item.ResourceFieldRef != nil && container.Name == item.ResourceFieldRef.ContainerName {
			return downward.Resource(container, item.ResourceFieldRef, r.Allocatable)
		}
	}
	return "", errors.New("neither a field nor a resource of a container of the pod")
}

func (r *rendering) token(ctx context.Context, projection *corev1.ServiceAccountTokenProjection, mode *int32) error {
	token, refresh, err := r.Tokens.Token(ctx, r.pod, projection)
	if err != nil {
		return fmt.Errorf("token of the service account %q: %w", r.pod.Spec.ServiceAccountName, err)
	}
	if r.refresh.IsZero() || refresh.Before(r.refresh) {
		r.refresh = refresh
	}
	r.payload[path.Clean(projection.Path)] = File{Data: []byte(token), Mode: fileMode(nil, mode)}
	return nil
}

func fileMode(own, fallback *int32) os.FileMode {
	for _, mode := range []*int32{own, fallback} {
		if mode != nil {
			return os.FileMode(*mode) & os.ModePerm //nolint:gosec // the API allows 0 to 0777 only
		}
	}
	return defaultMode
}

package variables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sort"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/downward"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/objects"
)

// Builder makes environments of containers.
type Builder struct {
	// Objects reads the ConfigMaps and Secrets that variables refer to.
	Objects objects.Reader
	// Allocatable is what the node offers; it stands in for limits that a container does not set.
	Allocatable corev1.ResourceList
	// Base are variables that each container gets unless it sets them itself, such as the address of the API server.
	Base map[string]string
}

// List is an environment: values by name, later sources override earlier ones.
type List map[string]string

// Lookup is the function that Expand needs.
func (l List) Lookup(name string) (string, bool) {
	value, ok := l[name]
	return value, ok
}

// Strings returns the environment as NAME=VALUE, sorted by name.
func (l List) Strings() []string {
	out := make([]string, 0, len(l))
	for name, value := range l {
		out = append(out, name+"="+value)
	}
	sort.Strings(out)
	return out
}

// Build returns the environment of a container: the base, then envFrom, then env in its order, each value expanded
// with what stands before it. The pod's status must carry its addresses. The error names the variable and the
// object that is missing.
func (b *Builder) Build(ctx context.Context, pod *corev1.Pod, container *corev1.Container) (List, error) {
	list := List{}
	maps.Copy(list, b.Base)
	for i := range container.EnvFrom {
		if err := b.addAll(ctx, list, pod.Namespace, &container.EnvFrom[i]); err != nil {
			return nil, err
		}
	}
	for i := range container.Env {
		variable := &container.Env[i]
		value, set, err := b.value(ctx, list, pod, container, variable)
		if err != nil {
			return nil, fmt.Errorf("environment variable %q: %w", variable.Name, err)
		}
		if set {
			list[variable.Name] = value
		}
	}
	return list, nil
}

func (b *Builder) addAll(ctx context.Context, list List, namespace string, from *corev1.EnvFromSource) error {
	switch {
	case from.ConfigMapRef != nil:
		object, err := b.Objects.ConfigMap(ctx, namespace, from.ConfigMapRef.Name)
		if err != nil {
			return absent(err, from.ConfigMapRef.Optional, "configmap", from.ConfigMapRef.Name)
		}
		for key, value := range object.Data {
			list[from.Prefix+key] = value
		}
	case from.SecretRef != nil:
		object, err := b.Objects.Secret(ctx, namespace, from.SecretRef.Name)
		if err != nil {
			return absent(err, from.SecretRef.Optional, "secret", from.SecretRef.Name)
		}
		for key, value := range object.Data {
			list[from.Prefix+key] = string(value)
		}
	}
	return nil
}

func (b *Builder) value(ctx context.Context, list List, pod *corev1.Pod, container *corev1.Container, variable *corev1.EnvVar) (value string, set bool, err error) {
	from := variable.ValueFrom
	switch {
	case from == nil:
		return Expand(variable.Value, list.Lookup), true, nil
	case from.FieldRef != nil:
		value, err = downward.Field(pod, from.FieldRef.FieldPath)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		return b.resource(pod, container, from.ResourceFieldRef)
	case from.ConfigMapKeyRef != nil:
		return b.configMapKey(ctx, pod.Namespace, from.ConfigMapKeyRef)
	case from.SecretKeyRef != nil:
		return b.secretKey(ctx, pod.Namespace, from.SecretKeyRef)
	}
	return "", false, errors.New("valueFrom: the source is not supported by this node")
}

func (b *Builder) resource(pod *corev1.Pod, container *corev1.Container, ref *corev1.ResourceFieldSelector) (value string, set bool, err error) {
	if ref.ContainerName != "" {
		container = find(pod, ref.ContainerName)
		if container == nil {
			return "", false, fmt.Errorf("resourceFieldRef.containerName %q: the pod has no such container", ref.ContainerName)
		}
	}
	value, err = downward.Resource(container, ref, b.Allocatable)
	return value, err == nil, err
}

func find(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func (b *Builder) configMapKey(ctx context.Context, namespace string, ref *corev1.ConfigMapKeySelector) (value string, set bool, err error) {
	object, err := b.Objects.ConfigMap(ctx, namespace, ref.Name)
	if err != nil {
		return "", false, absent(err, ref.Optional, "configmap", ref.Name)
	}
	if value, ok := object.Data[ref.Key]; ok {
		return value, true, nil
	}
	return "", false, noKey(ref.Optional, "configmap", ref.Name, ref.Key)
}

func (b *Builder) secretKey(ctx context.Context, namespace string, ref *corev1.SecretKeySelector) (value string, set bool, err error) {
	object, err := b.Objects.Secret(ctx, namespace, ref.Name)
	if err != nil {
		return "", false, absent(err, ref.Optional, "secret", ref.Name)
	}
	if value, ok := object.Data[ref.Key]; ok {
		return string(value), true, nil
	}
	return "", false, noKey(ref.Optional, "secret", ref.Name, ref.Key)
}

// absent forgives a missing object that is optional.
func absent(err error, optional *bool, kind, name string) error {
	if optional != nil && *optional && apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%s %q: %w", kind, name, err)
}

func noKey(optional *bool, kind, name, key string) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s %q: has no key %q", kind, name, key)
}

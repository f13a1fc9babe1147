// Package objects reads the ConfigMaps and Secrets that pods refer to.
package objects

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// Reader reads ConfigMaps and Secrets. Errors are those of the API; a missing object satisfies
// apierrors.IsNotFound.
type Reader interface {
	ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
}

// Cached reads from watches and asks the API server only for what the watches have not seen yet, which is the
// common case of an object that was created just before its pod.
type Cached struct {
	Client     kubernetes.Interface
	ConfigMaps corelisters.ConfigMapLister
	Secrets    corelisters.SecretLister
}

// ConfigMap implements Reader.
func (c *Cached) ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	found, err := c.ConfigMaps.ConfigMaps(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return c.Client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	return found, err
}

// Secret implements Reader.
func (c *Cached) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	found, err := c.Secrets.Secrets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return c.Client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	return found, err
}

package objects

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestObjectThatTheWatchHasNotSeenIsAskedFor(t *testing.T) {
	t.Parallel()
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "n", Name: name} }
	maps := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	secrets := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	if err := maps.Add(&corev1.ConfigMap{ObjectMeta: named("seen")}); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Add(&corev1.Secret{ObjectMeta: named("seen")}); err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: named("new")}, &corev1.Secret{ObjectMeta: named("new")})
	reader := &Cached{Client: client, ConfigMaps: corelisters.NewConfigMapLister(maps), Secrets: corelisters.NewSecretLister(secrets)}
	for name, wantAsked := range map[string]int{"seen": 0, "new": 2, "none": 2} {
		client.ClearActions()
		configMap, mapErr := reader.ConfigMap(t.Context(), "n", name)
		secret, secretErr := reader.Secret(t.Context(), "n", name)
		if asked := len(client.Actions()); asked != wantAsked {
			t.Errorf("%s: the API server was asked %d times, want %d", name, asked, wantAsked)
		}
		if name == "none" {
			if !apierrors.IsNotFound(mapErr) || !apierrors.IsNotFound(secretErr) {
				t.Errorf("%s: got %v and %v", name, mapErr, secretErr)
			}
			continue
		}
		if mapErr != nil || secretErr != nil || configMap.Name != name || secret.Name != name {
			t.Errorf("%s: got %v and %v", name, mapErr, secretErr)
		}
	}
}

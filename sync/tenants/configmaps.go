package tenants

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// userAgent names this client to the API server.
const userAgent = "bailiwick-sync"

// ServiceAccountConfig makes the configuration of a client of the cluster that the
// process runs in, from the files of a service account (token, ca.crt) and the
// environment that Kubernetes gives to each container. The token is read again
// while it is used, because Kubernetes renews it.
func ServiceAccountConfig(dir string, getenv func(string) string) (*rest.Config, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("KUBERNETES_SERVICE_HOST or KUBERNETES_SERVICE_PORT is empty: run in a pod, or read documents from a folder")
	}
	cfg := &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		BearerTokenFile: filepath.Join(dir, "token"),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "ca.crt")},
		UserAgent:       userAgent,
		QPS:             20,
		Burst:           40,
	}
	for _, file := range []string{cfg.BearerTokenFile, cfg.CAFile} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("service account: mount it or name its folder: %w", err)
		}
	}
	return cfg, nil
}

// ConfigMaps makes the client for the ConfigMaps of one namespace.
func ConfigMaps(cfg *rest.Config, namespace string) (corev1client.ConfigMapInterface, error) {
	client, err := corev1client.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of the API server %q: %w", cfg.Host, err)
	}
	return client.ConfigMaps(namespace), nil
}

// Follow keeps a set up to date from the tenant documents of a region (the name of
// its MailboxRegion) until the context ends. While the API server cannot be
// reached, the documents in force stay.
func Follow(ctx context.Context, client corev1client.ConfigMapInterface, region string, set *Set, log *slog.Logger) {
	selector := labels.Set{tenantdoc.LabelContent: tenantdoc.ContentDocument, tenantdoc.LabelRegion: region}
	mirror(ctx, "tenant-documents", client, selector, documentStore{set}, log)
}

// backoff spaces attempts to reach the API server. It stays short, so that what was
// changed during an outage is enforced soon after it.
var backoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 5, Cap: 5 * time.Second}

// mirror brings what the API server holds into a store. Nothing is cached besides.
func mirror(ctx context.Context, name string, client corev1client.ConfigMapInterface, selector labels.Set, store cache.ReflectorStore, log *slog.Logger) {
	logger := logr.FromSlogHandler(log.Handler())
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector.String()
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector.String()
			return client.Watch(ctx, o)
		},
	}
	watcher := cache.ToListWatcherWithWatchListSemantics(lw, client)
	options := cache.ReflectorOptions{Name: name, Logger: &logger, Backoff: &backoff}
	cache.NewReflectorWithOptions(watcher, &corev1.ConfigMap{}, store, options).RunWithContext(ctx)
}

// documentStore hands what a reflector sees to a set.
type documentStore struct {
	set *Set
}

var errNotAConfigMap = errors.New("not a ConfigMap")

func input(obj any) (Input, error) {
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return Input{}, fmt.Errorf("%w: %T", errNotAConfigMap, obj)
	}
	return Input{Source: cm.Name, Tenant: cm.Annotations[tenantdoc.AnnotationTenant], Raw: []byte(cm.Data[tenantdoc.DocumentKey])}, nil
}

// Add takes in a new document.
func (s documentStore) Add(obj any) error {
	in, err := input(obj)
	if err == nil {
		s.set.Put(in)
	}
	return err
}

// Update takes in a changed document.
func (s documentStore) Update(obj any) error { return s.Add(obj) }

// Delete forgets a document.
func (s documentStore) Delete(obj any) error {
	in, err := input(obj)
	if err == nil {
		s.set.Remove(in.Source)
	}
	return err
}

// Replace takes in the full list.
func (s documentStore) Replace(objs []any, _ string) error {
	all := make([]Input, 0, len(objs))
	for _, obj := range objs {
		in, err := input(obj)
		if err != nil {
			return err
		}
		all = append(all, in)
	}
	s.set.Replace(all)
	return nil
}

// Resync does nothing: the set holds what the reflector saw.
func (s documentStore) Resync() error { return nil }

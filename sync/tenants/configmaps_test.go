package tenants

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

const namespace = "regions"

// api is client-go's fake, with watches that keep to their label selector, as a real
// API server's do.
type api struct {
	corev1client.ConfigMapInterface
}

func newAPI(objects ...runtime.Object) *api {
	return &api{fake.NewClientset(objects...).CoreV1().ConfigMaps(namespace)}
}

func (a *api) IsWatchListSemanticsUnSupported() bool { return true }

func (a *api) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	selector, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, err
	}
	w, err := a.ConfigMapInterface.Watch(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &filtered{Interface: w, out: make(chan watch.Event), stopped: make(chan struct{})}
	go f.run(selector)
	return f, nil
}

// filtered passes on the events that a selector matches.
type filtered struct {
	watch.Interface

	out     chan watch.Event
	stopped chan struct{}
	once    sync.Once
}

func (f *filtered) ResultChan() <-chan watch.Event { return f.out }

func (f *filtered) Stop() {
	f.once.Do(func() { close(f.stopped) })
	f.Interface.Stop()
}

func (f *filtered) run(selector labels.Selector) {
	defer close(f.out)
	for e := range f.Interface.ResultChan() {
		if cm, ok := e.Object.(*corev1.ConfigMap); ok && !selector.Matches(labels.Set(cm.Labels)) {
			continue
		}
		select {
		case f.out <- e:
		case <-f.stopped:
			return
		}
	}
}

func documentMap(t *testing.T, region string, d *tenantdoc.Document) *corev1.ConfigMap {
	t.Helper()
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: tenantdoc.ConfigMapName(region, d.Tenant),
			Labels:      map[string]string{tenantdoc.LabelContent: tenantdoc.ContentDocument, tenantdoc.LabelRegion: region},
			Annotations: map[string]string{tenantdoc.AnnotationTenant: d.Tenant},
		},
		Data: map[string]string{tenantdoc.DocumentKey: string(encode(t, d))},
	}
}

// background runs f until the test ends.
func background(t *testing.T, f func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func TestDocumentsOfTheRegionAreFollowed(t *testing.T) {
	t.Parallel()
	other := documentMap(t, "paris", document("n/other", 1, nil))
	stray := documentMap(t, "virginia", document("n/stray", 1, nil))
	stray.Labels[tenantdoc.LabelContent] = "something else"
	client := newAPI(documentMap(t, "virginia", document("n/a", 1, nil)), other, stray)
	s := newSet()
	background(t, func(ctx context.Context) { Follow(ctx, client, "virginia", s, quiet) })
	waitFor(t, "the first list", s.Ready)
	if generation(s, "n/a") != 1 || len(s.Statuses()) != 1 {
		t.Fatalf("statuses %+v", s.Statuses())
	}
	// The fake tells a watch nothing of what happened before it began.
	create := documentMap(t, "virginia", document("n/b", 1, nil))
	waitFor(t, "the new document", func() bool {
		_, err := client.Create(t.Context(), create, metav1.CreateOptions{})
		if err != nil {
			if _, err = client.Update(t.Context(), create, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		return generation(s, "n/b") == 1
	})
	if _, err := client.Update(t.Context(), documentMap(t, "virginia", document("n/a", 2, nil)), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the changed document", func() bool { return generation(s, "n/a") == 2 })
	bad := documentMap(t, "virginia", document("n/a", 3, nil))
	bad.Data = nil
	if _, err := client.Update(t.Context(), bad, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the refusal", func() bool { return strings.Contains(s.Statuses()["n/a"].Refused, tenantdoc.DocumentKey) })
	if generation(s, "n/a") != 2 {
		t.Fatal("the last good document is gone")
	}
	if err := client.Delete(t.Context(), bad.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the removal", func() bool { _, ok := s.Statuses()["n/a"]; return !ok })
}

func TestStoresRefuseWhatIsNoConfigMap(t *testing.T) {
	t.Parallel()
	stores := map[string]cache.ReflectorStore{
		"documents": documentStore{newSet()},
		"reports":   &shardStore{changed: func() { t.Error("changed") }, content: map[string]string{}},
	}
	pod := &corev1.Pod{}
	for name, store := range stores {
		for _, err := range []error{store.Add(pod), store.Update(pod), store.Delete(pod), store.Replace([]any{pod}, "")} {
			if err == nil || !strings.Contains(err.Error(), "*v1.Pod") {
				t.Errorf("%s: %v, want an error that names the type", name, err)
			}
		}
		if err := store.Resync(); err != nil {
			t.Errorf("%s: Resync: %v", name, err)
		}
	}
}

func TestServiceAccountConfigNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
	getenv := func(name string) string { return env[name] }
	if _, err := ServiceAccountConfig(dir, func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "KUBERNETES_SERVICE_HOST") {
		t.Errorf("without an environment: %v", err)
	}
	if _, err := ServiceAccountConfig(dir, getenv); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("without a token: %v", err)
	}
	write(t, filepath.Join(dir, "token"), []byte("secret"))
	if _, err := ServiceAccountConfig(dir, getenv); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("without a certificate: %v", err)
	}
	write(t, filepath.Join(dir, "ca.crt"), []byte("not PEM"))
	cfg, err := ServiceAccountConfig(dir, getenv)
	if err != nil || cfg.Host != "https://127.0.0.1:6443" || cfg.BearerToken != "" || cfg.BearerTokenFile != filepath.Join(dir, "token") {
		t.Fatalf("ServiceAccountConfig = %+v, %v", cfg, err)
	}
	if _, err := ConfigMaps(cfg, namespace); err == nil || !strings.Contains(err.Error(), "https://127.0.0.1:6443") {
		t.Errorf("with a certificate that is none: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	cfg.CAFile = ""
	if client, err := ConfigMaps(cfg, namespace); err != nil || client == nil {
		t.Errorf("ConfigMaps = %v, %v", client, err)
	}
}

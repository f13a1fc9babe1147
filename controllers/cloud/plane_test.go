package cloud

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

const operatorNamespace = "bailiwick-system"

// What TestMain provides: a real API server, and the controller at work on it.
var (
	apiConfig *rest.Config
	apiScheme = runtime.NewScheme()
	api       client.Client // reads past every cache
	passes    atomic.Int64  // how often the controller looked at a cloud
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	plane, err := controlplane.Start(ctx, controlplane.Options{APIServerOnly: true, Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		cancel()
		return 1
	}
	code := 1
	done := make(chan error, 1)
	if mgr, err := connect(ctx, plane.AdminKubeconfig()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		done <- nil
	} else {
		go func() { done <- mgr.Start(ctx) }()
		code = m.Run()
	}
	cancel()
	if err := <-done; err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := plane.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func connect(ctx context.Context, kubeconfig string) (manager.Manager, error) {
	var err error
	if apiConfig, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return nil, err
	}
	apiConfig.QPS = -1
	log.SetLogger(logr.Discard())
	if _, err := envtest.InstallCRDs(apiConfig, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}}); err != nil {
		return nil, err
	}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(apiScheme); err != nil {
			return nil, err
		}
	}
	if api, err = client.New(apiConfig, client.Options{Scheme: apiScheme}); err != nil {
		return nil, err
	}
	if err := api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}); err != nil {
		return nil, err
	}
	mgr, err := newManager()
	if err != nil {
		return nil, err
	}
	return mgr, Add(mgr, Options{Namespace: operatorNamespace, Now: func() time.Time {
		passes.Add(1)
		return time.Now()
	}})
}

// newManager has a cache like the operator's.
func newManager() (manager.Manager, error) {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{apply.LabelManagedBy: apply.ManagedBy})}
	return manager.New(apiConfig, manager.Options{
		Scheme:     apiScheme,
		Cache:      cache.Options{ByObject: map[client.Object]cache.ByObject{&corev1.Secret{}: ours}, DefaultTransform: cache.TransformStripManagedFields()},
		Client:     client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
}

// eventually waits until what is wanted is so.
func eventually(t testing.TB, want string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func create(t testing.TB, obj client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func get[T client.Object](t testing.TB, into T, namespace, name string) T {
	t.Helper()
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, into); err != nil {
		t.Fatal(err)
	}
	return into
}

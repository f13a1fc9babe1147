package region

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

const (
	operatorNamespace = "bailiwick-system"
	testImage         = "registry.example/bailiwick:v1"
)

// What TestMain provides: a real API server without controllers, and a cache like
// the operator's.
var (
	apiConfig *rest.Config
	apiScheme *runtime.Scheme
	apiClient client.Client // reads past the cache
	apiCache  cache.Cache
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	plane, err := controlplane.Start(ctx, controlplane.Options{APIServerOnly: true, Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = plane.Stop() }()
	if err := connect(ctx, plane.AdminKubeconfig()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func connect(ctx context.Context, kubeconfig string) error {
	var err error
	if apiConfig, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return err
	}
	apiConfig.QPS = -1
	log.SetLogger(logr.Discard())
	if _, err := envtest.InstallCRDs(apiConfig, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}}); err != nil {
		return err
	}
	apiScheme = runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(apiScheme); err != nil {
			return err
		}
	}
	if apiClient, err = client.New(apiConfig, client.Options{Scheme: apiScheme}); err != nil {
		return err
	}
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{apply.LabelManagedBy: apply.ManagedBy})}
	byObject := map[client.Object]cache.ByObject{}
	for _, obj := range []client.Object{
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &autoscalingv2.HorizontalPodAutoscaler{}, &corev1.ConfigMap{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{}, &corev1.Secret{}, &corev1.Service{},
		&corev1.ServiceAccount{}, &networkingv1.NetworkPolicy{}, &policyv1.PodDisruptionBudget{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
	} {
		byObject[obj] = ours
	}
	if apiCache, err = cache.New(apiConfig, cache.Options{Scheme: apiScheme, ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields()}); err != nil {
		return err
	}
	if err := addIndexes(apiCache); err != nil {
		return err
	}
	go func() { _ = apiCache.Start(ctx) }()
	return apiClient.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}})
}

// wire counts requests on their way to the API server, and makes one of the writes
// fail: before it arrives, or after it was done and before the answer is read.
type wire struct {
	next           http.RoundTripper
	writes, reads  atomic.Int64
	failAt         int64
	afterTheEffect bool
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		w.reads.Add(1)
		return w.next.RoundTrip(req)
	}
	if w.writes.Add(1) != w.failAt {
		return w.next.RoundTrip(req)
	}
	if w.afterTheEffect {
		resp, err := w.next.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
	}
	return nil, fmt.Errorf("injected: the connection broke at write %d", w.failAt)
}

// recorder keeps the notes of events.
type recorder struct {
	mu    sync.Mutex
	notes []string
}

func (r *recorder) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

var _ events.EventRecorder = (*recorder)(nil)

func (r *recorder) has(t *testing.T, parts ...string) bool {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, note := range r.notes {
		matches := true
		for _, part := range parts {
			matches = matches && strings.Contains(note, part)
		}
		if matches {
			return true
		}
	}
	return false
}

// world is one test's namespace, cloud and controller.
type world struct {
	t          testing.TB
	namespace  string
	cloud      *v1alpha1.SovereignCloud
	now        time.Time
	wire       *wire
	events     *recorder
	controller *Controller
}

var worlds atomic.Int64

// newWorld makes a namespace, a cloud with an authority, and a controller.
func newWorld(t testing.TB) *world {
	t.Helper()
	n := worlds.Add(1)
	w := &world{t: t, namespace: fmt.Sprintf("regions-%d", n), now: time.Now(), events: &recorder{}}
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
	w.cloud = testCloud(fmt.Sprintf("cloud-%d", n))
	w.create(w.cloud)
	w.createAuthority()
	w.restart(&wire{})
	return w
}

// restart replaces the controller by one that remembers nothing.
func (w *world) restart(wr *wire) {
	w.t.Helper()
	w.wire = wr
	config := rest.CopyConfig(apiConfig)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		wr.next = next
		return wr
	})
	cached, err := client.New(config, client.Options{Scheme: apiScheme, Cache: &client.CacheOptions{Reader: apiCache, EnableReadYourWritesConsistency: new(true)}})
	if err != nil {
		w.t.Fatal(err)
	}
	live, err := client.New(config, client.Options{Scheme: apiScheme})
	if err != nil {
		w.t.Fatal(err)
	}
	// Discovery is not part of what a reconcile costs.
	for _, obj := range []client.Object{&v1alpha1.MailboxRegion{}, &corev1.Secret{}, &corev1.ConfigMap{}} {
		if _, err := live.IsObjectNamespaced(obj); err != nil {
			w.t.Fatal(err)
		}
	}
	w.controller = New(cached, live, w.events, Options{Namespace: operatorNamespace, Image: testImage, Now: func() time.Time { return w.now }})
}

func testCloud(name string) *v1alpha1.SovereignCloud {
	return &v1alpha1.SovereignCloud{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.SovereignCloudSpec{
			Identity: v1alpha1.CloudIdentity{TenantIssuerHosts: []v1alpha1.IssuerHostPattern{"id.example"}},
			Geographies: []v1alpha1.Geography{
				{Code: "NAM", Name: "North America", Countries: []v1alpha1.CountryCode{"US", "CA"}},
				{Code: "EUR", Name: "Europe", Countries: []v1alpha1.CountryCode{"FR", "DE"}},
			},
		},
	}
}

func (w *world) createAuthority() {
	w.t.Helper()
	data, err := authority.Generate(w.cloud.Name, v1alpha1.KeyECDSAP256, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: authority.SecretName(w.cloud.Name), Namespace: operatorNamespace,
			Labels: map[string]string{apply.LabelManagedBy: apply.ManagedBy, v1alpha1.LabelCloud: w.cloud.Name},
		},
		Type: corev1.SecretTypeTLS, Data: data,
	})
}

// region gives a region of the world's cloud that is good as it is.
func (w *world) region(name string) *v1alpha1.MailboxRegion {
	return &v1alpha1.MailboxRegion{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec: v1alpha1.MailboxRegionSpec{
			Cloud: v1alpha1.ObjectName(w.cloud.Name), Geography: "NAM", Country: "US",
			Endpoint: v1alpha1.RegionEndpoint{Hostname: v1alpha1.Hostname(name + "." + w.namespace + ".example")},
			Storage:  v1alpha1.RegionStorage{Embedded: &v1alpha1.EmbeddedStorage{Size: resource.MustParse("50Gi")}},
		},
	}
}

// create creates an object and waits until the cache shows it.
func (w *world) create(obj client.Object) {
	w.t.Helper()
	if err := apiClient.Create(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

func (w *world) update(obj client.Object) {
	w.t.Helper()
	if err := apiClient.Update(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

func (w *world) updateStatus(obj client.Object) {
	w.t.Helper()
	if err := apiClient.Status().Update(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

func (w *world) delete(obj client.Object) {
	w.t.Helper()
	if err := apiClient.Delete(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// cachedLists are the kinds whose cache settle compares with the API server.
func cachedLists() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.MailboxRegionList{}, &v1alpha1.SovereignCloudList{}, &v1alpha1.TenantList{},
		&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &autoscalingv2.HorizontalPodAutoscalerList{}, &corev1.ConfigMapList{}, &corev1.PersistentVolumeClaimList{}, &corev1.PodList{}, &corev1.SecretList{},
		&corev1.ServiceList{}, &corev1.ServiceAccountList{}, &networkingv1.NetworkPolicyList{}, &policyv1.PodDisruptionBudgetList{},
		&rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
	}
}

// settle waits until the cache shows what the API server has.
func (w *world) settle() {
	w.t.Helper()
	w.await(w.namespace, cachedLists()...)
	w.await(operatorNamespace, &corev1.SecretList{})
}

func (w *world) await(namespace string, lists ...client.ObjectList) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, list := range lists {
		for versions(w.t, apiClient, list, namespace) != versions(w.t, apiCache, list, namespace) {
			if time.Now().After(deadline) {
				w.t.Fatalf("the cache of %T does not follow the API server", list)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// versions lists names and resource versions of what is ours.
func versions(t testing.TB, r client.Reader, list client.ObjectList, namespace string) string {
	t.Helper()
	var options []client.ListOption
	switch list.(type) {
	case *v1alpha1.SovereignCloudList:
	case *v1alpha1.MailboxRegionList, *v1alpha1.TenantList:
		options = append(options, client.InNamespace(namespace))
	default:
		options = append(options, client.InNamespace(namespace), client.MatchingLabels{apply.LabelManagedBy: apply.ManagedBy})
	}
	if err := r.List(t.Context(), list, options...); err != nil {
		t.Fatal(err)
	}
	return strings.Join(describe(t, list), "\n")
}

func (w *world) request(r *v1alpha1.MailboxRegion) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(r)}
}

// reconcile runs one pass and fails the test when the pass does.
func (w *world) reconcile(r *v1alpha1.MailboxRegion) reconcile.Result {
	w.t.Helper()
	result, err := w.controller.Reconcile(w.t.Context(), w.request(r))
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return result
}

// get reads the region anew.
func (w *world) get(r *v1alpha1.MailboxRegion) *v1alpha1.MailboxRegion {
	w.t.Helper()
	got := &v1alpha1.MailboxRegion{}
	if err := apiClient.Get(w.t.Context(), client.ObjectKeyFromObject(r), got); err != nil {
		w.t.Fatal(err)
	}
	return got
}

// child reads one object of the world's namespace.
func child[T client.Object](w *world, name string, into T) T {
	w.t.Helper()
	if err := apiClient.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, into); err != nil {
		w.t.Fatal(err)
	}
	return into
}

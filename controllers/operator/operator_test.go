package operator

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

const (
	systemNamespace = "bailiwick-system"
	quietVariable   = "BAILIWICK_QUIET_SECONDS"
)

var (
	plane     *controlplane.Plane
	apiConfig *rest.Config
	api       client.Client
)

func TestMain(m *testing.M) {
	code := run(m)
	// The event broadcaster of client-go abandons its filter when it is shut down.
	abandoned := goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop")
	if err := goleak.Find(abandoned, goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) int {
	log.SetLogger(logr.Discard())
	var err error
	if plane, err = controlplane.Start(context.Background(), controlplane.Options{Progress: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = plane.Stop() }()
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func connect() error {
	var err error
	if apiConfig, err = clientcmd.BuildConfigFromFlags("", plane.AdminKubeconfig()); err != nil {
		return err
	}
	apiConfig.QPS = -1
	if _, err := envtest.InstallCRDs(apiConfig, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}}); err != nil {
		return err
	}
	scheme, err := NewScheme()
	if err != nil {
		return err
	}
	if api, err = client.New(apiConfig, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return api.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}})
}

func options() Options {
	return Options{
		Config: apiConfig, Namespace: systemNamespace, Image: "registry.example/bailiwick:v1",
		MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(),
	}
}

// start runs an operator and gives the function that stops it and waits for it.
// Each operator of a test process has controllers of the same names.
func start(t *testing.T, o Options) (stop func()) {
	t.Helper()
	settings, err := managerOptions(o)
	if err != nil {
		t.Fatal(err)
	}
	settings.Controller.SkipNameValidation = new(true)
	mgr, err := assemble(o, settings)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the operator ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a minute: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// estate declares a cloud, a region and a tenant, each name with the suffix.
func estate(t *testing.T, suffix string) (*v1alpha1.MailboxRegion, *v1alpha1.Tenant) {
	t.Helper()
	namespace := "regions-" + suffix
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	create(t, &v1alpha1.SovereignCloud{
		ObjectMeta: metav1.ObjectMeta{Name: "cloud-" + suffix},
		Spec: v1alpha1.SovereignCloudSpec{
			Identity:    v1alpha1.CloudIdentity{TenantIssuerHosts: []v1alpha1.IssuerHostPattern{"id.invalid"}},
			Geographies: []v1alpha1.Geography{{Code: "EUR", Name: "Europe", Countries: []v1alpha1.CountryCode{"FR"}}},
		},
	})
	r := &v1alpha1.MailboxRegion{
		ObjectMeta: metav1.ObjectMeta{Name: "paris", Namespace: namespace},
		Spec: v1alpha1.MailboxRegionSpec{
			Cloud: v1alpha1.ObjectName("cloud-" + suffix), Geography: "EUR", Country: "FR",
			Endpoint: v1alpha1.RegionEndpoint{Hostname: v1alpha1.Hostname("paris." + suffix + ".example")},
			Storage:  v1alpha1.RegionStorage{Embedded: &v1alpha1.EmbeddedStorage{Size: resource.MustParse("1Gi")}},
		},
	}
	create(t, r)
	tenant := &v1alpha1.Tenant{
		ObjectMeta: metav1.ObjectMeta{Name: "contoso", Namespace: namespace},
		Spec: v1alpha1.TenantSpec{
			Cloud: r.Spec.Cloud, AccountType: v1alpha1.AccountEnterprise, Domains: []v1alpha1.MailDomain{v1alpha1.MailDomain(suffix + ".example")},
			HomeRegion: v1alpha1.RegionReference{Namespace: v1alpha1.NamespaceName(namespace), Name: "paris"},
			Identity: v1alpha1.TenantIdentity{Type: v1alpha1.IdentityOIDC, OIDC: &v1alpha1.IssuerIdentity{
				Issuer: "https://id.invalid", Audiences: []v1alpha1.Audience{"sync"},
			}},
		},
	}
	create(t, tenant)
	return r, tenant
}

// snapshot lists every object of the kinds that the operator writes, with its
// resource version.
func snapshot(t *testing.T) []string {
	t.Helper()
	var lines []string
	for _, list := range []client.ObjectList{
		&v1alpha1.SovereignCloudList{}, &v1alpha1.MailboxRegionList{}, &v1alpha1.TenantList{},
		&appsv1.StatefulSetList{}, &corev1.ConfigMapList{}, &corev1.SecretList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{},
		&networkingv1.NetworkPolicyList{}, &policyv1.PodDisruptionBudgetList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
	} {
		if err := api.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			if o, ok := item.(client.Object); ok {
				lines = append(lines, fmt.Sprintf("%T %s/%s %s", o, o.GetNamespace(), o.GetName(), o.GetResourceVersion()))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func quiet(t *testing.T) time.Duration {
	t.Helper()
	raw := os.Getenv(quietVariable)
	if raw == "" {
		return time.Minute
	}
	seconds, err := strconv.Atoi(raw)
	if err != nil {
		t.Fatalf("%s is %q: give a number of seconds", quietVariable, raw)
	}
	return time.Duration(seconds) * time.Second
}

// TestNothingMovesOnceConverged watches every resource version for a minute, with a
// restart in the middle, which reconciles everything anew with nothing remembered.
func TestNothingMovesOnceConverged(t *testing.T) {
	stop := start(t, options())
	r, tenant := estate(t, "quiet")
	eventually(t, "region and tenant have a status", func() bool {
		errs := []error{api.Get(t.Context(), client.ObjectKeyFromObject(r), r), api.Get(t.Context(), client.ObjectKeyFromObject(tenant), tenant)}
		return errs[0] == nil && errs[1] == nil && r.Status.ObservedGeneration == 1 && tenant.Status.ObservedGeneration == 1 &&
			meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionCertificateReady) &&
			meta.FindStatusCondition(tenant.Status.Conditions, v1alpha1.ConditionIdentityReady).Reason == v1alpha1.ReasonIssuerUnreachable
	})
	before := steady(t)
	watch := quiet(t)
	time.Sleep(watch / 2)
	stop()
	start(t, options())
	time.Sleep(watch / 2)
	if diff := cmp.Diff(before, snapshot(t)); diff != "" {
		t.Errorf("something moved within %s (-before +after):\n%s", watch, diff)
	}
}

// steady waits until two looks, some seconds apart, show the same.
func steady(t *testing.T) []string {
	t.Helper()
	var last []string
	eventually(t, "nothing moves for three seconds", func() bool {
		before := snapshot(t)
		time.Sleep(3 * time.Second)
		last = snapshot(t)
		return slices.Equal(before, last)
	})
	return last
}

// TestARegionLeavesOnlyWhatItsPolicyRetains runs against the controllers of a real
// cluster: they make the pod and the claim, and collect what has no owner any more.
func TestARegionLeavesOnlyWhatItsPolicyRetains(t *testing.T) {
	start(t, options())
	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
		t.Run(string(policy), func(t *testing.T) {
			r, tenant := estate(t, strings.ToLower(string(policy)))
			r.Spec.DeletionPolicy = policy
			eventually(t, "the policy is declared", func() bool {
				patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"deletionPolicy":%q}}`, policy))
				return api.Patch(t.Context(), r, patch) == nil
			})
			eventually(t, "the status tells what pod and claim wait for", func() bool {
				return api.Get(t.Context(), client.ObjectKeyFromObject(r), r) == nil &&
					tells(r, v1alpha1.ConditionWorkloadAvailable, "Unschedulable") &&
					tells(r, v1alpha1.ConditionStorageReady, `PersistentVolumeClaim "data-paris-sync-0" is not bound`)
			})
			for _, obj := range []client.Object{r, tenant} {
				if err := api.Delete(t.Context(), obj); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the region is gone", func() bool {
				return apierrors.IsNotFound(api.Get(t.Context(), client.ObjectKeyFromObject(r), r))
			})
			claim := &corev1.PersistentVolumeClaim{}
			err := api.Get(t.Context(), client.ObjectKey{Namespace: r.Namespace, Name: "data-paris-sync-0"}, claim)
			if kept := err == nil; kept != (policy == v1alpha1.DeletionRetain) {
				t.Errorf("the claim is kept: %t (%v), with %s", kept, err, policy)
			}
			eventually(t, "nothing else is left", func() bool {
				return !slices.ContainsFunc(snapshot(t), func(line string) bool { return strings.Contains(line, r.Namespace+"/paris") })
			})
		})
	}
}

func tells(r *v1alpha1.MailboxRegion, kind, part string) bool {
	c := meta.FindStatusCondition(r.Status.Conditions, kind)
	return c != nil && strings.Contains(c.Message, part)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestTheLeaderServesHealthAndMetricsAndHandsOver(t *testing.T) {
	o := options()
	o.LeaderElection = true
	o.MetricsAddress, o.HealthAddress = freeAddress(t), freeAddress(t)
	stop := start(t, o)
	r, _ := estate(t, "leader")
	eventually(t, "the region has a status", func() bool {
		return api.Get(t.Context(), client.ObjectKeyFromObject(r), r) == nil && r.Status.ObservedGeneration == 1
	})
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := fetch(t, "http://"+o.HealthAddress+path); status != http.StatusOK {
			t.Errorf("%s answers %d %s, want 200", path, status, body)
		}
	}
	_, body := fetch(t, "http://"+o.MetricsAddress+"/metrics")
	for _, line := range []string{
		`bailiwick_writes_total{controller="region",kind="StatefulSet",verb="apply"}`,
		`bailiwick_conditions{condition="CloudReady",kind="MailboxRegion",reason="Ready",status="True"}`,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	stop()
	lease := &coordinationv1.Lease{}
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: leaseName}, lease); err != nil {
		t.Fatal(err)
	}
	if holder := lease.Spec.HolderIdentity; holder != nil && *holder != "" {
		t.Errorf("the lease is still held by %q after the leader ended", *holder)
	}
}

func TestIncompleteOptionsAreRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(*Options)
		want  string
	}{
		"no API server": {func(o *Options) { o.Config = nil }, "--kubeconfig"},
		"no namespace":  {func(o *Options) { o.Namespace = "" }, "--namespace"},
		"no image":      {func(o *Options) { o.Image = "" }, "--image"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			test.spoil(&o)
			if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one that names %s", err, test.want)
			}
		})
	}
}

func TestTheAPIServerIsAlwaysADeniedRange(t *testing.T) {
	t.Parallel()
	tests := map[string][]netip.Prefix{
		"https://10.96.0.1:443":        {netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("10.96.0.1/32")},
		"https://[fd00::1]:443":        {netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::1/128")},
		"https://api.example:6443":     {netip.MustParsePrefix("10.0.0.0/16")},
		"https://[not an address]:443": {netip.MustParsePrefix("10.0.0.0/16")},
	}
	for host, want := range tests {
		got := deniedRanges(Options{Config: &rest.Config{Host: host}, DeniedRanges: want[:1]})
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", host, diff)
		}
	}
}

func TestConfigFindsTheClusterFromItsServiceAccount(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	if _, err := Config("", folder); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("error without a token is %v, want one that names the file", err)
	}
	for _, name := range []string{"token", "ca.crt"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := Config("", folder)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://[fd00::1]:443" || config.BearerTokenFile != filepath.Join(folder, "token") || config.QPS != -1 {
		t.Errorf("host %q, token file %q, QPS %v", config.Host, config.BearerTokenFile, config.QPS)
	}
}

func TestConfigNeedsAClusterOrAKubeconfig(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := Config("", t.TempDir()); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("error is %v, want one that names --kubeconfig", err)
	}
	if _, err := Config(filepath.Join(t.TempDir(), "absent"), ""); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("error is %v, want one that names the file", err)
	}
	config, err := Config(plane.AdminKubeconfig(), "")
	if err != nil || config.Host != apiConfig.Host {
		t.Errorf("host %v, error %v; want that of the kubeconfig", config, err)
	}
}

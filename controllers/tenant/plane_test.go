package tenant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/issuers"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/issuers/issuertest"
	"github.com/bailiwick-dev/bailiwick/controllers/sensitivitylabel"
	"github.com/bailiwick-dev/bailiwick/controllers/sharedmailbox"
	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

// What TestMain provides: a real API server without controllers.
var (
	apiConfig *rest.Config
	apiScheme = runtime.NewScheme()
	api       client.Client // reads past every cache
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	plane, err := controlplane.Start(context.Background(), controlplane.Options{APIServerOnly: true, Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := 1
	if err := connect(plane.AdminKubeconfig()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if err := plane.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func connect(kubeconfig string) error {
	var err error
	if apiConfig, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return err
	}
	apiConfig.QPS = -1
	log.SetLogger(logr.Discard())
	if _, err := envtest.InstallCRDs(apiConfig, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}}); err != nil {
		return err
	}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(apiScheme); err != nil {
			return err
		}
	}
	api, err = client.New(apiConfig, client.Options{Scheme: apiScheme})
	return err
}

// wire counts requests on their way to the API server.
type wire struct {
	next          http.RoundTripper
	writes, reads atomic.Int64
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.Method != http.MethodGet:
		w.writes.Add(1)
	case r.URL.Query().Get("watch") == "":
		w.reads.Add(1)
	}
	return w.next.RoundTrip(r)
}

// world is one test's cloud, with regions in one namespace and tenants in two, an
// issuer, and an operator that sees nothing else.
type world struct {
	t          testing.TB
	name       string
	regions    string
	tenants    string
	others     string
	cloud      *v1alpha1.SovereignCloud
	issuer     *issuertest.Issuer
	resync     time.Duration
	everywhere bool // let the operator see every namespace, as in production
	controller *Controller
	wire       *wire
	passes     atomic.Int64
	looks      atomic.Int64 // at shared mailboxes and labels
	stop       func()
}

var worlds atomic.Int64

// newWorld makes the namespaces and a cloud that is ready; start starts the operator.
func newWorld(t testing.TB) *world {
	t.Helper()
	name := fmt.Sprintf("w%d", worlds.Add(1))
	w := &world{t: t, name: name, regions: name + "-regions", tenants: name + "-tenants", others: name + "-others", issuer: issuertest.New(t)}
	for _, namespace := range []string{w.regions, w.tenants, w.others} {
		w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"world": name}}})
	}
	w.cloud = w.newCloud(name)
	return w
}

func (w *world) newCloud(name string) *v1alpha1.SovereignCloud {
	w.t.Helper()
	cloud := &v1alpha1.SovereignCloud{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.SovereignCloudSpec{
			Identity: v1alpha1.CloudIdentity{
				TenantIssuerHosts: []v1alpha1.IssuerHostPattern{v1alpha1.IssuerHostPattern(w.issuer.Host())},
				PrivateRanges:     []v1alpha1.AddressRange{"127.0.0.0/8"},
			},
			Geographies: []v1alpha1.Geography{
				{Code: "NAM", Name: "North America", Countries: []v1alpha1.CountryCode{"US"}},
				{Code: "EUR", Name: "Europe", Countries: []v1alpha1.CountryCode{"FR"}},
			},
		},
	}
	w.create(cloud)
	cloud.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionAuthorityReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, LastTransitionTime: metav1.Now(),
	}}
	w.updateStatus(cloud)
	return cloud
}

// start runs an operator, in place of the one that ran before.
func (w *world) start() {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
	}
	w.wire = &wire{}
	cfg := rest.CopyConfig(apiConfig)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		w.wire.next = next
		return w.wire
	})
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{apply.LabelManagedBy: apply.ManagedBy})}
	namespaces := map[string]cache.Config{w.regions: {}, w.tenants: {}, w.others: {}}
	if w.everywhere {
		namespaces = nil
	}
	mgr, err := manager.New(cfg, manager.Options{
		Scheme: apiScheme,
		Cache: cache.Options{
			ByObject:          map[client.Object]cache.ByObject{&corev1.ConfigMap{}: ours},
			DefaultNamespaces: namespaces,
			DefaultTransform:  cache.TransformStripManagedFields(),
			SyncPeriod:        &w.resync,
		},
		Client:     client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.controller = newController(mgr, Options{
		Issuers: issuers.Options{RetryFrom: 50 * time.Millisecond, RetryTo: time.Second, Deadline: 5 * time.Second},
		Now: func() time.Time {
			w.passes.Add(1)
			return time.Now()
		},
	})
	if err := w.controller.register(mgr); err != nil {
		w.t.Fatal(err)
	}
	look := func() time.Time {
		w.looks.Add(1)
		return time.Now()
	}
	if err := errors.Join(sharedmailbox.Add(mgr, sharedmailbox.Options{Now: look}), sensitivitylabel.Add(mgr, sensitivitylabel.Options{Now: look})); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		w.stop = nil
	}
	w.t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
	})
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		w.t.Fatal("the caches do not sync")
	}
}

func (w *world) create(obj client.Object) {
	w.t.Helper()
	if err := api.Create(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) updateStatus(obj client.Object) {
	w.t.Helper()
	if err := api.Status().Update(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) replace(obj client.Object) {
	w.t.Helper()
	if err := api.Update(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

// patch merges JSON into an object.
func (w *world) patch(obj client.Object, body string) {
	w.t.Helper()
	if err := api.Patch(w.t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(body))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(obj client.Object) {
	w.t.Helper()
	if err := api.Delete(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

// newRegion creates a region that takes every tenant and has an endpoint.
func (w *world) newRegion(name string, geography v1alpha1.GeographyCode, change ...func(*v1alpha1.MailboxRegion)) *v1alpha1.MailboxRegion {
	w.t.Helper()
	country := map[v1alpha1.GeographyCode]v1alpha1.CountryCode{"NAM": "US", "EUR": "FR"}[geography]
	region := &v1alpha1.MailboxRegion{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.regions, Name: name},
		Spec: v1alpha1.MailboxRegionSpec{
			Cloud: v1alpha1.ObjectName(w.cloud.Name), Geography: geography, Country: country,
			AllowedTenants: v1alpha1.AllowedTenants{Namespaces: v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}},
			Endpoint:       v1alpha1.RegionEndpoint{Hostname: v1alpha1.Hostname(name + ".example")},
			Storage:        v1alpha1.RegionStorage{Embedded: &v1alpha1.EmbeddedStorage{Size: resource.MustParse("1Gi")}},
		},
	}
	for _, c := range change {
		c(region)
	}
	w.create(region)
	region.Status.EndpointURL = "https://" + string(region.Spec.Endpoint.Hostname)
	w.updateStatus(region)
	return region
}

func refOf(r *v1alpha1.MailboxRegion) v1alpha1.RegionReference {
	return v1alpha1.RegionReference{Namespace: v1alpha1.NamespaceName(r.Namespace), Name: v1alpha1.ObjectName(r.Name)}
}

// tenant is one that the world's issuer signs in, not created yet.
func (w *world) tenant(name, domain string, home *v1alpha1.MailboxRegion, satellites ...*v1alpha1.MailboxRegion) *v1alpha1.Tenant {
	t := &v1alpha1.Tenant{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: name},
		Spec: v1alpha1.TenantSpec{
			Cloud: v1alpha1.ObjectName(w.cloud.Name), AccountType: v1alpha1.AccountGovernment,
			Domains: []v1alpha1.MailDomain{v1alpha1.MailDomain(domain)}, HomeRegion: refOf(home),
			Identity: v1alpha1.TenantIdentity{
				Type:     v1alpha1.IdentityOIDC,
				OIDC:     &v1alpha1.IssuerIdentity{Issuer: w.issuer.URL(), Audiences: []v1alpha1.Audience{"api://bailiwick-sync"}},
				CABundle: &v1alpha1.CABundle{PEM: w.issuer.CABundle()},
			},
		},
	}
	for _, s := range satellites {
		t.Spec.Regions = append(t.Spec.Regions, refOf(s))
	}
	return t
}

// get reads a tenant anew.
func (w *world) get(t *v1alpha1.Tenant) *v1alpha1.Tenant {
	w.t.Helper()
	got := &v1alpha1.Tenant{}
	if err := api.Get(w.t.Context(), client.ObjectKeyFromObject(t), got); err != nil {
		w.t.Fatal(err)
	}
	return got
}

// await waits until a condition of a tenant has a reason, for the newest generation.
func (w *world) await(t *v1alpha1.Tenant, kind, reason string) *v1alpha1.Tenant {
	w.t.Helper()
	var got *v1alpha1.Tenant
	w.eventually(func() string {
		got = w.get(t)
		c := meta.FindStatusCondition(got.Status.Conditions, kind)
		if c != nil && c.Reason == reason && c.ObservedGeneration == got.Generation {
			return ""
		}
		return fmt.Sprintf("tenant %s has no %s with reason %s: %+v", t.Name, kind, reason, got.Status.Conditions)
	})
	return got
}

// eventually waits until there is nothing that is not so.
func (w *world) eventually(problem func() string) {
	w.t.Helper()
	deadline := time.Now().Add(45 * time.Second)
	for {
		p := problem()
		if p == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain: %s", p)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// document reads what a region is given for a tenant; nil when it is given nothing.
func (w *world) document(r *v1alpha1.MailboxRegion, t *v1alpha1.Tenant) *tenantdoc.Document {
	w.t.Helper()
	cm := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: r.Namespace, Name: tenantdoc.ConfigMapName(r.Name, nameOf(t))}
	if err := api.Get(w.t.Context(), key, cm); err != nil {
		if client.IgnoreNotFound(err) != nil {
			w.t.Fatal(err)
		}
		return nil
	}
	document, err := tenantdoc.Decode([]byte(cm.Data[tenantdoc.DocumentKey]))
	if err != nil {
		w.t.Fatal(err)
	}
	return document
}

func (w *world) awaitDocument(r *v1alpha1.MailboxRegion, t *v1alpha1.Tenant, so func(*tenantdoc.Document) bool) *tenantdoc.Document {
	w.t.Helper()
	var got *tenantdoc.Document
	w.eventually(func() string {
		if got = w.document(r, t); so(got) {
			return ""
		}
		return fmt.Sprintf("document of %s in %s: %+v", t.Name, r.Name, got)
	})
	return got
}

func exists(d *tenantdoc.Document) bool   { return d != nil }
func vanished(d *tenantdoc.Document) bool { return d == nil }

// enforce writes the report of a region's replica: it enforces what the tenants'
// documents say.
func (w *world) enforce(r *v1alpha1.MailboxRegion, tenants ...*v1alpha1.Tenant) {
	w.t.Helper()
	report := &tenantdoc.Report{Version: tenantdoc.FormatVersion, Replica: r.Name + "-sync-0", Tenants: map[string]tenantdoc.TenantReport{}}
	for _, t := range tenants {
		document := w.awaitDocument(r, t, exists)
		report.Tenants[document.Tenant] = tenantdoc.TenantReport{UID: document.UID, Generation: document.Generation, Mailboxes: 3, Devices: 5}
	}
	w.report(r, report)
}

func (w *world) report(r *v1alpha1.MailboxRegion, report *tenantdoc.Report) {
	w.t.Helper()
	raw, err := tenantdoc.EncodeReport(report)
	if err != nil {
		w.t.Fatal(err)
	}
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: tenantdoc.ReportName(report.Replica, 0),
			Labels: map[string]string{
				apply.LabelManagedBy: apply.ManagedBy, tenantdoc.LabelContent: tenantdoc.ContentReport,
				tenantdoc.LabelRegion: r.Name, tenantdoc.LabelReplica: report.Replica,
			},
		},
		Data: map[string]string{tenantdoc.ReportKey: string(raw)},
	}
	err = api.Create(w.t.Context(), cm)
	if client.IgnoreAlreadyExists(err) != nil {
		w.t.Fatal(err)
	}
	if err != nil {
		if err := api.Update(w.t.Context(), cm); err != nil {
			w.t.Fatal(err)
		}
	}
}

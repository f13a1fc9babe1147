// Package plugin_test proves the kubectl plugin on a real API server, with the operator
// at work.
package plugin_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/operator"
	"github.com/bailiwick-dev/bailiwick/internal/plugin"
	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

const systemNamespace = "bailiwick-system"

var (
	root  = filepath.Join("..", "..")
	plane *controlplane.Plane
	api   client.Client
	// bare is what the plugin says of a cluster in which nothing is installed.
	bare = map[string]error{}
	// users counts those that tests made.
	users atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	log.SetLogger(logr.Discard())
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if plane, err = controlplane.Start(ctx, controlplane.Options{APIServerOnly: true, Progress: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		cancel()
		return 1
	}
	defer func() { _ = plane.Stop() }()
	ended, err := install(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		cancel()
		return 1
	}
	code := m.Run()
	cancel()
	if err := <-ended; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// install tries the plugin on the bare cluster, installs the kinds, and starts the
// operator. The channel tells when that ends.
func install(ctx context.Context) (<-chan error, error) {
	for _, args := range []string{"status", "pause tenant/contoso", "report"} {
		_, _, bare[args] = command(ctx, plane.AdminKubeconfig(), strings.Fields(args)...)
	}
	config, err := clientcmd.BuildConfigFromFlags("", plane.AdminKubeconfig())
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{filepath.Join(root, "config", "crd", "bases")}}); err != nil {
		return nil, err
	}
	scheme, err := operator.NewScheme()
	if err != nil {
		return nil, err
	}
	if api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	for _, name := range []string{systemNamespace, "contoso", "regions-eu"} {
		if err := api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return nil, err
		}
	}
	options := operator.Options{
		Config: config, Namespace: systemNamespace, Image: "registry.example/bailiwick:v1", MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(),
	}
	ended := make(chan error, 1)
	go func() { ended <- operator.Run(ctx, options) }()
	return ended, declare(ctx)
}

// declare makes a cloud that is ready, and a tenant that is not: its region is missing.
func declare(ctx context.Context) error {
	cloud := &v1alpha1.SovereignCloud{
		ObjectMeta: metav1.ObjectMeta{Name: "worldwide"},
		Spec: v1alpha1.SovereignCloudSpec{
			Identity:    v1alpha1.CloudIdentity{TenantIssuerHosts: []v1alpha1.IssuerHostPattern{"login.contoso.example"}},
			Geographies: []v1alpha1.Geography{{Code: "EUR", Name: "Europe", Countries: []v1alpha1.CountryCode{"FR"}}},
		},
	}
	tenant := &v1alpha1.Tenant{
		ObjectMeta: metav1.ObjectMeta{Namespace: "contoso", Name: "contoso"},
		Spec: v1alpha1.TenantSpec{
			Cloud: "worldwide", AccountType: v1alpha1.AccountEnterprise, Domains: []v1alpha1.MailDomain{"contoso.example"},
			HomeRegion: v1alpha1.RegionReference{Namespace: "regions-eu", Name: "paris"},
			Identity: v1alpha1.TenantIdentity{
				Type: v1alpha1.IdentityOIDC,
				OIDC: &v1alpha1.IssuerIdentity{Issuer: "https://login.contoso.example", Audiences: []v1alpha1.Audience{"bailiwick-sync"}},
			},
		},
	}
	return errors.Join(api.Create(ctx, cloud), api.Create(ctx, tenant))
}

// command runs the plugin.
func command(ctx context.Context, kubeconfig string, args ...string) (out, said string, err error) {
	var outBuffer, errBuffer bytes.Buffer
	cmd := plugin.NewCommand("v0.1.0", genericiooptions.IOStreams{In: strings.NewReader(""), Out: &outBuffer, ErrOut: &errBuffer})
	cmd.SetArgs(append([]string{args[0], "--kubeconfig", kubeconfig}, args[1:]...))
	err = cmd.ExecuteContext(ctx)
	return outBuffer.String(), errBuffer.String(), err
}

// must runs the plugin as the administrator and wants it to print a text.
func must(t *testing.T, want string, args ...string) {
	t.Helper()
	if out, _, err := command(t.Context(), plane.AdminKubeconfig(), args...); err != nil || out != want {
		t.Fatalf("%q: %v, printed %q, want %q", args, err, out, want)
	}
}

// refused runs the plugin and wants an error that has a text.
func refused(t *testing.T, kubeconfig, want string, args ...string) {
	t.Helper()
	if out, _, err := command(t.Context(), kubeconfig, args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%q: error is %v\nwant %s\nprinted %s", args, err, want, out)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	const patience = 2 * time.Minute
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("it does not come to hold that %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestAClusterInWhichNothingIsInstalledIsNamedAsSuch(t *testing.T) {
	for args, err := range bare {
		if err == nil || !strings.Contains(err.Error(), "this cluster does not have the kind ") || !strings.Contains(err.Error(), "choose another cluster with --context, or install the operator") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestAClusterThatDoesNotAnswerIsNamedAsSuch(t *testing.T) {
	refused(t, plane.AdminKubeconfig(), "check that the cluster of the context runs, or choose another with --context", "status", "--server", "https://127.0.0.1:1")
	refused(t, plane.AdminKubeconfig(), "choose a context of `kubectl config get-contexts` with --context", "status", "--context", "none")
}

func TestReconcileWaitsForTheController(t *testing.T) {
	must(t, "sovereigncloud/worldwide is to be reconciled\n", "reconcile", "scl/worldwide")
	must(t, "sovereigncloud/worldwide is ready\n", "reconcile", "sovereigncloud/worldwide", "--wait")
	var cloud v1alpha1.SovereignCloud
	if err := api.Get(t.Context(), client.ObjectKey{Name: "worldwide"}, &cloud); err != nil {
		t.Fatal(err)
	}
	if asked := cloud.Annotations[v1alpha1.AnnotationRequestedAt]; asked == "" || asked != cloud.Status.LastHandledReconcileAt {
		t.Errorf("asked for %q, handled %q", asked, cloud.Status.LastHandledReconcileAt)
	}
	refused(t, plane.AdminKubeconfig(), `tenant/contoso in contoso does not get ready: RegionNotFound: `, "reconcile", "tenant/contoso", "-n", "contoso", "--wait")
	refused(t, plane.AdminKubeconfig(), "patch tenant \"nobody\" in namespace \"contoso\": there is none of this name: look at what there is with `kubectl get tenants -A`",
		"reconcile", "tenant/nobody", "-n", "contoso")
}

func TestWaitingEndsWithTheTimeoutAndSaysWhatIsKnown(t *testing.T) {
	refused(t, plane.AdminKubeconfig(), "tenant/contoso in contoso is not ready in time: no controller has looked at it: see whether the operator runs",
		"reconcile", "tenant/contoso", "-n", "contoso", "--wait", "--timeout", "0s")
}

func TestPauseAndResumeAreSpelledAsTheControllersReadThem(t *testing.T) {
	key := client.ObjectKey{Name: "worldwide"}
	paused := func() bool {
		var cloud v1alpha1.SovereignCloud
		if err := api.Get(t.Context(), key, &cloud); err != nil {
			t.Fatal(err)
		}
		for _, c := range cloud.Status.Conditions {
			if c.Type == v1alpha1.ConditionPaused {
				return true
			}
		}
		return false
	}
	must(t, "sovereigncloud/worldwide is not paused\n", "resume", "scl/worldwide")
	must(t, "sovereigncloud/worldwide is paused\n", "pause", "scl/worldwide")
	must(t, "sovereigncloud/worldwide is paused already\n", "pause", "scl/worldwide")
	eventually(t, "the controller sees the pause", paused)
	refused(t, plane.AdminKubeconfig(), "sovereigncloud/worldwide is paused, which leaves it as it is: resume it with `kubectl bailiwick resume`", "reconcile", "scl/worldwide", "--wait")
	must(t, "sovereigncloud/worldwide is resumed\n", "resume", "scl/worldwide")
	eventually(t, "the controller goes on", func() bool { return !paused() })
	must(t, "sovereigncloud/worldwide is ready\n", "reconcile", "scl/worldwide", "--wait")
}

func TestStatusTellsWhatTheControllersFound(t *testing.T) {
	refused(t, plane.AdminKubeconfig(), "does not get ready", "reconcile", "tenant/contoso", "-n", "contoso", "--wait")
	out, said, err := command(t.Context(), plane.AdminKubeconfig(), "status", "-A")
	if err != nil || said != "" {
		t.Fatal(err, said)
	}
	for _, want := range []string{
		"Tenant contoso/contoso > Regions > MailboxRegion regions-eu/paris\n  False NotFound — it does not exist: create it",
		"\nTenant contoso/contoso ",
		"─ SovereignCloud worldwide ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not tell %q:\n%s", want, out)
		}
	}
}

func TestObjectsOfTheClusterAreCompleted(t *testing.T) {
	must(t, "tenant/contoso\n:4\n", "__complete", "-n", "contoso", "pause", "tenant/")
	must(t, "contoso\n:4\n", "__complete", "status", "-n", "cont")
}

func TestWhoLacksARoleIsToldWhichOne(t *testing.T) {
	// A role that was taken away holds for a moment: each run has a user of its own.
	anna := fmt.Sprintf("anna-%d", users.Add(1))
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	raw, err := plane.Kubeconfig(anna)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kubeconfig, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, kubeconfig, `cannot list resource "tenants" in API group "mail.bailiwick.dev" in the namespace "contoso": ask an administrator of the cluster for the verb "list" on "tenants.mail.bailiwick.dev", such as with ClusterRole "bailiwick-viewer"`,
		"status", "-n", "contoso")

	raw, err = os.ReadFile(filepath.Join(root, "config", "rbac", "viewer_role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(raw, role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "contoso", Name: anna},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: anna}},
	}
	if err := errors.Join(api.Create(t.Context(), role), api.Create(t.Context(), binding)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = api.Delete(context.Background(), role), api.Delete(context.Background(), binding)
	})
	var out string
	eventually(t, "anna sees the tenant", func() bool {
		out, _, err = command(t.Context(), kubeconfig, "status", "-n", "contoso")
		return err == nil
	})
	for _, want := range []string{"\nTenant contoso/contoso ", `Forbidden — get mailboxregion "paris" in namespace "regions-eu"`, `Forbidden — get sovereigncloud "worldwide"`} {
		if !strings.Contains(out, want) {
			t.Errorf("anna does not see %q:\n%s", want, out)
		}
	}
	refused(t, kubeconfig, `for the verb "patch" on "tenants.mail.bailiwick.dev", such as with ClusterRole "bailiwick-tenant-editor"`, "pause", "tenant/contoso", "-n", "contoso")
}

func TestAReportIsMadeOfARealCluster(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	out, said, err := command(t.Context(), plane.AdminKubeconfig(), "report", "--file", file)
	if err != nil || said != "" || !strings.HasPrefix(out, file+" holds ") {
		t.Fatal(err, said, out)
	}
	files := unpack(t, file)
	if got := files["report/objects/tenants/contoso/contoso.yaml"]; !strings.Contains(got, "RegionNotFound") {
		t.Errorf("the tenant is\n%s", got)
	}
	if got := files["report/index.yaml"]; !strings.Contains(got, "kubernetes: v") {
		t.Errorf("the index is\n%s", got)
	}
	// The authority of the cloud is in a Secret of the operator's namespace.
	for name, content := range files {
		if strings.Contains(name, "secrets") || strings.Contains(content, "kind: Secret\n") || strings.Contains(content, "PRIVATE KEY") {
			t.Errorf("%s holds a secret:\n%s", name, content)
		}
	}
}

func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(raw)
	}
}

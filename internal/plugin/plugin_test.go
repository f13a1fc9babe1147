package plugin

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	discoveryfake "k8s.io/client-go/discovery/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares an output with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale, -update writes it anew (-want +got):\n%s", path, diff)
	}
}

// objects reads the objects of files of testdata.
func objects(t testing.TB, files ...string) []client.Object {
	t.Helper()
	var list []client.Object
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
				t.Fatal(err)
			}
			list = append(list, u)
		}
	}
	return list
}

// bench is the plugin before a cluster that does not exist.
type bench struct {
	t           testing.TB
	objects     []client.Object
	calls       interceptor.Funcs
	environment map[string]string
	out, err    bytes.Buffer
}

func (b *bench) plugin() *plugin {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			b.t.Fatal(err)
		}
	}
	c := &cluster{
		reader:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(b.objects...).WithInterceptorFuncs(b.calls).Build(),
		metadata:  b.metadata(),
		discovery: &discoveryfake.FakeDiscovery{Fake: &clienttesting.Fake{}, FakedServerVersion: &version.Info{GitVersion: "v1.37.2"}},
	}
	p := &plugin{
		version: "v0.1.0", flags: genericclioptions.NewConfigFlags(true),
		connect: func() (*cluster, error) { return c, nil },
		now:     func() time.Time { return time.Date(2026, time.November, 26, 12, 0, 0, 0, time.UTC) },
		getenv:  func(name string) string { return b.environment[name] },
	}
	p.Out, p.ErrOut = &b.out, &b.err
	return p
}

// metadata is another cluster that has the same objects, without their contents.
func (b *bench) metadata() *metadatafake.FakeMetadataClient {
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		b.t.Fatal(err)
	}
	var list []runtime.Object
	for _, o := range b.objects {
		apiVersion, kind := o.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
		list = append(list, &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: apiVersion, Kind: kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()},
		})
	}
	return metadatafake.NewSimpleMetadataClient(scheme, list...)
}

// run runs the plugin with a kubeconfig that names no cluster.
func (b *bench) run(args ...string) error {
	b.t.Helper()
	cmd := b.plugin().command()
	cmd.SetArgs(append([]string{"--kubeconfig", b.kubeconfig()}, args...))
	return cmd.ExecuteContext(b.t.Context())
}

// complete asks for what may follow the last argument.
func (b *bench) complete(args ...string) error {
	b.t.Helper()
	cmd := b.plugin().command()
	cmd.SetArgs(append([]string{cobra.ShellCompRequestCmd, "--kubeconfig", b.kubeconfig()}, args...))
	return cmd.ExecuteContext(b.t.Context())
}

func (b *bench) kubeconfig() string {
	kubeconfig := filepath.Join(b.t.TempDir(), "kubeconfig")
	context := `{"apiVersion": "v1", "kind": "Config", "current-context": "here", "contexts": [{"name": "here", "context": {"namespace": "contoso"}}]}`
	if err := os.WriteFile(kubeconfig, []byte(context), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return kubeconfig
}

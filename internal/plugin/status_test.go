package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func TestStatusShowsWhatIsNotReadyFirst(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files []string
		args  []string
	}{
		"status-healthy":  {[]string{"healthy.yaml"}, []string{"status"}},
		"status-trouble":  {[]string{"trouble.yaml", "paris.yaml"}, []string{"status", "-A"}},
		"status-one":      {[]string{"trouble.yaml", "paris.yaml"}, []string{"status", "acme/acme"}},
		"status-coloured": {[]string{"trouble.yaml", "paris.yaml"}, []string{"status", "--color=always"}},
		"status-json":     {[]string{"healthy.yaml"}, []string{"status", "contoso", "-o", "json"}},
		"status-yaml":     {[]string{"trouble.yaml", "paris.yaml"}, []string{"status", "-A", "-o", "yaml"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t, objects: objects(t, test.files...)}
			if err := b.run(test.args...); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.out.String())
			if b.err.Len() > 0 {
				t.Errorf("also said: %s", b.err.String())
			}
		})
	}
}

func TestTheDocumentedStatusIsTheRealOne(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "plugin.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"status-healthy.golden", "status-one.golden"} {
		shown, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, shown) {
			t.Errorf("docs/plugin.md does not show the output of %s", name)
		}
	}
}

func TestStatusOfNoTenantsSaysWhereToLook(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args     []string
		out, err string
	}{
		"a namespace":    {[]string{"status", "-n", "empty"}, "", "There are no tenants in namespace \"empty\": look into another with -n, or into all with -A.\n"},
		"all namespaces": {[]string{"status", "-A"}, "", "There are no tenants.\n"},
		"for programs":   {[]string{"status", "-o", "json"}, "{\n  \"tenants\": []\n}\n", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t}
			if err := b.run(test.args...); err != nil {
				t.Fatal(err)
			}
			if out, err := b.out.String(), b.err.String(); out != test.out || err != test.err {
				t.Errorf("said %q and %q, want %q and %q", out, err, test.out, test.err)
			}
		})
	}
}

func TestStatusThatCannotBeToldSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "tenants"}
	refuse := func(err error) interceptor.Funcs {
		return interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return err }}
	}
	tests := map[string]struct {
		args  []string
		calls interceptor.Funcs
		want  string
	}{
		"no such tenant": {
			[]string{"status", "nobody"},
			interceptor.Funcs{},
			"get tenant \"nobody\" in namespace \"contoso\": there is none of this name: look at what there is with `kubectl get tenants -A`",
		},
		"no permission": {
			[]string{"status"},
			refuse(apierrors.NewForbidden(resource, "", nil)),
			`list tenants in namespace "contoso": tenants.mail.bailiwick.dev is forbidden: <nil>: ask an administrator of the cluster for the verb "list" on "tenants.mail.bailiwick.dev", such as with ClusterRole "bailiwick-viewer"`,
		},
		"no such kind": {
			[]string{"status", "-A"},
			refuse(&meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Tenant"}}),
			"list tenants in all namespaces: this cluster does not have the kind Tenant: choose another cluster with --context, or install the operator",
		},
		"not signed in": {
			[]string{"status"},
			refuse(apierrors.NewUnauthorized("no")),
			`list tenants in namespace "contoso": no: sign in to the cluster again`,
		},
		"no such format":   {[]string{"status", "-o", "xml"}, interceptor.Funcs{}, `--output: "xml" is neither json nor yaml`},
		"no such colour":   {[]string{"status", "--color", "red"}, interceptor.Funcs{}, `--color: "red" is none of auto, always and never`},
		"all and one":      {[]string{"status", "-A", "contoso"}, interceptor.Funcs{}, "--all-namespaces shows every tenant: leave it out to choose some by name"},
		"no name at all":   {[]string{"status", "contoso/"}, interceptor.Funcs{}, `"contoso/" names no tenant: give TENANT or NAMESPACE/TENANT, such as contoso`},
		"a name too many":  {[]string{"status", "a/b/c"}, interceptor.Funcs{}, `"a/b/c" names no tenant: give TENANT or NAMESPACE/TENANT, such as contoso`},
		"no such argument": {[]string{"version", "now"}, interceptor.Funcs{}, `unknown command "now" for "kubectl bailiwick version"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t, objects: objects(t, "healthy.yaml"), calls: test.calls}
			err := b.run(test.args...)
			if err == nil || err.Error() != test.want {
				t.Errorf("error is %v\nwant %s", err, test.want)
			}
			if b.out.Len() > 0 {
				t.Errorf("printed %q", b.out.String())
			}
		})
	}
}

func TestWhatMayNotBeReadIsShownAsUnknown(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, objects: objects(t, "healthy.yaml"), calls: interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			switch o.(type) {
			case *v1alpha1.MailboxRegion:
				return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "mailboxregions"}, key.Name, nil)
			case *v1alpha1.SovereignCloud:
				return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "sovereignclouds"}, key.Name, nil)
			}
			return c.Get(ctx, key, o, options...)
		},
	}}
	if err := b.run("status"); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-forbidden", b.out.String())
}

func TestTheSameFactsGiveTheSameOutputInAnyOrder(t *testing.T) {
	t.Parallel()
	var outputs []string
	for _, files := range [][]string{{"trouble.yaml", "healthy.yaml"}, {"healthy.yaml", "trouble.yaml"}} {
		var list []client.Object
		seen := map[string]bool{}
		for _, o := range objects(t, files...) {
			// What both files have, one has.
			if id := o.GetObjectKind().GroupVersionKind().Kind + client.ObjectKeyFromObject(o).String(); !seen[id] && o.GetName() != "contoso" {
				seen[id] = true
				list = append(list, o)
			}
		}
		b := &bench{t: t, objects: list}
		if err := b.run("status", "-A", "-o", "json"); err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, b.out.String())
	}
	if outputs[0] != outputs[1] {
		t.Errorf("one order gives\n%s\nand the other\n%s", outputs[0], outputs[1])
	}
	if !json.Valid([]byte(outputs[0])) {
		t.Error("it is not JSON")
	}
}

func TestColourIsForTerminalsAndThoseWhoAskForIt(t *testing.T) {
	t.Parallel()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to try: %v", err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tests := map[string]struct {
		out         *os.File
		flag        string
		environment map[string]string
		want        bool
	}{
		"a terminal":                    {terminal, colourAuto, nil, true},
		"a terminal without colours":    {terminal, colourAuto, map[string]string{"TERM": "dumb"}, false},
		"a terminal with NO_COLOR":      {terminal, colourAuto, map[string]string{"NO_COLOR": "1"}, false},
		"a flag stronger than NO_COLOR": {terminal, colourAlways, map[string]string{"NO_COLOR": "1"}, true},
		"a file":                        {file, colourAuto, nil, false},
		"a file, on demand":             {file, colourAlways, nil, true},
		"never":                         {terminal, colourNever, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, environment: test.environment}
			p := b.plugin()
			p.Out, p.colour = test.out, test.flag
			if got := p.painter().colour; got != test.want {
				t.Errorf("colour: %t, want %t", got, test.want)
			}
		})
	}
}

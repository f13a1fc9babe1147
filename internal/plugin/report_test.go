package plugin

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"
)

// unpack gives the files of an archive, one after the other.
func unpack(t *testing.T, file string) string {
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
	var b strings.Builder
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "-- %s --\n", header.Name)
		if _, err := io.Copy(&b, r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAReportHoldsWhatHelpsAndNothingSecret(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, objects: objects(t, "report.yaml")}
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	if err := b.run("report", "--file", file); err != nil {
		t.Fatal(err)
	}
	got := unpack(t, file)
	for line := range strings.Lines(got) {
		if strings.Contains(line, "planted") {
			t.Errorf("the report gives away: %s", line)
		}
	}
	golden(t, "report", got)
	want := file + " holds 5 objects and 2 events; 13 values were redacted, see redactions.yaml in it. Look through it before you pass it on.\n"
	if diff := cmp.Diff(want, b.out.String()); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the report is %v, %v, want a file of its owner alone", info.Mode(), err)
	}
	if err := b.run("report", "-f", file); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "choose another name with --file") {
		t.Errorf("over a report that is there: %v", err)
	}
}

func TestAReportOfANamespaceHasTheCloudsAndNothingElse(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, objects: objects(t, "healthy.yaml")}
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	if err := b.run("report", "--file", file, "-n", "contoso"); err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(unpack(t, file)) {
		if name, ok := strings.CutPrefix(line, "-- report/"); ok {
			names = append(names, strings.TrimSuffix(name, " --\n"))
		}
	}
	want := []string{
		"objects/sovereignclouds/worldwide.yaml", "objects/tenants/contoso/contoso.yaml", "objects/sharedmailboxes/contoso/sales.yaml",
		"objects/sensitivitylabels/contoso/internal.yaml", "events.yaml", "index.yaml", "redactions.yaml",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestAReportSaysWhatMayNotBeRead(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, objects: objects(t, "report.yaml"), calls: interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if list.GetObjectKind().GroupVersionKind().Kind == "PodList" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(`User "anna@contoso.example" cannot list`))
			}
			return c.List(ctx, list, options...)
		},
	}}
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	if err := b.run("report", "--file", file); err != nil {
		t.Fatal(err)
	}
	want := "left out: list pods in all namespaces: pods is forbidden: User \"REDACTED@contoso.example\" cannot list: ask an administrator of the cluster for the verb \"list\" on \"pods\"\n"
	if diff := cmp.Diff(want, b.err.String()); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
	if got := unpack(t, file); !strings.Contains(got, "list pods in all namespaces: pods is forbidden") || !strings.Contains(got, "statefulsets/regions-eu/paris-sync.yaml") {
		t.Errorf("the report has\n%s", got)
	}
}

func TestAReportThatFailsLeavesNoFile(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, calls: interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "SovereignCloud"}}
		},
	}}
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	err := b.run("report", "--file", file)
	if err == nil || !strings.Contains(err.Error(), "this cluster does not have the kind SovereignCloud: choose another cluster") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestATextIsRedactedWhereItIsSecret(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"nothing secret": "nothing secret",
		`Secret "paris-db" has no key "ca.crt": add it`:           `Secret "paris-db" has no key "ca.crt": add it`,
		`Secret "paris-db" has no key "dsn": add it`:              `Secret "paris-db" has no key "dsn": ` + redacted + ` it`,
		"postgres://u:p@h/d":                                      redacted,
		"see postgres://u:p w@h:5/d?x=y, then":                    "see " + redacted + " then",
		"https://host.example/path":                               "https://host.example/path",
		"host=db password=x user=u":                               "host=db password=" + redacted + " user=u",
		"password = 'a b' user=u":                                 "password = " + redacted + " user=u",
		`{"accessKey":"x","user":"u"}`:                            `{"accessKey":` + redacted + `,"user":"u"}`,
		"AccountKey=abc==;EndpointSuffix=x":                       "AccountKey=" + redacted + ";EndpointSuffix=x",
		"Bearer abcdefghijklmnopq":                                "Bearer " + redacted,
		"eyJhbGciOiJub25l.eyJzdWIi.":                              redacted,
		"a -----BEGIN EC PRIVATE KEY-----\nx\n":                   "a " + redacted,
		`mailbox "anna@contoso.example" is`:                       `mailbox "` + redacted + `@contoso.example" is`,
		"anna.o'neil+x@mail.contoso.example":                      redacted + "@mail.contoso.example",
		"ghcr.io/bailiwick-dev/bailiwick@sha256:0123456789abcdef": "ghcr.io/bailiwick-dev/bailiwick@sha256:0123456789abcdef",
		"system:serviceaccount:bailiwick-system:operator":         "system:serviceaccount:bailiwick-system:operator",
	}
	for text, want := range tests {
		r := &redactor{}
		if got := r.text("", text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if (text != want) != (len(r.list) > 0) {
			t.Errorf("%q: %d redactions are listed", text, len(r.list))
		}
	}
}

func TestFieldsThatRepeatOthersAreLeftOut(t *testing.T) {
	t.Parallel()
	object := map[string]any{"metadata": map[string]any{"name": "a", "managedFields": []any{map[string]any{"manager": "kubectl"}}}}
	r := &redactor{}
	r.fields("", object)
	if diff := cmp.Diff(map[string]any{"metadata": map[string]any{"name": "a"}}, object); diff != "" || len(r.list) > 0 {
		t.Errorf("the object (-want +got):\n%s\nand %d redactions", diff, len(r.list))
	}
}

// FuzzRedact holds that what stands in a place for secrets is never shown, whatever it
// is, and that redacting twice changes nothing.
func FuzzRedact(f *testing.F) {
	for _, seed := range []string{"s3cret", "a b", `"quoted"`, "postgres://u:p@h/d", "\x00\xff", "REDACTED", "-----BEGIN PRIVATE KEY-----"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		const mark = "9f27c1"
		secret = mark + strings.ToValidUTF8(secret, "") + mark
		object := map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{"example.com/a": secret}},
			"spec": map[string]any{
				"password":   secret,
				"containers": []any{map[string]any{"env": []any{map[string]any{"name": "A", "value": secret}}, "args": []any{"--token", secret}}},
				"text":       "postgres://u:" + strings.NewReplacer("/", "", "\n", "", "'", "", `"`, "").Replace(secret) + "@h/d",
			},
		}
		r := &redactor{}
		r.fields("", object)
		once, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(once), mark) {
			t.Errorf("the secret is shown:\n%s", once)
		}
		r.fields("", object)
		if twice, err := yaml.Marshal(object); err != nil || string(twice) != string(once) {
			t.Errorf("redacting twice gives, %v\n%s\nand once\n%s", err, twice, once)
		}
	})
}

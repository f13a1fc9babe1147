package cast_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
)

// samples reads the objects of a kind from config/samples.
func samples[T any](t *testing.T, kind string) map[cast.Object]T {
	t.Helper()
	files, err := filepath.Glob("../../../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("config/samples: %v, %v", files, err)
	}
	found := map[cast.Object]T{}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if object.GetKind() != kind {
				continue
			}
			var value T
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &value); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			found[cast.Object{Namespace: object.GetNamespace(), Name: object.GetName()}] = value
		}
	}
	return found
}

func names[T any](objects map[cast.Object]T) []string {
	var all []string
	for name := range objects {
		all = append(all, name.String())
	}
	slices.Sort(all)
	return all
}

func TestCastIsThatOfTheSamples(t *testing.T) {
	t.Parallel()
	want := []string{cast.Acme.String(), cast.Agency.String(), cast.Contoso.String()}
	tenants := samples[v1alpha1.Tenant](t, "Tenant")
	if diff := cmp.Diff(want, names(tenants)); diff != "" {
		t.Error(diff)
	}
	want = []string{cast.Virginia.String(), cast.Paris.String(), cast.Chicago.String()}
	slices.Sort(want)
	if diff := cmp.Diff(want, names(samples[v1alpha1.MailboxRegion](t, "MailboxRegion"))); diff != "" {
		t.Error(diff)
	}
	issuers := map[v1alpha1.ObjectName]string{}
	for _, issuer := range []cast.Issuer{cast.Worldwide(), cast.GCCHigh()} {
		issuers[v1alpha1.ObjectName(issuer.Cloud)] = issuer.URL()
	}
	for name, tenant := range tenants {
		oidc := tenant.Spec.Identity.OIDC
		if oidc == nil || oidc.Issuer != issuers[tenant.Spec.Cloud] || !slices.Contains(oidc.Audiences, cast.Audience) {
			t.Errorf("%s: identity %+v", name, oidc)
		}
		bundle := tenant.Spec.Identity.CABundle
		if bundle == nil || bundle.SecretRef == nil || bundle.SecretRef.Name != cast.CASecret || bundle.SecretRef.Key != cast.CAKey {
			t.Errorf("%s: caBundle %+v", name, bundle)
		}
	}
}

func TestResidentsBelongToTheirTenants(t *testing.T) {
	t.Parallel()
	tenants := samples[v1alpha1.Tenant](t, "Tenant")
	for _, r := range cast.Residents() {
		tenant := tenants[r.Tenant]
		_, domain, _ := strings.Cut(r.Email, "@")
		if !slices.Contains(tenant.Spec.Domains, v1alpha1.MailDomain(domain)) || string(tenant.Spec.Cloud) != r.Cloud {
			t.Errorf("%s: tenant %s has domains %v in cloud %q", r.Email, r.Tenant, tenant.Spec.Domains, tenant.Spec.Cloud)
		}
		if got := tenant.Spec.HomeRegion.String(); got != r.Home.String() {
			t.Errorf("%s: home %s, tenant has %s", r.Email, r.Home, got)
		}
		if got := cast.Person(r.Email).Name; got == r.Email {
			t.Errorf("%s: no issuer knows them", r.Email)
		}
		if others := cast.Correspondents(r.Email); len(others) < 2 {
			t.Errorf("%s: %d correspondents", r.Email, len(others))
		}
	}
	if got := cast.Person("nobody@x").Name; got != "nobody@x" {
		t.Errorf("got %q", got)
	}
}

func TestSharedMailboxesAreThoseOfTheSamples(t *testing.T) {
	t.Parallel()
	mailboxes := samples[v1alpha1.SharedMailbox](t, "SharedMailbox")
	if len(mailboxes) != len(cast.SharedMailboxes()) {
		t.Errorf("%d shared mailboxes, the samples have %d", len(cast.SharedMailboxes()), len(mailboxes))
	}
	for _, m := range cast.SharedMailboxes() {
		sample := mailboxes[m.Object]
		var members []string
		for _, member := range sample.Spec.Members {
			members = append(members, string(member.User))
		}
		if sample.Spec.DisplayName != m.Name || !slices.Equal(members, m.Members) {
			t.Errorf("%s: sample %+v", m.Object, sample.Spec)
		}
	}
}

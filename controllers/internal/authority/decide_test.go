package authority

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func clientKey(s *corev1.Secret) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

// issued is a certificate of 90 days that was issued at now.
func issued(t *testing.T) Facts {
	t.Helper()
	a := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	request := Request{
		Hosts:     ServingHosts("virginia.sync.agency.us", "virginia-sync", "regions-gcch"),
		Algorithm: v1alpha1.KeyECDSAP256,
		Lifetime:  DefaultLifetime,
	}
	return Facts{Now: now, Cloud: "gcc-high", Authority: a, Wanted: request, Serving: Examine(a, issue(t, a, request, now))}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	base := issued(t)
	other := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	foreign := newAuthority(t, "worldwide", v1alpha1.KeyECDSAP256, now)
	lifetime := base.Serving.NotAfter.Sub(base.Serving.NotBefore)
	twoThirds := base.Serving.NotBefore.Add(lifetime * 2 / 3)
	for name, tc := range map[string]struct {
		change func(*Facts)
		want   Action
		reason string
		serves bool
	}{
		"fresh":                         {func(*Facts) {}, Keep, "", true},
		"hosts in another order":        {func(f *Facts) { f.Wanted.Hosts = []string{f.Wanted.Hosts[2], f.Wanted.Hosts[0], f.Wanted.Hosts[1]} }, Keep, "", true},
		"a moment before two thirds":    {func(f *Facts) { f.Now = twoThirds.Add(-time.Second) }, Keep, "", true},
		"at two thirds":                 {func(f *Facts) { f.Now = twoThirds }, Reissue, "two thirds", true},
		"expired":                       {func(f *Facts) { f.Now = f.Serving.NotAfter }, Reissue, "expired", false},
		"clock before the certificate":  {func(f *Facts) { f.Now = f.Serving.NotBefore.Add(-time.Second) }, Reissue, "not valid yet", false},
		"no secret":                     {func(f *Facts) { f.Serving = nil }, Issue, "no certificate yet", false},
		"malformed secret":              {func(f *Facts) { f.Serving = Examine(f.Authority, nil) }, Reissue, "tls.crt: no PEM certificate", false},
		"changed hostname":              {func(f *Facts) { f.Wanted.Hosts = ServingHosts("ohio.sync.agency.us", "virginia-sync", "regions-gcch") }, Reissue, "ohio.sync.agency.us", true},
		"other key algorithm":           {func(f *Facts) { f.Wanted.Algorithm = v1alpha1.KeyECDSAP384 }, Reissue, "ECDSA-P384", true},
		"shorter lifetime":              {func(f *Facts) { f.Wanted.Lifetime = time.Hour }, Reissue, "longer than 1h0m0s", true},
		"longer lifetime":               {func(f *Facts) { f.Wanted.Lifetime = 2 * DefaultLifetime }, Keep, "", true},
		"root replaced":                 {func(f *Facts) { f.Authority = other }, Reissue, "not of the authority", true},
		"no authority":                  {func(f *Facts) { f.Authority = nil }, Wait, "not usable", true},
		"no authority, no secret":       {func(f *Facts) { f.Authority, f.Serving = nil, nil }, Wait, "not usable", false},
		"authority of another cloud":    {func(f *Facts) { f.Authority = foreign }, Wait, `of cloud "worldwide"`, true},
		"authority expired":             {func(f *Facts) { f.Now = now.Add(RootLifetime) }, Wait, "expired", false},
		"published root is another one": {func(f *Facts) { s := *f.Serving; s.bundle = other.Fingerprint(); f.Serving = &s }, Reissue, "published root", true},
	} {
		f := base
		tc.change(&f)
		got := Decide(f)
		if got.Action != tc.want || !strings.Contains(got.Reason, tc.reason) || (tc.reason == "") != (got.Reason == "") || got.Serves != tc.serves {
			t.Errorf("%s: %+v, want %s with reason %q, serves %t", name, got, tc.want, tc.reason, tc.serves)
		}
	}
}

func TestKeptCertificateIsDueAtTwoThirds(t *testing.T) {
	t.Parallel()
	f := issued(t)
	d := Decide(f)
	if d.RenewAt.IsZero() || !d.NotAfter.Equal(f.Serving.NotAfter) {
		t.Fatalf("%+v", d)
	}
	f.Now = d.RenewAt
	if got := Decide(f).Action; got != Reissue {
		t.Errorf("at RenewAt the action is %s", got)
	}
}

func TestCertificateThatEndsWithTheRootIsNotReplacedInALoop(t *testing.T) {
	t.Parallel()
	f := issued(t)
	f.Now = f.Authority.NotAfter().Add(-time.Hour)
	f.Serving = Examine(f.Authority, issue(t, f.Authority, f.Wanted, f.Now))
	if !f.Serving.NotAfter.Equal(f.Authority.NotAfter()) {
		t.Fatalf("the certificate ends at %s, the root at %s", f.Serving.NotAfter, f.Authority.NotAfter())
	}
	f.Now = f.Now.Add(50 * time.Minute)
	if d := Decide(f); d.Action != Keep || !d.RenewAt.IsZero() {
		t.Errorf("%+v, want Keep without a time", d)
	}
}

func TestServingSecretThatCannotBeLoadedSaysWhy(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "gcc-high", v1alpha1.KeyECDSAP256, now)
	request := Request{Hosts: []string{"a.example"}, Algorithm: v1alpha1.KeyECDSAP256, Lifetime: time.Hour}
	one, two := issue(t, a, request, now), issue(t, a, request, now)
	for name, tc := range map[string]struct {
		data map[string][]byte
		want string
	}{
		"no key":       {map[string][]byte{corev1.TLSCertKey: one[corev1.TLSCertKey]}, "tls.key: no PEM private key"},
		"swapped keys": {map[string][]byte{corev1.TLSCertKey: one[corev1.TLSCertKey], corev1.TLSPrivateKeyKey: two[corev1.TLSPrivateKeyKey]}, "tls.key: does not match"},
	} {
		if got := Examine(a, tc.data).Problem; !strings.Contains(got, tc.want) {
			t.Errorf("%s: problem %q, want %q", name, got, tc.want)
		}
	}
	without := map[string][]byte{corev1.TLSCertKey: one[corev1.TLSCertKey], corev1.TLSPrivateKeyKey: one[corev1.TLSPrivateKeyKey]}
	f := Facts{Now: now, Cloud: "gcc-high", Authority: a, Wanted: request, Serving: Examine(a, without)}
	if d := Decide(f); d.Action != Reissue || !strings.Contains(d.Reason, "published root") {
		t.Errorf("without ca.crt: %+v", d)
	}
}

func BenchmarkDecide(b *testing.B) {
	data, err := Generate("gcc-high", v1alpha1.KeyECDSAP256, now)
	if err != nil {
		b.Fatal(err)
	}
	a, err := Parse("gcc-high", secretOf("gcc-high", data))
	if err != nil {
		b.Fatal(err)
	}
	request := Request{Hosts: ServingHosts("a.example", "a-sync", "n"), Algorithm: v1alpha1.KeyECDSAP256, Lifetime: DefaultLifetime}
	serving, err := a.Issue(request, now)
	if err != nil {
		b.Fatal(err)
	}
	f := Facts{Now: now, Cloud: "gcc-high", Authority: a, Wanted: request, Serving: Examine(a, serving)}
	for b.Loop() {
		if Decide(f).Action != Keep {
			b.Fatal("not kept")
		}
	}
}

package tenant

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// withSMIME turns the feature on, with what its certificates came to.
func withSMIME(f *Facts, came smimeFacts) {
	f.Tenant.Spec.Features.SMIME = true
	f.Tenant.Spec.SMIME = &v1alpha1.TenantSMIME{
		TrustAnchors: &v1alpha1.CertificateSource{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "roots", Key: "ca.crt"}},
		Outgoing:     v1alpha1.SMIMEOutgoing{RequireSigned: true},
	}
	f.SMIME = came
}

func TestSMIMEIsRenderedWhileTheFeatureIsOn(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	withSMIME(f, smimeFacts{roots: testCertificate, intermediates: testCertificate})
	want := &tenantdoc.SMIME{Roots: testCertificate, Intermediates: testCertificate, Outgoing: tenantdoc.SMIMEOutgoing{RequireSigned: true}}
	for region, document := range planned(t, decide(f)) {
		if diff := cmp.Diff(want, document.SMIME); diff != "" || !document.Features.SMIME {
			t.Errorf("%s: -want +got:\n%s", region, diff)
		}
	}
	if c := condition(report(f, decide(f), apply.Outcome{}), v1alpha1.ConditionSMIMEReady); c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonTrustAnchorsRead {
		t.Errorf("condition %+v", c)
	}
	f.Tenant.Spec.Features.SMIME = false
	for region, document := range planned(t, decide(f)) {
		if document.SMIME != nil {
			t.Errorf("%s: rendered with the feature off", region)
		}
	}
	if c := condition(report(f, decide(f), apply.Outcome{}), v1alpha1.ConditionSMIMEReady); c.Type != "" {
		t.Errorf("condition %+v with the feature off", c)
	}
}

func TestCertificatesThatCannotBeReadLeaveThoseThatAreServed(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	withSMIME(f, smimeFacts{roots: testCertificate})
	f.serve(t)
	f.SMIME = smimeFacts{problem: &problem{reason: v1alpha1.ReasonConfigMapNotFound, message: "there: do that"}}
	f.Tenant.Spec.Suspend, f.Tenant.Spec.SMIME.Outgoing.RequireEncrypted = true, true
	d := decide(f)
	documents := planned(t, d)
	if len(documents) != 2 {
		t.Fatalf("%d documents", len(documents))
	}
	for region, document := range documents {
		if document.SMIME == nil || document.SMIME.Roots != testCertificate || !document.SMIME.Outgoing.RequireEncrypted || !document.Suspended {
			t.Errorf("%s: %+v", region, document.SMIME)
		}
	}
	status := report(f, d, apply.Outcome{})
	if c := condition(status, v1alpha1.ConditionSMIMEReady); c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonConfigMapNotFound || c.Message != "there: do that" {
		t.Errorf("condition %+v", c)
	}
	if c := condition(status, v1alpha1.ConditionReady); c.Reason != v1alpha1.ReasonConfigMapNotFound {
		t.Errorf("Ready %+v", c)
	}
	f.Documents = nil
	for region, document := range planned(t, decide(f)) {
		if document.SMIME == nil || document.SMIME.Roots != "" || !document.SMIME.Outgoing.RequireSigned {
			t.Errorf("%s, served nothing before: %+v", region, document.SMIME)
		}
	}
}

func TestAbsentTrustAnchorsAreTold(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.Tenant.Spec.Features.SMIME = true
	c := condition(report(f, decide(f), apply.Outcome{}), v1alpha1.ConditionSMIMEReady)
	if c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonNoTrustAnchors || !strings.Contains(c.Message, "spec.smime.trustAnchors") {
		t.Errorf("condition %+v", c)
	}
}

// shelf answers with objects by name and counts.
type shelf struct {
	client.Reader

	configMaps map[string]string
	secrets    map[string]string
	err        error
	reads      int
}

func (s *shelf) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	s.reads++
	if s.err != nil {
		return s.err
	}
	switch object := into.(type) {
	case *corev1.ConfigMap:
		if text, ok := s.configMaps[key.Name]; ok && key.Namespace == "agency" {
			object.Data = map[string]string{"ca.crt": text}
			return nil
		}
	case *corev1.Secret:
		if text, ok := s.secrets[key.Name]; ok && key.Namespace == "agency" {
			object.Data = map[string][]byte{"ca.crt": []byte(text)}
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, key.Name)
}

// versioned says that what a tenant names has a version.
func versioned(version string) sourceVersions {
	return func(context.Context, *v1alpha1.Tenant) (string, error) { return version, nil }
}

func TestCertificatesOfEachSourceAreReadAndChecked(t *testing.T) {
	t.Parallel()
	live := &shelf{configMaps: map[string]string{"good": testCertificate, "noise": "noise"}, secrets: map[string]string{"good": testCertificate, "noise": "noise"}}
	fromConfigMap := func(name v1alpha1.ObjectName, key string) *v1alpha1.CertificateSource {
		return &v1alpha1.CertificateSource{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: name, Key: key}}
	}
	fromSecret := func(name v1alpha1.ObjectName, key string) *v1alpha1.CertificateSource {
		return &v1alpha1.CertificateSource{SecretRef: &v1alpha1.SecretKeyReference{Name: name, Key: key}}
	}
	for name, tc := range map[string]struct {
		source  *v1alpha1.CertificateSource
		reason  string
		message []string
	}{
		"a ConfigMap":         {fromConfigMap("good", "ca.crt"), "", nil},
		"a Secret":            {fromSecret("good", "ca.crt"), "", nil},
		"inline":              {&v1alpha1.CertificateSource{PEM: testCertificate}, "", nil},
		"no such ConfigMap":   {fromConfigMap("gone", "ca.crt"), v1alpha1.ReasonConfigMapNotFound, []string{`ConfigMap "agency/gone" of spec.smime.intermediates.configMapRef`, "create it"}},
		"no such Secret":      {fromSecret("gone", "ca.crt"), v1alpha1.ReasonSecretNotFound, []string{`Secret "agency/gone" of spec.smime.intermediates.secretRef`, "create it"}},
		"no such key":         {fromConfigMap("good", "tls.crt"), v1alpha1.ReasonConfigMapMalformed, []string{`key "tls.crt" of ConfigMap "agency/good"`, "put the PEM certificates"}},
		"noise in one":        {fromConfigMap("noise", "ca.crt"), v1alpha1.ReasonConfigMapMalformed, []string{"no PEM certificate"}},
		"noise in the other":  {fromSecret("noise", "ca.crt"), v1alpha1.ReasonSecretMalformed, []string{"no PEM certificate"}},
		"noise that is typed": {&v1alpha1.CertificateSource{PEM: "noise"}, v1alpha1.ReasonInvalidSpec, []string{"spec.smime.intermediates.pem: no PEM certificate"}},
	} {
		f := goodFacts(t)
		withSMIME(f, smimeFacts{})
		f.Tenant.Spec.SMIME.TrustAnchors = fromConfigMap("good", "ca.crt")
		f.Tenant.Spec.SMIME.Intermediates = tc.source
		a := anchors{live: live, sources: versioned("1")}
		got, err := a.get(t.Context(), f.Tenant, now.Time)
		if err != nil || (got.problem == nil) != (tc.reason == "") {
			t.Errorf("%s: %+v, %v", name, got.problem, err)
			continue
		}
		if got.problem == nil {
			if got.roots != testCertificate || got.intermediates != testCertificate {
				t.Errorf("%s: other certificates", name)
			}
			continue
		}
		for _, part := range tc.message {
			if got.problem.reason != tc.reason || !strings.Contains(got.problem.message, part) {
				t.Errorf("%s: %q, %q; want %q with %q", name, got.problem.reason, got.problem.message, tc.reason, part)
			}
		}
	}
}

func TestCertificatesAreReadAgainOnlyForAReason(t *testing.T) {
	t.Parallel()
	live := &shelf{configMaps: map[string]string{}}
	f := goodFacts(t)
	withSMIME(f, smimeFacts{})
	a, at := anchors{live: live, sources: versioned("1")}, now.Time
	step := func(name string, reads int, bad bool) {
		t.Helper()
		got, err := a.get(t.Context(), f.Tenant, at)
		if err != nil || live.reads != reads || (got.problem != nil) != bad {
			t.Errorf("%s: %d reads, want %d; problem %+v, %v", name, live.reads, reads, got.problem, err)
		}
	}
	step("missing", 1, true)
	step("at once again", 1, true)
	live.configMaps["roots"] = testCertificate
	at = at.Add(bundleRetry)
	step("after a while", 2, false)
	at = at.Add(24 * time.Hour)
	step("a good one, a day later", 2, false)
	f.Tenant.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	step("asked for", 3, false)
	a.sources = versioned("2")
	step("another version", 4, false)
	step("the same version again", 4, false)
	f.Tenant.Generation++
	live.err = context.DeadlineExceeded
	if _, err := a.get(t.Context(), f.Tenant, at); err == nil || !strings.Contains(err.Error(), `"agency/roots"`) {
		t.Errorf("API server out of reach: %v", err)
	}
	a.forget(client.ObjectKeyFromObject(f.Tenant))
	if len(a.known) != 0 {
		t.Error("forgotten certificates are remembered")
	}
	f.Tenant.Spec.Features.SMIME = false
	live.err = nil
	step("the feature off", live.reads, false)
}

func TestTrustAnchorsReachTheRegion(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	withSMIME(&Facts{Tenant: tenant}, smimeFacts{})
	w.create(tenant)
	got := w.await(tenant, v1alpha1.ConditionSMIMEReady, v1alpha1.ReasonConfigMapNotFound)
	if c := condition(got.Status, v1alpha1.ConditionSMIMEReady); !strings.Contains(c.Message, `"`+w.tenants+`/roots"`) {
		t.Errorf("message %q does not name the ConfigMap", c.Message)
	}
	w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool {
		return d != nil && d.SMIME != nil && d.SMIME.Roots == "" && d.SMIME.Outgoing.RequireSigned
	})
	roots := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: "roots"}, Data: map[string]string{"ca.crt": testCertificate}}
	w.create(roots)
	w.await(tenant, v1alpha1.ConditionSMIMEReady, v1alpha1.ReasonTrustAnchorsRead)
	serves := func(pem string) {
		t.Helper()
		w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return d != nil && d.SMIME != nil && d.SMIME.Roots == pem })
	}
	serves(testCertificate)

	// Nobody touches the tenant from here on.
	roots.Data["ca.crt"] = testCertificate + testCertificate
	w.replace(roots)
	serves(testCertificate + testCertificate)
	w.remove(roots)
	w.await(tenant, v1alpha1.ConditionSMIMEReady, v1alpha1.ReasonConfigMapNotFound)
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: "roots"}, Data: map[string]string{"ca.crt": testCertificate}})
	serves(testCertificate)
}

func TestCertificatesOfASecretAreReadWhenItChanges(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: "roots"}, Data: map[string][]byte{"ca.crt": []byte(testCertificate)}}
	w.create(secret)
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	tenant.Spec.Features.SMIME = true
	tenant.Spec.SMIME = &v1alpha1.TenantSMIME{
		TrustAnchors: &v1alpha1.CertificateSource{SecretRef: &v1alpha1.SecretKeyReference{Name: "roots", Key: "ca.crt"}},
	}
	w.create(tenant)
	serves := func(pem string) {
		t.Helper()
		w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return d != nil && d.SMIME != nil && d.SMIME.Roots == pem })
	}
	serves(testCertificate)
	secret.Data["ca.crt"] = []byte(testCertificate + testCertificate)
	w.replace(secret)
	serves(testCertificate + testCertificate)
}

func TestTenantsAreFoundByWhatTheirCertificatesComeFrom(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	withSMIME(f, smimeFacts{})
	f.Tenant.Spec.Identity.CABundle = &v1alpha1.CABundle{SecretRef: &v1alpha1.SecretKeyReference{Name: "issuer-ca", Key: "ca.crt"}}
	f.Tenant.Spec.SMIME.Intermediates = &v1alpha1.CertificateSource{SecretRef: &v1alpha1.SecretKeyReference{Name: "between", Key: "ca.crt"}}
	want := []string{"Secret/agency/issuer-ca", "ConfigMap/agency/roots", "Secret/agency/between"}
	if diff := cmp.Diff(want, sourceNames(f.Tenant)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	f.Tenant.Spec.Identity.CABundle, f.Tenant.Spec.SMIME = nil, nil
	if got := sourceNames(f.Tenant); got != nil {
		t.Errorf("%q of a tenant that names nothing", got)
	}
}

package tenant

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

func claimant(name string, age time.Duration, held ...v1alpha1.MailDomain) *v1alpha1.Tenant {
	return &v1alpha1.Tenant{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))},
		Status:     v1alpha1.TenantStatus{HeldDomains: held},
	}
}

func TestHolderOfADomain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		claimants []*v1alpha1.Tenant
		want      string
	}{
		"nobody":              {nil, ""},
		"the only one":        {[]*v1alpha1.Tenant{claimant("a", 0)}, "n/a"},
		"the oldest":          {[]*v1alpha1.Tenant{claimant("a", time.Hour), claimant("b", 2*time.Hour)}, "n/b"},
		"the first by name":   {[]*v1alpha1.Tenant{claimant("b", time.Hour), claimant("a", time.Hour)}, "n/a"},
		"who holds it":        {[]*v1alpha1.Tenant{claimant("a", 2*time.Hour), claimant("b", time.Hour, "d.example")}, "n/b"},
		"the oldest who does": {[]*v1alpha1.Tenant{claimant("a", time.Hour, "d.example"), claimant("b", 2*time.Hour, "d.example")}, "n/b"},
		"holder of another":   {[]*v1alpha1.Tenant{claimant("a", time.Hour, "e.example"), claimant("b", 2*time.Hour)}, "n/b"},
	} {
		var l ledger
		c := claim{cloud: "gcc-high", domain: "d.example"}
		if got := l.holder(c, tc.claimants); got != tc.want {
			t.Errorf("%s: holder %q, want %q", name, got, tc.want)
		}
		slices.Reverse(tc.claimants)
		var other ledger
		if got := other.holder(c, tc.claimants); got != tc.want {
			t.Errorf("%s in reverse: holder %q, want %q", name, got, tc.want)
		}
	}
}

func TestDecidedHolderStaysWhileTheCacheIsBehind(t *testing.T) {
	t.Parallel()
	var l ledger
	c := claim{cloud: "gcc-high", domain: "d.example"}
	younger, older := claimant("younger", time.Minute), claimant("older", time.Hour)
	if got := l.holder(c, []*v1alpha1.Tenant{younger}); got != "n/younger" {
		t.Fatalf("holder %q", got)
	}
	if got := l.holder(c, []*v1alpha1.Tenant{younger, older}); got != "n/younger" {
		t.Errorf("an older tenant that the cache showed late takes the domain: %q", got)
	}
	if got := l.holder(claim{cloud: "worldwide", domain: "d.example"}, []*v1alpha1.Tenant{older}); got != "n/older" {
		t.Errorf("clouds share domains: %q", got)
	}
	l.forget("n/younger")
	if got := l.holder(c, []*v1alpha1.Tenant{younger, older}); got != "n/older" {
		t.Errorf("after forgetting: %q", got)
	}
	if got := l.holder(c, nil); got != "" || len(l.holders) != 1 {
		t.Errorf("nobody claims it: %q, %v", got, l.holders)
	}
}

func TestChangedReportsTellEnforcementFromCounts(t *testing.T) {
	t.Parallel()
	before := map[string]tenantdoc.TenantReport{"n/same": {Generation: 1}, "n/counts": {Generation: 1}, "n/newer": {Generation: 1}, "n/gone": {Generation: 1}}
	after := map[string]tenantdoc.TenantReport{"n/same": {Generation: 1}, "n/counts": {Generation: 1, Mailboxes: 2}, "n/newer": {Generation: 2}, "n/new": {Generation: 1}}
	enforcement, counts := changed(before, after)
	slices.Sort(enforcement)
	if diff := cmp.Diff([]string{"n/gone", "n/new", "n/newer"}, enforcement); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"n/counts"}, counts); diff != "" {
		t.Error(diff)
	}
	if e, c := changed(nil, nil); e != nil || c != nil {
		t.Errorf("nothing changed, and yet %v, %v", e, c)
	}
}

func TestReportsThatCannotBeReadSayNothing(t *testing.T) {
	t.Parallel()
	var r reports
	for n, raw := range []string{"", "noise", `{"version":"2","tenants":{"a/b":{"generation":1}}}`} {
		cm := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "r", UID: "1", ResourceVersion: string(rune('a' + n))},
			Data:       map[string]string{tenantdoc.ReportKey: raw},
		}
		if got := r.read(cm); got != nil {
			t.Errorf("%q says %v", raw, got)
		}
		r.forget(cm)
	}
	if len(r.known) != 0 {
		t.Errorf("%d reports are remembered after forgetting", len(r.known))
	}
}

func TestStatusWaitsForRegionsOnlyForAMoment(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.Reports = nil
	d := decide(f)
	status := report(f, d, apply.Outcome{})
	var s settling
	if got := s.wait(f, d, apply.Outcome{}, &status); got != 0 {
		t.Errorf("waits %s although nothing was written", got)
	}
	if got := s.wait(f, d, apply.Outcome{Written: 3}, &status); got != settleFor {
		t.Errorf("waits %s after a write, want %s", got, settleFor)
	}
	f.Now = metav1.NewTime(now.Add(settleFor / 2))
	if got := s.wait(f, d, apply.Outcome{}, &status); got != settleFor/2 {
		t.Errorf("waits %s, want the rest of the moment", got)
	}
	f.Now = metav1.NewTime(now.Add(settleFor))
	if got := s.wait(f, d, apply.Outcome{}, &status); got != 0 {
		t.Errorf("waits %s after the moment", got)
	}
	f.Policies = []string{"p"}
	told := report(f, d, apply.Outcome{})
	if got := s.wait(f, d, apply.Outcome{Written: 1}, &told); got != 0 {
		t.Errorf("a problem that a person must solve waits %s", got)
	}
}

// secrets answers with one Secret and counts.
type secrets struct {
	client.Reader

	secret *corev1.Secret
	err    error
	reads  int
}

func (s *secrets) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	s.reads++
	target, ok := into.(*corev1.Secret)
	switch {
	case s.err != nil:
		return s.err
	case !ok || s.secret == nil || key.Namespace != "agency" || key.Name != "issuer-ca":
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	s.secret.DeepCopyInto(target)
	return nil
}

func TestBundleIsReadAgainOnlyForAReason(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	tenant := f.Tenant
	tenant.Spec.Identity.CABundle = &v1alpha1.CABundle{SecretRef: &v1alpha1.SecretKeyReference{Name: "issuer-ca", Key: "ca.crt"}}
	live := &secrets{}
	b := bundles{live: live, sources: versioned("1")}
	at := now.Time
	get := func(failing bool) (string, *problem) {
		t.Helper()
		pem, p, err := b.get(t.Context(), tenant, at, failing)
		if err != nil {
			t.Fatal(err)
		}
		return pem, p
	}
	expect := func(step string, reads int) {
		t.Helper()
		if live.reads != reads {
			t.Errorf("%s: %d reads, want %d", step, live.reads, reads)
		}
	}
	if _, p := get(false); p == nil || p.reason != v1alpha1.ReasonSecretNotFound || !strings.Contains(p.message, `"agency/issuer-ca"`) {
		t.Errorf("missing Secret: %+v", p)
	}
	get(false)
	expect("at once again", 1)
	at = at.Add(bundleRetry)
	live.secret = &corev1.Secret{Data: map[string][]byte{"ca.crt": []byte("noise"), "big": []byte(strings.Repeat("x", maxBundle+1))}}
	if _, p := get(false); p == nil || p.reason != v1alpha1.ReasonSecretMalformed {
		t.Errorf("noise: %+v", p)
	}
	expect("after a while", 2)
	live.secret.Data["ca.crt"] = []byte(testCertificate)
	tenant.Generation++
	if pem, p := get(false); p != nil || pem != testCertificate {
		t.Errorf("good Secret: %q, %+v", pem, p)
	}
	at = at.Add(24 * time.Hour)
	get(false)
	expect("a good one, a day later", 3)
	get(true)
	expect("a good one while the issuer fails", 4)
	tenant.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	get(false)
	expect("asked for", 5)
	b.sources = versioned("2")
	get(false)
	expect("another version", 6)
	tenant.Spec.Identity.CABundle.SecretRef.Key = "big"
	tenant.Generation++
	if _, p := get(false); p == nil || !strings.Contains(p.message, "more than 65536 bytes") {
		t.Errorf("big one: %+v", p)
	}
	tenant.Generation++
	live.err = context.DeadlineExceeded
	if _, _, err := b.get(t.Context(), tenant, at, false); err == nil || !strings.Contains(err.Error(), "issuer-ca") {
		t.Errorf("API server out of reach: %v", err)
	}
	b.forget(client.ObjectKeyFromObject(tenant))
	if len(b.known) != 0 {
		t.Error("a forgotten bundle is remembered")
	}
}

func TestInlineBundleIsChecked(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	live := &secrets{}
	b := bundles{live: live, sources: versioned("1")}
	for n, tc := range []struct{ pem, reason string }{{testCertificate, ""}, {"noise", v1alpha1.ReasonInvalidSpec}} {
		f.Tenant.Generation = int64(n + 1)
		f.Tenant.Spec.Identity.CABundle = &v1alpha1.CABundle{PEM: tc.pem}
		_, p, err := b.get(t.Context(), f.Tenant, now.Time, false)
		if err != nil || (p == nil) != (tc.reason == "") || p != nil && p.reason != tc.reason {
			t.Errorf("%q: %+v, %v", tc.pem, p, err)
		}
	}
	if live.reads != 0 {
		t.Errorf("%d reads for an inline bundle", live.reads)
	}
}

func TestCountsArePacedByTheMinute(t *testing.T) {
	t.Parallel()
	var p pacer
	if !p.due("u", now.Time) {
		t.Error("the first count is not due")
	}
	p.written("u", now.Time)
	if p.due("u", now.Add(countsEvery-time.Second)) || !p.due("u", now.Add(countsEvery)) || !p.due("v", now.Time) {
		t.Error("counts are not due once a minute")
	}
	p.forget("u")
	if !p.due("u", now.Time) {
		t.Error("a forgotten tenant is remembered")
	}
}

const testCertificate = `-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUfUMk3Vanz/NUCIFXmDz5l/dH0h4wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjMxNjQ5MjNaGA8yMTI2MTAzMDE2NDky
M1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIfW
T6D/1lFwbfLe32HHdSSxwbSY/BL0b728iFipUpWfkp+LdE6eJixrQjuDqMF060HY
T+Yi9R92oMlf4cZYE0SjUzBRMB0GA1UdDgQWBBSA32k5jSyMXQU9+rqciUXygXBg
+jAfBgNVHSMEGDAWgBSA32k5jSyMXQU9+rqciUXygXBg+jAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQC0zTsXRP6njmbUOjAnJHbuW7NqD0GDfysc
NrV2hOt5XQIhAJZcMsl3fQcIuC17yLPVV5kV0smKC8bxLoL8dG2WHCEr
-----END CERTIFICATE-----
`

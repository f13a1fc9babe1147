package cloud

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

var now = metav1.NewTime(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))

// settled are the facts about a cloud with nothing left to do.
func settled(t *testing.T) *Facts {
	t.Helper()
	data, err := authority.Generate("gcc-high", v1alpha1.KeyECDSAP256, now.Time)
	if err != nil {
		t.Fatal(err)
	}
	secret := authoritySecret(operatorNamespace, "gcc-high", data)
	a, err := authority.Parse("gcc-high", secret)
	if err != nil {
		t.Fatal(err)
	}
	cloud := testCloud("gcc-high")
	cloud.Generation = 1
	return &Facts{Now: now, Cloud: cloud, SecretName: operatorNamespace + "/ca-gcc-high", Secret: secret, Authority: a}
}

func deletedAt(f *Facts) { f.Cloud.DeletionTimestamp = &now }

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change    func(*Facts)
		makes     bool
		finalizer bool
		prunes    int
	}{
		"settled":                      {func(*Facts) {}, false, true, 0},
		"new":                          {func(f *Facts) { f.Secret, f.Authority = nil, nil }, true, true, 0},
		"malformed":                    {func(f *Facts) { f.Authority, f.Malformed = nil, "spoilt" }, false, true, 0},
		"expired":                      {func(f *Facts) { f.Now = metav1.NewTime(now.Add(authority.RootLifetime)) }, false, true, 0},
		"deleted":                      {deletedAt, false, false, 1},
		"deleted without an authority": {func(f *Facts) { deletedAt(f); f.Secret, f.Authority = nil, nil }, false, false, 0},
		"deleted beside a foreign one": {func(f *Facts) { deletedAt(f); f.Secret = &corev1.Secret{} }, false, false, 0},
		"deleted while used":           {func(f *Facts) { deletedAt(f); f.Tenants = []string{"a/b"} }, false, true, 0},
		"deleted, used, secret lost":   {func(f *Facts) { deletedAt(f); f.Tenants, f.Secret, f.Authority = []string{"a/b"}, nil, nil }, true, true, 0},
	} {
		f := settled(t)
		tc.change(f)
		d := decide(f)
		if d.NewAuthority != tc.makes || d.Plan.Finalizer != tc.finalizer || len(d.Plan.Prune) != tc.prunes || len(d.Plan.Wanted) != 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestReportNamesProblemAndRemedy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change          func(*Facts)
		reason, message string
	}{
		"expired": {
			func(f *Facts) { f.Now = metav1.NewTime(now.Add(authority.RootLifetime)) }, v1alpha1.ReasonAuthorityExpired,
			`the authority in Secret "bailiwick-system/ca-gcc-high" is past its validity: delete the Secret`,
		},
		"malformed": {
			func(f *Facts) { f.Authority, f.Malformed = nil, "tls.key: no PEM private key" }, v1alpha1.ReasonAuthorityMalformed,
			`Secret "bailiwick-system/ca-gcc-high": tls.key: no PEM private key: restore it`,
		},
		"other key asked for": {
			func(f *Facts) { f.Cloud.Spec.Compliance.CertificateKey = v1alpha1.KeyECDSAP384 }, v1alpha1.ReasonReady, "ECDSA-P384",
		},
		"in use by many": {
			func(f *Facts) { deletedAt(f); f.Tenants = []string{"a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7"} }, v1alpha1.ReasonReady, "",
		},
	} {
		f := settled(t)
		tc.change(f)
		d := decide(f)
		status := report(f, d, applied{Authority: f.Authority})
		c := status.Conditions[len(status.Conditions)-1]
		if c.Type != v1alpha1.ConditionAuthorityReady || c.Reason != tc.reason || !strings.Contains(c.Message, tc.message) {
			t.Errorf("%s: %s %q, want %s %q", name, c.Reason, c.Message, tc.reason, tc.message)
		}
		again := f.Cloud.DeepCopy()
		again.Status = status
		f.Cloud, f.Now = again, metav1.NewTime(f.Now.Add(time.Hour))
		if second := report(f, decide(f), applied{Authority: f.Authority}); !equalStatus(t, status, second) {
			t.Errorf("%s: the status moves although nothing changed", name)
		}
	}
}

func TestUsersAreNamedUpToALimit(t *testing.T) {
	t.Parallel()
	got := quantity([]string{"a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7"}, "tenant", "tenants")
	if want := "7 tenants (a/1, a/2, a/3, a/4, a/5 and 2 more)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func equalStatus(t *testing.T, a, b v1alpha1.SovereignCloudStatus) bool {
	t.Helper()
	return equality.Semantic.DeepEqual(a, b)
}

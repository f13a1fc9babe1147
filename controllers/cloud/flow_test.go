package cloud

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

func testCloud(name string) *v1alpha1.SovereignCloud {
	return &v1alpha1.SovereignCloud{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.SovereignCloudSpec{
			Identity:    v1alpha1.CloudIdentity{TenantIssuerHosts: []v1alpha1.IssuerHostPattern{"id.example"}},
			Geographies: []v1alpha1.Geography{{Code: "NAM", Name: "North America", Countries: []v1alpha1.CountryCode{"US"}}},
		},
	}
}

func testRegion(namespace, name, cloud string) *v1alpha1.MailboxRegion {
	return &v1alpha1.MailboxRegion{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.MailboxRegionSpec{
			Cloud: v1alpha1.ObjectName(cloud), Geography: "NAM", Country: "US",
			Endpoint: v1alpha1.RegionEndpoint{Hostname: v1alpha1.Hostname(name + ".example")},
			Storage:  v1alpha1.RegionStorage{Embedded: &v1alpha1.EmbeddedStorage{Size: resource.MustParse("1Gi")}},
		},
	}
}

// readyCloud creates a cloud and waits until it is ready.
func readyCloud(t *testing.T, name string) *v1alpha1.SovereignCloud {
	t.Helper()
	create(t, testCloud(name))
	return awaitCondition(t, name, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
}

func awaitCondition(t *testing.T, name, kind, reason string) *v1alpha1.SovereignCloud {
	t.Helper()
	got := &v1alpha1.SovereignCloud{}
	eventually(t, fmt.Sprintf("cloud %q has %s with reason %s", name, kind, reason), func() bool {
		got = get(t, &v1alpha1.SovereignCloud{}, "", name)
		c := meta.FindStatusCondition(got.Status.Conditions, kind)
		return c != nil && c.Reason == reason && c.ObservedGeneration == got.Generation
	})
	return got
}

func authoritySecretOf(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	return get(t, &corev1.Secret{}, operatorNamespace, authority.SecretName(name))
}

func TestCloudGetsAnAuthorityOfItsOwn(t *testing.T) {
	one, two := readyCloud(t, "own-one"), readyCloud(t, "own-two")
	for _, cloud := range []*v1alpha1.SovereignCloud{one, two} {
		a, err := authority.Parse(cloud.Name, authoritySecretOf(t, cloud.Name))
		if err != nil {
			t.Fatal(err)
		}
		if got := cloud.Status.AuthorityNotAfter; got == nil || !got.Time.Equal(a.NotAfter()) {
			t.Errorf("authorityNotAfter is %v, want %v", got, a.NotAfter())
		}
	}
	if _, err := authority.Parse(one.Name, authoritySecretOf(t, two.Name)); err == nil {
		t.Error("the Secret of one cloud is accepted for another")
	}
	want := v1alpha1.CloudCompliance{Cryptography: "Standard", MinimumTLSVersion: "1.2", PodSecurity: "Restricted", CertificateKey: "ECDSA-P256"}
	if got := one.Status.Compliance; got != want {
		t.Errorf("compliance in force is %+v, want %+v", got, want)
	}
}

func TestMalformedAuthorityIsNeverReplaced(t *testing.T) {
	readyCloud(t, "malformed")
	secret := authoritySecretOf(t, "malformed")
	good := secret.DeepCopy()
	secret.Data[corev1.TLSPrivateKeyKey] = []byte("spoilt")
	if err := api.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	got := awaitCondition(t, "malformed", v1alpha1.ConditionAuthorityReady, v1alpha1.ReasonAuthorityMalformed)
	c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionAuthorityReady)
	if !strings.Contains(c.Message, `Secret "bailiwick-system/ca-malformed"`) || !strings.Contains(c.Message, "tls.key") || !strings.Contains(c.Message, "restore it") {
		t.Errorf("message %q does not name Secret, key and remedy", c.Message)
	}
	if meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionStalled) == nil {
		t.Error("a malformed authority is not Stalled")
	}
	if string(authoritySecretOf(t, "malformed").Data[corev1.TLSPrivateKeyKey]) != "spoilt" {
		t.Fatal("the malformed Secret was replaced")
	}
	secret = authoritySecretOf(t, "malformed")
	secret.Data = good.Data
	if err := api.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	awaitCondition(t, "malformed", v1alpha1.ConditionReady, v1alpha1.ReasonReady)
}

func TestDeletedAuthorityIsStartedAnew(t *testing.T) {
	readyCloud(t, "anew")
	before := authoritySecretOf(t, "anew")
	if err := api.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new authority", func() bool {
		secret := &corev1.Secret{}
		err := api.Get(t.Context(), client.ObjectKeyFromObject(before), secret)
		return err == nil && secret.UID != before.UID
	})
	awaitCondition(t, "anew", v1alpha1.ConditionReady, v1alpha1.ReasonReady)
}

func TestSecretOfSomebodyElseIsNotTaken(t *testing.T) {
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: authority.SecretName("taken")},
		Data:       map[string][]byte{"mine": []byte("kept")},
	})
	create(t, testCloud("taken"))
	awaitCondition(t, "taken", v1alpha1.ConditionAuthorityReady, v1alpha1.ReasonAuthorityMalformed)
	if err := api.Delete(t.Context(), testCloud("taken")); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, "taken")
	if got := authoritySecretOf(t, "taken"); string(got.Data["mine"]) != "kept" {
		t.Error("the Secret of somebody else was changed")
	}
}

func awaitGone(t *testing.T, name string) {
	t.Helper()
	eventually(t, "the cloud is gone", func() bool {
		return apierrors.IsNotFound(api.Get(t.Context(), client.ObjectKey{Name: name}, &v1alpha1.SovereignCloud{}))
	})
}

func TestCloudInUseIsNotDeleted(t *testing.T) {
	readyCloud(t, "used")
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "regions-used"}})
	region := testRegion("regions-used", "virginia", "used")
	create(t, region)
	eventually(t, "the region is counted", func() bool {
		return get(t, &v1alpha1.SovereignCloud{}, "", "used").Status.UsedBy.Regions == 1
	})
	if err := api.Delete(t.Context(), testCloud("used")); err != nil {
		t.Fatal(err)
	}
	got := awaitCondition(t, "used", v1alpha1.ConditionDeleting, v1alpha1.ReasonInUse)
	want := `cloud "used" is used by 1 region (regions-used/virginia): delete those first`
	for _, kind := range []string{v1alpha1.ConditionDeleting, v1alpha1.ConditionReady} {
		if c := meta.FindStatusCondition(got.Status.Conditions, kind); c.Message != want {
			t.Errorf("%s says %q, want %q", kind, c.Message, want)
		}
	}
	authoritySecretOf(t, "used")
	if err := api.Delete(t.Context(), region); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, "used")
	err := api.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: authority.SecretName("used")}, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the authority outlives its cloud: %v", err)
	}
}

func TestPausedCloudIsLeftAsItIs(t *testing.T) {
	cloud := testCloud("paused")
	cloud.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	create(t, cloud)
	awaitCondition(t, "paused", v1alpha1.ConditionPaused, v1alpha1.ReasonPaused)
	err := api.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: authority.SecretName("paused")}, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("a paused cloud got an authority: %v", err)
	}
	annotate(t, "paused", `{"bailiwick.dev/paused":null,"reconcile.bailiwick.dev/requestedAt":"now"}`)
	got := awaitCondition(t, "paused", v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	if got.Status.LastHandledReconcileAt != "now" || meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionPaused) != nil {
		t.Errorf("status after the pause: %+v", got.Status.ReconcileStatus)
	}
}

func annotate(t *testing.T, name, annotations string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":`+annotations+`}}`))
	if err := api.Patch(t.Context(), &v1alpha1.SovereignCloud{ObjectMeta: metav1.ObjectMeta{Name: name}}, patch); err != nil {
		t.Fatal(err)
	}
}

func TestSettledCloudIsNotWritten(t *testing.T) {
	before := readyCloud(t, "settled")
	seen := passes.Load()
	for n := range 3 {
		secret := authoritySecretOf(t, "settled")
		secret.Annotations = map[string]string{"example.com/touched": strconv.Itoa(n)}
		if err := api.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the controller looks again", func() bool { return passes.Load() > seen })
		seen = passes.Load()
	}
	if got := get(t, &v1alpha1.SovereignCloud{}, "", "settled"); got.ResourceVersion != before.ResourceVersion {
		t.Errorf("the cloud was written although nothing changed: %+v", got.Status)
	}
}

func TestNewCloudCostsThreeWrites(t *testing.T) {
	mgr, err := newManager()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := newController(mgr, Options{Namespace: operatorNamespace})
	if err := addIndexes(mgr.GetFieldIndexer()); err != nil {
		t.Fatal(err)
	}
	go func() { done <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	cloud := testCloud("counted")
	cloud.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"} // for the controller of the other tests
	create(t, cloud)
	awaitCondition(t, "counted", v1alpha1.ConditionPaused, v1alpha1.ReasonPaused)
	facts, err := c.observe(ctx, "counted")
	if err != nil || facts == nil {
		t.Fatalf("observe: %v, %v", facts, err)
	}
	facts.Cloud.Annotations = nil
	decision := decide(facts)
	outcome := c.apply(ctx, facts, decision)
	if err := outcome.Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.writer.Status(ctx, facts.Cloud, facts.Cloud.Status, report(facts, decision, outcome)); err != nil {
		t.Fatal(err)
	}
	if got := c.writer.Writes(); got != 1+2 {
		t.Errorf("%d writes for one Secret, want 3", got)
	}
}

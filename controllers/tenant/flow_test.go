package tenant

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func TestTenantWithTwoRegionsCostsFourWrites(t *testing.T) {
	w := newWorld(t)
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia, paris)
	w.create(tenant)
	w.enforce(virginia, tenant)
	w.enforce(paris, tenant)
	got := w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	if writes := w.controller.writer.Writes(); writes > 2+2 {
		t.Errorf("%d writes for 2 documents, want at most 4", writes)
	}
	if !slices.Contains(got.Finalizers, v1alpha1.Finalizer) {
		t.Error("the tenant has no finalizer")
	}
	wantStatus := v1alpha1.TenantStatus{
		ReconcileStatus: v1alpha1.ReconcileStatus{ObservedGeneration: 1},
		Home:            "virginia",
		RegionsReady:    "2/2",
		HeldDomains:     []v1alpha1.MailDomain{"agency.example"},
		Regions: []v1alpha1.TenantRegionStatus{
			{Namespace: v1alpha1.NamespaceName(w.regions), Name: "virginia", Geography: "NAM", URL: "https://virginia.example", EnforcedGeneration: 1, Mailboxes: 3, Devices: 5},
			{Namespace: v1alpha1.NamespaceName(w.regions), Name: "paris", Geography: "EUR", URL: "https://paris.example", EnforcedGeneration: 1, Mailboxes: 3, Devices: 5},
		},
		Identity: v1alpha1.ResolvedIdentity{
			Issuer: w.issuer.URL(), JWKSURI: w.issuer.URL() + "/keys", KeysFingerprint: got.Status.Identity.KeysFingerprint,
			Algorithms: []string{"ES256"}, TokenProfile: "rfc9068",
			Claims: v1alpha1.IdentityClaims{Address: "email", Name: "name", PreferredDataLocation: "xms_pdl"},
		},
		Mailboxes: 6, Devices: 10,
	}
	got.Status.Conditions = nil
	if diff := cmp.Diff(wantStatus, got.Status); diff != "" {
		t.Error(diff)
	}
	wantDocument := &tenantdoc.Document{
		Version: "1", Tenant: nameOf(tenant), UID: string(got.UID), Generation: 1, Cloud: w.cloud.Name,
		Domains: []string{"agency.example"}, Region: w.regions + "/paris",
		Regions: []tenantdoc.Region{
			{Name: w.regions + "/virginia", Geography: "NAM", URL: "https://virginia.example", Home: true},
			{Name: w.regions + "/paris", Geography: "EUR", URL: "https://paris.example"},
		},
		Issuers: []tenantdoc.Issuer{{
			Profile: tenantdoc.ProfileRFC9068, Issuer: w.issuer.URL(), JWKSURI: w.issuer.URL() + "/keys",
			AllowedHosts: []string{"127.0.0.1"}, PrivateRanges: []string{"127.0.0.0/8"}, CABundle: w.issuer.CABundle(),
			Audiences: []string{"api://bailiwick-sync"}, Algorithms: []string{"ES256"},
			Claims: tenantdoc.Claims{Address: []string{"email"}, Name: []string{"name"}, PreferredDataLocation: "xms_pdl"},
		}},
	}
	if diff := cmp.Diff(wantDocument, w.document(paris, tenant)); diff != "" {
		t.Error(diff)
	}
}

func TestTenantOfASilentRegionIsToldOfAfterAMoment(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	got := w.await(tenant, v1alpha1.ConditionRegionsReady, v1alpha1.ReasonNotEnforcedYet)
	if writes := w.controller.writer.Writes(); writes != 1+2 {
		t.Errorf("%d writes for one document, want 3", writes)
	}
	if got.Status.RegionsReady != "0/1" || meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionReconciling) == nil {
		t.Errorf("status %+v, want 0/1 and Reconciling", got.Status)
	}
}

func TestNothingIsWrittenAfterConvergence(t *testing.T) {
	if testing.Short() {
		t.Skip("watches for a minute")
	}
	w := newWorld(t)
	w.resync = 25 * time.Second
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	good, refused := w.tenant("agency", "agency.example", virginia, paris), w.tenant("acme", "agency.example", virginia)
	w.create(good)
	w.enforce(virginia, good)
	w.enforce(paris, good)
	w.await(good, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	w.create(refused)
	w.await(refused, v1alpha1.ConditionReady, v1alpha1.ReasonDomainConflict)
	before := w.versions()
	writes, passes := w.controller.writer.Writes(), w.passes.Load()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if diff := cmp.Diff(before, w.versions()); diff != "" {
			t.Fatalf("something was written after convergence: %s", diff)
		}
		time.Sleep(500 * time.Millisecond)
	}
	if got := w.controller.writer.Writes(); got != writes {
		t.Errorf("%d writes after convergence", got-writes)
	}
	if w.passes.Load() < passes+2 {
		t.Error("the resync did not bring the tenants to the controller")
	}
}

// versions are the resource versions of all that the controller may write.
func (w *world) versions() map[string]string {
	w.t.Helper()
	versions := map[string]string{}
	tenants, maps := &v1alpha1.TenantList{}, &corev1.ConfigMapList{}
	for _, list := range []struct {
		list      client.ObjectList
		namespace string
	}{{tenants, w.tenants}, {maps, w.regions}} {
		if err := api.List(w.t.Context(), list.list, client.InNamespace(list.namespace)); err != nil {
			w.t.Fatal(err)
		}
	}
	for i := range tenants.Items {
		versions[tenants.Items[i].Name] = tenants.Items[i].ResourceVersion
	}
	for i := range maps.Items {
		versions[maps.Items[i].Name] = maps.Items[i].ResourceVersion
	}
	return versions
}

func TestRegionOfAnotherCloudIsRefusedWithTheRemedy(t *testing.T) {
	w := newWorld(t)
	other := w.newCloud(w.name + "-worldwide")
	w.newRegion("virginia", "NAM")
	paris := w.newRegion("paris", "EUR", func(r *v1alpha1.MailboxRegion) { r.Spec.Cloud = v1alpha1.ObjectName(other.Name) })
	w.start()
	tenant := w.tenant("acme", "acme.example", paris)
	w.create(tenant)
	got := w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonRegionCloudMismatch)
	c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionRegionsReady)
	want := fmt.Sprintf("region %q is in cloud %q, tenant \"acme\" in %q: choose a region of %q (virginia) in spec.homeRegion", w.regions+"/paris", other.Name, w.cloud.Name, w.cloud.Name)
	if c.Message != want {
		t.Errorf("message is\n%s, want\n%s", c.Message, want)
	}
	if w.document(paris, tenant) != nil {
		t.Error("a document crossed the boundary of the cloud")
	}
	if got.Status.Home != "" || got.Status.RegionsReady != "0/1" {
		t.Errorf("status %+v", got.Status)
	}
}

func TestSecondClaimantOfADomainIsRefusedAndTheFirstKeepsServing(t *testing.T) {
	for _, order := range []string{"z-first", "a-first"} {
		t.Run(order, func(t *testing.T) {
			w := newWorld(t)
			virginia := w.newRegion("virginia", "NAM")
			w.start()
			first, second := w.tenant("z", "shared.example", virginia), w.tenant("a", "shared.example", virginia)
			if order == "a-first" {
				first, second = second, first
			}
			second.Namespace = w.others
			w.create(first)
			w.await(first, v1alpha1.ConditionDomainsReady, v1alpha1.ReasonDomainsHeld)
			w.create(second)
			got := w.await(second, v1alpha1.ConditionReady, v1alpha1.ReasonDomainConflict)
			c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionDomainsReady)
			if !strings.Contains(c.Message, `domain "shared.example" is held by tenant "`+nameOf(first)+`"`) {
				t.Errorf("message %q does not name domain and holder", c.Message)
			}
			if w.document(virginia, second) != nil || w.document(virginia, first) == nil {
				t.Error("the second claimant is served, or the first is not")
			}
			w.remove(first)
			w.await(second, v1alpha1.ConditionDomainsReady, v1alpha1.ReasonDomainsHeld)
			w.awaitDocument(virginia, second, exists)
			if w.document(virginia, first) != nil {
				t.Error("two tenants serve one domain")
			}
		})
	}
}

func TestDomainThatItsHolderDropsIsHandedOver(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	first, second := w.tenant("first", "shared.example", virginia), w.tenant("second", "second.example", virginia)
	first.Spec.Domains = append(first.Spec.Domains, "first.example")
	w.create(first)
	w.await(first, v1alpha1.ConditionDomainsReady, v1alpha1.ReasonDomainsHeld)
	w.create(second)
	w.awaitDocument(virginia, second, exists)
	w.patch(second, `{"spec":{"domains":["second.example","shared.example"]}}`)
	got := w.await(second, v1alpha1.ConditionDomainsReady, v1alpha1.ReasonDomainConflict)
	if diff := cmp.Diff([]v1alpha1.MailDomain{"second.example"}, got.Status.HeldDomains); diff != "" {
		t.Error(diff)
	}
	d := w.awaitDocument(virginia, second, func(d *tenantdoc.Document) bool { return d != nil && d.Generation == got.Generation })
	if diff := cmp.Diff([]string{"second.example"}, d.Domains); diff != "" {
		t.Errorf("a tenant that served before loses what it holds: %s", diff)
	}
	w.patch(first, `{"spec":{"domains":["first.example"]}}`)
	w.await(second, v1alpha1.ConditionDomainsReady, v1alpha1.ReasonDomainsHeld)
	d = w.awaitDocument(virginia, second, func(d *tenantdoc.Document) bool { return d != nil && len(d.Domains) == 2 })
	if got := w.document(virginia, first).Domains; slices.Contains(got, "shared.example") {
		t.Errorf("first serves %v, second %v", got, d.Domains)
	}
}

func TestUnreachableIssuerKeepsTheDocumentThroughARestart(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	w.enforce(virginia, tenant)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	before := w.document(virginia, tenant)
	w.stop()
	w.issuer.Answer(http.StatusServiceUnavailable)
	w.start()
	got := w.await(tenant, v1alpha1.ConditionIdentityReady, v1alpha1.ReasonIssuerUnreachable)
	c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionIdentityReady)
	if c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "stays in force") {
		t.Errorf("IdentityReady is %s: %s, want True and that the last good keys hold", c.Status, c.Message)
	}
	if diff := cmp.Diff(before, w.document(virginia, tenant)); diff != "" {
		t.Errorf("the document changed: %s", diff)
	}
	w.patch(tenant, `{"spec":{"suspend":true}}`)
	w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return d.Suspended && d.Generation == 2 })
	w.issuer.Answer(http.StatusOK)
	w.await(tenant, v1alpha1.ConditionIdentityReady, v1alpha1.ReasonIssuerVerified)
}

func TestRestartOverAGoodWorldWritesNothing(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	w.enforce(virginia, tenant)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	before := w.versions()
	requests := w.issuer.Requests()
	w.start()
	w.eventually(func() string {
		if w.issuer.Requests() >= requests+2 {
			return ""
		}
		return "the issuer is not asked after a restart"
	})
	passes := w.passes.Load()
	w.patch(tenant, `{"metadata":{"annotations":{"reconcile.bailiwick.dev/requestedAt":"later"}}}`)
	w.eventually(func() string {
		if w.passes.Load() > passes && w.get(tenant).Status.LastHandledReconcileAt == "later" {
			return ""
		}
		return "the request is not handled"
	})
	if got := w.controller.writer.Writes(); got != 1 {
		t.Errorf("%d writes, want only the status that echoes the request", got)
	}
	after := w.versions()
	delete(before, tenant.Name)
	delete(after, tenant.Name)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

func TestWithdrawnConsentRemovesTheDocument(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM", func(r *v1alpha1.MailboxRegion) {
		r.Spec.AllowedTenants.Namespaces = v1alpha1.AllowedNamespaces{
			From: v1alpha1.NamespacesSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"mail": "yes"}},
		}
	})
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	got := w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonRegionNotAllowed)
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionRegionsReady); !strings.Contains(c.Message, "mail=yes") {
		t.Errorf("message %q does not name the labels", c.Message)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.tenants}}
	w.patch(namespace, `{"metadata":{"labels":{"mail":"yes"}}}`)
	w.awaitDocument(virginia, tenant, exists)
	w.patch(namespace, `{"metadata":{"labels":{"mail":null}}}`)
	w.awaitDocument(virginia, tenant, vanished)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonRegionNotAllowed)
}

func TestDocumentsOfRegionsNoLongerNamedAreRemoved(t *testing.T) {
	w := newWorld(t)
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia, paris)
	w.create(tenant)
	w.awaitDocument(paris, tenant, exists)
	w.patch(tenant, `{"spec":{"regions":null}}`)
	w.awaitDocument(paris, tenant, vanished)
	d := w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return d.Generation == 2 })
	if len(d.Regions) != 1 {
		t.Errorf("regions %+v, want virginia only", d.Regions)
	}
}

func TestDeletedTenantLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia, paris)
	w.create(tenant)
	w.awaitDocument(paris, tenant, exists)
	w.awaitDocument(virginia, tenant, exists)
	w.remove(tenant)
	w.eventually(func() string {
		if apierrors.IsNotFound(api.Get(t.Context(), client.ObjectKeyFromObject(tenant), &v1alpha1.Tenant{})) {
			return ""
		}
		return "the tenant is still there"
	})
	if w.document(virginia, tenant) != nil || w.document(paris, tenant) != nil {
		t.Error("documents outlive their tenant")
	}
}

func TestDocumentThatSomebodyChangedIsPutRight(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	want := w.awaitDocument(virginia, tenant, exists)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.regions, Name: tenantdoc.ConfigMapName("virginia", nameOf(tenant))}}
	w.patch(cm, `{"data":{"document.json":null}}`)
	w.eventually(func() string {
		got := &corev1.ConfigMap{}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(cm), got); err == nil && got.Data[tenantdoc.DocumentKey] != "" {
			return ""
		}
		return "the document is not put right"
	})
	w.remove(cm)
	if diff := cmp.Diff(want, w.awaitDocument(virginia, tenant, exists)); diff != "" {
		t.Error(diff)
	}
}

func TestPausedTenantIsLeftAsItIs(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	w.awaitDocument(virginia, tenant, exists)
	w.patch(tenant, `{"metadata":{"annotations":{"bailiwick.dev/paused":"true"}},"spec":{"suspend":true}}`)
	w.await(tenant, v1alpha1.ConditionPaused, v1alpha1.ReasonPaused)
	if w.document(virginia, tenant).Suspended {
		t.Error("a paused tenant was written")
	}
	w.patch(tenant, `{"metadata":{"annotations":{"bailiwick.dev/paused":null}}}`)
	w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return d.Suspended })
	got := w.await(tenant, v1alpha1.ConditionRegionsReady, v1alpha1.ReasonNotEnforcedYet)
	if meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionPaused) != nil {
		t.Error("the tenant still says that it is paused")
	}
}

func TestBundleSecretIsReadByNameWhenItChanges(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	tenant.Spec.Identity.CABundle = &v1alpha1.CABundle{SecretRef: &v1alpha1.SecretKeyReference{Name: "issuer-ca", Key: "ca.crt"}}
	w.create(tenant)
	got := w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonSecretNotFound)
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionIdentityReady); !strings.Contains(c.Message, `"`+w.tenants+`/issuer-ca"`) {
		t.Errorf("message %q does not name the Secret", c.Message)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: "issuer-ca"}, Data: map[string][]byte{"ca.crt": []byte("noise")}}
	w.create(secret)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonSecretMalformed)
	secret.Data["ca.crt"] = []byte(w.issuer.CABundle())
	w.replace(secret)
	w.await(tenant, v1alpha1.ConditionIdentityReady, v1alpha1.ReasonIssuerVerified)
	w.awaitDocument(virginia, tenant, exists)
}

func TestBadIssuersAreToldApart(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	want := w.awaitDocument(virginia, tenant, exists)
	for n, tc := range []struct {
		spoil  func()
		reason string
	}{
		{func() { w.issuer.SetKeys() }, v1alpha1.ReasonKeysEmpty},
		{func() { w.issuer.SpeakFor("https://other.example") }, v1alpha1.ReasonIssuerMismatch},
		{func() {
			w.issuer.SpeakFor(w.issuer.URL())
			w.issuer.Publish(map[string]any{"jwks_uri": "https://elsewhere.example/keys"})
		}, v1alpha1.ReasonIssuerOutsideCloud},
		{func() { w.issuer.Publish(map[string]any{"jwks_uri": "http://127.0.0.1/keys"}) }, v1alpha1.ReasonIssuerInvalid},
		{func() { w.issuer.Answer(http.StatusNotFound) }, v1alpha1.ReasonIssuerUnreachable},
	} {
		tc.spoil()
		w.patch(tenant, fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.bailiwick.dev/requestedAt":"%d"}}}`, n))
		w.await(tenant, v1alpha1.ConditionIdentityReady, tc.reason)
		if diff := cmp.Diff(want, w.document(virginia, tenant)); diff != "" {
			t.Errorf("%s: the last good document is lost: %s", tc.reason, diff)
		}
	}
}

func TestIssuerOutsideTheCloudIsNeverAsked(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	tenant.Spec.Identity.OIDC.Issuer = strings.Replace(w.issuer.URL(), "127.0.0.1", "localhost", 1)
	w.create(tenant)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonIssuerOutsideCloud)
	if w.issuer.Requests() != 0 || w.document(virginia, tenant) != nil {
		t.Error("an issuer outside the cloud was asked, or its tenant served")
	}
	w.patch(w.cloud, `{"spec":{"identity":{"tenantIssuerHosts":["localhost"]}}}`)
	// The name resolves to an address that the cloud allows, and the certificate of
	// the test issuer does not name it.
	w.await(tenant, v1alpha1.ConditionIdentityReady, v1alpha1.ReasonIssuerInvalid)
}

func TestPrivateAddressOfAnIssuerIsRefused(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.patch(w.cloud, `{"spec":{"identity":{"privateRanges":null}}}`)
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonIssuerAddressRefused)
	if w.issuer.Requests() != 0 || w.document(virginia, tenant) != nil {
		t.Error("a private address was dialled, or the tenant served")
	}
}

func TestPolicyIsNotClaimedToBeEnforced(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia)
	w.create(tenant)
	w.enforce(virginia, tenant)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	policy := &v1alpha1.DevicePolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: "managed-phones"},
		Spec:       v1alpha1.DevicePolicySpec{Tenant: "agency", Priority: 1, Access: v1alpha1.AccessAllow},
	}
	w.create(policy)
	got := w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonUnsupported)
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionPoliciesReady); !strings.Contains(c.Message, `"managed-phones"`) {
		t.Errorf("message %q does not name the policy", c.Message)
	}
	w.remove(policy)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
}

package region

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// children of a region: what a first reconcile makes.
const children = 12

// describe lists kind, name and resource version of a list's items.
func describe(t testing.TB, list client.ObjectList) []string {
	t.Helper()
	items, err := meta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, 0, len(items))
	for _, item := range items {
		o, ok := item.(client.Object)
		if !ok {
			t.Fatalf("%T is no object", item)
		}
		lines = append(lines, fmt.Sprintf("%T %s/%s %s", o, o.GetNamespace(), o.GetName(), o.GetResourceVersion()))
	}
	slices.Sort(lines)
	return lines
}

// snapshot is the state of everything of the world's namespace.
func (w *world) snapshot() []string {
	w.t.Helper()
	var lines []string
	for _, list := range cachedLists() {
		if err := apiClient.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			w.t.Fatal(err)
		}
		for _, line := range describe(w.t, list) {
			if strings.Contains(line, " "+w.namespace+"/") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

func condition(t testing.TB, r *v1alpha1.MailboxRegion, kind string) *metav1.Condition {
	t.Helper()
	return meta.FindStatusCondition(r.Status.Conditions, kind)
}

func TestCreatingARegionCostsItsChildrenAndTwoWrites(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	if got, want := w.wire.writes.Load(), int64(children+2); got != want {
		t.Errorf("%d writes, want %d children + 2", got, children)
	}
	got := 0
	for _, line := range w.snapshot() {
		if !strings.Contains(line, "MailboxRegion") {
			got++
		}
	}
	if got != children {
		t.Errorf("%d objects were made, want %d", got, children)
	}
	t.Logf("create_region_extra_writes %d", w.wire.writes.Load()-int64(got))
}

func TestAConvergedRegionCostsNothing(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	before := w.snapshot()
	for _, when := range []string{"in the same process", "after a restart"} {
		w.wire.writes.Store(0)
		w.wire.reads.Store(0)
		w.reconcile(r)
		if writes, reads := w.wire.writes.Load(), w.wire.reads.Load(); writes != 0 || reads != 0 {
			t.Errorf("%s: %d writes and %d reads, want none", when, writes, reads)
		}
		w.restart(&wire{})
		w.wire.reads.Store(0)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("something moved (-before +after):\n%s", diff)
	}
}

func TestARegionConvergesWhicheverWriteFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := int64(1); n <= children+2; n++ {
			t.Run(fmt.Sprintf("write %d, after the effect %t", n, after), func(t *testing.T) {
				w := newWorld(t)
				r := w.region("virginia")
				w.create(r)
				w.restart(&wire{failAt: n, afterTheEffect: after})
				if _, err := w.controller.Reconcile(t.Context(), w.request(r)); err == nil {
					t.Fatal("the failure was not told")
				}
				w.settle()
				w.restart(&wire{})
				w.reconcile(r)
				w.reconcile(r)
				w.wire.writes.Store(0)
				before := w.snapshot()
				w.reconcile(r)
				if writes := w.wire.writes.Load(); writes != 0 {
					t.Errorf("%d writes after convergence, want none", writes)
				}
				if got := len(before); got != children+1 {
					t.Errorf("%d objects, want %d children and the region:\n%s", got, children, strings.Join(before, "\n"))
				}
				if c := condition(t, w.get(r), v1alpha1.ConditionCertificateReady); c == nil || c.Status != metav1.ConditionTrue {
					t.Errorf("CertificateReady is %v, want True", c)
				}
			})
		}
	}
}

func TestDriftIsCorrectedAndSaysWho(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	service := child(w, "virginia-sync", &corev1.Service{})
	service.Spec.Selector["app.kubernetes.io/name"] = "impostor"
	if err := apiClient.Update(t.Context(), service, client.FieldOwner("mallory")); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.reconcile(r)
	if got := child(w, "virginia-sync", &corev1.Service{}).Spec.Selector["app.kubernetes.io/name"]; got != appName {
		t.Errorf("selector is %q, want %q", got, appName)
	}
	if !w.events.has(t, "Warning DriftCorrected", `Service "virginia-sync"`, "spec.selector.app.kubernetes.io/name", `"mallory"`) {
		t.Errorf("no event names what was changed and who changed it: %q", w.events.notes)
	}
}

func TestALostLabelIsRestored(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	policy := child(w, "virginia-sync-deny", &networkingv1.NetworkPolicy{})
	delete(policy.Labels, apply.LabelManagedBy)
	w.update(policy)
	w.reconcile(r)
	if got := child(w, "virginia-sync-deny", &networkingv1.NetworkPolicy{}).Labels[apply.LabelManagedBy]; got != apply.ManagedBy {
		t.Errorf("label is %q, want %q", got, apply.ManagedBy)
	}
}

func TestAnObjectOfSomebodyElseIsNotTakenOver(t *testing.T) {
	w := newWorld(t)
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "virginia-ca", Namespace: w.namespace}, Data: map[string]string{"mine": "yes"}}
	w.create(foreign)
	r := w.region("virginia")
	w.create(r)
	if _, err := w.controller.Reconcile(t.Context(), w.request(r)); err == nil {
		t.Fatal("no error, want one that names the ConfigMap")
	}
	if diff := cmp.Diff(foreign.Data, child(w, "virginia-ca", &corev1.ConfigMap{}).Data); diff != "" {
		t.Errorf("the ConfigMap was changed (-want +got):\n%s", diff)
	}
	c := condition(t, w.get(r), v1alpha1.ConditionStalled)
	if c == nil || c.Reason != v1alpha1.ReasonApplyFailed || !strings.Contains(c.Message, `ConfigMap "virginia-ca": an object of this name exists`) {
		t.Errorf("Stalled is %+v, want one that names the ConfigMap and the remedy", c)
	}
}

func TestAReportIsNeverOverwritten(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	report := child(w, tenantdoc.ReportName("virginia-sync-0", 0), &corev1.ConfigMap{})
	raw, err := tenantdoc.EncodeReport(&tenantdoc.Report{Version: tenantdoc.FormatVersion, Replica: "virginia-sync-0", SyncVersion: "v9", BytesStored: 7})
	if err != nil {
		t.Fatal(err)
	}
	report.Data = map[string]string{tenantdoc.ReportKey: string(raw)}
	w.update(report)
	got := w.get(r)
	got.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	w.update(got)
	w.reconcile(r)
	if diff := cmp.Diff(report.Data, child(w, report.Name, &corev1.ConfigMap{}).Data); diff != "" {
		t.Errorf("the report changed (-want +got):\n%s", diff)
	}
	status := w.get(r).Status
	if status.SyncVersion != "v9" || status.BytesStored != 7 {
		t.Errorf("status shows version %q and %d bytes, want v9 and 7", status.SyncVersion, status.BytesStored)
	}
	if status.LastHandledReconcileAt != "now" {
		t.Errorf("lastHandledReconcileAt is %q, want %q", status.LastHandledReconcileAt, "now")
	}
}

func TestCountsAreRefreshedAtMostOnceAMinute(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	write := func(bytes int64) {
		report := child(w, tenantdoc.ReportName("virginia-sync-0", 0), &corev1.ConfigMap{})
		raw, err := tenantdoc.EncodeReport(&tenantdoc.Report{Version: tenantdoc.FormatVersion, BytesStored: bytes})
		if err != nil {
			t.Fatal(err)
		}
		report.Data = map[string]string{tenantdoc.ReportKey: string(raw)}
		w.update(report)
	}
	write(1)
	w.reconcile(r)
	write(2)
	w.now = w.now.Add(20 * time.Second)
	w.wire.writes.Store(0)
	result := w.reconcile(r)
	if got := w.get(r).Status.BytesStored; got != 1 || w.wire.writes.Load() != 0 {
		t.Errorf("after 20 seconds status shows %d bytes with %d writes, want 1 and none", got, w.wire.writes.Load())
	}
	if result.RequeueAfter != 40*time.Second {
		t.Errorf("looks again after %s, want 40s", result.RequeueAfter)
	}
	w.now = w.now.Add(40 * time.Second)
	w.reconcile(r)
	if got := w.get(r).Status.BytesStored; got != 2 {
		t.Errorf("after a minute status shows %d bytes, want 2", got)
	}
}

func TestAPausedRegionIsLeftAsItIs(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	r.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	w.create(r)
	w.reconcile(r)
	if got := w.wire.writes.Load(); got != 1 {
		t.Errorf("%d writes, want one: the status", got)
	}
	if c := condition(t, w.get(r), v1alpha1.ConditionPaused); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("Paused is %v, want True", c)
	}
	if got := len(w.snapshot()); got != 1 {
		t.Errorf("%d objects, want the region only", got)
	}
	got := w.get(r)
	got.Annotations = nil
	w.update(got)
	w.reconcile(r)
	if c := condition(t, w.get(r), v1alpha1.ConditionPaused); c != nil {
		t.Errorf("Paused is %v after the annotation was removed, want none", c)
	}
}

func TestTheCertificateIsRotatedAtTwoThirdsWithoutTouchingThePods(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	first := child(w, "virginia-sync-tls", &corev1.Secret{})
	set := child(w, "virginia-sync", &appsv1.StatefulSet{})
	result := w.reconcile(r)
	if result.RequeueAfter < 59*24*time.Hour || result.RequeueAfter > 60*24*time.Hour {
		t.Errorf("looks again after %s, want about 60 days", result.RequeueAfter)
	}
	w.now = w.now.Add(result.RequeueAfter)
	w.reconcile(r)
	second := child(w, "virginia-sync-tls", &corev1.Secret{})
	if string(first.Data[corev1.TLSCertKey]) == string(second.Data[corev1.TLSCertKey]) {
		t.Error("the certificate is the old one")
	}
	if got := child(w, "virginia-sync", &appsv1.StatefulSet{}); got.ResourceVersion != set.ResourceVersion {
		t.Error("the StatefulSet changed")
	}
	if !w.events.has(t, "Normal CertificateIssued", "two thirds") {
		t.Errorf("no event tells of the rotation: %q", w.events.notes)
	}
}

func TestAVolumeGrowsByItsClaim(t *testing.T) {
	w := newWorld(t)
	class := "growing-" + w.namespace
	w.create(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Provisioner: "example.com/none", AllowVolumeExpansion: new(true)})
	r := w.region("virginia")
	r.Spec.Storage.Embedded.StorageClassName = class
	w.create(r)
	w.reconcile(r)
	w.bindClaim(r)
	w.reconcile(r)
	got := w.get(r)
	got.Spec.Storage.Embedded.Size = resource.MustParse("80Gi")
	w.update(got)
	w.reconcile(r)
	claim := child(w, "data-virginia-sync-0", &corev1.PersistentVolumeClaim{})
	if size := claim.Spec.Resources.Requests[corev1.ResourceStorage]; size.String() != "80Gi" {
		t.Errorf("the claim asks for %s, want 80Gi", size.String())
	}
	set := child(w, "virginia-sync", &appsv1.StatefulSet{})
	if size := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage]; size.String() != "50Gi" {
		t.Errorf("the template asks for %s, want 50Gi as before", size.String())
	}
	if c := condition(t, w.get(r), v1alpha1.ConditionStorageReady); c == nil || c.Reason != v1alpha1.ReasonVolumeResizing {
		t.Errorf("StorageReady is %v, want %s", c, v1alpha1.ReasonVolumeResizing)
	}
	w.wire.writes.Store(0)
	w.reconcile(r)
	if writes := w.wire.writes.Load(); writes != 0 {
		t.Errorf("%d writes once the claim asks for enough, want none", writes)
	}
}

// bindClaim does what the controllers of StatefulSets and volumes do.
func (w *world) bindClaim(r *v1alpha1.MailboxRegion) *corev1.PersistentVolumeClaim {
	w.t.Helper()
	set := child(w, namesOf(r).sync(), &appsv1.StatefulSet{})
	claim := set.Spec.VolumeClaimTemplates[0].DeepCopy()
	claim.Name, claim.Namespace = namesOf(r).claim(), r.Namespace
	w.create(claim)
	claim.Spec.VolumeName = "volume-" + w.namespace
	w.update(claim)
	claim.Status.Phase = corev1.ClaimBound
	claim.Status.Capacity = claim.Spec.Resources.Requests
	w.updateStatus(claim)
	return claim
}

func TestARegionInWhichTenantsLiveIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	tenant := w.tenant("agency", r)
	w.create(tenant)
	w.create(w.tenant("refused", r))
	w.create(w.document(r, tenant))
	w.delete(r)
	w.reconcile(r)
	got := w.get(r)
	c := condition(t, got, v1alpha1.ConditionDeleting)
	want := fmt.Sprintf("tenant %q lives here: give them another region, or delete them", w.namespace+"/agency")
	if c == nil || c.Reason != v1alpha1.ReasonInUse || c.Message != want {
		t.Errorf("Deleting is %+v, want reason %s and message %q", c, v1alpha1.ReasonInUse, want)
	}
	child(w, "virginia-sync", &appsv1.StatefulSet{})
	w.delete(tenant)
	w.reconcile(r)
	w.reconcile(r)
	if err := apiClient.Get(t.Context(), client.ObjectKeyFromObject(r), got); !apierrors.IsNotFound(err) {
		t.Errorf("the region is still there (%v), want it gone with its last tenant", err)
	}
}

func (w *world) tenant(name string, r *v1alpha1.MailboxRegion) *v1alpha1.Tenant {
	return &v1alpha1.Tenant{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec: v1alpha1.TenantSpec{
			Cloud: r.Spec.Cloud, AccountType: v1alpha1.AccountGovernment, Domains: []v1alpha1.MailDomain{v1alpha1.MailDomain(name + ".example")},
			HomeRegion: v1alpha1.RegionReference{Namespace: v1alpha1.NamespaceName(r.Namespace), Name: v1alpha1.ObjectName(r.Name)},
			Identity: v1alpha1.TenantIdentity{Type: v1alpha1.IdentityOIDC, OIDC: &v1alpha1.IssuerIdentity{
				Issuer: "https://id.example", Audiences: []v1alpha1.Audience{"sync"},
			}},
		},
	}
}

// document gives a tenant's document as the tenant's controller writes it.
func (w *world) document(r *v1alpha1.MailboxRegion, tenant *v1alpha1.Tenant) *corev1.ConfigMap {
	w.t.Helper()
	name := client.ObjectKeyFromObject(tenant).String()
	region := client.ObjectKeyFromObject(r).String()
	raw, err := tenantdoc.Encode(&tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: name, UID: string(tenant.UID), Generation: tenant.Generation,
		Cloud: w.cloud.Name, Domains: []string{"agency.example"}, Region: region,
		Regions: []tenantdoc.Region{{Name: region, Geography: "NAM", URL: endpointURL(r.Spec.Endpoint.Hostname), Home: true}},
		Issuers: []tenantdoc.Issuer{{
			Profile: tenantdoc.ProfileRFC9068, Issuer: "https://id.example", JWKSURI: "https://id.example:9443/keys", AllowedHosts: []string{"id.example"},
			Audiences: []string{"sync"}, Algorithms: []string{"ES256"}, Claims: tenantdoc.Claims{Address: []string{"email"}, PreferredDataLocation: "xms_pdl"},
		}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: tenantdoc.ConfigMapName(r.Name, name), Namespace: r.Namespace,
			Labels: map[string]string{apply.LabelManagedBy: apply.ManagedBy, tenantdoc.LabelRegion: r.Name, tenantdoc.LabelContent: tenantdoc.ContentDocument},
		},
		Data: map[string]string{tenantdoc.DocumentKey: string(raw)},
	}
}

func TestADocumentIsAwaitedAndItsIssuersPortOpened(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	tenant := w.tenant("agency", r)
	w.create(tenant)
	w.create(w.document(r, tenant))
	w.reconcile(r)
	got := w.get(r)
	if c := condition(t, got, v1alpha1.ConditionTenantsSynced); c == nil || c.Reason != v1alpha1.ReasonNotEnforcedYet {
		t.Errorf("TenantsSynced is %v, want %s", c, v1alpha1.ReasonNotEnforcedYet)
	}
	if got.Status.Tenants != 1 {
		t.Errorf("status shows %d tenants, want 1", got.Status.Tenants)
	}
	var ports []string
	for _, port := range child(w, "virginia-sync", &networkingv1.NetworkPolicy{}).Spec.Egress[1].Ports {
		ports = append(ports, port.Port.String())
	}
	if diff := cmp.Diff([]string{"443", "6443", "9443"}, ports); diff != "" {
		t.Errorf("ports outward (-want +got):\n%s", diff)
	}
	report := child(w, tenantdoc.ReportName("virginia-sync-0", 0), &corev1.ConfigMap{})
	raw, err := tenantdoc.EncodeReport(&tenantdoc.Report{Version: tenantdoc.FormatVersion, Tenants: map[string]tenantdoc.TenantReport{
		w.namespace + "/agency": {UID: string(tenant.UID), Generation: tenant.Generation},
	}})
	if err != nil {
		t.Fatal(err)
	}
	report.Data = map[string]string{tenantdoc.ReportKey: string(raw)}
	w.update(report)
	w.reconcile(r)
	if c := condition(t, w.get(r), v1alpha1.ConditionTenantsSynced); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("TenantsSynced is %v, want True", c)
	}
}

func TestAKubeconfigSecretIsCheckedBeforeAnythingElseIsSaidOfTheCluster(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	r.Spec.Cluster = &v1alpha1.RegionCluster{KubeConfigSecretRef: v1alpha1.SecretKeyReference{Name: "remote", Key: "kubeconfig"}}
	w.create(r)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "remote", Namespace: w.namespace}}
	certificate, _ := pair(t)
	steps := []struct {
		reason string
		change func()
	}{
		{v1alpha1.ReasonSecretNotFound, func() {}},
		{v1alpha1.ReasonSecretMalformed, func() { w.create(secret) }},
		{v1alpha1.ReasonUnsupported, func() {
			secret.Data = map[string][]byte{"kubeconfig": []byte(kubeconfig("server: 'https://remote.example', certificate-authority-data: "+certificate, "token: t"))}
			w.update(secret)
		}},
	}
	for _, step := range steps {
		step.change()
		if result := w.reconcile(r); result.RequeueAfter == 0 {
			t.Errorf("%s: never looks again, although the Secret is not watched", step.reason)
		}
		if c := condition(t, w.get(r), v1alpha1.ConditionClusterReachable); c == nil || c.Reason != step.reason {
			t.Errorf("ClusterReachable is %+v, want %s", c, step.reason)
		}
	}
	for _, line := range w.snapshot() {
		if !strings.Contains(line, "MailboxRegion") && !strings.Contains(line, "/remote") {
			t.Errorf("something was made: %s", line)
		}
	}
}

func TestTheSecondRegionWithAHostnameIsRefusedAndTheFirstKeepsIt(t *testing.T) {
	w := newWorld(t)
	first, second := w.region("first"), w.region("second")
	second.Spec.Endpoint.Hostname = first.Spec.Endpoint.Hostname
	w.create(first)
	w.reconcile(first)
	w.create(second)
	w.reconcile(second)
	w.reconcile(first)
	if c := condition(t, w.get(second), v1alpha1.ConditionEndpointReady); c == nil || c.Reason != v1alpha1.ReasonHostnameTaken {
		t.Errorf("EndpointReady of the second is %+v, want %s", c, v1alpha1.ReasonHostnameTaken)
	}
	if c := condition(t, w.get(first), v1alpha1.ConditionEndpointReady); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("EndpointReady of the first is %+v, want True", c)
	}
	if requests := w.controller.rivalsOf(t.Context(), first); len(requests) != 2 {
		t.Errorf("a change of the first wakes %v, want both", requests)
	}
	w.delete(first)
	w.reconcile(first)
	w.reconcile(first)
	w.reconcile(second)
	if c := condition(t, w.get(second), v1alpha1.ConditionEndpointReady); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("EndpointReady of the second is %+v once the first is gone, want True", c)
	}
}

func TestARegionGoesOnServingWhenItsCloudLosesTheGeography(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	url := w.get(r).Status.EndpointURL
	children := func() []string {
		return slices.DeleteFunc(w.snapshot(), func(line string) bool { return strings.Contains(line, "MailboxRegion") })
	}
	before, geographies := children(), w.cloud.Spec.Geographies
	w.cloud.Spec.Geographies = geographies[1:]
	w.update(w.cloud)
	w.reconcile(r)
	got := w.get(r)
	if c := condition(t, got, v1alpha1.ConditionCloudReady); c == nil || c.Reason != v1alpha1.ReasonUnknownGeography {
		t.Errorf("CloudReady is %+v, want %s", c, v1alpha1.ReasonUnknownGeography)
	}
	if diff := cmp.Diff(before, children()); diff != "" || got.Status.EndpointURL != url {
		t.Errorf("endpoint %q, want %q, and objects as they were (-before +after):\n%s", got.Status.EndpointURL, url, diff)
	}
	w.cloud.Spec.Geographies = geographies
	w.update(w.cloud)
	w.reconcile(r)
	if c := condition(t, w.get(r), v1alpha1.ConditionCloudReady); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("CloudReady is %+v once the geography is back, want True", c)
	}
}

func TestDeletingARegionKeepsOrErasesTheVolumeAsDeclared(t *testing.T) {
	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t)
			r := w.region("virginia")
			r.Spec.DeletionPolicy = policy
			w.create(r)
			w.reconcile(r)
			claim := w.bindClaim(r)
			w.delete(r)
			w.reconcile(r)
			if c := condition(t, w.get(r), v1alpha1.ConditionDeleting); c == nil || c.Reason != v1alpha1.ReasonDeleting || !strings.Contains(c.Message, "StatefulSet virginia-sync") {
				t.Errorf("Deleting is %+v, want one that names the StatefulSet", c)
			}
			w.finishClaim(claim)
			w.reconcile(r)
			if err := apiClient.Get(t.Context(), client.ObjectKeyFromObject(r), r); !apierrors.IsNotFound(err) {
				t.Fatalf("the region is still there: %v", err)
			}
			err := apiClient.Get(t.Context(), client.ObjectKeyFromObject(claim), claim)
			if kept := err == nil; kept != (policy == v1alpha1.DeletionRetain) {
				t.Errorf("the claim is kept: %t (%v) with %s", kept, err, policy)
			}
			if told := w.events.has(t, "Normal VolumeRetained", `"data-virginia-sync-0"`); told != (policy == v1alpha1.DeletionRetain) {
				t.Errorf("an event tells that the volume is kept: %t with %s", told, policy)
			}
			if left := len(w.snapshot()); left > 1 {
				t.Errorf("left behind: %q", w.snapshot())
			}
		})
	}
}

func TestARegionMadeAnewFindsItsVolumeAndOneElsewhereDoesNot(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	claim := w.bindClaim(r)
	w.delete(r)
	w.reconcile(r)
	w.reconcile(r)
	elsewhere := w.region("virginia")
	elsewhere.Spec.Geography, elsewhere.Spec.Country, elsewhere.Spec.DeletionPolicy = "EUR", "FR", v1alpha1.DeletionDelete
	w.create(elsewhere)
	w.reconcile(elsewhere)
	if c := condition(t, w.get(elsewhere), v1alpha1.ConditionStorageReady); c == nil || c.Reason != v1alpha1.ReasonVolumeOfAnotherJurisdiction {
		t.Errorf("StorageReady elsewhere is %+v, want %s", c, v1alpha1.ReasonVolumeOfAnotherJurisdiction)
	}
	if got := len(w.snapshot()); got != 2 {
		t.Errorf("%d objects, want the region and the claim only: %q", got, w.snapshot())
	}
	w.delete(elsewhere)
	if kept := child(w, claim.Name, &corev1.PersistentVolumeClaim{}); kept.UID != claim.UID || !kept.DeletionTimestamp.IsZero() {
		t.Errorf("the claim did not outlive the refused region: %+v", kept.ObjectMeta)
	}
	again := w.region("virginia")
	w.create(again)
	w.reconcile(again)
	w.reconcile(again)
	if c := condition(t, w.get(again), v1alpha1.ConditionStorageReady); c == nil || c.Reason != v1alpha1.ReasonVolumeBound {
		t.Errorf("StorageReady of the region made anew is %+v, want %s", c, v1alpha1.ReasonVolumeBound)
	}
	if set := child(w, "virginia-sync", &appsv1.StatefulSet{}); set.Spec.VolumeClaimTemplates[0].Name+"-"+set.Name+"-0" != claim.Name {
		t.Errorf("the StatefulSet does not use the claim %q", claim.Name)
	}
}

func TestAPausedRegionIsNotDeletedUntilItGoesOn(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	got := w.get(r)
	got.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	w.update(got)
	w.delete(r)
	w.reconcile(r)
	if c := condition(t, w.get(r), v1alpha1.ConditionPaused); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("Paused is %v, want True", c)
	}
	child(w, "virginia-sync", &appsv1.StatefulSet{})
	got = w.get(r)
	got.Annotations = nil
	w.update(got)
	w.reconcile(r)
	w.reconcile(r)
	if err := apiClient.Get(t.Context(), client.ObjectKeyFromObject(r), got); !apierrors.IsNotFound(err) {
		t.Errorf("the region is still there (%v) although nothing holds it any more", err)
	}
}

// finishClaim takes the finalizer off a claim that is being deleted, as the
// controller of volumes does when no pod uses it.
func (w *world) finishClaim(claim *corev1.PersistentVolumeClaim) {
	w.t.Helper()
	got := &corev1.PersistentVolumeClaim{}
	if err := apiClient.Get(w.t.Context(), client.ObjectKeyFromObject(claim), got); err != nil {
		if apierrors.IsNotFound(err) {
			return
		}
		w.t.Fatal(err)
	}
	if got.DeletionTimestamp.IsZero() {
		return
	}
	got.Finalizers = nil
	w.update(got)
}

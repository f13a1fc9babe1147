package region

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// postgresChildren of a region: what a first reconcile makes while there is no pod.
const postgresChildren = 10

const goodDSN = "postgres://mail:hunter2@db.example:6432/mail?sslmode=verify-full"

// database declares a Secret with a connection string.
func (w *world) database(name, dsn string) *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}, Data: map[string][]byte{"dsn": []byte(dsn)}}
	w.create(secret)
	return secret
}

// postgres gives a region with one database that is good as it is.
func (w *world) postgres(name string) *v1alpha1.MailboxRegion {
	r := w.region(name)
	r.Spec.Storage = v1alpha1.RegionStorage{Postgres: &v1alpha1.PostgresStorage{DSNSecretRefs: []v1alpha1.SecretKeyReference{{Name: "mail-db", Key: "dsn"}}}}
	return r
}

// pod does what the controllers of Deployments and the kubelet do.
func (w *world) pod(r *v1alpha1.MailboxRegion, name string) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace, Labels: labelsOf(r)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "sync", Image: testImage}}, TerminationGracePeriodSeconds: new(int64(0))},
	}
	w.create(pod)
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	w.updateStatus(pod)
	return pod
}

// tell writes a report as the replica does.
func (w *world) tell(replica string, change func(*tenantdoc.Report)) {
	w.t.Helper()
	told := &tenantdoc.Report{Version: tenantdoc.FormatVersion, Replica: replica, SyncVersion: "v1", Tenants: map[string]tenantdoc.TenantReport{}}
	change(told)
	raw, err := tenantdoc.EncodeReport(told)
	if err != nil {
		w.t.Fatal(err)
	}
	report := child(w, tenantdoc.ReportName(replica, 0), &corev1.ConfigMap{})
	report.Data = map[string]string{tenantdoc.ReportKey: string(raw)}
	w.update(report)
}

// made counts what the operator made.
func (w *world) made() (n int) {
	w.t.Helper()
	for _, line := range w.snapshot() {
		if !strings.Contains(line, "MailboxRegion") && !strings.Contains(line, "/mail-db") && !strings.Contains(line, ".Pod ") {
			n++
		}
	}
	return n
}

func TestCreatingARegionOnPostgresCostsItsChildrenAndTwoWrites(t *testing.T) {
	w := newWorld(t)
	w.database("mail-db", goodDSN)
	r := w.postgres("virginia")
	w.create(r)
	w.reconcile(r)
	if got, want := w.wire.writes.Load(), int64(postgresChildren+2); got != want {
		t.Errorf("%d writes, want %d children + 2", got, postgresChildren)
	}
	if got := w.made(); got != postgresChildren {
		t.Errorf("%d objects were made, want %d: %q", got, postgresChildren, w.snapshot())
	}
	for _, name := range []string{"virginia-sync-a", "virginia-sync-b"} {
		w.pod(r, name)
		w.wire.writes.Store(0)
		w.reconcile(r)
		if got := w.wire.writes.Load(); got != 2 {
			t.Errorf("%d writes for pod %q, want its report and the Role", got, name)
		}
	}
}

func TestAConvergedRegionOnPostgresCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.database("mail-db", goodDSN)
	r := w.postgres("virginia")
	w.create(r)
	w.pod(r, "virginia-sync-a")
	w.reconcile(r)
	w.reconcile(r)
	before := w.snapshot()
	for want, when := range []string{"in the same process", "ten minutes later"} {
		w.now = w.now.Add(time.Duration(want) * storageEvery)
		w.wire.writes.Store(0)
		w.wire.reads.Store(0)
		result := w.reconcile(r)
		if writes, reads := w.wire.writes.Load(), w.wire.reads.Load(); writes != 0 || reads != int64(want) {
			t.Errorf("%s: %d writes and %d reads, want none and %d", when, writes, reads, want)
		}
		if result.RequeueAfter <= 0 || result.RequeueAfter > storageEvery {
			t.Errorf("%s: looks again after %s, although the Secret is not watched", when, result.RequeueAfter)
		}
	}
	w.restart(&wire{})
	w.wire.reads.Store(0)
	w.reconcile(r)
	if writes, reads := w.wire.writes.Load(), w.wire.reads.Load(); writes != 0 || reads != 1 {
		t.Errorf("after a restart: %d writes and %d reads, want none and one of the Secret", writes, reads)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("something moved (-before +after):\n%s", diff)
	}
}

func TestARegionOnPostgresConvergesWhicheverWriteFails(t *testing.T) {
	const autoscaled = postgresChildren + 1
	for _, after := range []bool{false, true} {
		for n := int64(1); n <= autoscaled+2; n++ {
			t.Run(fmt.Sprintf("write %d, after the effect %t", n, after), func(t *testing.T) {
				w := newWorld(t)
				w.database("mail-db", goodDSN)
				r := w.postgres("virginia")
				r.Spec.Autoscaling = &v1alpha1.RegionAutoscaling{MinReplicas: 2, MaxReplicas: 5}
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
				w.reconcile(r)
				if writes, got := w.wire.writes.Load(), w.made(); writes != 0 || got != autoscaled {
					t.Errorf("%d writes after convergence and %d objects, want none and %d", writes, got, autoscaled)
				}
			})
		}
	}
}

func TestReportsComeAndGoWithThePods(t *testing.T) {
	w := newWorld(t)
	w.database("mail-db", goodDSN)
	r := w.postgres("virginia")
	r.Spec.Replicas = new(int32(2))
	w.create(r)
	tenant := w.tenant("agency", r)
	w.create(tenant)
	w.create(w.document(r, tenant))
	w.reconcile(r)
	first, second := w.pod(r, "virginia-sync-a"), w.pod(r, "virginia-sync-b")
	w.reconcile(r)
	names := func() []string {
		var all []string
		for _, rule := range child(w, "virginia-sync", &rbacv1.Role{}).Rules {
			all = append(all, rule.ResourceNames...)
		}
		return all
	}
	if diff := cmp.Diff([]string{"virginia-sync-a-report-0", "virginia-sync-b-report-0"}, names()); diff != "" {
		t.Errorf("reports that may be written (-want +got):\n%s", diff)
	}
	enforcing := func(generation int64) func(*tenantdoc.Report) {
		return func(report *tenantdoc.Report) {
			report.BytesStored = 100 * generation
			report.Tenants[w.namespace+"/agency"] = tenantdoc.TenantReport{UID: string(tenant.UID), Generation: generation, Mailboxes: 3}
			report.Storage = []tenantdoc.CellReport{{Cell: cellName(r.Spec.Storage.Postgres.DSNSecretRefs[0]), State: tenantdoc.CellReady}}
		}
	}
	synced := func() string {
		w.reconcile(r)
		return condition(t, w.get(r), v1alpha1.ConditionTenantsSynced).Reason
	}
	w.tell(first.Name, enforcing(tenant.Generation))
	if got := synced(); got != v1alpha1.ReasonNotEnforcedYet {
		t.Errorf("TenantsSynced is %s while one of two has told, want %s", got, v1alpha1.ReasonNotEnforcedYet)
	}
	w.tell(second.Name, enforcing(tenant.Generation))
	if got := synced(); got != v1alpha1.ReasonSynced {
		t.Errorf("TenantsSynced is %s when both have told, want %s", got, v1alpha1.ReasonSynced)
	}
	status := w.get(r).Status
	if status.Mailboxes != 3 || status.BytesStored != 100*tenant.Generation {
		t.Errorf("status shows %d mailboxes and %d bytes, want those of the one store", status.Mailboxes, status.BytesStored)
	}
	if c := condition(t, w.get(r), v1alpha1.ConditionStorageReady); c.Reason != v1alpha1.ReasonStorageUsable {
		t.Errorf("StorageReady is %s, want %s", c.Reason, v1alpha1.ReasonStorageUsable)
	}
	w.delete(second)
	w.reconcile(r)
	if diff := cmp.Diff([]string{"virginia-sync-a-report-0"}, names()); diff != "" {
		t.Errorf("reports that may be written after a pod went (-want +got):\n%s", diff)
	}
	err := apiClient.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "virginia-sync-b-report-0"}, &corev1.ConfigMap{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the report of a pod that is gone: %v, want it gone too", err)
	}
}

func TestTheSecretsOfAStoreAreCheckedBeforeAnythingIsMade(t *testing.T) {
	w := newWorld(t)
	r := w.postgres("virginia")
	r.Spec.Storage.Blobs = &v1alpha1.BlobStorage{S3: v1alpha1.ObjectStorage{
		Endpoint: "s3.example", Bucket: "mail", CredentialsSecretRef: v1alpha1.SecretKeyReference{Name: "mail-db", Key: "credentials"},
	}}
	w.create(r)
	var secret *corev1.Secret
	set := func(key, value string) func() {
		return func() {
			if secret.Data == nil {
				secret.Data = map[string][]byte{}
			}
			secret.Data[key] = []byte(value)
			w.update(secret)
		}
	}
	steps := []struct {
		change          func()
		reason, message string
	}{
		{func() {}, v1alpha1.ReasonSecretNotFound, `spec.storage.postgres.dsnSecretRefs[0]: Secret "mail-db" does not exist: create it with a connection string under the key "dsn"`},
		{
			func() { secret = w.database("mail-db", "") }, v1alpha1.ReasonSecretMalformed,
			`spec.storage.postgres.dsnSecretRefs[0]: Secret "mail-db" has nothing under the key "dsn": put a connection string there`,
		},
		{
			set("dsn", "postgres://mail:hunter2@db.example/mail?sslmode=require"), v1alpha1.ReasonSecretMalformed,
			`spec.storage.postgres.dsnSecretRefs[0]: Secret "mail-db", key "dsn": the connection string lets the connection be weaker than sslmode=verify-full: ` +
				`set sslmode=verify-full, and sslrootcert for an authority of your own`,
		},
		{
			set("dsn", goodDSN), v1alpha1.ReasonSecretMalformed,
			`spec.storage.blobs.s3.credentialsSecretRef: Secret "mail-db" has nothing under the key "credentials": put the credentials there`,
		},
		{
			set("credentials", `{"accessKey": "a", "secretkey": ""}`), v1alpha1.ReasonSecretMalformed,
			`spec.storage.blobs.s3.credentialsSecretRef: Secret "mail-db", key "credentials": the credentials lack an access key or a secret key: ` +
				`write {"accessKey": "…", "secretKey": "…"}`,
		},
		{set("credentials", `{"accessKey": "a", "secretKey": "s"}`), v1alpha1.ReasonStoragePending, `no sync server has told yet whether it can use the database of cell "` +
			cellName(r.Spec.Storage.Postgres.DSNSecretRefs[0]) + `" (Secret "mail-db", key "dsn")`},
	}
	for i, step := range steps {
		step.change()
		w.now = w.now.Add(countsEvery)
		if result := w.reconcile(r); result.RequeueAfter == 0 || (i < len(steps)-1 && result.RequeueAfter > countsEvery) {
			t.Errorf("step %d: looks again after %s", i, result.RequeueAfter)
		}
		if c := condition(t, w.get(r), v1alpha1.ConditionStorageReady); c == nil || c.Reason != step.reason || c.Message != step.message {
			t.Errorf("step %d: StorageReady is %+v, want %s %q", i, c, step.reason, step.message)
		}
		if got := w.made(); (got > 0) != (i == len(steps)-1) {
			t.Errorf("step %d: %d objects were made", i, got)
		}
	}
}

func TestADatabaseThatMovesToAnotherPortIsReached(t *testing.T) {
	w := newWorld(t)
	secret := w.database("mail-db", goodDSN)
	r := w.postgres("virginia")
	w.create(r)
	w.reconcile(r)
	template := func() map[string]string {
		return child(w, "virginia-sync", &appsv1.Deployment{}).Spec.Template.Annotations
	}
	before := template()
	secret.Data["dsn"] = []byte("host=db.example port=7432 sslmode=verify-full")
	w.update(secret)
	w.now = w.now.Add(storageEvery)
	w.reconcile(r)
	egress := child(w, "virginia-sync", &networkingv1.NetworkPolicy{}).Spec.Egress
	if got := egress[len(egress)-1].Ports; len(got) != 1 || got[0].Port.IntValue() != 7432 {
		t.Errorf("ports to the database are %+v, want 7432", got)
	}
	after := template()
	if cmp.Diff(before, after) == "" {
		t.Error("the pods stay as they are, although the sync server reads its connection strings when it starts only")
	}
	got := w.get(r)
	got.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	w.update(got)
	w.reconcile(r)
	if diff := cmp.Diff(after, template()); diff != "" {
		t.Errorf("the pods are replaced although no Secret changed (-before +after):\n%s", diff)
	}
}

func TestAutoscalingTakesOverTheReplicasAsTheyAre(t *testing.T) {
	w := newWorld(t)
	w.database("mail-db", goodDSN)
	r := w.postgres("virginia")
	r.Spec.Replicas = new(int32(5))
	w.create(r)
	w.reconcile(r)
	replicas := func() int32 { return *child(w, "virginia-sync", &appsv1.Deployment{}).Spec.Replicas }
	declare := func(change func(*v1alpha1.MailboxRegionSpec)) {
		got := w.get(r)
		change(&got.Spec)
		w.update(got)
		w.reconcile(r)
	}
	declare(func(spec *v1alpha1.MailboxRegionSpec) {
		spec.Replicas, spec.Autoscaling = nil, &v1alpha1.RegionAutoscaling{MinReplicas: 2, MaxReplicas: 9}
	})
	if got := replicas(); got != 5 {
		t.Errorf("%d replicas once an autoscaler owns them, want the 5 that there were", got)
	}
	scale := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":7}}`))
	if err := apiClient.SubResource("scale").Patch(t.Context(), child(w, "virginia-sync", &appsv1.Deployment{}), scale); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.wire.writes.Store(0)
	w.reconcile(r)
	if got := replicas(); got != 7 || w.wire.writes.Load() > 1 {
		t.Errorf("%d replicas after the autoscaler asked for 7, with %d writes", got, w.wire.writes.Load())
	}
	if got := w.get(r).Status.Replicas; got != "0/7" {
		t.Errorf("status shows %q replicas, want 0/7", got)
	}
	declare(func(spec *v1alpha1.MailboxRegionSpec) { spec.Replicas, spec.Autoscaling = new(int32(3)), nil })
	if got := replicas(); got != 3 {
		t.Errorf("%d replicas without autoscaling, want the 3 that are declared", got)
	}
	err := apiClient.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "virginia-sync"}, &autoscalingv2.HorizontalPodAutoscaler{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the autoscaler: %v, want it gone", err)
	}
}

func TestDeletingARegionOnPostgresErasesNothingInTheDatabase(t *testing.T) {
	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t)
			secret := w.database("mail-db", goodDSN)
			r := w.postgres("virginia")
			r.Spec.DeletionPolicy = policy
			w.create(r)
			pod := w.pod(r, "virginia-sync-a")
			w.reconcile(r)
			w.delete(r)
			w.reconcile(r)
			want := `waits until these are gone: Deployment virginia-sync, its pods; nothing is erased in the database of Secret "mail-db" (key "dsn")`
			if c := condition(t, w.get(r), v1alpha1.ConditionDeleting); c == nil || c.Message != want {
				t.Errorf("Deleting is %+v, want %q", c, want)
			}
			w.delete(pod)
			w.reconcile(r)
			if err := apiClient.Get(t.Context(), client.ObjectKeyFromObject(r), r); !apierrors.IsNotFound(err) {
				t.Fatalf("the region is still there: %v", err)
			}
			if got := w.made(); got != 0 {
				t.Errorf("left behind: %q", w.snapshot())
			}
			child(w, secret.Name, &corev1.Secret{})
			if !w.events.has(t, "Normal StorageRetained", `"mail-db"`) {
				t.Errorf("no event tells that the database keeps the mail: %q", w.events.notes)
			}
		})
	}
}

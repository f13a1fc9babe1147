package region

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

func statusOf(f *Facts) v1alpha1.MailboxRegionStatus {
	return report(f, decide(f, testSettings()), Outcome{Serving: f.Serving})
}

func find(t *testing.T, s v1alpha1.MailboxRegionStatus, kind string) metav1.Condition {
	t.Helper()
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("no condition %s in %+v", kind, s.Conditions)
	return metav1.Condition{}
}

func TestABadSpecMakesNothingAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil             func(*Facts)
		condition, reason string
		message           string
	}{
		"no cloud": {
			func(f *Facts) { f.Cloud, f.Authority = nil, nil },
			v1alpha1.ConditionCloudReady, v1alpha1.ReasonCloudNotFound,
			`spec.cloud: SovereignCloud "gcc-high" does not exist: create it, or create the region in a cloud that does`,
		},
		"unknown geography": {
			func(f *Facts) { f.Region.Spec.Geography = "XXX" },
			v1alpha1.ConditionCloudReady, v1alpha1.ReasonUnknownGeography,
			`spec.geography: cloud "gcc-high" has no geography "XXX": create the region in one of EUR, NAM`,
		},
		"country elsewhere": {
			func(f *Facts) { f.Region.Spec.Country = "FR" },
			v1alpha1.ConditionCloudReady, v1alpha1.ReasonCountryNotInGeography,
			`spec.country: "FR" is not in geography "NAM" of cloud "gcc-high": create the region in one of CA, US`,
		},
		"hostname taken": {
			func(f *Facts) { f.Rival = "other/region" },
			v1alpha1.ConditionEndpointReady, v1alpha1.ReasonHostnameTaken,
			`spec.endpoint.hostname: "virginia.sync.agency.us" is the hostname of region "other/region": choose another`,
		},
		"remote cluster": {
			func(f *Facts) { f.Region.Spec.Cluster = &v1alpha1.RegionCluster{} },
			v1alpha1.ConditionClusterReachable, v1alpha1.ReasonUnsupported,
			`spec.cluster: this release runs regions in the operator's own cluster only: remove spec.cluster`,
		},
		"bad kubeconfig first": {
			func(f *Facts) {
				f.Region.Spec.Cluster = &v1alpha1.RegionCluster{}
				f.KubeConfigProblem = judgeKubeConfig("remote", "kubeconfig", nil)
			},
			v1alpha1.ConditionClusterReachable, v1alpha1.ReasonSecretMalformed,
			`spec.cluster.kubeConfigSecretRef: Secret "remote" has nothing under the key "kubeconfig": put the kubeconfig there`,
		},
		"connection string": {
			func(f *Facts) {
				_, f.Storage.Problem = judgeDSN(cell{field: "spec.storage.postgres.dsnSecretRefs[0]", ref: v1alpha1.SecretKeyReference{Name: "mail", Key: "dsn"}}, []byte("postgres://db"))
			},
			v1alpha1.ConditionStorageReady, v1alpha1.ReasonSecretMalformed,
			`spec.storage.postgres.dsnSecretRefs[0]: Secret "mail", key "dsn": the connection string lets the connection be weaker than sslmode=verify-full: ` +
				`set sslmode=verify-full, and sslrootcert for an authority of your own`,
		},
		"volume of another jurisdiction": {
			func(f *Facts) {
				f.Claim = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
					Name: "data-virginia-sync-0", Annotations: map[string]string{v1alpha1.AnnotationJurisdiction: "worldwide/NAM/US"},
				}}
				f.Found = append(f.Found, f.Claim)
			},
			v1alpha1.ConditionStorageReady, v1alpha1.ReasonVolumeOfAnotherJurisdiction,
			`metadata.name: PersistentVolumeClaim "data-virginia-sync-0" was kept with the mail of a region of this name in "worldwide/NAM/US", ` +
				`and this one is in "gcc-high/NAM/US": create the region under another name, or delete the claim to erase that mail`,
		},
		"gateway": {
			func(f *Facts) { f.Region.Spec.Endpoint.Gateway = &v1alpha1.GatewayEndpoint{} },
			v1alpha1.ConditionEndpointReady, v1alpha1.ReasonUnsupported,
			`spec.endpoint.gateway: this release exposes regions through a Service only: use spec.endpoint.service`,
		},
		"cert-manager": {
			func(f *Facts) { f.Region.Spec.Certificate.IssuerRef = &v1alpha1.IssuerReference{} },
			v1alpha1.ConditionCertificateReady, v1alpha1.ReasonUnsupported,
			`spec.certificate.issuerRef: this release issues certificates from the cloud's own authority only: remove spec.certificate.issuerRef`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := plainFacts(t)
			test.spoil(f)
			d := decide(f, testSettings())
			if len(d.Plan.Wanted) > 0 || len(d.Plan.Prune) > 0 || d.Plan.Finalizer || d.Certificate.Action != "" {
				t.Errorf("the plan is %+v, want nothing", d.Plan)
			}
			status := statusOf(f)
			for _, kind := range []string{test.condition, v1alpha1.ConditionReady} {
				if c := find(t, status, kind); c.Status != metav1.ConditionFalse || c.Reason != test.reason || c.Message != test.message {
					t.Errorf("%s is %s %s %q, want False %s %q", kind, c.Status, c.Reason, c.Message, test.reason, test.message)
				}
			}
			find(t, status, v1alpha1.ConditionStalled)
			if status.EndpointURL != "" {
				t.Errorf("endpointURL is %q, want none", status.EndpointURL)
			}
		})
	}
}

func TestADecisionDoesNotChangeItsFacts(t *testing.T) {
	t.Parallel()
	f := fullFacts(t)
	before := f.Region.DeepCopy()
	first := decide(f, testSettings())
	second := decide(f, testSettings())
	if diff := cmp.Diff(before, f.Region); diff != "" {
		t.Errorf("the region changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(first.Plan.Wanted, second.Plan.Wanted); diff != "" {
		t.Errorf("two decisions differ (-first +second):\n%s", diff)
	}
}

func TestWithoutAnAuthorityTheServerIsNotStarted(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	f.Authority = nil
	for _, obj := range decide(f, testSettings()).Plan.Wanted {
		if _, ok := obj.(*appsv1.StatefulSet); ok {
			t.Error("a StatefulSet is wanted")
		}
	}
	status := statusOf(f)
	if c := find(t, status, v1alpha1.ConditionCertificateReady); c.Reason != v1alpha1.ReasonCloudNotReady {
		t.Errorf("CertificateReady is %s, want %s", c.Reason, v1alpha1.ReasonCloudNotReady)
	}
	find(t, status, v1alpha1.ConditionReconciling)
	if status.Replicas != "0/0" {
		t.Errorf("replicas are %q, want 0/0", status.Replicas)
	}
}

func TestAServerThatRunsIsLeftRunningWithoutAnAuthority(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	f.StatefulSet = buildStatefulSet(f, "old", resource.MustParse("50Gi"))
	f.Found = append(f.Found, f.StatefulSet)
	f.Authority, f.AuthorityProblem = nil, "tls.key: not a key"
	d := decide(f, testSettings())
	if len(d.Plan.Prune) > 0 {
		t.Errorf("pruned: %v, want nothing", d.Plan.Prune)
	}
	if c := find(t, statusOf(f), v1alpha1.ConditionCertificateReady); c.Reason != v1alpha1.ReasonAuthorityMalformed || c.Status != metav1.ConditionFalse {
		t.Errorf("CertificateReady is %s %s, want False %s", c.Status, c.Reason, v1alpha1.ReasonAuthorityMalformed)
	}
}

func TestAnAuthorityThatExpiredIsTold(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	f.Now = epoch.Add(authority.RootLifetime + time.Hour)
	if c := find(t, statusOf(f), v1alpha1.ConditionCertificateReady); c.Reason != v1alpha1.ReasonAuthorityExpired {
		t.Errorf("CertificateReady is %s, want %s", c.Reason, v1alpha1.ReasonAuthorityExpired)
	}
}

func TestReportsGrowAndShrinkWithTheTenants(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	for i := range tenantdoc.TenantsPerReport + 1 {
		f.Tenants = append(f.Tenants, TenantFacts{Name: fmt.Sprintf("n/t%d", i)})
	}
	count := func(d Decision) (n int) {
		for _, obj := range d.Plan.Wanted {
			if obj.GetLabels()[tenantdoc.LabelContent] == tenantdoc.ContentReport {
				n++
			}
		}
		return n
	}
	if got := count(decide(f, testSettings())); got != 2 {
		t.Errorf("%d reports are wanted for %d tenants, want 2", got, len(f.Tenants))
	}
	f.Tenants = f.Tenants[:1]
	surplus := buildReport(f.Region, "virginia-sync-0", 1)
	f.Found = append(f.Found, buildReport(f.Region, "virginia-sync-0", 0), surplus)
	d := decide(f, testSettings())
	if count(d) != 1 || len(d.Plan.Prune) != 1 || d.Plan.Prune[0].GetName() != surplus.Name {
		t.Errorf("%d reports wanted and %v pruned for one tenant, want 1 and %q", count(d), d.Plan.Prune, surplus.Name)
	}
}

func TestWhatThePodWaitsForIsTold(t *testing.T) {
	t.Parallel()
	waitingFor := func(reason, message string) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}}}
	}
	crashed := waitingFor("CrashLoopBackOff", "back-off 10s restarting")
	crashed.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}
	unschedulable := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available",
	}}}}
	tests := map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"no pod":        {nil, `Pod "virginia-sync-0" is not ready`},
		"starting":      {waitingFor("ContainerCreating", ""), `Pod "virginia-sync-0" is not ready`},
		"image":         {waitingFor("ImagePullBackOff", `Back-off pulling image "x"`), `Pod "virginia-sync-0" is not ready: ImagePullBackOff: check that the node can pull the image of the operator's --image`},
		"crash":         {crashed, `Pod "virginia-sync-0" is not ready: CrashLoopBackOff: read the log of the container with kubectl logs --previous (it ended with exit code 3, Error)`},
		"unknown":       {waitingFor("SomethingNew", "words"), `Pod "virginia-sync-0" is not ready: SomethingNew: words`},
		"unschedulable": {unschedulable, `Pod "virginia-sync-0" is not ready: Unschedulable: 0/3 nodes are available`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := plainFacts(t)
			if test.pod != nil {
				f.Pods = []*corev1.Pod{test.pod}
			}
			c := find(t, statusOf(f), v1alpha1.ConditionWorkloadAvailable)
			if c.Reason != v1alpha1.ReasonPodsNotReady || c.Message != test.want {
				t.Errorf("WorkloadAvailable is %s %q, want %s %q", c.Reason, c.Message, v1alpha1.ReasonPodsNotReady, test.want)
			}
		})
	}
}

func TestTenantsAreSyncedWhenTheReplicaEnforcesTheirNewestDocument(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		tenants  []TenantFacts
		enforced map[string]EnforcedFacts
		problem  string
		reason   string
		message  string
	}{
		"no tenants":  {nil, nil, "", v1alpha1.ReasonSynced, "every tenant's newest document is enforced"},
		"no document": {[]TenantFacts{{Name: "a/a"}}, nil, "", v1alpha1.ReasonSynced, "every tenant's newest document is enforced"},
		"enforced": {
			[]TenantFacts{{Name: "a/a", UID: "u", Generation: 2}},
			map[string]EnforcedFacts{"a/a": {UID: "u", Generation: 2}},
			"", v1alpha1.ReasonSynced, "every tenant's newest document is enforced",
		},
		"behind": {
			[]TenantFacts{{Name: "a/a", UID: "u", Generation: 2}},
			map[string]EnforcedFacts{"a/a": {UID: "u", Generation: 1}},
			"", v1alpha1.ReasonNotEnforcedYet, `the sync server does not enforce the newest document of "a/a" yet`,
		},
		"a namesake": {
			[]TenantFacts{{Name: "a/a", UID: "new", Generation: 1}},
			map[string]EnforcedFacts{"a/a": {UID: "old", Generation: 9}},
			"", v1alpha1.ReasonNotEnforcedYet, `the sync server does not enforce the newest document of "a/a" yet`,
		},
		"refused": {
			[]TenantFacts{{Name: "a/a", UID: "u", Generation: 2}},
			map[string]EnforcedFacts{"a/a": {UID: "u", Generation: 1, Refused: "domains: empty"}},
			"", v1alpha1.ReasonDocumentRefused, `the sync server refuses the document of "a/a": domains: empty`,
		},
		"unreadable": {
			nil, nil, "decode report: version", v1alpha1.ReasonNotEnforcedYet, "the report of the sync server is unreadable: decode report: version",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := plainFacts(t)
			f.Tenants, f.Together = test.tenants, ReplicaFacts{Tenants: test.enforced, Problem: test.problem}
			if c := find(t, statusOf(f), v1alpha1.ConditionTenantsSynced); c.Reason != test.reason || c.Message != test.message {
				t.Errorf("TenantsSynced is %s %q, want %s %q", c.Reason, c.Message, test.reason, test.message)
			}
		})
	}
}

func TestAnObjectThatWasRefusedIsToldByItsCondition(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "virginia-sync", errors.New("exceeded quota"))
	tests := map[string]struct {
		failure   apply.Failure
		condition string
		stalled   bool
		message   string
	}{
		"quota": {
			apply.Failure{Kind: "Service", Name: "virginia-sync", Err: forbidden},
			v1alpha1.ConditionEndpointReady, true,
			`Service "virginia-sync": services "virginia-sync" is forbidden: exceeded quota`,
		},
		"foreign": {
			apply.Failure{Kind: "Secret", Name: "virginia-sync-tls", Err: apply.ErrForeign},
			v1alpha1.ConditionCertificateReady, true,
			`Secret "virginia-sync-tls": an object of this name exists and was not made by bailiwick: delete or rename it`,
		},
		"passing": {
			apply.Failure{Kind: "StatefulSet", Name: "virginia-sync", Err: errors.New("connection refused 127.0.0.1:4711")},
			v1alpha1.ConditionWorkloadAvailable, false,
			`StatefulSet "virginia-sync" could not be written, it is tried again`,
		},
		"claim": {
			apply.Failure{Kind: "PersistentVolumeClaim", Name: "data-virginia-sync-0", Err: forbidden},
			v1alpha1.ConditionStorageReady, true,
			`PersistentVolumeClaim "data-virginia-sync-0": services "virginia-sync" is forbidden: exceeded quota`,
		},
		"report": {
			apply.Failure{Kind: "ConfigMap", Name: "r", Err: apply.ErrForeign},
			v1alpha1.ConditionTenantsSynced, true,
			`ConfigMap "r": an object of this name exists and was not made by bailiwick: delete or rename it`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := plainFacts(t)
			f.Region.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
			status := report(f, decide(f, testSettings()), Outcome{Outcome: apply.Outcome{Failures: []apply.Failure{test.failure}}})
			c := find(t, status, test.condition)
			if c.Reason != v1alpha1.ReasonApplyFailed || c.Message != test.message {
				t.Errorf("%s is %s %q, want %s %q", test.condition, c.Reason, c.Message, v1alpha1.ReasonApplyFailed, test.message)
			}
			progress := v1alpha1.ConditionReconciling
			if test.stalled {
				progress = v1alpha1.ConditionStalled
			}
			find(t, status, progress)
			if status.LastHandledReconcileAt != "" {
				t.Error("the request counts as handled although an object failed")
			}
		})
	}
}

func TestALoadBalancerIsAwaitedAndItsAddressesShown(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	f.Region.Spec.Endpoint.Service = &v1alpha1.ServiceEndpoint{Type: v1alpha1.ServiceLoadBalancer}
	f.Service = buildService(f.Region)
	if c := find(t, statusOf(f), v1alpha1.ConditionEndpointReady); c.Reason != v1alpha1.ReasonAddressPending {
		t.Errorf("EndpointReady is %s, want %s", c.Reason, v1alpha1.ReasonAddressPending)
	}
	f.Service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}, {Hostname: "lb.example"}}
	status := statusOf(f)
	if c := find(t, status, v1alpha1.ConditionEndpointReady); c.Status != metav1.ConditionTrue {
		t.Errorf("EndpointReady is %s, want True", c.Status)
	}
	if diff := cmp.Diff([]string{"192.0.2.1", "lb.example"}, status.LoadBalancer); diff != "" {
		t.Errorf("loadBalancer (-want +got):\n%s", diff)
	}
}

func TestARegionIsReadyWhenEverythingIs(t *testing.T) {
	t.Parallel()
	f := plainFacts(t)
	request := certificateRequest(f)
	data, err := f.Authority.Issue(request, epoch)
	if err != nil {
		t.Fatal(err)
	}
	f.Secret = buildSecret(f.Region, data)
	f.Serving = authority.Examine(f.Authority, data)
	f.StatefulSet = buildStatefulSet(f, "image", resource.MustParse("50Gi"))
	f.StatefulSet.Status = appsv1.StatefulSetStatus{ReadyReplicas: 1, UpdatedReplicas: 1}
	f.Claim = buildClaim(f.Region)
	f.Claim.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}
	status := statusOf(f)
	if c := find(t, status, v1alpha1.ConditionReady); c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonReady {
		t.Errorf("Ready is %+v, want True", c)
	}
	if len(status.Conditions) != 1+len(judges) {
		t.Errorf("%d conditions, want Ready and its %d dependents: %+v", len(status.Conditions), len(judges), status.Conditions)
	}
	if status.Replicas != "1/1" || status.EndpointURL != "https://virginia.sync.agency.us" || status.DeletionPolicy != v1alpha1.DeletionRetain {
		t.Errorf("replicas %q, endpoint %q, deletion policy %q", status.Replicas, status.EndpointURL, status.DeletionPolicy)
	}
}

func TestAHostnameStaysWithTheRegionThatServesIt(t *testing.T) {
	t.Parallel()
	old := metav1.NewTime(epoch)
	young := metav1.NewTime(epoch.Add(time.Hour))
	region := func(name string, created metav1.Time, url string) *v1alpha1.MailboxRegion {
		r := &v1alpha1.MailboxRegion{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: created}}
		r.Spec.Endpoint.Hostname, r.Status.EndpointURL = "h.example", url
		return r
	}
	tests := map[string]struct{ a, b *v1alpha1.MailboxRegion }{
		"who serves":     {region("b", young, "https://h.example"), region("a", old, "https://other.example")},
		"who is older":   {region("b", old, ""), region("a", young, "")},
		"who is earlier": {region("a", old, ""), region("b", old, "")},
	}
	for name, test := range tests {
		if !precedes(test.a, test.b) || precedes(test.b, test.a) {
			t.Errorf("%s: want the first to precede the second, and not the other way round", name)
		}
	}
}

func TestATenantInTwoShardsCountsOnceAsTheNewerReportSays(t *testing.T) {
	t.Parallel()
	f := ReplicaFacts{Tenants: map[string]EnforcedFacts{}}
	for _, generation := range []int64{3, 5, 4} {
		f.merge(decodedReport{report: &tenantdoc.Report{SyncVersion: "v1", BytesStored: 10, Tenants: map[string]tenantdoc.TenantReport{
			"a/a": {UID: "u", Generation: generation, Mailboxes: 2, Devices: 3},
		}}})
	}
	want := ReplicaFacts{SyncVersion: "v1", BytesStored: 30, Mailboxes: 2, Devices: 3, Tenants: map[string]EnforcedFacts{"a/a": {UID: "u", Generation: 5}}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
}

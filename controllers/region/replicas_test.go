package region

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func TestATenantIsEnforcedAsFarAsEveryReplicaThatServesEnforcesIt(t *testing.T) {
	t.Parallel()
	at := func(generation int64) map[string]EnforcedFacts {
		return map[string]EnforcedFacts{"a/a": {UID: "u", Generation: generation}}
	}
	refusing := map[string]EnforcedFacts{"a/a": {UID: "u", Generation: 1, Refused: "domains: empty"}}
	tests := map[string]struct {
		replicas []ReplicaFacts
		want     map[string]EnforcedFacts
	}{
		"no replica":            {nil, map[string]EnforcedFacts{}},
		"one that serves":       {[]ReplicaFacts{{Serves: true, Tenants: at(3)}}, at(3)},
		"the lowest counts":     {[]ReplicaFacts{{Serves: true, Tenants: at(3)}, {Serves: true, Tenants: at(2)}, {Serves: true, Tenants: at(4)}}, at(2)},
		"unready does not":      {[]ReplicaFacts{{Serves: true, Tenants: at(3)}, {Tenants: at(1)}}, at(3)},
		"no report is behind":   {[]ReplicaFacts{{Serves: true, Tenants: at(3)}, {Serves: true}}, map[string]EnforcedFacts{"a/a": {}}},
		"no report comes first": {[]ReplicaFacts{{Serves: true}, {Serves: true, Tenants: at(3)}}, map[string]EnforcedFacts{"a/a": {}}},
		"a namesake": {
			[]ReplicaFacts{{Serves: true, Tenants: at(3)}, {Serves: true, Tenants: map[string]EnforcedFacts{"a/a": {UID: "old", Generation: 9}}}},
			map[string]EnforcedFacts{"a/a": {}},
		},
		"refused by any": {
			[]ReplicaFacts{{Serves: true, Tenants: at(3)}, {Serves: true, Tenants: refusing}},
			map[string]EnforcedFacts{"a/a": {UID: "u", Generation: 1, Refused: "domains: empty"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, together(test.replicas).Tenants); diff != "" {
				t.Errorf("enforced (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheStoreOfReplicasIsCountedOnceAndTheirReleasesAreNamed(t *testing.T) {
	t.Parallel()
	got := together([]ReplicaFacts{
		{SyncVersion: "v2", Mailboxes: 5, Devices: 9, BytesStored: 100, Serves: true},
		{SyncVersion: "v1", Mailboxes: 6, Devices: 8, BytesStored: 90, Problem: "unreadable"},
		{SyncVersion: "v2"},
	})
	want := ReplicaFacts{SyncVersion: "v1, v2", Mailboxes: 6, Devices: 9, BytesStored: 100, Problem: "unreadable"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("together (-want +got):\n%s", diff)
	}
}

func TestReportsFollowThePods(t *testing.T) {
	t.Parallel()
	f := postgresFacts(t)
	terminating, evicted := testPod("c", true), testPod("d", false)
	terminating.DeletionTimestamp, evicted.Status.Phase = new(metav1.NewTime(epoch)), corev1.PodFailed
	withPods(f, testPod("b", false), testPod("a", true), terminating, evicted)
	var serving, named []string
	for _, r := range f.Replicas {
		if r.Serves {
			serving = append(serving, r.Name)
		}
	}
	f.Found = append(f.Found, buildReport(f.Region, "a", 0), buildReport(f.Region, "d", 0), buildReport(f.Region, "gone", 0))
	for _, report := range wantedReports(f) {
		named = append(named, report.Name+" of "+report.Labels[tenantdoc.LabelReplica])
	}
	if diff := cmp.Diff([]string{"a-report-0 of a", "b-report-0 of b", "c-report-0 of c"}, named); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a"}, serving); diff != "" {
		t.Errorf("serving (-want +got):\n%s", diff)
	}
	var pruned []string
	for _, obj := range decide(f, testSettings()).Plan.Prune {
		pruned = append(pruned, obj.GetName())
	}
	if diff := cmp.Diff([]string{"d-report-0", "gone-report-0"}, pruned); diff != "" {
		t.Errorf("pruned (-want +got):\n%s", diff)
	}
}

func TestARoleWithoutReportsPermitsNoPatch(t *testing.T) {
	t.Parallel()
	f := postgresFacts(t)
	for _, rule := range buildRole(f.Region, nil).Rules {
		for _, verb := range rule.Verbs {
			if verb == "patch" {
				t.Errorf("rule %+v permits patches of every ConfigMap", rule)
			}
		}
	}
}

func TestADeploymentIsAvailableWhenTheReplicasOfItsNewestSpecAreReady(t *testing.T) {
	t.Parallel()
	waiting := func(name, reason string) *corev1.Pod {
		pod := testPod(name, false)
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}}
		return pod
	}
	scaled := &v1alpha1.RegionAutoscaling{MinReplicas: 2, MaxReplicas: 9}
	tests := map[string]struct {
		replicas    *int32
		autoscaling *v1alpha1.RegionAutoscaling
		live        *int32
		status      appsv1.DeploymentStatus
		pods        []*corev1.Pod
		available   bool
		message     string
		shown       string
	}{
		"one by default":    {nil, nil, new(int32(1)), appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1}, nil, true, "the sync servers run", "1/1"},
		"all of three":      {new(int32(3)), nil, new(int32(3)), appsv1.DeploymentStatus{Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3}, nil, true, "the sync servers run", "3/3"},
		"none is wanted":    {new(int32(0)), nil, new(int32(0)), appsv1.DeploymentStatus{}, nil, true, "spec.replicas is 0: no sync server runs", "0/0"},
		"one still stops":   {new(int32(0)), nil, new(int32(0)), appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1}, nil, false, "0 of 0 replicas are ready: pods of the spec before are being replaced", "0/0"},
		"one is missing":    {new(int32(3)), nil, new(int32(3)), appsv1.DeploymentStatus{Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 2}, []*corev1.Pod{testPod("a", false)}, false, "2 of 3 replicas are ready", "2/3"},
		"an old one serves": {new(int32(2)), nil, new(int32(2)), appsv1.DeploymentStatus{Replicas: 3, UpdatedReplicas: 1, ReadyReplicas: 2}, nil, false, "2 of 2 replicas are ready: pods of the spec before are being replaced", "2/2"},
		"no image": {
			new(int32(2)), nil, new(int32(2)),
			appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 2},
			[]*corev1.Pod{waiting("a", "ErrImagePull"), waiting("b", "ErrImagePull")},
			false,
			"0 of 2 replicas are ready: ErrImagePull: check that the node can pull the image of the operator's --image", "0/2",
		},
		"scaled out":         {nil, scaled, new(int32(7)), appsv1.DeploymentStatus{Replicas: 7, UpdatedReplicas: 7, ReadyReplicas: 4}, nil, true, "the sync servers run", "4/7"},
		"below the minimum":  {nil, scaled, new(int32(2)), appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 1}, nil, false, "1 of 2 replicas are ready", "1/2"},
		"not scaled at once": {nil, scaled, nil, appsv1.DeploymentStatus{}, nil, false, "0 of 2 replicas are ready", "0/2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := postgresFacts(t)
			f.Region.Spec.Replicas, f.Region.Spec.Autoscaling = test.replicas, test.autoscaling
			f.Deployment = buildDeployment(f, "image")
			f.Deployment.Spec.Replicas, f.Deployment.Status = test.live, test.status
			withPods(f, test.pods...)
			status := statusOf(f)
			c := find(t, status, v1alpha1.ConditionWorkloadAvailable)
			if (c.Status == metav1.ConditionTrue) != test.available || c.Message != test.message || status.Replicas != test.shown {
				t.Errorf("WorkloadAvailable is %s %q with replicas %s, want %t %q %s", c.Status, c.Message, status.Replicas, test.available, test.message, test.shown)
			}
		})
	}
}

func TestReplicasAreTheAutoscalersWhileThereIsOne(t *testing.T) {
	t.Parallel()
	f := postgresFacts(t)
	f.Region.Spec.Replicas = new(int32(4))
	f.Deployment = buildDeployment(f, "image")
	f.Found = append(f.Found, f.Deployment)
	f.Region.Spec.Replicas, f.Region.Spec.Autoscaling = nil, &v1alpha1.RegionAutoscaling{MinReplicas: 2, MaxReplicas: 9}
	plan := decide(f, testSettings()).Plan
	if len(plan.Release) != 1 || plan.Release[0].Object != f.Deployment {
		t.Errorf("released %+v, want the replicas of the Deployment", plan.Release)
	}
	for _, obj := range plan.Wanted {
		if d, ok := obj.(*appsv1.Deployment); ok && d.Spec.Replicas != nil {
			t.Errorf("replicas %d are sent", *d.Spec.Replicas)
		}
	}
	f.Autoscaler = buildAutoscaler(f.Region)
	if plan = decide(f, testSettings()).Plan; len(plan.Release) != 0 || len(plan.Prune) != 0 {
		t.Errorf("with an autoscaler %v are released and %v pruned, want nothing", plan.Release, plan.Prune)
	}
	f.Region.Spec.Autoscaling, f.Region.Spec.Replicas = nil, new(int32(2))
	if plan = decide(f, testSettings()).Plan; len(plan.Prune) != 1 || plan.Prune[0] != f.Autoscaler {
		t.Errorf("pruned %v, want the autoscaler that is no longer declared", plan.Prune)
	}
}

func TestFromOneCellToMoreTheOldPodsEndBeforeTheNewOnesStart(t *testing.T) {
	t.Parallel()
	f := postgresFacts(t)
	strategyNow := func() appsv1.DeploymentStrategyType {
		f.Deployment = buildDeployment(f, "image")
		return f.Deployment.Spec.Strategy.Type
	}
	settled := appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2}
	steps := []struct {
		name   string
		change func()
		want   appsv1.DeploymentStrategyType
	}{
		{"a new region", func() {}, appsv1.RollingUpdateDeploymentStrategyType},
		{"one cell", func() { f.Deployment.Status = settled }, appsv1.RollingUpdateDeploymentStrategyType},
		{"a second cell", func() {
			postgres := f.Region.Spec.Storage.Postgres
			postgres.DSNSecretRefs = append(postgres.DSNSecretRefs, v1alpha1.SecretKeyReference{Name: "another-db", Key: "dsn"})
		}, appsv1.RecreateDeploymentStrategyType},
		{"the spec is not taken in", func() { f.Deployment.Generation, f.Deployment.Status = 2, settled }, appsv1.RecreateDeploymentStrategyType},
		{"the old ones end", func() {
			f.Deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: 2}
		}, appsv1.RecreateDeploymentStrategyType},
		{"a new one is ready", func() {
			f.Deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 1}
		}, appsv1.RollingUpdateDeploymentStrategyType},
		{"a third cell", func() {
			f.Deployment.Status = settled
			postgres := f.Region.Spec.Storage.Postgres
			postgres.DSNSecretRefs = append(postgres.DSNSecretRefs, v1alpha1.SecretKeyReference{Name: "third-db", Key: "dsn"})
		}, appsv1.RollingUpdateDeploymentStrategyType},
	}
	for _, step := range steps {
		step.change()
		if got := strategyNow(); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

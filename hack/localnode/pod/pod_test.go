package pod

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Shim()
	// A dependency of virtual-kubelet starts this worker when it is loaded.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

func TestRestartsWaitLongerWithEachCrash(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for crashes := range 9 {
		got = append(got, restartWait(crashes, 10*time.Second)/time.Second)
	}
	if diff := cmp.Diff([]time.Duration{0, 0, 10, 20, 40, 80, 160, 300, 300}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := restartWait(1000, time.Second); got != maxBackoff {
		t.Errorf("after a thousand crashes: %s", got)
	}
}

func TestPolicyDecidesAboutRestarts(t *testing.T) {
	t.Parallel()
	for policy, want := range map[corev1.RestartPolicy][2]bool{
		corev1.RestartPolicyAlways:    {true, true},
		corev1.RestartPolicyOnFailure: {false, true},
		corev1.RestartPolicyNever:     {false, false},
	} {
		if got := [2]bool{again(policy, 0), again(policy, 1)}; got != want {
			t.Errorf("%s: got %v, want %v", policy, got, want)
		}
	}
}

func TestGraceOnlyGetsShorter(t *testing.T) {
	t.Parallel()
	g := newGrace()
	if left, _ := g.left(); left < time.Minute {
		t.Errorf("without an end there are %s left", left)
	}
	now := time.Now()
	g.shorten(now.Add(time.Hour))
	g.shorten(now.Add(2 * time.Hour))
	if left, _ := g.left(); left > time.Hour {
		t.Errorf("a later end made it longer: %s", left)
	}
	done := make(chan struct{})
	answer := make(chan bool)
	go func() { answer <- g.wait(done) }()
	g.shorten(now)
	if <-answer {
		t.Error("the end has come, and wait says that the process ended")
	}
	close(done)
	if !graceOf(time.Hour).wait(done) {
		t.Error("the process has ended, and wait says that the time ended")
	}
}

func running(ready bool) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "r", Ready: ready, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func terminated(code int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "t", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}
}

func waiting(after *corev1.ContainerStateTerminated) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: "w", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}, LastTerminationState: corev1.ContainerState{Terminated: after},
	}
}

func TestPhaseFollowsTheContainers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		facts facts
		want  corev1.PodPhase
	}{
		{"not initialized", facts{main: []corev1.ContainerStatus{waiting(nil)}}, corev1.PodPending},
		{"first start", facts{initialized: true, main: []corev1.ContainerStatus{running(true), waiting(nil)}}, corev1.PodPending},
		{"running", facts{initialized: true, main: []corev1.ContainerStatus{running(false)}}, corev1.PodRunning},
		{"between crashes", facts{initialized: true, main: []corev1.ContainerStatus{waiting(&corev1.ContainerStateTerminated{})}}, corev1.PodRunning},
		{"one has ended", facts{initialized: true, main: []corev1.ContainerStatus{running(true), terminated(0)}}, corev1.PodRunning},
		{"all ended well", facts{initialized: true, finished: true, main: []corev1.ContainerStatus{terminated(0)}}, corev1.PodSucceeded},
		{"one ended badly", facts{initialized: true, finished: true, main: []corev1.ContainerStatus{terminated(0), terminated(2)}}, corev1.PodFailed},
		{"init failed", facts{initFailed: true, finished: true, main: []corev1.ContainerStatus{waiting(nil)}}, corev1.PodFailed},
		{"deadline", facts{initialized: true, reason: "DeadlineExceeded", finished: true, main: []corev1.ContainerStatus{terminated(0)}}, corev1.PodFailed},
		{"deadline, still stopping", facts{initialized: true, reason: "DeadlineExceeded", main: []corev1.ContainerStatus{running(true)}}, corev1.PodRunning},
		{"stopped", facts{initialized: true, finished: true, stopped: true, main: []corev1.ContainerStatus{terminated(143)}}, corev1.PodFailed},
		{"stopped well", facts{initialized: true, finished: true, stopped: true, main: []corev1.ContainerStatus{terminated(0)}}, corev1.PodSucceeded},
	} {
		if got := test.facts.phase(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestConditionsChangeTheirTimeOnlyWithTheirStatus(t *testing.T) {
	t.Parallel()
	early, now := metav1.NewTime(time.Unix(1000, 0)), metav1.NewTime(time.Unix(2000, 0))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Generation: 3}, Spec: corev1.PodSpec{ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "gate"}}}}
	f := &facts{
		pod: pod, now: now, prepared: true, initialized: true, main: []corev1.ContainerStatus{running(true)},
		previous: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: early},
			{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: early},
			{Type: "foreign", Status: corev1.ConditionTrue, LastTransitionTime: early},
		}},
	}
	got := f.status()
	for kind, want := range map[corev1.PodConditionType]corev1.PodCondition{
		corev1.PodInitialized:  {Status: corev1.ConditionTrue, LastTransitionTime: early},
		corev1.ContainersReady: {Status: corev1.ConditionTrue, LastTransitionTime: now},
		corev1.PodReady:        {Status: corev1.ConditionFalse, LastTransitionTime: now},
		"foreign":              {Status: corev1.ConditionTrue, LastTransitionTime: early},
	} {
		condition := find(got.Conditions, kind)
		if condition == nil || condition.Status != want.Status || !condition.LastTransitionTime.Equal(&want.LastTransitionTime) {
			t.Errorf("%s: got %+v", kind, condition)
		}
	}
	f.previous.Conditions = got.Conditions
	f.previous.Conditions = append(f.previous.Conditions, corev1.PodCondition{Type: "gate", Status: corev1.ConditionTrue})
	if ready := find(f.status().Conditions, corev1.PodReady); ready.Status != corev1.ConditionTrue || ready.ObservedGeneration != 3 {
		t.Errorf("with its gate: got %+v", ready)
	}
	f.main = []corev1.ContainerStatus{running(false)}
	if ready := find(f.status().Conditions, corev1.PodReady); ready.Status != corev1.ConditionFalse || ready.Message != "containers with unready status: [r]" {
		t.Errorf("unready: got %+v", ready)
	}
	f.main, f.finished = []corev1.ContainerStatus{terminated(0)}, true
	if ready := find(f.status().Conditions, corev1.PodReady); ready.Reason != "PodCompleted" {
		t.Errorf("completed: got %+v", ready)
	}
}

func TestReportedConditionsWinOverAWatchThatLags(t *testing.T) {
	t.Parallel()
	seen := corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionFalse}, {Type: "foreign", Status: corev1.ConditionTrue},
	}}
	reported := corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue}, {Type: corev1.PodInitialized, Status: corev1.ConditionTrue}, {Type: "old", Status: corev1.ConditionTrue},
	}}
	got := map[corev1.PodConditionType]corev1.ConditionStatus{}
	for _, condition := range merge(seen, reported).Conditions {
		got[condition.Type] = condition.Status
	}
	want := map[corev1.PodConditionType]corev1.ConditionStatus{
		corev1.PodReady: corev1.ConditionTrue, corev1.PodInitialized: corev1.ConditionTrue, "foreign": corev1.ConditionTrue,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestObjectsOfVolumesAreKnown(t *testing.T) {
	t.Parallel()
	local := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	spec := &corev1.PodSpec{Volumes: []corev1.Volume{
		{VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: local("a")}}},
		{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "b"}}},
		{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: local("c")}}, {Secret: &corev1.SecretProjection{LocalObjectReference: local("d")}},
		}}}},
	}}
	for _, test := range []struct {
		kind, name string
		want       bool
	}{
		{"ConfigMap", "a", true},
		{"Secret", "a", false},
		{"Secret", "b", true},
		{"ConfigMap", "c", true},
		{"Secret", "d", true},
		{"ConfigMap", "d", false},
	} {
		if got := uses(spec, test.kind, test.name); got != test.want {
			t.Errorf("%s %s: got %v", test.kind, test.name, got)
		}
	}
}

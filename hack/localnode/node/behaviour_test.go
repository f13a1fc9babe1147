package node

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func testCrash(t *testing.T, b *bench) {
	b.create(t, simple("crash", "--say=crashing", "--exit=3"))
	pod := b.await(t, "crash", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount >= 3 &&
			p.Status.ContainerStatuses[0].State.Waiting != nil
	})
	status := pod.Status.ContainerStatuses[0]
	if status.State.Waiting.Reason != "CrashLoopBackOff" || status.LastTerminationState.Terminated.ExitCode != 3 || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("status: %+v", status)
	}
	b.event(t, "BackOff", "main")
	if got := b.logs(t, "crash", corev1.PodLogOptions{Previous: true}); !strings.Contains(got, "crashing") {
		t.Errorf("logs of the run before: got %q", got)
	}
	b.remove(t, "crash")
}

func testLiveness(t *testing.T, b *bench) {
	pod := simple("liveness", "--listen=$(POD_IP):8080")
	main := &pod.Spec.Containers[0]
	main.LivenessProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 2, ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{Path: "/file?path=/does/not/exist", Port: intstr.FromInt32(8080)},
	}}
	b.create(t, pod)
	found := b.await(t, "liveness", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount >= 1 && p.Status.ContainerStatuses[0].State.Running != nil
	})
	if last := found.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.ExitCode != 0 {
		t.Errorf("the program ends well at SIGTERM, but: %+v", last)
	}
	b.event(t, "Unhealthy", "Liveness probe failed")
	b.event(t, "Killing", "failed liveness probe")
	b.remove(t, "liveness")
}

func testUnknownImage(t *testing.T, b *bench) {
	pod := simple("unknown")
	pod.Spec.Containers[0].Image = "example.test/stranger:v9"
	b.create(t, pod)
	found := b.await(t, "unknown", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "ImagePullBackOff"
	})
	if message := found.Status.ContainerStatuses[0].State.Waiting.Message; !strings.Contains(message, "example.test/stranger:v9") || !strings.Contains(message, "--image") {
		t.Errorf("message: %q", message)
	}
	if found.Status.Phase != corev1.PodPending {
		t.Errorf("phase: %s", found.Status.Phase)
	}
	b.event(t, "Failed", "ErrImagePull")
	b.remove(t, "unknown")
}

func testMissingObject(t *testing.T, b *bench) {
	pod := simple("missing", "--exit=0", "--say=$(VALUE)")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	later := corev1.LocalObjectReference{Name: "later"}
	pod.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: later}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{mount("v", "/v")}
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "VALUE", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: later, Key: "even-later"}}}}
	b.create(t, pod)
	b.event(t, "FailedMount", `configmap "later"`)
	object, err := b.CoreV1().ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.await(t, "missing", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	object.Data = map[string]string{"even-later": "came late"}
	if _, err := b.CoreV1().ConfigMaps(b.namespace).Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.await(t, "missing", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if got := b.logs(t, "missing", corev1.PodLogOptions{}); !strings.Contains(got, "came late") {
		t.Errorf("logs: got %q", got)
	}
	b.remove(t, "missing")
}

func testCompletion(t *testing.T, b *bench) {
	for name, want := range map[string]corev1.PodPhase{"exit-0": corev1.PodSucceeded, "exit-5": corev1.PodFailed} {
		pod := simple(name, "--"+strings.ReplaceAll(name, "-", "="), "--say=last words", "--write=/dev/termination-log", "--text=why")
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		b.create(t, pod)
		found := b.await(t, name, func(p *corev1.Pod) bool { return p.Status.Phase == want })
		if ended := found.Status.ContainerStatuses[0].State.Terminated; ended == nil || ended.Message != "why" {
			t.Errorf("%s: %+v", name, found.Status.ContainerStatuses[0].State)
		}
		if got := b.logs(t, name, corev1.PodLogOptions{}); !strings.Contains(got, "last words") {
			t.Errorf("%s: logs %q", name, got)
		}
		b.remove(t, name)
	}
}

func testStubborn(t *testing.T, b *bench) {
	pod := simple("stubborn", "--stubborn", "--listen=$(POD_IP):8080")
	one := int64(1)
	pod.Spec.TerminationGracePeriodSeconds = &one
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}
	b.create(t, pod)
	address := b.await(t, "stubborn", ready).Status.PodIP + ":8080"
	b.remove(t, "stubborn")
	eventually(t, func() string {
		if _, err := fetch(t, address, "/env", nil); err == nil {
			return "the process still answers"
		}
		return ""
	})
}

func testInitFailure(t *testing.T, b *bench) {
	pod := simple("init-failure", "--exit=0")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "example.test/program", Args: []string{programName, "--exit=4"}}}
	b.create(t, pod)
	found := b.await(t, "init-failure", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if ended := found.Status.InitContainerStatuses[0].State.Terminated; ended == nil || ended.ExitCode != 4 {
		t.Errorf("init container: %+v", found.Status.InitContainerStatuses[0].State)
	}
	b.remove(t, "init-failure")
}

func testStartFailure(t *testing.T, b *bench) {
	pod := simple("start-failure")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers[0].Command = []string{"nobody-has-this"}
	b.create(t, pod)
	found := b.await(t, "start-failure", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	ended := found.Status.ContainerStatuses[0].State.Terminated
	if ended == nil || ended.ExitCode != 128 || ended.Reason != "StartError" || !strings.Contains(ended.Message, "nobody-has-this") {
		t.Errorf("got %+v", ended)
	}
	b.remove(t, "start-failure")
	host := simple("no-command")
	host.Spec.Containers[0].Image = "example.test/host"
	host.Spec.Containers[0].Args = nil
	b.create(t, host)
	b.await(t, "no-command", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerError"
	})
	b.remove(t, "no-command")
}

func testDeadline(t *testing.T, b *bench) {
	pod := simple("deadline", "--say=forever")
	one := int64(1)
	pod.Spec.ActiveDeadlineSeconds = &one
	b.create(t, pod)
	found := b.await(t, "deadline", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if found.Status.Reason != "DeadlineExceeded" {
		t.Errorf("reason: %q", found.Status.Reason)
	}
	if got := b.logs(t, "deadline", corev1.PodLogOptions{}); !strings.Contains(got, "forever") {
		t.Errorf("logs of the pod that ran into its deadline: got %q", got)
	}
	b.remove(t, "deadline")
}

func testSidecar(t *testing.T, b *bench) {
	always := corev1.ContainerRestartPolicyAlways
	pod := simple("sidecar", "--exit=0")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.InitContainers = []corev1.Container{{
		Name: "side", Image: "example.test/program", RestartPolicy: &always, Args: []string{programName, "--listen=$(POD_IP):8090"},
		Env:          pod.Spec.Containers[0].Env,
		StartupProbe: &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 60, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8090)}}},
	}}
	b.create(t, pod)
	found := b.await(t, "sidecar", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	side, main := found.Status.InitContainerStatuses[0].State.Terminated, found.Status.ContainerStatuses[0].State.Terminated
	if side == nil || main == nil || side.StartedAt.After(main.StartedAt.Time) || side.FinishedAt.Before(&main.FinishedAt) {
		t.Errorf("sidecar %+v, main container %+v", side, main)
	}
	b.remove(t, "sidecar")
}

func testHost(t *testing.T, b *bench) {
	pod := simple("host")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	main := &pod.Spec.Containers[0]
	main.Image, main.Args, main.WorkingDir = "example.test/host:any", nil, "/work"
	main.Command = []string{"sh", "-c", "echo $(POD_IP) $$HOSTNAME && cat name && echo made > /work/made && cat made"}
	main.VolumeMounts = []corev1.VolumeMount{mount("work", "/work")}
	pod.Spec.Volumes = []corev1.Volume{{Name: "work", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: t.TempDir()}}}}
	if err := os.WriteFile(filepath.Join(pod.Spec.Volumes[0].HostPath.Path, "name"), []byte("on the host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.create(t, pod)
	found := b.await(t, "host", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	if got, want := b.logs(t, "host", corev1.PodLogOptions{}), found.Status.PodIP+" host\non the host\nmade\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.remove(t, "host")
}

func testReplacement(t *testing.T, b *bench) {
	b.create(t, simple("replaced", "--listen=$(POD_IP):8080", "--say=first"))
	b.await(t, "replaced", ready)
	zero := int64(0)
	if err := b.CoreV1().Pods(b.namespace).Delete(t.Context(), "replaced", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	b.create(t, simple("replaced", "--listen=$(POD_IP):8080", "--say=second"))
	pod := b.await(t, "replaced", ready)
	eventually(t, func() string {
		if got := b.logs(t, "replaced", corev1.PodLogOptions{}); !strings.Contains(got, "second") {
			return "logs of pod " + string(pod.UID) + ": " + got
		}
		return ""
	})
	if err := b.CoreV1().Pods(b.namespace).Delete(t.Context(), "replaced", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	b.create(t, simple("replaced", "--listen=$(POD_IP):8080", "--say=second"))
	b.await(t, "replaced", func(p *corev1.Pod) bool { return ready(p) && p.UID != pod.UID })
	b.remove(t, "replaced")
}

func testNextNode(t *testing.T, b *bench) {
	pod := simple("survivor", "--listen=$(POD_IP):8080", "--write=/scratch/kept", "--text=kept")
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{mount("scratch", "/scratch")}
	pod.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	b.create(t, pod)
	once := simple("once", "--say=runs once")
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	b.create(t, once)
	before := b.await(t, "survivor", ready)
	b.await(t, "once", ready)
	b.stop()
	if _, err := fetch(t, before.Status.PodIP+":8080", "/env", nil); err == nil {
		t.Error("a process runs without its node")
	}
	if phase := b.pod(t, "survivor").Status.Phase; phase != corev1.PodRunning {
		t.Errorf("the end of the node made the pod %s", phase)
	}
	stray := filepath.Join(b.config.DataDir, "pods", "stray")
	if err := os.MkdirAll(stray, 0o700); err != nil {
		t.Fatal(err)
	}
	b.stop = startNode(t, b.config)
	after := b.await(t, "survivor", func(p *corev1.Pod) bool {
		return ready(p) && p.Status.ContainerStatuses[0].RestartCount == 1
	})
	if after.Status.PodIP != before.Status.PodIP || after.UID != before.UID {
		t.Errorf("pod %s at %s became %s at %s", before.UID, before.Status.PodIP, after.UID, after.Status.PodIP)
	}
	if last := after.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.ExitCode != 137 {
		t.Errorf("last state: %+v", last)
	}
	kept := filepath.Join(b.config.DataDir, "pods", string(after.UID), "volumes/scratch/kept")
	eventually(t, func() string {
		got, err := fetch(t, after.Status.PodIP+":8080", "/env", url.Values{"name": {"POD_IP"}})
		if _, statErr := os.Stat(kept); err != nil || statErr != nil || got != after.Status.PodIP {
			return "the process of the next node does not answer"
		}
		return ""
	})
	b.await(t, "once", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if _, err := os.Stat(stray); err == nil {
		t.Error("the folder of a pod that is gone was kept")
	}
	b.remove(t, "survivor")
	b.remove(t, "once")
}

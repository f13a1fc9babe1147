package node

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/balancer"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/process"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/sandbox"
)

// patience is how long these tests wait for anything on a busy machine.
const patience = 2 * time.Minute

// startPlane starts a real control plane and returns the kubeconfig of its administrator.
func startPlane(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane, whose first compilation takes minutes")
	}
	dir := t.TempDir()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	binary, kubeconfig := filepath.Join(dir, "controlplane"), filepath.Join(dir, "kubeconfig")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./test/controlplane/cmd/controlplane")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build of the starter: %v: %s", err, out)
	}
	var out bytes.Buffer
	plane := exec.Command(binary, "up", "--quiet", "--kubeconfig="+kubeconfig)
	plane.Dir, plane.Stdout, plane.Stderr = root, &out, &out
	plane.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	spawner := process.NewSpawner()
	t.Cleanup(spawner.Close)
	if err := spawner.Start(plane); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- plane.Wait() }()
	t.Cleanup(func() {
		_ = plane.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Logf("control plane: %v: %s", err, out.String())
		}
	})
	deadline := time.Now().Add(20 * time.Minute) // the first start compiles the control plane
	for time.Now().Before(deadline) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("control plane: %v: %s", err, out.String())
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := os.Stat(kubeconfig); err == nil {
			return kubeconfig
		}
	}
	t.Fatal("the control plane does not become ready")
	return ""
}

// bench is a running node, its clients and the namespace of the test.
type bench struct {
	*kubernetes.Clientset

	rest      *rest.Config
	config    Config
	namespace string
	stop      func()
}

// startNode runs a node until the test ends or stop is called.
func startNode(t *testing.T, config Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits until check returns an empty text, which otherwise says what is still wrong.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	var wrong string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if wrong = check(); wrong == "" {
			return
		}
	}
	t.Fatal(wrong)
}

func (b *bench) pod(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	pod, err := b.CoreV1().Pods(b.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func (b *bench) create(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if _, err := b.CoreV1().Pods(b.namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// await waits for a pod that the check is content with.
func (b *bench) await(t *testing.T, name string, check func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	eventually(t, func() string {
		if found = b.pod(t, name); check(found) {
			return ""
		}
		return "pod " + name + " is not as it should be: " + found.Status.String()
	})
	return found
}

func ready(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (b *bench) event(t *testing.T, reason, text string) {
	t.Helper()
	eventually(t, func() string {
		events, err := b.CoreV1().Events(b.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events.Items {
			if event.Reason == reason && strings.Contains(event.Message, text) {
				return ""
			}
		}
		return "there is no event " + reason + " with " + text
	})
}

func (b *bench) logs(t *testing.T, pod string, options corev1.PodLogOptions) string {
	t.Helper()
	data, err := b.CoreV1().Pods(b.namespace).GetLogs(pod, &options).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("logs: %v: %s", err, data)
	}
	return string(data)
}

func fetch(t *testing.T, address, path string, query url.Values) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return string(data), err
}

// simple is a pod with one container that runs the program with arguments.
func simple(name string, args ...string) *corev1.Pod {
	grace := int64(5)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "main", Image: "example.test/program:v1", Args: append([]string{programName}, args...),
				Env: []corev1.EnvVar{{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}},
			}},
		},
	}
}

func TestPodsRunAsProcesses(t *testing.T) {
	kubeconfig := startPlane(t)
	detected, _ := sandbox.Detect(t.TempDir())
	for _, rootless := range []bool{false, true} {
		mode := detected
		if rootless {
			mode = sandbox.Rewrite
		} else if detected == sandbox.Rewrite {
			t.Log("this machine allows no namespaces, so only path rewriting is tested")
			continue
		}
		t.Run(strings.ReplaceAll(mode.String(), " ", "-"), func(t *testing.T) { testMode(t, kubeconfig, rootless) })
	}
}

func testMode(t *testing.T, kubeconfig string, rootless bool) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	catalog := image.Catalog{"example.test/program": self, "example.test/host": image.Host}
	b := &bench{config: Config{
		Kubeconfig: kubeconfig, Name: "local", Images: catalog, Rootless: rootless, DataDir: t.TempDir(), Loopback: "127.86.0.0/16",
		Services: "127.87.0.0/16", Grace: 5 * time.Second, Backoff: 300 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	}}
	if b.rest, b.Clientset, err = client(kubeconfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections() })
	namespace, err := b.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.namespace = namespace.Name
	b.stop = startNode(t, b.config)
	eventually(t, func() string { // pods are refused until their service account exists
		if _, err := b.CoreV1().ServiceAccounts(b.namespace).Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	t.Run("behaviours", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *bench){
			"a whole pod works":                          testWholePod,
			"a crash is followed by restarts":            testCrash,
			"a failed liveness probe restarts":           testLiveness,
			"an unknown image is named":                  testUnknownImage,
			"a missing object is waited for":             testMissingObject,
			"completed pods keep their result":           testCompletion,
			"a stubborn process is killed":               testStubborn,
			"a failed init container fails the pod":      testInitFailure,
			"a program that cannot start is told":        testStartFailure,
			"the deadline of a pod ends it":              testDeadline,
			"a sidecar starts before and ends after":     testSidecar,
			"commands of the host run":                   testHost,
			"a pod of the same name waits for the other": testReplacement,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, b)
			})
		}
	})
	t.Run("the next node goes on with the pods", func(t *testing.T) { testNextNode(t, b) })
}

func mount(name, path string) corev1.VolumeMount {
	return corev1.VolumeMount{Name: name, MountPath: path}
}

// wholePod uses every kind of volume and hook.
func wholePod() *corev1.Pod {
	pod := simple("whole", "--listen=$(POD_IP):8080", "--bye=/var/lib/data/bye", "--say=hello")
	pod.Spec.InitContainers = []corev1.Container{{
		Name: "init", Image: "example.test/program@sha256:00", VolumeMounts: []corev1.VolumeMount{mount("data", "/somewhere")},
		Args: []string{programName, "--write=/somewhere/init", "--text=made by init", "--exit=0"},
	}}
	main := &pod.Spec.Containers[0]
	main.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	main.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/env", Port: intstr.FromString("http")}}}
	main.StartupProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 60, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}
	main.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{
		Command: []string{"/bin/" + filepath.Base(os.Args[0]), programName, "--write=/var/lib/data/pre-stop", "--exit=0"},
	}}}
	main.VolumeMounts = []corev1.VolumeMount{
		mount("data", "/var/lib/data"), mount("settings", "/etc/settings"), mount("secret", "/etc/secret"), mount("info", "/etc/info"), mount("scratch", "/scratch"),
	}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
		{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "secret"}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "info", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}},
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: "mail"}},
		}}}},
	}
	return pod
}

func testWholePod(t *testing.T, b *bench) {
	core := b.CoreV1()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}},
	}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "whole"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"pod": "whole"},
		Ports: []corev1.ServicePort{{Port: 18080, TargetPort: intstr.FromString("http")}},
	}}
	eventually(t, func() string { // a claim without a class gets the default one, which the node makes when it starts
		if _, err := b.StorageV1().StorageClasses().Get(t.Context(), "local", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	_, claimErr := core.PersistentVolumeClaims(b.namespace).Create(t.Context(), claim, metav1.CreateOptions{})
	_, mapErr := core.ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"level": "debug"}}, metav1.CreateOptions{})
	secret, secretErr := core.Secrets(b.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "secret"}, StringData: map[string]string{"password": "first"}}, metav1.CreateOptions{})
	_, serviceErr := core.Services(b.namespace).Create(t.Context(), service, metav1.CreateOptions{})
	for _, err := range []error{claimErr, mapErr, secretErr, serviceErr} {
		if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	b.create(t, wholePod())
	pod := b.await(t, "whole", ready)
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	if !strings.HasPrefix(pod.Status.PodIP, "127.86.") || pod.Status.HostIP != "127.86.0.1" || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("status: %+v", pod.Status)
	}
	var address string
	eventually(t, func() string {
		found, err := core.Services(b.namespace).Get(t.Context(), "whole", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if address = found.Annotations[balancer.Annotation]; address == "" || len(found.Status.LoadBalancer.Ingress) != 1 {
			return "the service has no address"
		}
		return ""
	})
	b.checkContent(t, address)
	b.checkSecretUpdate(t, address, secret)
	b.checkLogs(t, address)
	b.checkExec(t)
	b.checkDeletion(t, address)
}

// through asks a program for a file as the program sees it; the path is one of its arguments' kind, so that a node
// which rewrites paths is asked for the real one.
func (b *bench) through(t *testing.T, address, volume, mountPath, name string) (string, error) {
	t.Helper()
	path := filepath.Join(mountPath, name)
	if b.config.Rootless {
		path = filepath.Join(b.config.DataDir, "pods", string(b.pod(t, "whole").UID), "volumes", volume, name)
	}
	return fetch(t, address, "/file", url.Values{"path": {path}})
}

func (b *bench) checkContent(t *testing.T, address string) {
	t.Helper()
	for _, file := range []struct{ volume, path, name, want string }{
		{"settings", "/etc/settings", "level", "debug"},
		{"secret", "/etc/secret", "password", "first"},
		{"info", "/etc/info", "labels", `pod="whole"`},
	} {
		if got, err := b.through(t, address, file.volume, file.path, file.name); err != nil || got != file.want {
			t.Errorf("%s: got %q, %v", file.name, got, err)
		}
	}
	if got, err := b.through(t, address, "info", "/etc/info", "token"); err != nil || strings.Count(got, ".") != 2 {
		t.Errorf("token: got %q, %v", got, err)
	}
	host, err := url.Parse(b.rest.Host)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fetch(t, address, "/env", url.Values{"name": {"KUBERNETES_SERVICE_PORT"}}); err != nil || got != host.Port() {
		t.Errorf("port of the API server: got %q, %v", got, err)
	}
}

func (b *bench) checkSecretUpdate(t *testing.T, address string, secret *corev1.Secret) {
	t.Helper()
	secret.Data = map[string][]byte{"password": []byte("second")}
	if _, err := b.CoreV1().Secrets(b.namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if got, err := b.through(t, address, "secret", "/etc/secret", "password"); err != nil || got != "second" {
			return "after the update the file has " + got
		}
		return ""
	})
}

func (b *bench) checkLogs(t *testing.T, address string) {
	t.Helper()
	one, none := int64(1), int64(0)
	if got := b.logs(t, "whole", corev1.PodLogOptions{}); !strings.Contains(got, "hello\n") || !strings.Contains(got, "arguments 3\n") {
		t.Errorf("logs: got %q", got)
	}
	if got := b.logs(t, "whole", corev1.PodLogOptions{TailLines: &one, Timestamps: true}); !strings.HasPrefix(got, "20") || strings.Count(got, "\n") != 1 {
		t.Errorf("last line with its time: got %q", got)
	}
	if got := b.logs(t, "whole", corev1.PodLogOptions{TailLines: &none}); got != "" {
		t.Errorf("no lines: got %q", got)
	}
	if got := b.logs(t, "whole", corev1.PodLogOptions{Container: "init"}); got != "arguments 3\n" {
		t.Errorf("logs of the init container: got %q", got)
	}
	if data, err := b.CoreV1().Pods(b.namespace).GetLogs("whole", &corev1.PodLogOptions{Previous: true}).DoRaw(t.Context()); err == nil {
		t.Errorf("a run that never was has the log %q", data)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := b.CoreV1().Pods(b.namespace).GetLogs("whole", &corev1.PodLogOptions{Follow: true, TailLines: &one}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := fetch(t, address, "/say", url.Values{"text": {"followed"}}); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stream)
	for lines.Scan() && lines.Text() != "followed" {
	}
	if lines.Text() != "followed" {
		t.Errorf("followed logs end with %q, %v", lines.Text(), lines.Err())
	}
}

func (b *bench) exec(t *testing.T, pod, stdin string, command ...string) (string, error) {
	t.Helper()
	request := b.CoreV1().RESTClient().Post().Resource("pods").Namespace(b.namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: "main", Command: command, Stdin: stdin != "", Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(b.rest, http.MethodGet, request.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	options := remotecommand.StreamOptions{Stdout: &out, Stderr: io.Discard}
	if stdin != "" {
		options.Stdin = strings.NewReader(stdin)
	}
	err = executor.StreamWithContext(t.Context(), options)
	return out.String(), err
}

func (b *bench) checkExec(t *testing.T) {
	t.Helper()
	binary := filepath.Base(os.Args[0])
	if got, err := b.exec(t, "whole", "", binary, programName, "--say=from beside", "--write=/scratch/x", "--exit=0"); err != nil || got != "from beside\n" {
		t.Errorf("command: got %q, %v", got, err)
	}
	if _, err := b.exec(t, "whole", "", binary, programName, "--exit=7"); err == nil || !strings.Contains(err.Error(), "7") {
		t.Errorf("command that fails: got %v", err)
	}
	if _, err := b.exec(t, "whole", "", "nobody-has-this"); err == nil {
		t.Error("a command that does not exist gives no error")
	}
	scratch := filepath.Join(b.config.DataDir, "pods", string(b.pod(t, "whole").UID), "volumes/scratch/x")
	if _, err := os.Stat(scratch); err != nil {
		t.Errorf("what a command wrote into a volume: %v", err)
	}
}

func (b *bench) checkDeletion(t *testing.T, address string) {
	t.Helper()
	volumes, err := filepath.Glob(filepath.Join(b.config.DataDir, "volumes", "*"))
	if err != nil || len(volumes) != 1 {
		t.Fatalf("volumes: %v, %v", volumes, err)
	}
	if data, err := os.ReadFile(filepath.Join(volumes[0], "init")); err != nil || string(data) != "made by init" {
		t.Errorf("file of the init container: %q, %v", data, err)
	}
	uid := string(b.pod(t, "whole").UID)
	b.remove(t, "whole")
	for _, file := range []string{"pre-stop", "bye"} {
		if _, err := os.Stat(filepath.Join(volumes[0], file)); err != nil {
			t.Errorf("graceful end: %v", err)
		}
	}
	eventually(t, func() string {
		if _, err := os.Stat(filepath.Join(b.config.DataDir, "pods", uid)); err == nil {
			return "the folder of the deleted pod is still there"
		}
		return ""
	})
	if err := b.CoreV1().Services(b.namespace).Delete(t.Context(), "whole", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.CoreV1().PersistentVolumeClaims(b.namespace).Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, err := os.Stat(volumes[0]); err == nil {
			return "the folder of the deleted claim is still there"
		}
		if _, err := fetch(t, address, "/env", nil); err == nil {
			return "the deleted service still answers"
		}
		return ""
	})
}

// remove deletes a pod and waits until it is gone.
func (b *bench) remove(t *testing.T, name string) {
	t.Helper()
	if err := b.CoreV1().Pods(b.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		_, err := b.CoreV1().Pods(b.namespace).Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return "the deleted pod is still there"
	})
}

package volume

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

// fixed answers for one ConfigMap and one Secret, whose content tests may change.
type fixed struct{ password string }

func (fixed) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	if name != "settings" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
	}
	return &corev1.ConfigMap{Data: map[string]string{"level": "debug"}, BinaryData: map[string][]byte{"raw": {0, 1}}}, nil
}

func (f fixed) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	if name != "credentials" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
	}
	return &corev1.Secret{Data: map[string][]byte{"password": []byte(f.password)}}, nil
}

var refresh = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func (fixed) Token(_ context.Context, _ *corev1.Pod, projection *corev1.ServiceAccountTokenProjection) (string, time.Time, error) {
	switch projection.Audience {
	case "refused":
		return "", time.Time{}, errors.New("audience refused")
	case "early":
		return "token", refresh.Add(-time.Hour), nil
	}
	return "token", refresh, nil
}

func (fixed) Folder(_ context.Context, _, claim string) (string, bool, error) {
	switch claim {
	case "bound", "p-ephemeral":
		return "/volumes/" + claim, false, nil
	case "only-read":
		return "/volumes/" + claim, true, nil
	}
	return "", false, errors.New("claim is not bound")
}

func renderer() *Renderer { return &Renderer{Objects: fixed{"hunter2"}, Tokens: fixed{}} }

func testPod(volumes ...corev1.Volume) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u", Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{Volumes: volumes, Containers: []corev1.Container{{Name: "main"}}, ServiceAccountName: "sync"},
		Status:     corev1.PodStatus{PodIP: "127.66.0.2"},
	}
}

func named(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

func TestProjectedVolumeCollectsItsSources(t *testing.T) {
	t.Parallel()
	yes := true
	volume := corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(int32(0o400)),
		Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("settings"), Items: []corev1.KeyToPath{{Key: "level", Path: "deep/er/level", Mode: new(int32(0o600))}}}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("none"), Optional: &yes}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: named("credentials")}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: named("none"), Optional: &yes}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: named("credentials"), Optional: &yes, Items: []corev1.KeyToPath{{Key: "none", Path: "none"}}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "ip", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}}},
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "early", Audience: "early"}},
		},
	}}}
	got, next, err := renderer().Render(t.Context(), testPod(), &volume)
	if err != nil {
		t.Fatal(err)
	}
	want := Payload{
		"deep/er/level": {Data: []byte("debug"), Mode: 0o600},
		"password":      {Data: []byte("hunter2"), Mode: 0o400},
		"ip":            {Data: []byte("127.66.0.2"), Mode: 0o400},
		"token":         {Data: []byte("token"), Mode: 0o400},
		"early":         {Data: []byte("token"), Mode: 0o400},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !next.Equal(refresh.Add(-time.Hour)) {
		t.Errorf("refresh: got %s", next)
	}
}

func TestWholeObjectsAreRenderedWithDefaultMode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		source corev1.VolumeSource
		want   Payload
	}{
		{
			corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("settings")}},
			Payload{"level": {Data: []byte("debug"), Mode: 0o644}, "raw": {Data: []byte{0, 1}, Mode: 0o644}},
		},
		{
			corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "credentials", DefaultMode: new(int32(0o600))}},
			Payload{"password": {Data: []byte("hunter2"), Mode: 0o600}},
		},
		{
			corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}, Mode: new(int32(0o444))},
			}}},
			Payload{"labels": {Data: []byte(`app="x"`), Mode: 0o444}},
		},
	} {
		volume := corev1.Volume{Name: "v", VolumeSource: test.source}
		if !Rendered(&volume) {
			t.Error("a volume of an object must be rendered")
		}
		got, next, err := renderer().Render(t.Context(), testPod(), &volume)
		if err != nil || !next.IsZero() {
			t.Errorf("got refresh %s, %v", next, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	projected := func(source corev1.VolumeProjection) corev1.VolumeSource {
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{source}}}
	}
	for want, source := range map[string]corev1.VolumeSource{
		`configmap "none"`:                 {ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("none")}},
		`secret "none"`:                    {Secret: &corev1.SecretVolumeSource{SecretName: "none"}},
		`"settings": has no key "x"`:       {ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("settings"), Items: []corev1.KeyToPath{{Key: "x", Path: "x"}}}},
		`downward API file "f"`:            {DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "f", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "x"}}}}},
		`downward API file "g"`:            {DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "g", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.x"}}}}},
		`neither a field nor`:              {DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "h"}}}},
		`service account "sync": audience`: projected(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "refused"}}),
		`projected.sources[0]`:             projected(corev1.VolumeProjection{}),
	} {
		_, _, err := renderer().Render(t.Context(), testPod(), &corev1.Volume{Name: "v", VolumeSource: source})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `volume "v"`) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// tree reads the visible files of a volume.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			for name, content := range tree(t, path) {
				out[entry.Name()+"/"+name] = content
			}
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[entry.Name()] = info.Mode().Perm().String() + " " + string(data)
	}
	return out
}

func TestVolumeIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "v")
	steps := []struct {
		payload Payload
		changed bool
		want    map[string]string
	}{
		{Payload{"a": {[]byte("1"), 0o644}, "d/b": {[]byte("2"), 0o600}}, true, map[string]string{"a": "-rw-r--r-- 1", "d/b": "-rw------- 2"}},
		{Payload{"a": {[]byte("1"), 0o644}, "d/b": {[]byte("2"), 0o600}}, false, map[string]string{"a": "-rw-r--r-- 1", "d/b": "-rw------- 2"}},
		{Payload{"a": {[]byte("1"), 0o644}, "d/b": {[]byte("3"), 0o600}}, true, map[string]string{"a": "-rw-r--r-- 1", "d/b": "-rw------- 3"}},
		{Payload{"a": {[]byte("1"), 0o666}, "d/b": {[]byte("3"), 0o600}}, true, map[string]string{"a": "-rw-rw-rw- 1", "d/b": "-rw------- 3"}},
		{Payload{"c": {[]byte("4"), 0o644}}, true, map[string]string{"c": "-rw-r--r-- 4"}},
		{Payload{}, true, map[string]string{}},
	}
	for i, step := range steps {
		changed, err := Write(dir, step.payload)
		if err != nil {
			t.Fatal(err)
		}
		if changed != step.changed {
			t.Errorf("step %d: changed is %v", i, changed)
		}
		if diff := cmp.Diff(step.want, tree(t, dir)); diff != "" {
			t.Errorf("step %d: -want +got\n%s", i, diff)
		}
		if versions, _ := filepath.Glob(filepath.Join(dir, "..version-*")); len(versions) != 1 {
			t.Errorf("step %d: %d versions are on disk", i, len(versions))
		}
	}
}

func TestFileOutsideOfTheVolumeIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "/x", "..data", "a/../../x", ""} {
		if _, err := Write(t.TempDir(), Payload{name: {}}); err == nil {
			t.Errorf("file %q was written", name)
		}
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(blocked, Payload{}); err == nil {
		t.Error("a volume was written into a file")
	}
}

func FuzzWriteStaysWithinTheVolume(f *testing.F) {
	f.Add("a")
	f.Add("a/b/../c")
	f.Add("../../x")
	f.Add("a\x00b")
	f.Fuzz(func(t *testing.T, name string) {
		parent := t.TempDir()
		_, err := Write(filepath.Join(parent, "v"), Payload{name: {Data: []byte("x"), Mode: 0o600}})
		entries, readErr := os.ReadDir(parent)
		if readErr != nil || len(entries) > 1 {
			t.Errorf("Write(%q) gave %v and left %v", name, err, entries)
		}
	})
}

func TestTokensAreKeptForFourFifthsOfTheirLife(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	client := fake.NewClientset()
	var requests []*authenticationv1.TokenRequest
	client.PrependReactor("create", "serviceaccounts", func(action ktesting.Action) (bool, runtime.Object, error) {
		request := action.(ktesting.CreateAction).GetObject().(*authenticationv1.TokenRequest).DeepCopy()
		requests = append(requests, request)
		request.Status.Token = "token " + string(rune('0'+len(requests)))
		request.Status.ExpirationTimestamp = metav1.NewTime(now.Add(time.Duration(*request.Spec.ExpirationSeconds) * time.Second))
		return true, request, nil
	})
	tokens := &Tokens{Client: client, Now: func() time.Time { return now }}
	seconds := int64(1000)
	projection := &corev1.ServiceAccountTokenProjection{Audience: "mail", ExpirationSeconds: &seconds}
	ask := func(want string, left time.Duration) {
		t.Helper()
		token, next, err := tokens.Token(t.Context(), testPod(), projection)
		if err != nil || token != want || next.Sub(now) != left {
			t.Errorf("got %q, refresh in %s, %v; want %q in %s", token, next.Sub(now), err, want, left)
		}
	}
	ask("token 1", 800*time.Second)
	now = now.Add(799 * time.Second)
	ask("token 1", time.Second)
	now = now.Add(time.Second)
	ask("token 2", 800*time.Second)
	projection = &corev1.ServiceAccountTokenProjection{}
	ask("token 3", 2880*time.Second)
	tokens.Forget(testPod())
	ask("token 4", 2880*time.Second)
	first := requests[0].Spec
	if diff := cmp.Diff([]string{"mail"}, first.Audiences); diff != "" || first.BoundObjectRef.UID != "u" || first.BoundObjectRef.Name != "p" {
		t.Errorf("request: %+v", first)
	}
	client.PrependReactor("create", "serviceaccounts", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("refused")
	})
	tokens.Forget(testPod())
	if _, _, err := tokens.Token(t.Context(), testPod(), projection); err == nil {
		t.Error("a refused request gives no error")
	}
	if account(&corev1.Pod{}) != "default" {
		t.Error("a pod without an account has the default one")
	}
}

func TestFoldersOfTheMachineAreCheckedOrMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, test := range []struct {
		path string
		kind *corev1.HostPathType
		good bool
	}{
		{"/does/not/exist", nil, true},
		{filepath.Join(dir, "new"), new(corev1.HostPathDirectoryOrCreate), true},
		{filepath.Join(dir, "new-file"), new(corev1.HostPathFileOrCreate), true},
		{filepath.Join(dir, "none", "file"), new(corev1.HostPathFileOrCreate), false},
		{dir, new(corev1.HostPathDirectory), true},
		{file, new(corev1.HostPathDirectory), false},
		{file, new(corev1.HostPathFile), true},
		{dir, new(corev1.HostPathFile), false},
		{filepath.Join(dir, "socket"), new(corev1.HostPathSocket), true},
		{"/dev/null", new(corev1.HostPathCharDev), true},
		{"/does/not/exist", new(corev1.HostPathDirectory), false},
		{dir, new(corev1.HostPathType("Nonsense")), false},
	} {
		if err := hostPath(&corev1.HostPathVolumeSource{Path: test.path, Type: test.kind}); (err == nil) != test.good {
			t.Errorf("%s %v: got %v", test.path, test.kind, err)
		}
	}
}

func TestSetPreparesMountsAndRefreshes(t *testing.T) {
	t.Parallel()
	objects := fixed{"hunter2"}
	dir := t.TempDir()
	set := &Set{Dir: dir, Renderer: &Renderer{Objects: objects, Tokens: objects}, Claims: objects}
	pod := testPod(
		corev1.Volume{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "credentials"}}},
		corev1.Volume{Name: "empty", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/host"}}},
		corev1.Volume{Name: "claim", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "bound"}}},
		corev1.Volume{Name: "read", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "only-read"}}},
		corev1.Volume{Name: "ephemeral", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
	)
	if _, err := set.Prepare(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	container := &corev1.Container{VolumeMounts: []corev1.VolumeMount{
		{Name: "empty", MountPath: "/data/sub", SubPathExpr: "$(POD)/x"},
		{Name: "claim", MountPath: "/data/"},
		{Name: "read", MountPath: "/read"},
		{Name: "secret", MountPath: "/secret", ReadOnly: true},
		{Name: "secret", MountPath: "/password", SubPath: "password"},
		{Name: "host", MountPath: "/host"},
		{Name: "ephemeral", MountPath: "/e"},
	}}
	got, err := set.Mounts(container, func(text string) string { return strings.ReplaceAll(text, "$(POD)", "p") })
	if err != nil {
		t.Fatal(err)
	}
	version, err := os.Readlink(filepath.Join(dir, "secret", "..data"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{Source: "/volumes/bound", Target: "/data"},
		{Source: filepath.Join(dir, "empty/p/x"), Target: "/data/sub"},
		{Source: "/volumes/p-ephemeral", Target: "/e"},
		{Source: "/host", Target: "/host"},
		{Source: filepath.Join(dir, "secret", version, "password"), Target: "/password"},
		{Source: "/volumes/only-read", Target: "/read", ReadOnly: true},
		{Source: filepath.Join(dir, "secret"), Target: "/secret", ReadOnly: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	set.Renderer.Objects = fixed{"changed"}
	if _, err := set.Refresh(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, filepath.Join(dir, "secret"))["password"]; got != "-rw-r--r-- changed" {
		t.Errorf("after a change: got %q", got)
	}
	pod.Spec.Volumes[0].Secret.SecretName = "none"
	if _, err := set.Refresh(t.Context(), pod); err == nil {
		t.Error("a missing secret gives no error")
	}
	if got := tree(t, filepath.Join(dir, "secret"))["password"]; got != "-rw-r--r-- changed" {
		t.Errorf("after the secret is gone: got %q", got)
	}
}

func TestVolumeThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()
	set := &Set{Dir: t.TempDir(), Renderer: renderer(), Claims: fixed{}}
	for want, source := range map[string]corev1.VolumeSource{
		"not bound":     {PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "none"}},
		"not supported": {NFS: &corev1.NFSVolumeSource{}},
	} {
		_, err := set.Prepare(t.Context(), testPod(corev1.Volume{Name: "v", VolumeSource: source}))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"v"`) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestSubPathStaysWithinItsVolume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set := &Set{Dir: dir, Renderer: renderer()}
	pod := testPod(corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	if _, err := set.Prepare(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "v", "out")); err != nil {
		t.Fatal(err)
	}
	same := func(text string) string { return text }
	for _, sub := range []string{"../x", "/etc", "out", "out/passwd"} {
		mount := corev1.VolumeMount{Name: "v", MountPath: "/v", SubPath: sub}
		if got, err := set.Mounts(&corev1.Container{VolumeMounts: []corev1.VolumeMount{mount}}, same); err == nil {
			t.Errorf("subPath %q: got %v", sub, got)
		}
	}
	if _, err := set.Mounts(&corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "none", MountPath: "/v"}}}, same); err == nil {
		t.Error("a mount of an unknown volume gives no error")
	}
}

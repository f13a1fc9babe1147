package variables

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestReferencesAreExpandedAsKubernetesDoes(t *testing.T) {
	t.Parallel()
	values := List{"A": "1", "B": "$(A)", "EMPTY": ""}
	for input, want := range map[string]string{
		"":              "",
		"plain":         "plain",
		"$(A)":          "1",
		"x$(A)y$(A)":    "x1y1",
		"$(B)":          "$(A)",
		"$$(A)":         "$(A)",
		"$$$(A)":        "$1",
		"$(NONE)":       "$(NONE)",
		"$(A":           "$(A",
		"$A":            "$A",
		"$":             "$",
		"a$(EMPTY)b":    "ab",
		"$(A)$":         "1$",
		"--a=$(A):$(A)": "--a=1:1",
	} {
		if got := Expand(input, values.Lookup); got != want {
			t.Errorf("Expand(%q): got %q, want %q", input, got, want)
		}
	}
}

func FuzzExpansionWithoutDollarsIsTheIdentity(f *testing.F) {
	f.Add("a$(A)b")
	f.Add("$$$(")
	f.Add("$(()")
	f.Fuzz(func(t *testing.T, input string) {
		known := func(string) (string, bool) { return "", true }
		if got := Expand(input, known); len(got) > len(input) {
			t.Errorf("Expand(%q) grew to %q", input, got)
		}
		plain := strings.ReplaceAll(input, "$", "")
		if got := Expand(plain, known); got != plain {
			t.Errorf("Expand(%q): got %q", plain, got)
		}
	})
}

type fixed struct{}

func (fixed) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	if name != "settings" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
	}
	return &corev1.ConfigMap{Data: map[string]string{"level": "debug", "region": "virginia"}}, nil
}

func (fixed) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	if name != "credentials" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
	}
	return &corev1.Secret{Data: map[string][]byte{"password": []byte("hunter2")}}, nil
}

func builder() *Builder {
	return &Builder{
		Objects: fixed{}, Base: map[string]string{"KUBERNETES_SERVICE_HOST": "127.0.0.1", "HOSTNAME": "p"},
		Allocatable: corev1.ResourceList{"cpu": resource.MustParse("2")},
	}
}

var pod = &corev1.Pod{
	ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n"},
	Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}, {Name: "other"}}},
	Status:     corev1.PodStatus{PodIP: "127.66.0.2"},
}

func named(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

func TestEnvironmentComesFromEverySourceInOrder(t *testing.T) {
	t.Parallel()
	yes := true
	container := &corev1.Container{
		Name: "main",
		EnvFrom: []corev1.EnvFromSource{
			{Prefix: "CM_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named("settings")}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("credentials")}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("none"), Optional: &yes}},
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named("none"), Optional: &yes}},
		},
		Env: []corev1.EnvVar{
			{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "LISTEN", Value: "$(POD_IP):8443 $(LATER)"},
			{Name: "LATER", Value: "x"},
			{Name: "HOSTNAME", Value: "mine"},
			{Name: "LEVEL", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("settings"), Key: "level"}}},
			{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named("credentials"), Key: "password"}}},
			{Name: "UNSET", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named("credentials"), Key: "none", Optional: &yes}}},
			{Name: "UNSET2", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("none"), Key: "none", Optional: &yes}}},
			{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "other", Resource: "limits.cpu"}}},
		},
	}
	got, err := builder().Build(t.Context(), pod, container)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"CM_level=debug", "CM_region=virginia", "CPU=2", "HOSTNAME=mine", "KUBERNETES_SERVICE_HOST=127.0.0.1",
		"LATER=x", "LEVEL=debug", "LISTEN=127.66.0.2:8443 $(LATER)", "PASSWORD=hunter2", "POD_IP=127.66.0.2", "password=hunter2",
	}
	if diff := cmp.Diff(want, got.Strings()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestMissingSourceNamesVariableAndObject(t *testing.T) {
	t.Parallel()
	for want, from := range map[string]*corev1.EnvVarSource{
		`configmap "none"`:      {ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("none"), Key: "a"}},
		`no key "a"`:            {ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("settings"), Key: "a"}},
		`secret "none"`:         {SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named("none"), Key: "a"}},
		`no key "b"`:            {SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named("credentials"), Key: "b"}},
		`"spec.nothing"`:        {FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nothing"}},
		`no such container`:     {ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "nobody", Resource: "limits.cpu"}},
		`no such resource`:      {ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.gpu"}},
		`not supported by this`: {},
	} {
		_, err := builder().Build(t.Context(), pod, &corev1.Container{Name: "main", Env: []corev1.EnvVar{{Name: "V", ValueFrom: from}}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"V"`) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, from := range []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named("none")}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("none")}},
	} {
		if _, err := builder().Build(t.Context(), pod, &corev1.Container{EnvFrom: []corev1.EnvFromSource{from}}); !apierrors.IsNotFound(err) {
			t.Errorf("got %v, want not found", err)
		}
	}
}

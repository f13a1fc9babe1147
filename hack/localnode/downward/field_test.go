package downward

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodFieldsAreReadByPath(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "sync-0", Namespace: "mail", UID: "u-1",
			Labels: map[string]string{"b": "2", "a": `1"`}, Annotations: map[string]string{"note.example/x": "y"},
		},
		Spec:   corev1.PodSpec{NodeName: "local", ServiceAccountName: "sync"},
		Status: corev1.PodStatus{PodIP: "127.66.0.2", HostIP: "127.66.0.1"},
	}
	for path, want := range map[string]string{
		"metadata.name": "sync-0", "metadata.namespace": "mail", "metadata.uid": "u-1",
		"metadata.labels": "a=\"1\\\"\"\nb=\"2\"", "metadata.labels['b']": "2", "metadata.labels['none']": "",
		"metadata.annotations['note.example/x']": "y", "metadata.annotations": `note.example/x="y"`,
		"spec.nodeName": "local", "spec.serviceAccountName": "sync",
		"status.podIP": "127.66.0.2", "status.podIPs": "127.66.0.2", "status.hostIP": "127.66.0.1", "status.hostIPs": "127.66.0.1",
	} {
		got, err := Field(pod, path)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "spec.containers", "status.phase['x']", "metadata.labels['x"} {
		if _, err := Field(pod, path); err == nil {
			t.Errorf("path %q gave no error", path)
		}
	}
}

func TestResourcesAreDividedAndRoundedUp(t *testing.T) {
	t.Parallel()
	container := &corev1.Container{Name: "main", Resources: corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("100Mi")},
		Requests: corev1.ResourceList{"cpu": resource.MustParse("250m")},
	}}
	node := corev1.ResourceList{"cpu": resource.MustParse("8"), "memory": resource.MustParse("1Gi"), "ephemeral-storage": resource.MustParse("10Gi")}
	for _, test := range []struct{ name, divisor, want string }{
		{"limits.cpu", "", "2"},
		{"limits.cpu", "1m", "1500"},
		{"limits.memory", "1Mi", "100"},
		{"limits.memory", "", "104857600"},
		{"limits.ephemeral-storage", "1Gi", "10"},
		{"requests.cpu", "1m", "250"},
		{"requests.memory", "", "0"},
	} {
		ref := &corev1.ResourceFieldSelector{Resource: test.name}
		if test.divisor != "" {
			ref.Divisor = resource.MustParse(test.divisor)
		}
		if got, err := Resource(container, ref, node); err != nil || got != test.want {
			t.Errorf("%s / %q: got %q, %v, want %q", test.name, test.divisor, got, err, test.want)
		}
	}
	for _, name := range []string{"", "cpu", "limits.gpu", "requests.gpu"} {
		if _, err := Resource(container, &corev1.ResourceFieldSelector{Resource: name}, node); err == nil {
			t.Errorf("resource %q gave no error", name)
		}
	}
}

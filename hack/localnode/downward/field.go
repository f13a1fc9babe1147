// Package downward answers the downward API: fields of a pod and the resources of its containers as text.
package downward

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Field returns the text of a pod field as the downward API defines it. The pod's status must carry its addresses.
// The error names the path that is not a downward API field.
func Field(pod *corev1.Pod, path string) (string, error) {
	if name, key, ok := subscript(path); ok {
		switch name {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
	}
	read, ok := fields[path]
	if !ok {
		return "", fmt.Errorf("field path %q: the downward API has no such field", path)
	}
	return read(pod), nil
}

var fields = map[string]func(*corev1.Pod) string{
	"metadata.name":           func(p *corev1.Pod) string { return p.Name },
	"metadata.namespace":      func(p *corev1.Pod) string { return p.Namespace },
	"metadata.uid":            func(p *corev1.Pod) string { return string(p.UID) },
	"metadata.labels":         func(p *corev1.Pod) string { return pairs(p.Labels) },
	"metadata.annotations":    func(p *corev1.Pod) string { return pairs(p.Annotations) },
	"spec.nodeName":           func(p *corev1.Pod) string { return p.Spec.NodeName },
	"spec.serviceAccountName": func(p *corev1.Pod) string { return p.Spec.ServiceAccountName },
	"status.hostIP":           func(p *corev1.Pod) string { return p.Status.HostIP },
	"status.hostIPs":          func(p *corev1.Pod) string { return p.Status.HostIP },
	"status.podIP":            func(p *corev1.Pod) string { return p.Status.PodIP },
	"status.podIPs":           func(p *corev1.Pod) string { return p.Status.PodIP },
}

// subscript splits metadata.labels['key'].
func subscript(path string) (name, key string, ok bool) {
	name, rest, found := strings.Cut(path, "['")
	if !found {
		return "", "", false
	}
	key, ok = strings.CutSuffix(rest, "']")
	return name, key, ok
}

func pairs(values map[string]string) string {
	lines := make([]string, 0, len(values))
	for key, value := range values {
		lines = append(lines, key+"="+strconv.Quote(value))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// Resource returns a container's resource as the downward API defines it: divided by the divisor and rounded up.
// A limit that is not set is the node's allocatable amount. The error names the resource that is unknown.
func Resource(container *corev1.Container, ref *corev1.ResourceFieldSelector, allocatable corev1.ResourceList) (string, error) {
	kind, name, _ := strings.Cut(ref.Resource, ".")
	var amount resource.Quantity
	var set bool
	switch kind {
	case "limits":
		amount, set = container.Resources.Limits[corev1.ResourceName(name)]
		if !set {
			amount, set = allocatable[corev1.ResourceName(name)]
		}
	case "requests":
		amount = container.Resources.Requests[corev1.ResourceName(name)]
		_, set = allocatable[corev1.ResourceName(name)]
	}
	if !set {
		return "", fmt.Errorf("resource %q of the container %q: the node has no such resource", ref.Resource, container.Name)
	}
	return divide(amount, ref.Divisor, name == string(corev1.ResourceCPU)), nil
}

func divide(amount, divisor resource.Quantity, milli bool) string {
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	numerator, denominator := amount.Value(), divisor.Value()
	if milli {
		numerator, denominator = amount.MilliValue(), divisor.MilliValue()
	}
	quotient := numerator / denominator
	if numerator%denominator != 0 {
		quotient++
	}
	return strconv.FormatInt(quotient, 10)
}

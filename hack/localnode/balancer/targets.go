package balancer

import (
	"net"
	"sort"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// podLister lists the pods of a namespace that a selector matches.
type podLister func(namespace string, selector labels.Selector) ([]*corev1.Pod, error)

// targets gives the addresses of the pods that a port of a Service leads to: those that the selector matches, that
// are ready and that are not being deleted. EndpointSlices would say the same, but refuse loopback addresses.
func targets(list podLister, service *corev1.Service, port *corev1.ServicePort) []string {
	if len(service.Spec.Selector) == 0 {
		return nil
	}
	pods, err := list(service.Namespace, labels.SelectorFromSet(service.Spec.Selector))
	if err != nil {
		return nil
	}
	var out []string
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" || (!service.Spec.PublishNotReadyAddresses && !ready(pod)) {
			continue
		}
		if number := portOf(pod, port); number > 0 {
			out = append(out, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(number))))
		}
	}
	sort.Strings(out)
	return out
}

func ready(pod *corev1.Pod) bool {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodReady {
			return pod.Status.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

// portOf is the pod's port for a Service port: a number as it is, a name as the pod's containers define it.
func portOf(pod *corev1.Pod, port *corev1.ServicePort) int32 {
	switch {
	case port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal != 0:
		return port.TargetPort.IntVal
	case port.TargetPort.Type == intstr.Int || port.TargetPort.StrVal == "":
		return port.Port
	}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			for _, named := range list[i].Ports {
				if named.Name == port.TargetPort.StrVal && (named.Protocol == "" || named.Protocol == corev1.ProtocolTCP) {
					return named.ContainerPort
				}
			}
		}
	}
	return 0
}

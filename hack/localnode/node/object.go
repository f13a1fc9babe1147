package node

import (
	"net/netip"
	"os"
	"runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxPods is the capacity for pods; processes are cheap.
const maxPods = "500"

// allocatable is what the node offers: the processors of the machine, and generous amounts of what it does not count,
// because requests of pods are written for real clusters.
func allocatable() corev1.ResourceList {
	const minimumCPU = 16
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(max(minimumCPU, runtime.NumCPU())), resource.DecimalSI),
		corev1.ResourceMemory:           resource.MustParse("64Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("256Gi"),
		corev1.ResourcePods:             resource.MustParse(maxPods),
	}
}

// object is the Node that is registered.
func object(name string, address netip.Addr, port int32) *corev1.Node {
	now := metav1.Now()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
			"node.kubernetes.io/instance-type": "localnode",
		}},
		Status: corev1.NodeStatus{
			Capacity: allocatable(), Allocatable: allocatable(),
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: address.String()}, {Type: corev1.NodeHostName, Address: name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
			NodeInfo: corev1.NodeSystemInfo{
				OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, KubeletVersion: "v1.37.2-localnode",
				ContainerRuntimeVersion: "process://1", KernelVersion: kernel(), OSImage: "the machine itself",
			},
		},
	}
	for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeNetworkUnavailable} {
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: corev1.ConditionFalse, Reason: "NotMeasured", LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "pods run as processes",
		LastHeartbeatTime: now, LastTransitionTime: now,
	})
	return node
}

func kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return string(data[:max(0, len(data)-1)])
}

package pod

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// facts is everything that a pod's status is made of, taken under one lock.
type facts struct {
	pod         *corev1.Pod
	previous    corev1.PodStatus
	hostIP      string
	podIP       string
	started     metav1.Time
	prepared    bool
	initialized bool
	initFailed  bool
	stopped     bool
	reason      string
	message     string
	init        []corev1.ContainerStatus
	main        []corev1.ContainerStatus
	finished    bool
	now         metav1.Time
}

// status is the status of a pod. Conditions of other writers are kept, and times change only when facts do.
func (f *facts) status() corev1.PodStatus {
	status := corev1.PodStatus{
		ObservedGeneration: f.pod.Generation,
		Phase:              f.phase(), Reason: f.reason, Message: f.message,
		HostIP: f.hostIP, HostIPs: []corev1.HostIP{{IP: f.hostIP}},
		PodIP: f.podIP, PodIPs: []corev1.PodIP{{IP: f.podIP}},
		StartTime: &f.started, QOSClass: f.previous.QOSClass,
		InitContainerStatuses: f.init, ContainerStatuses: f.main,
		Conditions: f.conditions(),
	}
	if f.podIP == "" {
		status.PodIPs = nil
	}
	return status
}

// phase follows a kubelet: Pending until every container was made once, Running until all have ended for good.
func (f *facts) phase() corev1.PodPhase {
	switch {
	case f.initFailed || f.reason != "":
		if f.finished {
			return corev1.PodFailed
		}
	case f.finished && f.stopped:
		return outcome(append(append([]corev1.ContainerStatus(nil), f.init...), f.main...))
	case f.finished:
		return outcome(f.main)
	}
	if !f.initialized || waitingForFirst(f.main) {
		return corev1.PodPending
	}
	return corev1.PodRunning
}

func outcome(statuses []corev1.ContainerStatus) corev1.PodPhase {
	for i := range statuses {
		if ended := statuses[i].State.Terminated; ended == nil || ended.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}

func waitingForFirst(statuses []corev1.ContainerStatus) bool {
	for i := range statuses {
		if statuses[i].State.Waiting != nil && statuses[i].LastTerminationState.Terminated == nil {
			return true
		}
	}
	return false
}

func (f *facts) conditions() []corev1.PodCondition {
	containersReady := f.containersReady()
	ready := containersReady
	if ready.Status == corev1.ConditionTrue {
		ready = f.gates()
	}
	ready.Type = corev1.PodReady
	initialized := corev1.PodCondition{Type: corev1.PodInitialized, Status: truth(f.initialized)}
	if !f.initialized {
		initialized.Reason = "ContainersNotInitialized"
	}
	own := []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: truth(f.prepared)},
		initialized, ready, containersReady,
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
	}
	for i := range own {
		own[i].ObservedGeneration = f.pod.Generation
		own[i].LastTransitionTime = f.transition(&own[i])
	}
	for i := range f.previous.Conditions {
		if find(own, f.previous.Conditions[i].Type) == nil {
			own = append(own, f.previous.Conditions[i])
		}
	}
	return own
}

// transition is the time of the last change of a condition's status.
func (f *facts) transition(condition *corev1.PodCondition) metav1.Time {
	if before := find(f.previous.Conditions, condition.Type); before != nil && before.Status == condition.Status && !before.LastTransitionTime.IsZero() {
		return before.LastTransitionTime
	}
	return f.now
}

func find(conditions []corev1.PodCondition, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

func (f *facts) containersReady() corev1.PodCondition {
	condition := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}
	var unready []string
	for i := range f.main {
		if !f.main[i].Ready {
			unready = append(unready, f.main[i].Name)
		}
	}
	switch {
	case f.finished && outcome(f.main) == corev1.PodSucceeded:
		condition.Status, condition.Reason = corev1.ConditionFalse, "PodCompleted"
	case len(unready) > 0 || f.finished:
		condition.Status, condition.Reason = corev1.ConditionFalse, "ContainersNotReady"
		condition.Message = "containers with unready status: [" + strings.Join(unready, " ") + "]"
	}
	return condition
}

// gates judges the readiness gates, which other controllers answer.
func (f *facts) gates() corev1.PodCondition {
	for _, gate := range f.pod.Spec.ReadinessGates {
		if answer := find(f.previous.Conditions, gate.ConditionType); answer == nil || answer.Status != corev1.ConditionTrue {
			return corev1.PodCondition{
				Status: corev1.ConditionFalse, Reason: "ReadinessGatesNotReady",
				Message: "readiness gate " + string(gate.ConditionType) + " is not true",
			}
		}
	}
	return corev1.PodCondition{Status: corev1.ConditionTrue}
}

func truth(value bool) corev1.ConditionStatus {
	if value {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

// status is the status of a container; the worker's lock is held.
func (c *container) status() corev1.ContainerStatus {
	started := c.started
	status := corev1.ContainerStatus{
		Name: c.name, Image: c.spec.Image, ImageID: c.spec.Image, State: *c.state.DeepCopy(), LastTerminationState: *c.last.DeepCopy(),
		RestartCount: c.restarts, Started: &started, Ready: c.ready,
	}
	if c.state.Running != nil || c.state.Terminated != nil {
		status.ContainerID = c.id(c.restarts)
	}
	if c.kind == initKind {
		status.Ready = c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
	}
	if c.finished && c.state.Waiting != nil { // the pod was stopped before the container could run
		status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: lostCode, Reason: "ContainerStatusUnknown", Message: "the pod was stopped before the container could run",
		}}
	}
	return status
}

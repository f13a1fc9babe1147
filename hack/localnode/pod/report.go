package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// report asks for the status to be written.
func (w *Worker) report() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// reportLoop tells the status whenever it may have changed.
func (w *Worker) reportLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.dirty:
			if pod, known := w.compose(); known {
				w.notify(pod)
			}
		}
	}
}

// view is the pod with its addresses in its status, for the downward API.
func (w *Worker) view() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	pod := w.pod.DeepCopy()
	pod.Status.HostIP = w.host.Address.String()
	pod.Status.PodIP = ""
	if w.address.IsValid() {
		pod.Status.PodIP = w.address.String()
	}
	return pod
}

// compose is the pod as the API has it, with the status of now. known is false when the API has it no more; then the
// pod is the one that the worker was given.
func (w *Worker) compose() (pod *corev1.Pod, known bool) {
	seen, err := w.host.Pods.Pods(w.origin.Namespace).Get(w.origin.Name)
	known = err == nil && seen.UID == w.origin.UID
	w.mu.Lock()
	defer w.mu.Unlock()
	pod = w.pod
	if known {
		pod = seen
	}
	pod = pod.DeepCopy()
	pod.Status = w.statusLocked(pod)
	return pod, known
}

func (w *Worker) statusLocked(pod *corev1.Pod) corev1.PodStatus {
	f := &facts{
		pod: pod, previous: merge(pod.Status, w.last), hostIP: w.host.Address.String(), started: w.started,
		prepared: w.prepared, initialized: w.initialized, initFailed: w.initFailed, finished: w.finished,
		stopped: w.alive.Err() != nil, reason: w.reason, message: w.message, now: metav1.Now(),
	}
	if w.address.IsValid() {
		f.podIP = w.address.String()
	}
	for _, c := range w.init {
		f.init = append(f.init, c.status())
	}
	for _, c := range w.main {
		f.main = append(f.main, c.status())
	}
	w.last = f.status()
	return w.last
}

// merge takes the node's own conditions from what it reported last, because the watch may lag behind, and everything
// else from the API.
func merge(seen, reported corev1.PodStatus) corev1.PodStatus {
	merged := *seen.DeepCopy()
	for i := range merged.Conditions {
		condition := &merged.Conditions[i]
		if own := find(reported.Conditions, condition.Type); own != nil && ownConditions[condition.Type] {
			*condition = *own
		}
	}
	for i := range reported.Conditions {
		if own := &reported.Conditions[i]; ownConditions[own.Type] && find(merged.Conditions, own.Type) == nil {
			merged.Conditions = append(merged.Conditions, *own)
		}
	}
	return merged
}

var ownConditions = map[corev1.PodConditionType]bool{
	corev1.PodReadyToStartContainers: true, corev1.PodInitialized: true, corev1.PodReady: true, corev1.ContainersReady: true,
}

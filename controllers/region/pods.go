package region

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// judgeWorkload tells whether the sync server runs and, when it does not, what the
// pod waits for, so that nobody has to read logs to learn that an image is missing.
func judgeWorkload(f *Facts, d Decision, _ Outcome) conditions.Dependent {
	const condition = v1alpha1.ConditionWorkloadAvailable
	if !d.starts(f) {
		return conditions.Waiting(condition, v1alpha1.ReasonPodsNotReady, "the sync server starts when there is a serving certificate")
	}
	if available(f.StatefulSet) {
		return conditions.True(condition, v1alpha1.ReasonReady, "the sync server runs")
	}
	reason := waitsFor(f.Pod)
	if reason == "" {
		return conditions.Waiting(condition, v1alpha1.ReasonPodsNotReady, fmt.Sprintf("Pod %q is not ready", namesOf(f.Region).replica()))
	}
	return conditions.Waiting(condition, v1alpha1.ReasonPodsNotReady, fmt.Sprintf("Pod %q is not ready: %s", namesOf(f.Region).replica(), reason))
}

// available tells whether the newest pod is ready.
func available(set *appsv1.StatefulSet) bool {
	return set != nil && set.Status.ObservedGeneration >= set.Generation && set.Status.ReadyReplicas >= 1 && set.Status.UpdatedReplicas >= 1
}

// advice is what a person can do about a reason that the kubelet gives. Reasons
// without advice are told with the kubelet's own words.
var advice = map[string]string{
	"ImagePullBackOff":           "check that the node can pull the image of the operator's --image",
	"ErrImagePull":               "check that the node can pull the image of the operator's --image",
	"InvalidImageName":           "correct the operator's --image",
	"CrashLoopBackOff":           "read the log of the container with kubectl logs --previous",
	"CreateContainerConfigError": "see the events of the pod",
}

// waitsFor says what a pod waits for in words that do not change from try to try;
// empty when nothing is known.
func waitsFor(pod *corev1.Pod) string {
	if pod == nil {
		return ""
	}
	if message := unscheduled(pod); message != "" {
		return message
	}
	for i := range pod.Status.ContainerStatuses {
		if message := waiting(&pod.Status.ContainerStatuses[i]); message != "" {
			return message
		}
	}
	return ""
}

func unscheduled(pod *corev1.Pod) string {
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
	if i < 0 || pod.Status.Conditions[i].Status != corev1.ConditionFalse {
		return ""
	}
	return strings.TrimSpace(pod.Status.Conditions[i].Reason + ": " + pod.Status.Conditions[i].Message)
}

// waiting tells of a container that does not run. The kubelet's message is left
// out where there is advice: it counts seconds and tries.
func waiting(s *corev1.ContainerStatus) string {
	state := s.State.Waiting
	if state == nil || state.Reason == "" || state.Reason == "ContainerCreating" || state.Reason == "PodInitializing" {
		return ""
	}
	message := advice[state.Reason]
	if message == "" {
		message = state.Message
	}
	message = strings.TrimSuffix(strings.TrimSpace(state.Reason+": "+message), ":")
	if last := s.LastTerminationState.Terminated; last != nil {
		message = fmt.Sprintf("%s (it ended with exit code %d, %s)", message, last.ExitCode, last.Reason)
	}
	return message
}

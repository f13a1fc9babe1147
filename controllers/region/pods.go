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

// judgeWorkload tells whether the sync servers run and, when they do not, what their
// pods wait for, so that nobody has to read logs to learn that an image is missing.
func judgeWorkload(f *Facts, d Decision, _ Outcome) conditions.Dependent {
	const condition = v1alpha1.ConditionWorkloadAvailable
	switch {
	case d.starts(f):
	case held(f):
		return conditions.Waiting(condition, v1alpha1.ReasonPodsNotReady, "the sync server starts when spec.delivery can be used, see "+v1alpha1.ConditionDeliveryReady)
	default:
		return conditions.Waiting(condition, v1alpha1.ReasonPodsNotReady, "the sync server starts when there is a serving certificate")
	}
	if f.onPostgres() {
		return judgeDeployment(f)
	}
	if available(f.StatefulSet) {
		return conditions.True(condition, v1alpha1.ReasonReady, "the sync server runs")
	}
	message := fmt.Sprintf("Pod %q is not ready", namesOf(f.Region).replica())
	if reason := podsWaitFor(f); reason != "" {
		message += ": " + reason
	}
	return conditions.Waiting(condition, v1alpha1.ReasonPodsNotReady, message)
}

// judgeDeployment wants as many new pods ready as the spec asks for at least, and no
// old one left. What an autoscaler adds beyond that is no reason to call the region
// unready.
func judgeDeployment(f *Facts) conditions.Dependent {
	const condition = v1alpha1.ConditionWorkloadAvailable
	least := leastReplicas(f.Region)
	if rolledOut(f.Deployment, least) {
		if least == 0 {
			return conditions.True(condition, v1alpha1.ReasonReady, "spec.replicas is 0: no sync server runs")
		}
		return conditions.True(condition, v1alpha1.ReasonReady, "the sync servers run")
	}
	message := fmt.Sprintf("%d of %d replicas are ready", readyReplicas(f), desiredReplicas(f))
	if reason := podsWaitFor(f); reason != "" {
		message += ": " + reason
	} else if readyReplicas(f) >= desiredReplicas(f) {
		message += ": pods of the spec before are being replaced"
	}
	return conditions.Waiting(condition, v1alpha1.ReasonPodsNotReady, message)
}

// rolledOut tells whether enough pods of the newest template are ready and those of
// others are gone.
func rolledOut(d *appsv1.Deployment, least int32) bool {
	return d != nil && d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == d.Status.Replicas &&
		d.Status.ReadyReplicas >= least && (least > 0 || d.Status.Replicas == 0)
}

// readyReplicas counts the pods that serve.
func readyReplicas(f *Facts) int32 {
	switch {
	case f.StatefulSet != nil:
		return f.StatefulSet.Status.ReadyReplicas
	case f.Deployment != nil:
		return f.Deployment.Status.ReadyReplicas
	default:
		return 0
	}
}

// desiredReplicas is what the autoscaler asks for, or the spec.
func desiredReplicas(f *Facts) int32 {
	if f.Region.Spec.Autoscaling != nil && f.Deployment != nil && f.Deployment.Spec.Replicas != nil {
		return *f.Deployment.Spec.Replicas
	}
	return leastReplicas(f.Region)
}

// podsWaitFor says what the pods that are not ready wait for, without their names: those
// of a Deployment are random. What most of them say is alike.
func podsWaitFor(f *Facts) string {
	var reasons []string
	for _, pod := range f.Pods {
		if reason := waitsFor(pod); reason != "" && !serves(pod) {
			reasons = append(reasons, reason)
		}
	}
	slices.Sort(reasons)
	if reasons = slices.Compact(reasons); len(reasons) > 0 {
		return joined(reasons)
	}
	if storageTrouble(f) != nil {
		return "the store cannot be used, see " + v1alpha1.ConditionStorageReady
	}
	return ""
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

package region

import (
	"cmp"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// defaultCPUPercent is the use of the requested CPU that autoscaling aims at.
const defaultCPUPercent = 70

// buildDeployment gives the sync servers of a region whose mail is in PostgreSQL. They
// read their connection strings when they start, so that another revision of those
// replaces them. While an autoscaler owns the number of replicas it is left out.
func buildDeployment(f *Facts, image string) *appsv1.Deployment {
	r := f.Region
	return &appsv1.Deployment{
		ObjectMeta: metaOf(r, namesOf(r).sync()),
		Spec: appsv1.DeploymentSpec{
			Replicas:             declaredReplicas(r),
			RevisionHistoryLimit: new(int32(3)),
			Selector:             &metav1.LabelSelector{MatchLabels: selectorOf(r)},
			Strategy:             strategy(f),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(r), Annotations: templateAnnotations(f)},
				Spec:       buildPod(r, f.Cloud, image),
			},
		},
	}
}

// strategy has a new pod ready before an old one goes, except from one cell to more: a
// replica that knows of one only would put new accounts there that others put
// elsewhere, so the old ones end before the first new one starts.
func strategy(f *Facts) appsv1.DeploymentStrategy {
	if spreads(f) {
		return appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	}
	return appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxUnavailable: new(intstr.FromInt32(0)),
			MaxSurge:       new(intstr.FromString("25%")),
		},
	}
}

// spreads tells whether accounts get, or are just getting, more cells than one. That is
// over when the Deployment has taken in its spec and no pod of the one before is left.
func spreads(f *Facts) bool {
	d := f.Deployment
	if d == nil || len(cellsOf(f.Region)) < 2 {
		return false
	}
	if knownCells(d) < 2 {
		return true
	}
	s := &d.Status
	over := s.ObservedGeneration >= d.Generation && s.Replicas == s.UpdatedReplicas && s.ReadyReplicas > 0
	return d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType && !over
}

// knownCells counts the databases that the pods of a Deployment know of.
func knownCells(d *appsv1.Deployment) int {
	for i := range d.Spec.Template.Spec.Volumes {
		if v := &d.Spec.Template.Spec.Volumes[i]; v.Name == databasesVolume && v.Projected != nil {
			return len(v.Projected.Sources)
		}
	}
	return 0
}

// declaredReplicas is the number that the operator sends; nil while an autoscaler owns
// it.
func declaredReplicas(r *v1alpha1.MailboxRegion) *int32 {
	switch {
	case r.Spec.Autoscaling != nil:
		return nil
	case r.Spec.Replicas != nil:
		return new(*r.Spec.Replicas)
	default:
		return new(int32(1))
	}
}

// leastReplicas is how many replicas the spec asks for at least.
func leastReplicas(r *v1alpha1.MailboxRegion) int32 {
	if r.Spec.Autoscaling != nil {
		return r.Spec.Autoscaling.MinReplicas
	}
	if declared := declaredReplicas(r); r.Spec.Storage.Postgres != nil && declared != nil {
		return *declared
	}
	return 1
}

// buildAutoscaler scales the sync servers by the CPU that they use.
func buildAutoscaler(r *v1alpha1.MailboxRegion) *autoscalingv2.HorizontalPodAutoscaler {
	scaling := r.Spec.Autoscaling
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metaOf(r, namesOf(r).sync()),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
				APIVersion: appsv1.SchemeGroupVersion.String(), Kind: kindDeployment, Name: namesOf(r).sync(),
			},
			MinReplicas: new(scaling.MinReplicas),
			MaxReplicas: scaling.MaxReplicas,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ResourceMetricSourceType,
				Resource: &autoscalingv2.ResourceMetricSource{
					Name: corev1.ResourceCPU,
					Target: autoscalingv2.MetricTarget{
						Type:               autoscalingv2.UtilizationMetricType,
						AverageUtilization: new(cmp.Or(scaling.TargetCPUPercent, defaultCPUPercent)),
					},
				},
			}},
		},
	}
}

// spreadReplicas keeps the replicas of a region on different nodes and in different
// zones where that is possible, those of each revision for themselves.
func spreadReplicas(r *v1alpha1.MailboxRegion) []corev1.TopologySpreadConstraint {
	keys := []string{corev1.LabelTopologyZone, corev1.LabelHostname}
	constraints := make([]corev1.TopologySpreadConstraint, 0, len(keys))
	for _, key := range keys {
		constraints = append(constraints, corev1.TopologySpreadConstraint{
			MaxSkew:           1,
			TopologyKey:       key,
			WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector:     &metav1.LabelSelector{MatchLabels: selectorOf(r)},
			MatchLabelKeys:    []string{appsv1.DefaultDeploymentUniqueLabelKey},
		})
	}
	return constraints
}

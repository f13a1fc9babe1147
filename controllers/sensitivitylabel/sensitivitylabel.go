// Package sensitivitylabel reconciles SensitivityLabel: it tells whether the tenant can
// have the label, and whether every region of the tenant is given it. The label gets to
// the regions within the tenant's documents, which the controller of tenants writes.
//
// There is no finalizer: a label that is deleted leaves the documents at once. Mail
// that carries its id keeps it, and shows the label again when that is created anew.
package sensitivitylabel

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sensitivitylabels,verbs=list;watch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=sensitivitylabels/status,verbs=patch
// +kubebuilder:rbac:groups=mail.bailiwick.dev,resources=tenants,verbs=list;watch

// noun is what messages call a sensitivity label.
const noun = "label"

// Options are what the controller needs to know of its surroundings.
type Options = belonging.Options

// Add registers the controller with a manager.
func Add(mgr manager.Manager, o Options) error { return kind().Add(mgr, o) }

// Conditions gives the conditions of all labels to the metric that counts them.
func Conditions() conditions.Source { return kind().Conditions() }

func kind() *belonging.Kind[*v1alpha1.SensitivityLabel] {
	return &belonging.Kind[*v1alpha1.SensitivityLabel]{
		Name: "SensitivityLabel", Plural: "labels", Controller: "sensitivitylabel",
		New:    func() *v1alpha1.SensitivityLabel { return &v1alpha1.SensitivityLabel{} },
		List:   func() client.ObjectList { return &v1alpha1.SensitivityLabelList{} },
		Tenant: func(l *v1alpha1.SensitivityLabel) v1alpha1.ObjectName { return l.Spec.Tenant },
		Status: func(l *v1alpha1.SensitivityLabel) (any, *v1alpha1.ReconcileStatus) {
			return l.Status, &l.Status.ReconcileStatus
		},
		Judge:   judge,
		Deleted: "no region is given the label any more; mail that carries its id keeps it",
	}
}

func judge(f *belonging.Facts[*v1alpha1.SensitivityLabel]) belonging.Standing {
	v := belonging.JudgeLabel(belonging.FromStatus(f.Tenant), f.Object, f.Rivals)
	s := belonging.Standing{Problem: v.Problem, Note: v.Note, Served: belonging.NotAccepted(noun)}
	if v.Problem == nil {
		has := func(given belonging.Given) bool { return given.Labels[f.Object.Spec.LabelID] == v.Entry }
		s.Served = belonging.ServedEverywhere(f.Given, has, noun, f.Object.Spec.Tenant)
	}
	return s
}

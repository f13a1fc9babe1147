package sensitivitylabel

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging/belongingtest"
)

var (
	now      = belongingtest.Now()
	virginia = v1alpha1.RegionReference{Namespace: "regions", Name: "virginia"}
	paris    = v1alpha1.RegionReference{Namespace: "regions", Name: "paris"}
)

type facts = belonging.Facts[*v1alpha1.SensitivityLabel]

// goodFacts are of a label that both regions of its tenant are given.
func goodFacts() *facts {
	f := &facts{
		Now: now,
		Object: &v1alpha1.SensitivityLabel{
			ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: "secret", Generation: 2},
			Spec:       v1alpha1.SensitivityLabelSpec{Tenant: "agency", LabelID: "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10", DisplayName: "Secret", Rank: 30},
		},
		Tenant: &v1alpha1.Tenant{
			ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: "agency"},
			Spec:       v1alpha1.TenantSpec{Domains: []v1alpha1.MailDomain{"agency.us"}, Features: v1alpha1.TenantFeatures{SensitivityLabels: true}},
			Status: v1alpha1.TenantStatus{
				HeldDomains: []v1alpha1.MailDomain{"agency.us"},
				Regions:     []v1alpha1.TenantRegionStatus{{Namespace: virginia.Namespace, Name: virginia.Name, Geography: "NAM"}},
			},
		},
	}
	entry := tenantdoc.Label{ID: f.Object.Spec.LabelID, Name: "Secret", Rank: 30}
	f.Given = map[v1alpha1.RegionReference]belonging.Given{
		virginia: {Region: virginia, Labels: map[string]tenantdoc.Label{entry.ID: entry}},
		paris:    {Region: paris, Labels: map[string]tenantdoc.Label{entry.ID: entry}},
	}
	return f
}

func TestStatusTellsHowALabelStands(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change  func(*facts)
		want    belongingtest.Told
		message string // of Ready
	}{
		"served": {want: belongingtest.Told{Ready: "True/Ready", Accepted: "True/Accepted", Served: "True/Served"}},
		"not given": {
			change:  func(f *facts) { f.Given = nil },
			want:    belongingtest.Told{Ready: "False/NotServedYet", Accepted: "True/Accepted", Served: "False/NotServedYet", Progress: v1alpha1.ConditionReconciling},
			message: `no region serves tenant "agency" yet`,
		},
		"given as it was": {
			change:  func(f *facts) { f.Object.Spec.DisplayName = "Top Secret" },
			want:    belongingtest.Told{Ready: "False/NotServedYet", Accepted: "True/Accepted", Served: "False/NotServedYet", Progress: v1alpha1.ConditionReconciling},
			message: `region "regions/paris", "regions/virginia" is not given the label as it is declared yet: see the conditions of tenant "agency" if this lasts`,
		},
		"no tenant": {
			change:  func(f *facts) { f.Tenant = nil },
			want:    belongingtest.Told{Ready: "False/TenantNotFound", Accepted: "False/TenantNotFound", Served: "Unknown/NotServedYet", Progress: v1alpha1.ConditionStalled},
			message: `tenant "agency" of spec.tenant does not exist`,
		},
		"one region behind": {
			change: func(f *facts) {
				f.Given[paris] = belonging.Given{Region: paris}
			},
			want:    belongingtest.Told{Ready: "False/NotServedYet", Accepted: "True/Accepted", Served: "False/NotServedYet", Progress: v1alpha1.ConditionReconciling},
			message: `region "regions/paris" is not given`,
		},
		"being deleted": {
			change: func(f *facts) { f.Object.DeletionTimestamp = &now },
			want:   belongingtest.Told{Ready: "False/Deleting", Accepted: "True/Accepted", Served: "True/Served"}, message: "mail that carries its id keeps it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodFacts()
			if tc.change != nil {
				tc.change(f)
			}
			belongingtest.Check(t, kind(), f, tc.want, tc.message)
		})
	}
}

func TestPausedLabelKeepsItsStatus(t *testing.T) {
	t.Parallel()
	belongingtest.CheckPaused(t, kind(), goodFacts())
}

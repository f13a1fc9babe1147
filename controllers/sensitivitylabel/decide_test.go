package sensitivitylabel

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/belonging"
)

var (
	now      = metav1.NewTime(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	virginia = v1alpha1.RegionReference{Namespace: "regions", Name: "virginia"}
	paris    = v1alpha1.RegionReference{Namespace: "regions", Name: "paris"}
)

// goodFacts are of a label that both regions of its tenant are given.
func goodFacts() *Facts {
	f := &Facts{
		Now: now,
		Label: &v1alpha1.SensitivityLabel{
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
	entry := tenantdoc.Label{ID: f.Label.Spec.LabelID, Name: "Secret", Rank: 30}
	f.Given = map[v1alpha1.RegionReference]belonging.Given{
		virginia: {Region: virginia, Labels: map[string]tenantdoc.Label{entry.ID: entry}},
		paris:    {Region: paris, Labels: map[string]tenantdoc.Label{entry.ID: entry}},
	}
	return f
}

func TestStatusTellsHowALabelStands(t *testing.T) {
	t.Parallel()
	type told struct{ ready, accepted, served, progress string }
	for name, tc := range map[string]struct {
		change  func(*Facts)
		want    told
		message string // of Ready
	}{
		"served": {want: told{"True/Ready", "True/Accepted", "True/Served", ""}},
		"not given": {
			change:  func(f *Facts) { f.Given = nil },
			want:    told{"False/NotServedYet", "True/Accepted", "False/NotServedYet", v1alpha1.ConditionReconciling},
			message: `no region serves tenant "agency" yet`,
		},
		"given as it was": {
			change:  func(f *Facts) { f.Label.Spec.DisplayName = "Top Secret" },
			want:    told{"False/NotServedYet", "True/Accepted", "False/NotServedYet", v1alpha1.ConditionReconciling},
			message: `region "regions/paris", "regions/virginia" is not given the label as it is declared yet: see the conditions of tenant "agency" if this lasts`,
		},
		"no tenant": {
			change:  func(f *Facts) { f.Tenant = nil },
			want:    told{"False/TenantNotFound", "False/TenantNotFound", "Unknown/NotServedYet", v1alpha1.ConditionStalled},
			message: `tenant "agency" of spec.tenant does not exist`,
		},
		"one region behind": {
			change: func(f *Facts) {
				f.Given[paris] = belonging.Given{Region: paris}
			},
			want:    told{"False/NotServedYet", "True/Accepted", "False/NotServedYet", v1alpha1.ConditionReconciling},
			message: `region "regions/paris" is not given`,
		},
		"being deleted": {
			change: func(f *Facts) { f.Label.DeletionTimestamp = &now },
			want:   told{"False/Deleting", "True/Accepted", "True/Served", ""}, message: "mail that carries its id keeps it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodFacts()
			if tc.change != nil {
				tc.change(f)
			}
			f.Label.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
			status := report(f, decide(f))
			tell := func(kind string) string {
				c := meta.FindStatusCondition(status.Conditions, kind)
				if c == nil || c.ObservedGeneration != 2 {
					t.Fatalf("condition %s is %+v", kind, c)
				}
				return string(c.Status) + "/" + c.Reason
			}
			got := told{tell(v1alpha1.ConditionReady), tell(v1alpha1.ConditionAccepted), tell(v1alpha1.ConditionServed), ""}
			for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
				if meta.FindStatusCondition(status.Conditions, kind) != nil {
					got.progress += kind
				}
			}
			if got != tc.want {
				t.Errorf("status tells %+v, want %+v", got, tc.want)
			}
			if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); !strings.Contains(ready.Message, tc.message) {
				t.Errorf("message %q lacks %q", ready.Message, tc.message)
			}
			if status.ObservedGeneration != 2 || status.LastHandledReconcileAt != "now" {
				t.Errorf("status %+v", status)
			}
			f.Label.Status = status
			if diff := cmp.Diff(status, report(f, decide(f))); diff != "" {
				t.Errorf("the same facts give another status: %s", diff)
			}
		})
	}
}

func TestPausedLabelKeepsItsStatus(t *testing.T) {
	t.Parallel()
	f := goodFacts()
	f.Label.Status = report(f, decide(f))
	f.Label.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	f.Label.Generation, f.Tenant = 3, nil
	status := report(f, decide(f))
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPaused); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("conditions %+v", status.Conditions)
	}
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); c.Reason != v1alpha1.ReasonReady || status.ObservedGeneration != 2 {
		t.Errorf("status %+v", status)
	}
}

package sharedmailbox

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
)

// goodFacts are of a mailbox that its region is given.
func goodFacts() *Facts {
	f := &Facts{
		Now: now,
		Mailbox: &v1alpha1.SharedMailbox{
			ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: "help", Generation: 2},
			Spec:       v1alpha1.SharedMailboxSpec{Tenant: "agency", Address: "help@agency.us"},
		},
		Tenant: &v1alpha1.Tenant{
			ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: "agency"},
			Spec:       v1alpha1.TenantSpec{Domains: []v1alpha1.MailDomain{"agency.us"}, Features: v1alpha1.TenantFeatures{SharedMailboxes: true}},
			Status: v1alpha1.TenantStatus{
				HeldDomains: []v1alpha1.MailDomain{"agency.us"},
				Regions:     []v1alpha1.TenantRegionStatus{{Namespace: virginia.Namespace, Name: virginia.Name, Geography: "NAM"}},
			},
		},
	}
	account := tenantdoc.SharedAccountID("agency/agency", "help@agency.us")
	f.Given = map[v1alpha1.RegionReference]belonging.Given{virginia: {
		Region: virginia, Mailboxes: map[string]tenantdoc.SharedMailbox{account: {Address: "help@agency.us", Account: account}},
	}}
	return f
}

func TestStatusTellsHowAMailboxStands(t *testing.T) {
	t.Parallel()
	type told struct{ ready, accepted, served, progress string }
	for name, tc := range map[string]struct {
		change  func(*Facts)
		want    told
		region  string
		message string // of Ready
	}{
		"served": {want: told{"True/Ready", "True/Accepted", "True/Served", ""}, region: "regions/virginia"},
		"not given": {
			change:  func(f *Facts) { f.Given = nil },
			want:    told{"False/NotServedYet", "True/Accepted", "False/NotServedYet", v1alpha1.ConditionReconciling},
			message: `region "regions/virginia" is not given the mailbox as it is declared yet: see the conditions of tenant "agency" if this lasts`,
		},
		"given as it was": {
			change:  func(f *Facts) { f.Mailbox.Spec.DisplayName = "Help" },
			want:    told{"False/NotServedYet", "True/Accepted", "False/NotServedYet", v1alpha1.ConditionReconciling},
			message: "as it is declared",
		},
		"no tenant": {
			change:  func(f *Facts) { f.Tenant = nil },
			want:    told{"False/TenantNotFound", "False/TenantNotFound", "Unknown/NotServedYet", v1alpha1.ConditionStalled},
			message: `tenant "agency" of spec.tenant does not exist`,
		},
		"tenant without a region": {
			change: func(f *Facts) { f.Tenant.Status.Regions = nil },
			want:   told{"False/TenantNotReady", "False/TenantNotReady", "Unknown/NotServedYet", v1alpha1.ConditionReconciling},
		},
		"elsewhere": {
			change: func(f *Facts) {
				f.Tenant.Status.Regions = append(f.Tenant.Status.Regions, v1alpha1.TenantRegionStatus{Namespace: "regions", Name: "paris", Geography: "EUR"})
				f.Mailbox.Status.Region, f.Mailbox.Spec.Geography = "regions/virginia", "EUR"
			},
			want: told{"False/MailboxElsewhere", "False/MailboxElsewhere", "True/Served", v1alpha1.ConditionStalled}, region: "regions/virginia",
		},
		"being deleted": {
			change: func(f *Facts) { f.Mailbox.DeletionTimestamp = &now },
			want:   told{"False/Deleting", "True/Accepted", "True/Served", ""}, region: "regions/virginia", message: "its mail is kept",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodFacts()
			if tc.change != nil {
				tc.change(f)
			}
			f.Mailbox.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
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
			if status.Region != tc.region || status.ObservedGeneration != 2 || status.LastHandledReconcileAt != "now" {
				t.Errorf("status %+v, want region %q", status, tc.region)
			}
			f.Mailbox.Status = status
			if diff := cmp.Diff(status, report(f, decide(f))); diff != "" {
				t.Errorf("the same facts give another status: %s", diff)
			}
		})
	}
}

func TestPausedMailboxKeepsItsStatus(t *testing.T) {
	t.Parallel()
	f := goodFacts()
	f.Mailbox.Status = report(f, decide(f))
	f.Mailbox.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	f.Mailbox.Generation, f.Tenant = 3, nil
	status := report(f, decide(f))
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPaused); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("conditions %+v", status.Conditions)
	}
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); c.Reason != v1alpha1.ReasonReady || status.ObservedGeneration != 2 {
		t.Errorf("status %+v", status)
	}
}

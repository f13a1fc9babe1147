package sharedmailbox

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
)

type facts = belonging.Facts[*v1alpha1.SharedMailbox]

// goodFacts are of a mailbox that its region is given.
func goodFacts() *facts {
	f := &facts{
		Now: now,
		Object: &v1alpha1.SharedMailbox{
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
	for name, tc := range map[string]struct {
		change  func(*facts)
		want    belongingtest.Told
		region  string
		message string // of Ready
	}{
		"served": {want: belongingtest.Told{Ready: "True/Ready", Accepted: "True/Accepted", Served: "True/Served"}, region: "regions/virginia"},
		"not given": {
			change:  func(f *facts) { f.Given = nil },
			want:    belongingtest.Told{Ready: "False/NotServedYet", Accepted: "True/Accepted", Served: "False/NotServedYet", Progress: v1alpha1.ConditionReconciling},
			message: `region "regions/virginia" is not given the mailbox as it is declared yet: see the conditions of tenant "agency" if this lasts`,
		},
		"given as it was": {
			change:  func(f *facts) { f.Object.Spec.DisplayName = "Help" },
			want:    belongingtest.Told{Ready: "False/NotServedYet", Accepted: "True/Accepted", Served: "False/NotServedYet", Progress: v1alpha1.ConditionReconciling},
			message: "as it is declared",
		},
		"no tenant": {
			change:  func(f *facts) { f.Tenant = nil },
			want:    belongingtest.Told{Ready: "False/TenantNotFound", Accepted: "False/TenantNotFound", Served: "Unknown/NotServedYet", Progress: v1alpha1.ConditionStalled},
			message: `tenant "agency" of spec.tenant does not exist`,
		},
		"tenant without a region": {
			change: func(f *facts) { f.Tenant.Status.Regions = nil },
			want:   belongingtest.Told{Ready: "False/TenantNotReady", Accepted: "False/TenantNotReady", Served: "Unknown/NotServedYet", Progress: v1alpha1.ConditionReconciling},
		},
		"elsewhere": {
			change: func(f *facts) {
				f.Tenant.Status.Regions = append(f.Tenant.Status.Regions, v1alpha1.TenantRegionStatus{Namespace: "regions", Name: "paris", Geography: "EUR"})
				f.Object.Status.Region, f.Object.Spec.Geography = "regions/virginia", "EUR"
			},
			want: belongingtest.Told{Ready: "False/MailboxElsewhere", Accepted: "False/MailboxElsewhere", Served: "True/Served", Progress: v1alpha1.ConditionStalled}, region: "regions/virginia",
		},
		"being deleted": {
			change: func(f *facts) { f.Object.DeletionTimestamp = &now },
			want:   belongingtest.Told{Ready: "False/Deleting", Accepted: "True/Accepted", Served: "True/Served"}, region: "regions/virginia", message: "its mail is kept",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := goodFacts()
			if tc.change != nil {
				tc.change(f)
			}
			told := belongingtest.Check(t, kind(), f, tc.want, tc.message)
			if told.Status.Region != tc.region {
				t.Errorf("region %q, want %q", told.Status.Region, tc.region)
			}
		})
	}
}

func TestPausedMailboxKeepsItsStatus(t *testing.T) {
	t.Parallel()
	belongingtest.CheckPaused(t, kind(), goodFacts())
}

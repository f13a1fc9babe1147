package belonging

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

var (
	now      = metav1.NewTime(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	virginia = v1alpha1.RegionReference{Namespace: "regions", Name: "virginia"}
	paris    = v1alpha1.RegionReference{Namespace: "regions", Name: "paris"}
)

// goodTenant uses everything, in two regions.
func goodTenant() *v1alpha1.Tenant {
	return &v1alpha1.Tenant{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: "agency", UID: "uid-1"},
		Spec: v1alpha1.TenantSpec{
			Domains: []v1alpha1.MailDomain{"agency.us", "mail.agency.us"}, HomeRegion: virginia, Regions: []v1alpha1.RegionReference{paris},
			Features: v1alpha1.TenantFeatures{SharedMailboxes: true, SensitivityLabels: true},
		},
		Status: v1alpha1.TenantStatus{
			HeldDomains: []v1alpha1.MailDomain{"agency.us", "mail.agency.us", "left.us"},
			Regions: []v1alpha1.TenantRegionStatus{
				{Namespace: virginia.Namespace, Name: virginia.Name, Geography: "NAM"}, {Namespace: paris.Namespace, Name: paris.Name, Geography: "EUR"},
			},
		},
	}
}

func mailboxNamed(name string, age time.Duration) *v1alpha1.SharedMailbox {
	return &v1alpha1.SharedMailbox{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))},
		Spec: v1alpha1.SharedMailboxSpec{
			Tenant: "agency", Address: "help@agency.us", DisplayName: "Help",
			Members: []v1alpha1.MailboxMember{
				{User: "b@agency.us", Rights: []v1alpha1.MailboxRight{v1alpha1.RightFullAccess, v1alpha1.RightSendAs}},
				{User: "a@mail.agency.us", Rights: []v1alpha1.MailboxRight{v1alpha1.RightSendOnBehalf}},
			},
		},
	}
}

func TestMailboxIsJudgedWithPlaceAndRemedy(t *testing.T) {
	t.Parallel()
	nowhere := v1alpha1.RegionReference{}
	for name, tc := range map[string]struct {
		spoil   func(*v1alpha1.Tenant, *v1alpha1.SharedMailbox)
		rival   *v1alpha1.SharedMailbox
		region  v1alpha1.RegionReference
		reason  string
		message string // or of the note, without a reason
		waits   bool
	}{
		"home region":             {region: virginia},
		"named geography":         {spoil: func(_ *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) { m.Spec.Geography = "EUR" }, region: paris},
		"region that it has":      {spoil: func(_ *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) { m.Status.Region = "regions/virginia" }, region: virginia},
		"tenant in another space": {spoil: func(t *v1alpha1.Tenant, _ *v1alpha1.SharedMailbox) { *t = v1alpha1.Tenant{} }, reason: v1alpha1.ReasonTenantNotFound, message: `tenant "agency" of spec.tenant does not exist in namespace "agency": create it, or create the shared mailbox in the namespace of its tenant`},
		"tenant being deleted":    {spoil: func(t *v1alpha1.Tenant, _ *v1alpha1.SharedMailbox) { t.DeletionTimestamp = &now }, reason: v1alpha1.ReasonTenantNotReady, message: `tenant "agency" is being deleted: create the shared mailbox in another`},
		"function off":            {spoil: func(t *v1alpha1.Tenant, _ *v1alpha1.SharedMailbox) { t.Spec.Features.SharedMailboxes = false }, reason: v1alpha1.ReasonFeatureOff, message: "set spec.features.sharedMailboxes of the tenant to true"},
		"domain of nobody":        {spoil: func(_ *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) { m.Spec.Address = "help@other.us" }, reason: v1alpha1.ReasonDomainNotOfTenant, message: `domain "other.us" is none of tenant "agency" (agency.us, mail.agency.us)`},
		"domain that it left":     {spoil: func(_ *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) { m.Spec.Address = "help@left.us" }, reason: v1alpha1.ReasonDomainNotOfTenant, message: `"left.us"`},
		"domain that is contested": {
			spoil: func(t *v1alpha1.Tenant, _ *v1alpha1.SharedMailbox) { t.Status.HeldDomains = nil }, reason: v1alpha1.ReasonTenantNotReady,
			message: `does not hold domain "agency.us": see its condition DomainsReady`, waits: true,
		},
		"older mailbox with the address": {rival: mailboxNamed("z", 2*time.Hour), reason: v1alpha1.ReasonAddressTaken, message: `address "help@agency.us" belongs to shared mailbox "z", which is older: delete one of the two`},
		"mailbox of the same second":     {rival: mailboxNamed("a", time.Hour), reason: v1alpha1.ReasonAddressTaken, message: `"a"`},
		"younger mailbox":                {rival: mailboxNamed("a", time.Minute), region: virginia},
		"older one that goes": {rival: func() *v1alpha1.SharedMailbox {
			m := mailboxNamed("z", 2*time.Hour)
			m.DeletionTimestamp = &now
			return m
		}(), region: virginia},
		"older one of another tenant": {rival: func() *v1alpha1.SharedMailbox {
			m := mailboxNamed("z", 2*time.Hour)
			m.Spec.Tenant = "other"
			return m
		}(), region: virginia},
		"geography without a region": {spoil: func(_ *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) { m.Spec.Geography = "APC" }, reason: v1alpha1.ReasonGeographyNotOfTenant, message: `spec.geography: tenant "agency" has no region in "APC": choose one of its geographies (EUR, NAM)`},
		"home region that refuses": {
			spoil: func(t *v1alpha1.Tenant, _ *v1alpha1.SharedMailbox) { t.Status.Regions[0].Geography = "" }, reason: v1alpha1.ReasonTenantNotReady,
			message: `the home region of tenant "agency" does not take it yet`, waits: true,
		},
		"tenant without a region": {
			spoil: func(t *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) { t.Status.Regions, m.Spec.Geography = nil, "EUR" }, reason: v1alpha1.ReasonTenantNotReady,
			message: `no region takes tenant "agency" yet`, waits: true,
		},
		"geography that changed": {
			spoil: func(_ *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) {
				m.Spec.Geography, m.Status.Region = "EUR", "regions/virginia"
			}, region: virginia, reason: v1alpha1.ReasonMailboxElsewhere,
			message: `lives in region "regions/virginia" and is served there, spec.geography means "regions/paris": mail does not move by itself, set spec.geography back`,
		},
		"region that the tenant left": {
			spoil: func(t *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) {
				t.Status.Regions = t.Status.Regions[:1]
				m.Status.Region = "regions/paris"
			}, region: nowhere, reason: v1alpha1.ReasonMailboxElsewhere,
			message: `lives in region "regions/paris", which tenant "agency" has left: add the region to the tenant again`,
		},
		"member of another domain": {
			spoil: func(_ *v1alpha1.Tenant, m *v1alpha1.SharedMailbox) { m.Spec.Members[0].User = "b@other.us" }, region: virginia,
			message: `member "b@other.us" is in no domain of tenant "agency" and has no access`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant, m := goodTenant(), mailboxNamed("help", time.Hour)
			if tc.spoil != nil {
				tc.spoil(tenant, m)
			}
			known := FromStatus(tenant)
			if tenant.Name == "" {
				known = FromStatus(nil)
			}
			rivals := []*v1alpha1.SharedMailbox{m}
			if tc.rival != nil {
				rivals = append(rivals, tc.rival)
			}
			v := JudgeMailbox(known, m, rivals)
			if v.Region != tc.region || v.Served() != (tc.region != nowhere) {
				t.Errorf("region %q, want %q", v.Region, tc.region)
			}
			c := Accepted(v.Problem, v.Note)
			if tc.reason == "" {
				tc.reason = v1alpha1.ReasonAccepted
			}
			if c.Reason != tc.reason || !strings.Contains(c.Message, tc.message) || tc.message == "" && c.Message != "" {
				t.Errorf("condition is %s: %s; want %s with %q", c.Reason, c.Message, tc.reason, tc.message)
			}
			if stalled := tc.reason != v1alpha1.ReasonAccepted && !tc.waits; c.Stalled != stalled {
				t.Errorf("stalled is %v, want %v", c.Stalled, stalled)
			}
		})
	}
}

func TestEntryHasMembersOnceInLowerCase(t *testing.T) {
	t.Parallel()
	m := mailboxNamed("help", time.Hour)
	m.Spec.Address = "É@agency.us"
	m.Spec.Members = append(m.Spec.Members,
		v1alpha1.MailboxMember{User: "É@agency.us", Rights: []v1alpha1.MailboxRight{v1alpha1.RightSendOnBehalf}},
		v1alpha1.MailboxMember{User: "é@agency.us", Rights: []v1alpha1.MailboxRight{v1alpha1.RightSendAs, v1alpha1.RightFullAccess}})
	want := tenantdoc.SharedMailbox{
		Address: "é@agency.us", Name: "Help", Account: tenantdoc.SharedAccountID("agency/agency", "é@agency.us"),
		Members: []tenantdoc.Member{
			{Address: "a@mail.agency.us", SendOnBehalf: true},
			{Address: "b@agency.us", FullAccess: true, SendAs: true},
			{Address: "é@agency.us", FullAccess: true, SendAs: true},
		},
	}
	if diff := cmp.Diff(want, JudgeMailbox(FromStatus(goodTenant()), m, nil).Entry); diff != "" {
		t.Error(diff)
	}
}

func TestMailboxesAreListedWhereTheyLive(t *testing.T) {
	t.Parallel()
	second := mailboxNamed("info", time.Hour)
	second.Spec.Address, second.Spec.Geography = "info@agency.us", "EUR"
	third := mailboxNamed("about", time.Hour)
	third.Spec.Address = "about@agency.us"
	twin := mailboxNamed("twin", time.Minute)
	leaving := mailboxNamed("leaving", time.Hour)
	leaving.Spec.Address, leaving.DeletionTimestamp = "leaving@agency.us", &now
	got := Mailboxes(FromStatus(goodTenant()), []*v1alpha1.SharedMailbox{twin, mailboxNamed("help", time.Hour), second, leaving, third}, nil)
	addresses := map[v1alpha1.RegionReference][]string{}
	for region, list := range got {
		for _, m := range list {
			addresses[region] = append(addresses[region], m.Address)
		}
	}
	want := map[v1alpha1.RegionReference][]string{virginia: {"about@agency.us", "help@agency.us"}, paris: {"info@agency.us"}}
	if diff := cmp.Diff(want, addresses); diff != "" {
		t.Error(diff)
	}
}

func TestPausedMailboxStaysAsItIsGiven(t *testing.T) {
	t.Parallel()
	m := mailboxNamed("help", time.Hour)
	m.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	given := JudgeMailbox(FromStatus(goodTenant()), m, nil).Entry
	given.Members = given.Members[:1]
	for name, before := range map[string][]tenantdoc.SharedMailbox{"served": {given}, "new": nil} {
		got := Mailboxes(FromStatus(goodTenant()), []*v1alpha1.SharedMailbox{m}, func(v1alpha1.RegionReference) []tenantdoc.SharedMailbox { return before })
		if diff := cmp.Diff(before, got[virginia]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func labelNamed(name string, rank int32, age time.Duration) *v1alpha1.SensitivityLabel {
	return &v1alpha1.SensitivityLabel{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))},
		Spec: v1alpha1.SensitivityLabelSpec{
			Tenant: "agency", LabelID: "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10", DisplayName: name, Rank: rank, Color: "#d13438", Tooltip: "t",
			Marking:    v1alpha1.LabelMarking{Header: "h", Footer: "f", SubjectPrefix: "s"},
			Protection: v1alpha1.LabelProtection{Encryption: v1alpha1.Required, ForwardOutside: "Block", DowngradeJustification: v1alpha1.Required},
			Mobile:     v1alpha1.LabelMobile{Print: "Block", Copy: "Block", Screenshots: "Block"},
		},
	}
}

func TestLabelIsJudgedWithPlaceAndRemedy(t *testing.T) {
	t.Parallel()
	other := func(name string, rank int32, age time.Duration) *v1alpha1.SensitivityLabel {
		l := labelNamed(name, rank, age)
		l.Spec.LabelID = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a11"
		return l
	}
	for name, tc := range map[string]struct {
		spoil           func(*v1alpha1.Tenant, *v1alpha1.SensitivityLabel)
		rival           *v1alpha1.SensitivityLabel
		reason, message string
	}{
		"good":                     {},
		"no tenant":                {spoil: func(t *v1alpha1.Tenant, _ *v1alpha1.SensitivityLabel) { *t = v1alpha1.Tenant{} }, reason: v1alpha1.ReasonTenantNotFound, message: "create the label in the namespace of its tenant"},
		"function off":             {spoil: func(t *v1alpha1.Tenant, _ *v1alpha1.SensitivityLabel) { t.Spec.Features.SensitivityLabels = false }, reason: v1alpha1.ReasonFeatureOff, message: `tenant "agency" does not use sensitivity labels: set spec.features.sensitivityLabels`},
		"older label with the id":  {rival: labelNamed("z", 1, 2*time.Hour), reason: v1alpha1.ReasonLabelIDTaken, message: `spec.labelID: label "z", which is older, has "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10"`},
		"older label of the rank":  {rival: other("z", 30, 2*time.Hour), reason: v1alpha1.ReasonRankTaken, message: `spec.rank: label "z", which is older, has rank 30: choose another`},
		"younger label":            {rival: other("a", 30, time.Minute)},
		"another label":            {rival: other("z", 31, 2*time.Hour)},
		"protection of the device": {spoil: func(_ *v1alpha1.Tenant, l *v1alpha1.SensitivityLabel) { l.Spec.Mobile.MinimumProtection = "High" }, message: "spec.mobile.minimumProtection is told to clients"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant, l := goodTenant(), labelNamed("secret", 30, time.Hour)
			if tc.spoil != nil {
				tc.spoil(tenant, l)
			}
			known := FromStatus(tenant)
			if tenant.Name == "" {
				known = FromStatus(nil)
			}
			rivals := []*v1alpha1.SensitivityLabel{l}
			if tc.rival != nil {
				rivals = append(rivals, tc.rival)
			}
			v := JudgeLabel(known, l, rivals)
			c := Accepted(v.Problem, v.Note)
			if tc.reason == "" {
				tc.reason = v1alpha1.ReasonAccepted
			}
			if c.Reason != tc.reason || !strings.Contains(c.Message, tc.message) || tc.message == "" && c.Message != "" {
				t.Errorf("condition is %s: %s; want %s with %q", c.Reason, c.Message, tc.reason, tc.message)
			}
		})
	}
}

func TestLabelsAreListedByRankAndPausedOnesAsGiven(t *testing.T) {
	t.Parallel()
	low, high := labelNamed("low", 1, time.Hour), labelNamed("high", 30, time.Hour)
	low.Spec.LabelID = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a11"
	high.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	given := JudgeLabel(FromStatus(goodTenant()), high, nil).Entry
	want := tenantdoc.Label{
		ID: "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10", Name: "high", Rank: 30, Color: "#d13438", Tooltip: "t",
		Marking:    tenantdoc.LabelMarking{Header: "h", Footer: "f", SubjectPrefix: "s"},
		Protection: tenantdoc.LabelProtection{Encrypt: true, StayInside: true, JustifyDowngrade: true},
		Mobile:     tenantdoc.LabelMobile{NoPrint: true, NoCopy: true, NoScreenshots: true},
	}
	if diff := cmp.Diff(want, given); diff != "" {
		t.Error(diff)
	}
	given.Tooltip = "of before"
	all := []*v1alpha1.SensitivityLabel{high, low}
	got := Labels(FromStatus(goodTenant()), all, func() []tenantdoc.Label { return []tenantdoc.Label{given} })
	if len(got) != 2 || got[0].Name != "low" || got[1].Tooltip != "of before" {
		t.Errorf("labels %+v", got)
	}
	if got := Labels(FromStatus(goodTenant()), all, func() []tenantdoc.Label { return nil }); len(got) != 1 {
		t.Errorf("a label that is paused before it was ever given is given: %+v", got)
	}
	// A paused label may still have the rank that another has by now.
	given.Rank = 1
	if got := Labels(FromStatus(goodTenant()), all, func() []tenantdoc.Label { return []tenantdoc.Label{given} }); len(got) != 1 {
		t.Errorf("two labels of one rank: %+v", got)
	}
}

func TestSettlingWaitsOnceAGeneration(t *testing.T) {
	t.Parallel()
	var s Settling
	m := mailboxNamed("help", time.Hour)
	m.UID, m.Generation = "uid", 1
	step := func(after time.Duration, pending bool) bool { return s.Wait(m, now.Add(after), pending) > 0 }
	if !step(0, true) || !step(time.Second, true) || step(settleFor, true) || step(settleFor+time.Second, true) {
		t.Error("a generation does not wait once")
	}
	m.Generation = 2
	if !step(time.Minute, true) || step(time.Minute, false) || len(s.until) != 0 {
		t.Error("the next generation does not wait, or what is served is remembered")
	}
}

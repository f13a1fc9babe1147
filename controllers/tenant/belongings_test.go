package tenant

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// sharing is a tenant that uses everything, not created yet.
func (w *world) sharing(home *v1alpha1.MailboxRegion, satellites ...*v1alpha1.MailboxRegion) *v1alpha1.Tenant {
	t := w.tenant("agency", "agency.example", home, satellites...)
	t.Spec.Features = v1alpha1.TenantFeatures{SharedMailboxes: true, SensitivityLabels: true}
	return t
}

func (w *world) sharedMailbox(name string, members ...string) *v1alpha1.SharedMailbox {
	m := &v1alpha1.SharedMailbox{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: name},
		Spec:       v1alpha1.SharedMailboxSpec{Tenant: "agency", Address: v1alpha1.MailAddress(name + "@agency.example")},
	}
	for _, member := range members {
		m.Spec.Members = append(m.Spec.Members, v1alpha1.MailboxMember{
			User: v1alpha1.MailAddress(member + "@agency.example"), Rights: []v1alpha1.MailboxRight{v1alpha1.RightFullAccess},
		})
	}
	return m
}

func (w *world) label(name string, rank int32) *v1alpha1.SensitivityLabel {
	return &v1alpha1.SensitivityLabel{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenants, Name: name},
		Spec: v1alpha1.SensitivityLabelSpec{
			Tenant: "agency", LabelID: fmt.Sprintf("8f4f2f0e-6f6b-4c53-9d5a-%012d", rank), DisplayName: name, Rank: rank,
		},
	}
}

// awaitReason waits until Ready of a shared mailbox or label has a reason, for the
// newest generation.
func (w *world) awaitReason(obj client.Object, reason string) metav1.Condition {
	w.t.Helper()
	var ready metav1.Condition
	w.eventually(func() string {
		var list []metav1.Condition
		key := client.ObjectKeyFromObject(obj)
		switch o := obj.(type) {
		case *v1alpha1.SharedMailbox:
			if err := api.Get(w.t.Context(), key, o); err != nil {
				w.t.Fatal(err)
			}
			list = o.Status.Conditions
		case *v1alpha1.SensitivityLabel:
			if err := api.Get(w.t.Context(), key, o); err != nil {
				w.t.Fatal(err)
			}
			list = o.Status.Conditions
		}
		c := meta.FindStatusCondition(list, v1alpha1.ConditionReady)
		if c != nil && c.Reason == reason && c.ObservedGeneration == obj.GetGeneration() {
			ready = *c
			return ""
		}
		return fmt.Sprintf("%s is not Ready with reason %s: %+v", obj.GetName(), reason, list)
	})
	return ready
}

func addressesIn(d *tenantdoc.Document) []string {
	var addresses []string
	if d != nil {
		for _, m := range d.SharedMailboxes {
			addresses = append(addresses, m.Address)
		}
	}
	return addresses
}

func listing(addresses ...string) func(*tenantdoc.Document) bool {
	return func(d *tenantdoc.Document) bool { return cmp.Equal(addresses, addressesIn(d)) }
}

func TestSharedMailboxReachesItsRegionAndNoOther(t *testing.T) {
	w := newWorld(t)
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	tenant := w.sharing(virginia, paris)
	w.create(tenant)
	w.enforce(virginia, tenant)
	w.enforce(paris, tenant)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	before := w.wire.writes.Load()
	help := w.sharedMailbox("help", "ada", "ben")
	help.Spec.Geography = "EUR"
	w.create(help)
	w.awaitReason(help, v1alpha1.ReasonReady)
	// On a slow machine the status says for a moment that the mailbox is not served yet.
	if writes := w.wire.writes.Load() - before; writes > 3 {
		t.Errorf("a shared mailbox costs %d writes, want its document and its status", writes)
	}
	if help.Status.Region != w.regions+"/paris" {
		t.Errorf("region %q, want paris", help.Status.Region)
	}
	want := []tenantdoc.SharedMailbox{{
		Address: "help@agency.example", Account: tenantdoc.SharedAccountID(nameOf(tenant), "help@agency.example"),
		Members: []tenantdoc.Member{{Address: "ada@agency.example", FullAccess: true}, {Address: "ben@agency.example", FullAccess: true}},
	}}
	if diff := cmp.Diff(want, w.document(paris, tenant).SharedMailboxes); diff != "" {
		t.Error(diff)
	}
	if got := w.document(virginia, tenant).SharedMailboxes; got != nil {
		t.Errorf("another region is told of %+v", got)
	}
	w.patch(help, `{"spec":{"members":null}}`)
	w.awaitDocument(paris, tenant, func(d *tenantdoc.Document) bool { return len(d.SharedMailboxes[0].Members) == 0 })
	w.remove(help)
	w.awaitDocument(paris, tenant, listing())
}

func TestOlderOfTwoMailboxesHasTheAddressUntilItGoes(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.sharing(virginia)
	w.create(tenant)
	first, second := w.sharedMailbox("help", "ada"), w.sharedMailbox("assist", "ben")
	second.Spec.Address = first.Spec.Address
	w.create(first)
	w.awaitReason(first, v1alpha1.ReasonReady)
	for w.create(second); second.CreationTimestamp.Equal(&first.CreationTimestamp); w.create(second) {
		// Of one second the first by name would win.
		w.remove(second)
		second = w.sharedMailbox("assist", "ben")
		second.Spec.Address = first.Spec.Address
	}
	if c := w.awaitReason(second, v1alpha1.ReasonAddressTaken); !strings.Contains(c.Message, `"help"`) {
		t.Errorf("message %q does not name the older one", c.Message)
	}
	if got := w.document(virginia, tenant).SharedMailboxes; len(got) != 1 || got[0].Members[0].Address != "ada@agency.example" {
		t.Errorf("shared mailboxes %+v", got)
	}
	w.remove(first)
	w.awaitReason(second, v1alpha1.ReasonReady)
	if got := w.document(virginia, tenant).SharedMailboxes; len(got) != 1 || got[0].Members[0].Address != "ben@agency.example" {
		t.Errorf("shared mailboxes %+v", got)
	}
}

func TestFunctionThatIsTurnedOffTakesItsObjectsAway(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	help, secret := w.sharedMailbox("help", "ada"), w.label("secret", 30)
	w.create(help)
	w.create(secret)
	w.awaitReason(help, v1alpha1.ReasonTenantNotFound)
	w.awaitReason(secret, v1alpha1.ReasonTenantNotFound)
	tenant := w.sharing(virginia)
	tenant.Spec.Features = v1alpha1.TenantFeatures{}
	w.create(tenant)
	if c := w.awaitReason(help, v1alpha1.ReasonFeatureOff); !strings.Contains(c.Message, "spec.features.sharedMailboxes") {
		t.Errorf("message %q", c.Message)
	}
	if c := w.awaitReason(secret, v1alpha1.ReasonFeatureOff); !strings.Contains(c.Message, "spec.features.sensitivityLabels") {
		t.Errorf("message %q", c.Message)
	}
	w.patch(tenant, `{"spec":{"features":{"sharedMailboxes":true,"sensitivityLabels":true}}}`)
	w.awaitReason(help, v1alpha1.ReasonReady)
	w.awaitReason(secret, v1alpha1.ReasonReady)
	w.patch(tenant, `{"spec":{"features":null}}`)
	w.awaitReason(help, v1alpha1.ReasonFeatureOff)
	w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return d.SharedMailboxes == nil && d.Labels == nil })
}

func TestMailboxStaysWhereItLives(t *testing.T) {
	w := newWorld(t)
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	tenant := w.sharing(virginia, paris)
	w.create(tenant)
	help := w.sharedMailbox("help", "ada")
	w.create(help)
	w.awaitReason(help, v1alpha1.ReasonReady)
	w.patch(help, `{"spec":{"geography":"EUR"}}`)
	w.awaitReason(help, v1alpha1.ReasonMailboxElsewhere)
	if !listing("help@agency.example")(w.document(virginia, tenant)) || addressesIn(w.document(paris, tenant)) != nil {
		t.Error("the mailbox moved because a field was edited")
	}
	w.patch(help, `{"spec":{"geography":null}}`)
	w.awaitReason(help, v1alpha1.ReasonReady)
}

func TestLabelsReachEveryRegionByRank(t *testing.T) {
	w := newWorld(t)
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	tenant := w.sharing(virginia, paris)
	w.create(tenant)
	secret, public := w.label("confidential", 30), w.label("public", 0)
	w.create(secret)
	w.create(public)
	w.awaitReason(secret, v1alpha1.ReasonReady)
	w.awaitReason(public, v1alpha1.ReasonReady)
	for _, region := range []*v1alpha1.MailboxRegion{virginia, paris} {
		labels := w.document(region, tenant).Labels
		if len(labels) != 2 || labels[0].Name != "public" || labels[1].Name != "confidential" {
			t.Errorf("region %s has labels %+v", region.Name, labels)
		}
	}
	// It is the first by age or, within one second, by name.
	w.patch(public, `{"spec":{"rank":30}}`)
	w.awaitReason(public, v1alpha1.ReasonRankTaken)
}

func TestPausedMailboxAndLabelAreLeftAsTheyAre(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.sharing(virginia)
	w.create(tenant)
	help, secret, info := w.sharedMailbox("help", "ada"), w.label("secret", 30), w.sharedMailbox("info", "ada")
	for _, obj := range []client.Object{help, secret, info} {
		w.create(obj)
		w.awaitReason(obj, v1alpha1.ReasonReady)
	}
	w.patch(help, `{"metadata":{"annotations":{"bailiwick.dev/paused":"true"}},"spec":{"members":null}}`)
	w.patch(secret, `{"metadata":{"annotations":{"bailiwick.dev/paused":"true"}},"spec":{"tooltip":"new"}}`)
	w.patch(info, `{"spec":{"members":null}}`)
	d := w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return len(d.SharedMailboxes[1].Members) == 0 })
	if len(d.SharedMailboxes[0].Members) != 1 || d.Labels[0].Tooltip != "" {
		t.Errorf("what is paused was changed: %+v", d)
	}
	w.patch(help, `{"metadata":{"annotations":{"bailiwick.dev/paused":null}}}`)
	w.awaitDocument(virginia, tenant, func(d *tenantdoc.Document) bool { return len(d.SharedMailboxes[0].Members) == 0 })
}

func TestDocumentThatDoesNotFitHarmsNoOtherTenant(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant, other := w.sharing(virginia), w.tenant("other", "other.example", virginia)
	w.create(tenant)
	w.create(other)
	w.awaitDocument(virginia, tenant, exists)
	w.awaitDocument(virginia, other, exists)
	const most = 512
	members := make([]string, most)
	for n := range members {
		members[n] = fmt.Sprintf("%s-%d", strings.Repeat("m", 50), n)
	}
	for n := range 18 {
		w.create(w.sharedMailbox(fmt.Sprintf("team-%d", n), members...))
	}
	got := w.await(tenant, v1alpha1.ConditionRegionsReady, v1alpha1.ReasonInvalidSpec)
	c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionRegionsReady)
	if !strings.Contains(c.Message, "shorten the members of its 18 shared mailboxes") {
		w.eventually(func() string {
			c = meta.FindStatusCondition(w.get(tenant).Status.Conditions, v1alpha1.ConditionRegionsReady)
			if strings.Contains(c.Message, "shorten the members of its 18 shared mailboxes") {
				return ""
			}
			return "message " + c.Message
		})
	}
	w.patch(other, `{"spec":{"suspend":true}}`)
	w.awaitDocument(virginia, other, func(d *tenantdoc.Document) bool { return d.Suspended })
	if w.document(virginia, tenant) == nil {
		t.Error("the last document that fits is gone")
	}
}

func TestRestartOverMailboxesAndLabelsWritesNothing(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.sharing(virginia)
	w.create(tenant)
	w.enforce(virginia, tenant)
	help, secret := w.sharedMailbox("help", "ada"), w.label("secret", 30)
	w.create(help)
	w.create(secret)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	w.awaitReason(help, v1alpha1.ReasonReady)
	w.awaitReason(secret, v1alpha1.ReasonReady)
	requests := w.issuer.Requests()
	w.start()
	w.eventually(func() string {
		if w.issuer.Requests() >= requests+2 {
			return ""
		}
		return "the issuer is not asked after a restart"
	})
	// The one write is the status that echoes the request, after all there is to write.
	w.patch(tenant, `{"metadata":{"annotations":{"reconcile.bailiwick.dev/requestedAt":"later"}}}`)
	w.eventually(func() string {
		if w.get(tenant).Status.LastHandledReconcileAt == "later" {
			return ""
		}
		return "the request is not handled"
	})
	if got := w.wire.writes.Load(); got != 1 {
		t.Errorf("%d writes after a restart, want one", got)
	}
}

func TestMailboxThatIsLookedAtAgainCostsNothing(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	tenant := w.sharing(virginia)
	w.create(tenant)
	w.enforce(virginia, tenant)
	help, secret := w.sharedMailbox("help", "ada"), w.label("secret", 30)
	w.create(help)
	w.create(secret)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	w.awaitReason(help, v1alpha1.ReasonReady)
	w.awaitReason(secret, v1alpha1.ReasonReady)
	writes, reads, looks := w.wire.writes.Load(), w.wire.reads.Load(), w.looks.Load()
	w.patch(help, `{"metadata":{"labels":{"looked":"at"}}}`)
	w.patch(secret, `{"metadata":{"labels":{"looked":"at"}}}`)
	w.eventually(func() string {
		if w.looks.Load() >= looks+2 {
			return ""
		}
		return "nobody looked"
	})
	// What a look would write, it writes before a second one of the same object ends.
	looks = w.looks.Load()
	w.patch(help, `{"metadata":{"labels":{"looked":"twice"}}}`)
	w.patch(secret, `{"metadata":{"labels":{"looked":"twice"}}}`)
	w.eventually(func() string {
		if w.looks.Load() >= looks+2 {
			return ""
		}
		return "nobody looked twice"
	})
	if w.wire.writes.Load() != writes || w.wire.reads.Load() != reads {
		t.Errorf("%d writes and %d reads, want none", w.wire.writes.Load()-writes, w.wire.reads.Load()-reads)
	}
}

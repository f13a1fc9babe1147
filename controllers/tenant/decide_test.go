package tenant

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/issuers"
	"github.com/bailiwick-dev/bailiwick/internal/egress"
)

var (
	now      = metav1.NewTime(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	virginia = v1alpha1.RegionReference{Namespace: "regions-gcch", Name: "virginia"}
	ohio     = v1alpha1.RegionReference{Namespace: "regions-gcch", Name: "ohio"}
)

const directory = "5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11"

func regionIn(ref v1alpha1.RegionReference, geography v1alpha1.GeographyCode) *v1alpha1.MailboxRegion {
	return &v1alpha1.MailboxRegion{
		ObjectMeta: metav1.ObjectMeta{Namespace: string(ref.Namespace), Name: string(ref.Name)},
		Spec: v1alpha1.MailboxRegionSpec{
			Cloud: "gcc-high", Geography: geography,
			AllowedTenants: v1alpha1.AllowedTenants{Namespaces: v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}},
		},
		Status: v1alpha1.MailboxRegionStatus{EndpointURL: "https://" + string(ref.Name) + ".example"},
	}
}

// goodFacts are of an Entra tenant with two regions that enforce what it declares.
func goodFacts(t testing.TB) *Facts {
	t.Helper()
	f := &Facts{
		Now: now,
		Tenant: &v1alpha1.Tenant{
			ObjectMeta: metav1.ObjectMeta{Namespace: "agency", Name: "agency", UID: "uid-1", Generation: 2},
			Spec: v1alpha1.TenantSpec{
				Cloud: "gcc-high", Domains: []v1alpha1.MailDomain{"mail.agency.us", "agency.us"},
				HomeRegion: virginia, Regions: []v1alpha1.RegionReference{ohio},
				Identity: v1alpha1.TenantIdentity{
					Type:  v1alpha1.IdentityEntra,
					Entra: &v1alpha1.EntraIdentity{DirectoryID: directory, Audiences: []v1alpha1.Audience{"api://bailiwick-sync"}},
				},
			},
		},
		Cloud: &v1alpha1.SovereignCloud{
			ObjectMeta: metav1.ObjectMeta{Name: "gcc-high"},
			Spec: v1alpha1.SovereignCloudSpec{Identity: v1alpha1.CloudIdentity{
				AuthorityHosts:    []v1alpha1.CloudHost{{Host: "login.microsoftonline.us"}, {Host: "login.old.example"}},
				TokenIssuerHosts:  []v1alpha1.CloudHost{{Host: "sts.windows.net"}},
				TenantIssuerHosts: []v1alpha1.IssuerHostPattern{"fs.agency.us", "*.id.agency.us"},
			}},
			Status: v1alpha1.SovereignCloudStatus{ReconcileStatus: v1alpha1.ReconcileStatus{Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionAuthorityReady, Status: metav1.ConditionTrue},
			}}},
		},
		Regions: map[v1alpha1.RegionReference]*v1alpha1.MailboxRegion{virginia: regionIn(virginia, "NAM"), ohio: regionIn(ohio, "EUR")},
		Holders: map[v1alpha1.MailDomain]string{"agency.us": "agency/agency", "mail.agency.us": "agency/agency"},
		Reports: map[v1alpha1.RegionReference][]tenantdoc.TenantReport{
			virginia: {{UID: "uid-1", Generation: 2, Mailboxes: 3}}, ohio: {{UID: "uid-1", Generation: 2, Mailboxes: 4}},
		},
		CountsDue: true,
		Answer: issuers.Answer{Asked: true, Provider: &egress.Provider{
			Issuer:     "https://login.microsoftonline.us/" + directory + "/v2.0",
			JWKSURI:    "https://login.microsoftonline.us/" + directory + "/discovery/v2.0/keys",
			Algorithms: []string{"RS256"}, Fingerprint: "sha256:00",
		}},
	}
	f.trust(t)
	return f
}

// trust resolves the identity anew, as observe does.
func (f *Facts) trust(t testing.TB) {
	t.Helper()
	f.Trust, f.TrustProblem = resolveTrust(f.Cloud, &f.Tenant.Spec.Identity)
}

// serve puts what a decision wants where observe finds it.
func (f *Facts) serve(t testing.TB) {
	t.Helper()
	d := decide(f)
	f.Documents = nil
	for _, obj := range d.Plan.Wanted {
		cm, ok := obj.(*corev1.ConfigMap)
		if !ok {
			t.Fatalf("a %T is wanted", obj)
		}
		f.Documents = append(f.Documents, found{
			region:    v1alpha1.RegionReference{Namespace: v1alpha1.NamespaceName(cm.Namespace), Name: v1alpha1.ObjectName(cm.Labels[tenantdoc.LabelRegion])},
			configMap: cm,
		})
	}
	f.Tenant.Status = report(f, d, apply.Outcome{})
}

// planned are the documents that a decision leaves in the regions, by region.
func planned(t testing.TB, d Decision) map[string]*tenantdoc.Document {
	t.Helper()
	documents := map[string]*tenantdoc.Document{}
	for _, obj := range d.Plan.Wanted {
		cm, ok := obj.(*corev1.ConfigMap)
		if !ok {
			t.Fatalf("a %T is wanted", obj)
		}
		document, err := tenantdoc.Decode([]byte(cm.Data[tenantdoc.DocumentKey]))
		if err != nil {
			t.Fatal(err)
		}
		documents[cm.Labels[tenantdoc.LabelRegion]] = document
	}
	return documents
}

func condition(s v1alpha1.TenantStatus, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// bad is one thing that may be wrong with a tenant.
type bad struct {
	spoil func(f *Facts)
	// kind and reason of the condition that tells, and parts of its message: what,
	// where and the remedy.
	kind, reason string
	message      []string
	// fresh and served are the regions that hold a document of a tenant that is new,
	// and of one that was served before.
	fresh, served []string
}

var both = []string{"ohio", "virginia"}

func failing(kind error) func(*Facts) {
	return func(f *Facts) {
		f.Answer = issuers.Answer{Asked: true, Provider: f.Answer.Provider, Err: &egress.Error{Kind: kind, Detail: "here: do that"}}
	}
}

func badInputs() map[string]bad {
	const (
		identity = v1alpha1.ConditionIdentityReady
		domains  = v1alpha1.ConditionDomainsReady
		regions  = v1alpha1.ConditionRegionsReady
		policies = v1alpha1.ConditionPoliciesReady
	)
	custom := func(kind v1alpha1.IdentityType, issuer string) func(*Facts) {
		return func(f *Facts) {
			f.Tenant.Spec.Identity = v1alpha1.TenantIdentity{Type: kind}
			i := &v1alpha1.IssuerIdentity{Issuer: issuer, Audiences: []v1alpha1.Audience{"a"}}
			if kind == v1alpha1.IdentityADFS {
				f.Tenant.Spec.Identity.ADFS = i
			} else {
				f.Tenant.Spec.Identity.OIDC = i
			}
			f.Answer = issuers.Answer{}
		}
	}
	return map[string]bad{
		"no cloud": {
			func(f *Facts) { f.Cloud = nil }, regions, v1alpha1.ReasonCloudNotFound,
			[]string{`cloud "gcc-high" of spec.cloud does not exist`, "create the SovereignCloud"},
			nil, both,
		},
		"cloud being deleted": {
			func(f *Facts) { f.Cloud.DeletionTimestamp = &now }, regions, v1alpha1.ReasonCloudNotReady, []string{`"gcc-high" is being deleted`}, nil, both,
		},
		"cloud without an authority": {
			func(f *Facts) { f.Cloud.Status.Conditions = nil }, regions, v1alpha1.ReasonCloudNotReady, []string{`"gcc-high" is not ready: see its conditions`}, nil, both,
		},
		"home region missing": {
			func(f *Facts) { delete(f.Regions, virginia) }, regions, v1alpha1.ReasonRegionNotFound,
			[]string{`region "regions-gcch/virginia" does not exist`, "spec.homeRegion"},
			nil,
			[]string{"ohio"},
		},
		"satellite missing": {
			func(f *Facts) { delete(f.Regions, ohio) }, regions, v1alpha1.ReasonRegionNotFound,
			[]string{`region "regions-gcch/ohio" does not exist`, "spec.regions"},
			[]string{"virginia"},
			[]string{"virginia"},
		},
		"region of another cloud": {
			func(f *Facts) { f.Regions[virginia].Spec.Cloud, f.CloudRegions = "worldwide", []string{"ohio"} }, regions, v1alpha1.ReasonRegionCloudMismatch,
			[]string{`region "regions-gcch/virginia" is in cloud "worldwide", tenant "agency" in "gcc-high": choose a region of "gcc-high" (ohio) in spec.homeRegion`},
			nil,
			[]string{"ohio"},
		},
		"region of another cloud, none to choose": {
			func(f *Facts) { f.Regions[virginia].Spec.Cloud = "worldwide" }, regions, v1alpha1.ReasonRegionCloudMismatch,
			[]string{`"gcc-high" has no region yet, create one`},
			nil,
			[]string{"ohio"},
		},
		"region for its own namespace": {
			func(f *Facts) { f.Regions[ohio].Spec.AllowedTenants = v1alpha1.AllowedTenants{} }, regions, v1alpha1.ReasonRegionNotAllowed,
			[]string{`region "regions-gcch/ohio" does not take tenants of namespace "agency"`, "spec.allowedTenants"},
			[]string{"virginia"},
			[]string{"virginia"},
		},
		"region for other labels": {
			func(f *Facts) {
				f.NamespaceLabels = map[string]string{"mail": "no"}
				f.Regions[ohio].Spec.AllowedTenants.Namespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"mail": "yes"}}}
			}, regions, v1alpha1.ReasonRegionNotAllowed, []string{"mail=yes"}, []string{"virginia"}, []string{"virginia"},
		},
		"region with a selector that is none": {
			func(f *Facts) {
				f.Regions[ohio].Spec.AllowedTenants.Namespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: &metav1.LabelSelector{
					MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "mail", Operator: "Is", Values: []string{"yes"}}},
				}}
			}, regions, v1alpha1.ReasonRegionNotAllowed,
			[]string{"have the region's owner correct spec.allowedTenants.namespaces.selector", `"Is"`},
			[]string{"virginia"},
			[]string{"virginia"},
		},
		"region being deleted": {
			func(f *Facts) { f.Regions[ohio].DeletionTimestamp = &now }, regions, v1alpha1.ReasonRegionDeleting,
			[]string{`region "regions-gcch/ohio" is being deleted`, "name another in spec.regions"},
			[]string{"virginia"},
			both,
		},
		"home region being deleted": {
			func(f *Facts) { f.Regions[virginia].DeletionTimestamp = &now }, regions, v1alpha1.ReasonRegionDeleting, []string{"spec.homeRegion"}, nil, both,
		},
		"region that its cloud refuses": {
			func(f *Facts) {
				f.Regions[ohio].Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionCloudReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnknownGeography}}
			}, regions, v1alpha1.ReasonRegionNotReady, []string{`region "regions-gcch/ohio" is not accepted by its cloud (UnknownGeography)`}, []string{"virginia"}, both,
		},
		"region without an endpoint": {
			func(f *Facts) { f.Regions[virginia].Status.EndpointURL = "" }, regions, v1alpha1.ReasonRegionNotReady,
			[]string{`region "regions-gcch/virginia" has no endpoint yet`},
			nil, both,
		},
		"one geography twice": {
			func(f *Facts) { f.Regions[ohio].Spec.Geography = "NAM" }, regions, v1alpha1.ReasonGeographyTwice,
			[]string{`regions "regions-gcch/virginia" and "regions-gcch/ohio" are both in geography "NAM": keep one`},
			[]string{"virginia"},
			[]string{"virginia"},
		},
		"replica refuses": {
			func(f *Facts) {
				f.Reports[ohio] = []tenantdoc.TenantReport{{UID: "uid-1", Generation: 1, Refused: "version: \"1\""}}
			}, regions, v1alpha1.ReasonDocumentRefused,
			[]string{`region "regions-gcch/ohio" refuses the document: version`},
			both, both,
		},
		"replica refuses what belongs to the tenant": {
			func(f *Facts) {
				f.Reports[ohio] = []tenantdoc.TenantReport{{UID: "uid-1", Generation: 2, Refused: "labels[0].rank: -1"}}
			}, regions, v1alpha1.ReasonDocumentRefused,
			[]string{`region "regions-gcch/ohio" refuses the document: labels[0].rank`},
			both, both,
		},
		"replica behind": {
			func(f *Facts) {
				f.Reports[ohio] = append(f.Reports[ohio], tenantdoc.TenantReport{UID: "uid-1", Generation: 1})
			}, regions, v1alpha1.ReasonNotEnforcedYet,
			[]string{`region "regions-gcch/ohio" does not enforce`},
			both, both,
		},
		"replica enforces a tenant of the same name": {
			func(f *Facts) { f.Reports[ohio][0].UID = "uid-0" }, regions, v1alpha1.ReasonNotEnforcedYet, []string{"regions-gcch/ohio"}, both, both,
		},
		"domain of another": {
			func(f *Facts) { f.Holders["agency.us"] = "other/tenant" }, domains, v1alpha1.ReasonDomainConflict,
			[]string{`domain "agency.us" is held by tenant "other/tenant"`, "remove it from spec.domains"},
			nil, both,
		},
		"all domains of another": {
			func(f *Facts) {
				f.Holders = map[v1alpha1.MailDomain]string{"agency.us": "o/t", "mail.agency.us": "o/t"}
			}, domains, v1alpha1.ReasonDomainConflict,
			[]string{`domain "agency.us"`, `domain "mail.agency.us"`},
			nil, nil,
		},
		"cloud without Entra": {
			func(f *Facts) { f.Cloud.Spec.Identity.AuthorityHosts = nil; f.Answer = issuers.Answer{} }, identity, v1alpha1.ReasonIssuerOutsideCloud,
			[]string{"spec.identity.authorityHosts is empty", "ADFS or OIDC"},
			nil, nil,
		},
		"issuer outside the cloud": {
			custom(v1alpha1.IdentityADFS, "https://fs.other.example/adfs"), identity, v1alpha1.ReasonIssuerOutsideCloud,
			[]string{`spec.identity.adfs.issuer: host "fs.other.example" is not one that cloud "gcc-high" allows (*.id.agency.us, fs.agency.us)`, "spec.identity.tenantIssuerHosts"},
			nil, both,
		},
		"issuer that ends like an allowed one": {
			custom(v1alpha1.IdentityOIDC, "https://evil-fs.agency.us"), identity, v1alpha1.ReasonIssuerOutsideCloud, []string{"evil-fs.agency.us"}, nil, both,
		},
		"issuer at the bare domain of a wildcard": {
			custom(v1alpha1.IdentityOIDC, "https://id.agency.us"), identity, v1alpha1.ReasonIssuerOutsideCloud, []string{"id.agency.us"}, nil, both,
		},
		"cloud's own authority as OIDC": {
			custom(v1alpha1.IdentityOIDC, "https://login.microsoftonline.us"), identity, v1alpha1.ReasonIssuerOutsideCloud, []string{"login.microsoftonline.us"}, nil, both,
		},
		"issuer on http": {
			custom(v1alpha1.IdentityOIDC, "http://fs.agency.us"), identity, v1alpha1.ReasonInvalidSpec, []string{`spec.identity.oidc.issuer: "http://fs.agency.us" is not an https URL`}, nil, both,
		},
		"type without its settings": {
			func(f *Facts) {
				f.Tenant.Spec.Identity = v1alpha1.TenantIdentity{Type: v1alpha1.IdentityADFS}
				f.Answer = issuers.Answer{}
			}, identity, v1alpha1.ReasonInvalidSpec, []string{`type "ADFS"`}, nil, both,
		},
		"private range malformed": {
			func(f *Facts) { f.Cloud.Spec.Identity.PrivateRanges = []v1alpha1.AddressRange{"10.0.0.0"} }, identity, v1alpha1.ReasonInvalidSpec, []string{`cloud "gcc-high": "10.0.0.0" is not a CIDR prefix`}, nil, both,
		},
		"bundle Secret missing": {
			func(f *Facts) {
				f.BundleProblem = &problem{reason: v1alpha1.ReasonSecretNotFound, message: "there: do that"}
			}, identity, v1alpha1.ReasonSecretNotFound, []string{"there: do that"}, nil, both,
		},
		"issuer unreachable": {failing(egress.ErrUnreachable), identity, v1alpha1.ReasonIssuerUnreachable, []string{"here: do that", "stays in force"}, both, both},
		"issuer unreachable from the start": {
			func(f *Facts) { f.Answer.Provider = nil; failing(egress.ErrUnreachable)(f) }, identity, v1alpha1.ReasonIssuerUnreachable, []string{"here: do that"}, nil, both,
		},
		"issuer answers an error": {failing(egress.ErrStatus), identity, v1alpha1.ReasonIssuerUnreachable, []string{"stays in force"}, both, both},
		"issuer at a refused address": {
			func(f *Facts) { f.Answer.Provider = nil; failing(egress.ErrAddressRefused)(f) }, identity, v1alpha1.ReasonIssuerAddressRefused, []string{"here: do that"}, nil, both,
		},
		"issuer of another name":      {failing(egress.ErrIssuerMismatch), identity, v1alpha1.ReasonIssuerMismatch, []string{"stays in force"}, both, both},
		"issuer without keys":         {failing(egress.ErrNoKeys), identity, v1alpha1.ReasonKeysEmpty, []string{"stays in force"}, both, both},
		"keys outside the cloud":      {failing(egress.ErrHostNotAllowed), identity, v1alpha1.ReasonIssuerOutsideCloud, []string{"stays in force"}, both, both},
		"certificate not trusted":     {failing(egress.ErrUntrusted), identity, v1alpha1.ReasonIssuerInvalid, []string{"stays in force"}, both, both},
		"discovery is no JSON":        {failing(egress.ErrMalformed), identity, v1alpha1.ReasonIssuerInvalid, []string{"stays in force"}, both, both},
		"bundle holds no certificate": {failing(egress.ErrBadPolicy), identity, v1alpha1.ReasonSecretMalformed, []string{"here: do that"}, both, both},
		"keys at an endless URL": {
			func(f *Facts) { f.Answer.Provider.JWKSURI += strings.Repeat("x", maxURL) }, identity, v1alpha1.ReasonIssuerInvalid, []string{"more than 512 characters"}, nil, both,
		},
		"symmetric algorithms only": {
			func(f *Facts) { f.Answer.Provider.Algorithms = []string{"HS256", "none"} }, identity, v1alpha1.ReasonIssuerInvalid, []string{"no accepted signature algorithm"}, nil, both,
		},
		"policy that is not enforced": {
			func(f *Facts) { f.Policies = []string{"a", "b"} }, policies, v1alpha1.ReasonUnsupported, []string{`device policy "a", "b" names this tenant`, "delete it"}, both, both,
		},
	}
}

func TestBadInputIsToldWithItsPlaceAndRemedy(t *testing.T) {
	t.Parallel()
	for name, tc := range badInputs() {
		for _, history := range []string{"fresh", "served"} {
			t.Run(name+"/"+history, func(t *testing.T) {
				t.Parallel()
				f, want := goodFacts(t), tc.fresh
				if history == "served" {
					f.serve(t)
					want = tc.served
				}
				before := documentsOf(t, f)
				tc.spoil(f)
				if f.Cloud == nil {
					f.Trust, f.TrustProblem = nil, nil
				} else {
					f.trust(t)
				}
				d := decide(f)
				status := report(f, d, apply.Outcome{})
				c := condition(status, tc.kind)
				if c.Reason != tc.reason {
					t.Errorf("%s has reason %q (%s), want %q", tc.kind, c.Reason, c.Message, tc.reason)
				}
				for _, part := range tc.message {
					if history == "served" && part == "stays in force" || strings.Contains(c.Message, part) {
						continue
					}
					t.Errorf("message %q lacks %q", c.Message, part)
				}
				ready := condition(status, v1alpha1.ConditionReady)
				if c.Status != metav1.ConditionTrue && ready.Status != metav1.ConditionFalse || ready.Status == metav1.ConditionTrue && c.Status != metav1.ConditionTrue {
					t.Errorf("Ready is %s while %s is %s", ready.Status, tc.kind, c.Status)
				}
				if c.Status == metav1.ConditionFalse && ready.Reason != tc.reason {
					t.Errorf("Ready has reason %q, want that of %s, %q", ready.Reason, tc.kind, tc.reason)
				}
				documents := planned(t, d)
				var got []string
				for region := range documents {
					got = append(got, region)
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("documents in %v, want %v", got, want)
				}
				if len(d.Plan.Prune) != len(before)-len(want) && history == "served" {
					t.Errorf("%d documents are removed, want %d", len(d.Plan.Prune), len(before)-len(want))
				}
				if again := report(f, decide(f), apply.Outcome{}); !equality.Semantic.DeepEqual(status, again) {
					t.Error("the same facts give another status")
				}
			})
		}
	}
}

func documentsOf(t testing.TB, f *Facts) map[string]*tenantdoc.Document {
	t.Helper()
	documents := map[string]*tenantdoc.Document{}
	for _, d := range f.Documents {
		document, err := tenantdoc.Decode([]byte(d.configMap.Data[tenantdoc.DocumentKey]))
		if err != nil {
			t.Fatal(err)
		}
		documents[string(d.region.Name)] = document
	}
	return documents
}

func TestGoodTenantIsReady(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	d := decide(f)
	status := report(f, d, apply.Outcome{})
	want := map[string]string{
		v1alpha1.ConditionReady: v1alpha1.ReasonReady, v1alpha1.ConditionDomainsReady: v1alpha1.ReasonDomainsHeld,
		v1alpha1.ConditionRegionsReady: v1alpha1.ReasonEnforced, v1alpha1.ConditionIdentityReady: v1alpha1.ReasonIssuerVerified,
		v1alpha1.ConditionPoliciesReady: v1alpha1.ReasonNoPolicies,
	}
	got := map[string]string{}
	for _, c := range status.Conditions {
		got[c.Type] = c.Reason
		if c.Status != metav1.ConditionTrue || c.ObservedGeneration != 2 {
			t.Errorf("%+v", c)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if status.RegionsReady != "2/2" || status.Home != "virginia" || status.Mailboxes != 7 {
		t.Errorf("status %+v", status)
	}
	f.Tenant.Status = status
	f.Now = metav1.NewTime(now.Add(time.Hour))
	if again := report(f, decide(f), apply.Outcome{}); !equality.Semantic.DeepEqual(status, again) {
		t.Error("the status moves although only time passed")
	}
}

func TestEntraTrustKnowsEverySpellingOfItsIssuer(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.Answer.Provider.Issuer = "https://login.old.example/" + directory + "/v2.0" // metadata may name an alias
	issuer := planned(t, decide(f))["virginia"].Issuers[0]
	want := tenantdoc.Issuer{
		Profile: tenantdoc.ProfileEntra,
		Issuer:  "https://login.old.example/" + directory + "/v2.0",
		Aliases: []string{"https://login.microsoftonline.us/" + directory + "/v2.0", "https://sts.windows.net/" + directory + "/"},
		JWKSURI: "https://login.microsoftonline.us/" + directory + "/discovery/v2.0/keys", AllowedHosts: []string{"login.microsoftonline.us", "login.old.example"},
		Audiences: []string{"api://bailiwick-sync"}, Algorithms: []string{"RS256"}, DirectoryID: directory,
		Claims: tenantdoc.Claims{Address: []string{"preferred_username", "upn", "email"}, Name: []string{"name"}, PreferredDataLocation: "xms_pdl"},
	}
	if diff := cmp.Diff(want, issuer); diff != "" {
		t.Error(diff)
	}
}

func TestADFSTrustAcceptsTheIssuerOfItsAccessTokens(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.Tenant.Spec.Identity = v1alpha1.TenantIdentity{
		Type:   v1alpha1.IdentityADFS,
		ADFS:   &v1alpha1.IssuerIdentity{Issuer: "https://x.id.agency.us/adfs", Audiences: []v1alpha1.Audience{"a"}, ClientIDs: []v1alpha1.ClientID{"c"}},
		Claims: v1alpha1.IdentityClaims{Address: "mail", Name: "display", PreferredDataLocation: "geo"},
	}
	f.trust(t)
	f.Answer.Provider = &egress.Provider{
		Issuer: "https://x.id.agency.us/adfs", AccessTokenIssuer: "http://x.id.agency.us/adfs/services/trust",
		JWKSURI: "https://x.id.agency.us/adfs/discovery/keys", Algorithms: []string{"RS256"},
	}
	issuer := planned(t, decide(f))["virginia"].Issuers[0]
	want := tenantdoc.Issuer{
		Profile: tenantdoc.ProfileADFS, Issuer: "https://x.id.agency.us/adfs", Aliases: []string{"http://x.id.agency.us/adfs/services/trust"},
		JWKSURI: "https://x.id.agency.us/adfs/discovery/keys", AllowedHosts: []string{"x.id.agency.us", "fs.agency.us"},
		Audiences: []string{"a"}, ClientIDs: []string{"c"}, Algorithms: []string{"RS256"},
		Claims: tenantdoc.Claims{Address: []string{"mail"}, Name: []string{"display"}, PreferredDataLocation: "geo"},
	}
	if diff := cmp.Diff(want, issuer); diff != "" {
		t.Error(diff)
	}
}

func TestSuspensionCountsEvenWhenTheRestIsRefused(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	f.Tenant.Generation = 3
	f.Tenant.Spec.Suspend = true
	f.Tenant.Spec.Identity = v1alpha1.TenantIdentity{Type: v1alpha1.IdentityOIDC, OIDC: &v1alpha1.IssuerIdentity{Issuer: "https://evil.example", Audiences: []v1alpha1.Audience{"a"}}}
	f.trust(t)
	documents := planned(t, decide(f))
	if len(documents) != 2 {
		t.Fatalf("%d documents are left, want 2", len(documents))
	}
	for region, d := range documents {
		if !d.Suspended || d.Generation != 2 || d.Issuers[0].Profile != tenantdoc.ProfileEntra {
			t.Errorf("%s is given %+v, want the last good document, suspended", region, d)
		}
	}
}

func TestKeptDocumentGivesUpDomainsThatAreNoLongerHeld(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	f.Tenant.Spec.Domains = []v1alpha1.MailDomain{"agency.us"}
	f.Answer = issuers.Answer{Asked: true, Err: &egress.Error{Kind: egress.ErrUnreachable}}
	f.Tenant.Status.Identity = v1alpha1.ResolvedIdentity{}
	for region, d := range planned(t, decide(f)) {
		if !slices.Equal(d.Domains, []string{"agency.us"}) {
			t.Errorf("%s still serves %v", region, d.Domains)
		}
	}
	failed := apply.Outcome{Failures: []apply.Failure{{Kind: "ConfigMap", Name: "x", Err: errors.New("refused")}}}
	if got := report(f, decide(f), failed).HeldDomains; !slices.Contains(got, "mail.agency.us") {
		t.Errorf("a domain that a document may still have is let go: %v", got)
	}
	if got := report(f, decide(f), apply.Outcome{}).HeldDomains; slices.Contains(got, "mail.agency.us") {
		t.Errorf("a domain that is no longer claimed is held: %v", got)
	}
}

func TestSpoiltDocumentStaysUntilThereIsABetterOne(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	f.Documents[0].configMap.Data[tenantdoc.DocumentKey] = "noise"
	answer := f.Answer
	f.Answer, f.Tenant.Status.Identity = issuers.Answer{Asked: true, Err: &egress.Error{Kind: egress.ErrUnreachable}}, v1alpha1.ResolvedIdentity{}
	if d := decide(f); len(d.Plan.Prune) != 0 || len(d.Plan.Wanted) != 1 {
		t.Errorf("%d are removed and %d wanted, want 0 and 1", len(d.Plan.Prune), len(d.Plan.Wanted))
	}
	f.Answer = answer
	if d := decide(f); len(d.Plan.Prune) != 0 || len(d.Plan.Wanted) != 2 {
		t.Errorf("%d are removed and %d wanted, want 0 and 2", len(d.Plan.Prune), len(d.Plan.Wanted))
	}
}

func TestDocumentOfAnEarlierTenantOfTheNameIsNotKept(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	f.Tenant.UID = "uid-2"
	f.BundleProblem = &problem{reason: v1alpha1.ReasonSecretNotFound, message: "m"}
	if d := decide(f); len(d.Plan.Wanted) != 0 || len(d.Plan.Prune) != 2 {
		t.Errorf("%d wanted, %d removed; want 0 and 2", len(d.Plan.Wanted), len(d.Plan.Prune))
	}
}

func TestNewTenantWaitsForItsIssuerBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.Answer = issuers.Answer{}
	if d := decide(f); !d.Wait {
		t.Error("a new tenant is written before its issuer answers")
	}
	f.Holders["agency.us"] = "other/tenant"
	d := decide(f)
	if d.Wait {
		t.Error("what is already known to be wrong waits for the issuer")
	}
	if c := condition(report(f, d, apply.Outcome{}), v1alpha1.ConditionIdentityReady); c.Reason != v1alpha1.ReasonProgressing || c.Status != metav1.ConditionFalse {
		t.Errorf("IdentityReady is %+v", c)
	}
}

func TestStatusRemembersTheIssuerForARestartOnlyWhileItFits(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	f.Answer = issuers.Answer{}
	if v := judgeIdentity(f); v.resolution == nil || !v.pending || v.condition.Reason != v1alpha1.ReasonIssuerVerified {
		t.Errorf("after a restart: %+v", v)
	}
	for name, spoil := range map[string]func(*v1alpha1.ResolvedIdentity){
		"other issuer":     func(i *v1alpha1.ResolvedIdentity) { i.Issuer = "https://evil.example" },
		"other key host":   func(i *v1alpha1.ResolvedIdentity) { i.JWKSURI = "https://evil.example/keys" },
		"keys on http":     func(i *v1alpha1.ResolvedIdentity) { i.JWKSURI = "http://login.microsoftonline.us/keys" },
		"other profile":    func(i *v1alpha1.ResolvedIdentity) { i.TokenProfile = "rfc9068" },
		"HMAC":             func(i *v1alpha1.ResolvedIdentity) { i.Algorithms = []string{"HS256"} },
		"nothing was said": func(i *v1alpha1.ResolvedIdentity) { *i = v1alpha1.ResolvedIdentity{} },
	} {
		g := goodFacts(t)
		g.serve(t)
		g.Answer = issuers.Answer{}
		spoil(&g.Tenant.Status.Identity)
		if v := judgeIdentity(g); v.resolution != nil {
			t.Errorf("%s: %+v is taken over from status", name, v.resolution)
		}
	}
}

func TestDeletedAndPausedTenants(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	f.Tenant.DeletionTimestamp = &now
	if d := decide(f); !d.Deleting || d.Plan.Finalizer || len(d.Plan.Prune) != 2 || len(d.Plan.Wanted) != 0 {
		t.Errorf("deleted: %+v", d)
	}
	failed := apply.Outcome{Failures: []apply.Failure{{Kind: "ConfigMap", Name: "x", Err: errors.New("refused")}}, Finalizer: true}
	if c := condition(report(f, decide(f), failed), v1alpha1.ConditionDeleting); c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "refused") {
		t.Errorf("Deleting is %+v", c)
	}
	f.Tenant.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"}
	if d := decide(f); !d.Paused || len(d.Plan.Prune) != 0 {
		t.Errorf("paused while deleted: %+v", d)
	}
}

func TestRefusedWriteIsToldAndCountsKeepTheirMinute(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	failed := apply.Outcome{Failures: []apply.Failure{{Kind: "ConfigMap", Name: "x", Err: errors.New("quota")}}}
	if c := condition(report(f, decide(f), failed), v1alpha1.ConditionRegionsReady); c.Reason != v1alpha1.ReasonApplyFailed || !strings.Contains(c.Message, "quota") {
		t.Errorf("RegionsReady is %+v", c)
	}
	f.CountsDue = false
	f.Reports[virginia][0].Mailboxes = 100
	if got := report(f, decide(f), apply.Outcome{}).Mailboxes; got != 7 {
		t.Errorf("%d mailboxes within the minute, want the 7 of before", got)
	}
	f.CountsDue = true
	if got := report(f, decide(f), apply.Outcome{}).Mailboxes; got != 104 {
		t.Errorf("%d mailboxes after the minute, want 104", got)
	}
}

func TestDocumentThatDoesNotFitIsToldAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	f.serve(t)
	f.Trust.query.CABundle = strings.Repeat("x", tenantdoc.MaxDocumentBytes)
	d := decide(f)
	if len(d.Plan.Wanted) != 0 || len(d.Plan.Prune) != 0 {
		t.Errorf("%d wanted, %d removed; want nothing touched", len(d.Plan.Wanted), len(d.Plan.Prune))
	}
	if c := condition(report(f, d, apply.Outcome{}), v1alpha1.ConditionRegionsReady); c.Reason != v1alpha1.ReasonInvalidSpec || !strings.Contains(c.Message, "shorten") {
		t.Errorf("RegionsReady is %+v", c)
	}
}

func TestLongListsAreCutInStatus(t *testing.T) {
	t.Parallel()
	f := goodFacts(t)
	for n := range 15 {
		host := v1alpha1.Hostname(fmt.Sprintf("login-%d.example", n))
		f.Cloud.Spec.Identity.TokenIssuerHosts = append(f.Cloud.Spec.Identity.TokenIssuerHosts, v1alpha1.CloudHost{Host: host})
	}
	f.trust(t)
	f.Reports[ohio] = []tenantdoc.TenantReport{{UID: "uid-1", Generation: 2, KeysError: strings.Repeat("é", maxRegionMessage)}}
	status := report(f, decide(f), apply.Outcome{})
	if got := len(status.Identity.IssuerAliases); got != maxAliases {
		t.Errorf("%d aliases in status, want %d", got, maxAliases)
	}
	if got := len(planned(t, decide(f))["ohio"].Issuers[0].Aliases); got != 17 {
		t.Errorf("%d aliases in the document, want all 17", got)
	}
	if got := status.Regions[1].Message; len(got) > maxRegionMessage || !strings.HasSuffix(got, "…") {
		t.Errorf("message of %d bytes", len(got))
	}
}

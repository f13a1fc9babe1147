package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// valid is one accepted object of each kind, the base of every case.
var valid = map[string]string{
	"SovereignCloud": `
spec:
  identity:
    authorityHosts: [{host: login.example, provenance: Verified}]
    privateRanges: [10.0.0.0/8]
  geographies: [{code: EUR, name: Europe, countries: [FR]}]`,
	"MailboxRegion": `
spec:
  cloud: own
  geography: EUR
  country: FR
  allowedTenants: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}
  endpoint: {hostname: paris.example, service: {type: LoadBalancer, loadBalancerClass: x}}
  storage: {embedded: {size: 10Gi, storageClassName: fast}}`,
	"Tenant": `
spec:
  cloud: own
  accountType: Enterprise
  domains: [contoso.example]
  homeRegion: {namespace: regions, name: paris}
  regions: [{namespace: regions, name: chicago}]
  identity:
    type: OIDC
    oidc: {issuer: "https://login.example", audiences: [sync]}
    caBundle: {secretRef: {name: ca, key: ca.crt}}`,
	"DevicePolicy": `
spec:
  tenant: contoso
  priority: 10
  access: Allow
  conditions: {networks: [192.0.2.0/24]}
  appProtection: {level: Basic, overrides: {offlineBlockMinutes: 720, offlineWipeDays: 30}}`,
	"SharedMailbox": `
spec:
  tenant: contoso
  address: help@contoso.example
  members: [{user: a@contoso.example, rights: [FullAccess, SendAs]}]`,
	"SensitivityLabel": `
spec:
  tenant: contoso
  labelID: 8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10
  displayName: Confidential
  rank: 1`,
}

// change is one write that a rule refuses, or accepts when message is empty. set
// maps a path to a YAML value, "null" removes the field. With update, the valid
// object, with the values of before, is created first and then changed.
type change struct {
	name    string
	kind    string
	before  map[string]string
	set     map[string]string
	update  bool
	message string
}

var changes = []change{
	{name: "a cloud with an issuer host of tenants only", kind: "SovereignCloud", set: map[string]string{"spec.identity.authorityHosts": "null", "spec.identity.tenantIssuerHosts": `["*.example"]`}},
	{name: "a cloud without any identity host", kind: "SovereignCloud", set: map[string]string{"spec.identity.authorityHosts": "null"}, message: "name at least one host in authorityHosts or tenantIssuerHosts"},
	{name: "a private range that is no prefix", kind: "SovereignCloud", set: map[string]string{"spec.identity.privateRanges": `["10.0.0.1"]`}, message: "must be a CIDR prefix such as 10.20.0.0/16"},
	{name: "a link-local private range", kind: "SovereignCloud", set: map[string]string{"spec.identity.privateRanges": `["169.254.169.0/24"]`}, message: "link-local and all-covering ranges are never allowed"},
	{name: "a private range of everything", kind: "SovereignCloud", set: map[string]string{"spec.identity.privateRanges": `["0.0.0.0/0"]`}, message: "link-local and all-covering ranges are never allowed"},
	{name: "a cloud with a long name", kind: "SovereignCloud", set: map[string]string{"metadata.name": strings.Repeat("a", 41)}, message: "metadata.name must be at most 40 characters"},
	{name: "a FIPS cloud with TLS 1.3", kind: "SovereignCloud", set: map[string]string{"spec.compliance": `{cryptography: FIPS140, minimumTLSVersion: "1.3", podSecurity: Restricted, certificateKey: ECDSA-P384}`}},

	{name: "a selector with from Same", kind: "MailboxRegion", set: map[string]string{"spec.allowedTenants.namespaces.from": "Same"}, message: "set selector exactly when from is Selector"},
	{name: "from Selector without a selector", kind: "MailboxRegion", set: map[string]string{"spec.allowedTenants.namespaces.selector": "null"}, message: "set selector exactly when from is Selector"},
	{name: "from All", kind: "MailboxRegion", set: map[string]string{"spec.allowedTenants.namespaces": "{from: All}"}},
	{name: "gateway and service together", kind: "MailboxRegion", set: map[string]string{"spec.endpoint.gateway": "{name: edge}"}, message: "choose gateway or service, not both"},
	{name: "a gateway alone", kind: "MailboxRegion", set: map[string]string{"spec.endpoint.gateway": "{name: edge}", "spec.endpoint.service": "null"}},
	{name: "a load balancer class without a load balancer", kind: "MailboxRegion", set: map[string]string{"spec.endpoint.service.type": "ClusterIP"}, message: "loadBalancerClass needs service.type LoadBalancer"},
	{name: "a volume of size zero", kind: "MailboxRegion", set: map[string]string{"spec.storage.embedded.size": `"0"`}, message: "size must be more than zero"},
	{name: "a volume that shrinks", kind: "MailboxRegion", update: true, set: map[string]string{"spec.storage.embedded.size": "9Gi"}, message: "size cannot shrink"},
	{name: "a volume that grows", kind: "MailboxRegion", update: true, set: map[string]string{"spec.storage.embedded.size": "11Gi"}},
	{name: "another storage class", kind: "MailboxRegion", update: true, set: map[string]string{"spec.storage.embedded.storageClassName": "slow"}, message: "storageClassName cannot change"},
	{name: "two kinds of storage", kind: "MailboxRegion", set: map[string]string{"spec.storage.postgres": "{dsnSecretRefs: [{name: db, key: dsn}]}"}, message: "choose exactly one of embedded and postgres"},
	{name: "no storage", kind: "MailboxRegion", set: map[string]string{"spec.storage.embedded": "null"}, message: "choose exactly one of embedded and postgres"},
	{name: "another kind of storage", kind: "MailboxRegion", update: true, set: map[string]string{"spec.storage.embedded": "null", "spec.storage.postgres": "{dsnSecretRefs: [{name: db, key: dsn}]}"}, message: "the kind of storage cannot change"},
	{name: "two replicas of the embedded store", kind: "MailboxRegion", set: map[string]string{"spec.replicas": "2"}, message: "the embedded store has one replica"},
	{name: "autoscaling of the embedded store", kind: "MailboxRegion", set: map[string]string{"spec.autoscaling": "{minReplicas: 1, maxReplicas: 2}"}, message: "the embedded store has one replica"},
	{name: "two replicas on PostgreSQL", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}]}}", "spec.replicas": "2"}},
	{name: "replicas and autoscaling together", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}]}}", "spec.replicas": "2", "spec.autoscaling": "{minReplicas: 1, maxReplicas: 2}"}, message: "choose replicas or autoscaling, not both"},
	{name: "autoscaling upside down", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}]}}", "spec.autoscaling": "{minReplicas: 3, maxReplicas: 2}"}, message: "minReplicas must not exceed maxReplicas"},
	{name: "a database twice", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}, {name: db, key: dsn}]}}"}, message: "name each database once"},
	{name: "two databases of one Secret", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}, {name: db, key: dsn-2}]}}"}},
	{name: "databases in another order, and one more", kind: "MailboxRegion", update: true, before: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: a, key: dsn}, {name: b, key: dsn}]}}"}, set: map[string]string{"spec.storage.postgres.dsnSecretRefs": "[{name: c, key: dsn}, {name: b, key: dsn}, {name: a, key: dsn}]"}},
	{name: "a database that is removed", kind: "MailboxRegion", update: true, before: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: a, key: dsn}, {name: b, key: dsn}]}}"}, set: map[string]string{"spec.storage.postgres.dsnSecretRefs": "[{name: a, key: dsn}]"}, message: "a database cannot be removed or renamed"},
	{name: "a database that is renamed", kind: "MailboxRegion", update: true, before: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: a, key: dsn}, {name: b, key: dsn}]}}"}, set: map[string]string{"spec.storage.postgres.dsnSecretRefs": "[{name: a, key: dsn}, {name: b, key: other}]"}, message: "a database cannot be removed or renamed"},
	{name: "blobs that are added", kind: "MailboxRegion", update: true, set: map[string]string{"spec.storage.blobs": "{s3: {endpoint: s3.example, bucket: mail, credentialsSecretRef: {name: s3, key: credentials}}}"}, message: "blobs cannot be added or removed"},
	{name: "autoscaling without a request of CPU", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}]}}", "spec.autoscaling": "{minReplicas: 1, maxReplicas: 2}", "spec.template": "{resources: {requests: {memory: 1Gi}}}"}, message: "autoscaling measures the use of the requested CPU"},
	{name: "autoscaling with a request of CPU", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}]}}", "spec.autoscaling": "{minReplicas: 1, maxReplicas: 2}", "spec.template": "{resources: {requests: {cpu: 100m}}}"}},
	{name: "autoscaling with a limit of CPU", kind: "MailboxRegion", set: map[string]string{"spec.storage": "{postgres: {dsnSecretRefs: [{name: db, key: dsn}]}}", "spec.autoscaling": "{minReplicas: 1, maxReplicas: 2}", "spec.template": "{resources: {limits: {cpu: 100m}}}"}},
	{name: "a region that changes its cloud", kind: "MailboxRegion", update: true, set: map[string]string{"spec.cloud": "other"}, message: "cloud cannot change: mail does not cross clouds, create a region in the other cloud"},
	{name: "a region that changes its geography", kind: "MailboxRegion", update: true, set: map[string]string{"spec.geography": "NAM"}, message: "geography cannot change"},
	{name: "a region that changes its country", kind: "MailboxRegion", update: true, set: map[string]string{"spec.country": "US"}, message: "country cannot change"},
	{name: "a region with a dotted name", kind: "MailboxRegion", set: map[string]string{"metadata.name": "paris.eu"}, message: "metadata.name must be at most 40 characters without dots"},

	{name: "an issuer on http", kind: "Tenant", set: map[string]string{"spec.identity.oidc.issuer": `"http://login.example"`}, message: "issuer must be an https URL"},
	{name: "an issuer with a query", kind: "Tenant", set: map[string]string{"spec.identity.oidc.issuer": `"https://login.example?x=y"`}, message: "issuer must have no query, fragment or user information"},
	{name: "an issuer with user information", kind: "Tenant", set: map[string]string{"spec.identity.oidc.issuer": `"https://me@login.example"`}, message: "issuer must have no query, fragment or user information"},
	{name: "a bundle of two sources", kind: "Tenant", set: map[string]string{"spec.identity.caBundle.pem": "x"}, message: "choose exactly one of pem and secretRef"},
	{name: "a bundle of no source", kind: "Tenant", set: map[string]string{"spec.identity.caBundle": "{}"}, message: "choose exactly one of pem and secretRef"},
	{name: "Entra without a directory", kind: "Tenant", set: map[string]string{"spec.identity.type": "Entra"}, message: "set identity.entra exactly when identity.type is Entra"},
	{name: "AD FS without an issuer", kind: "Tenant", set: map[string]string{"spec.identity.type": "ADFS"}, message: "set identity.adfs exactly when identity.type is ADFS"},
	{name: "OIDC without an issuer", kind: "Tenant", set: map[string]string{"spec.identity.oidc": "null"}, message: "set identity.oidc exactly when identity.type is OIDC"},
	{name: "an Entra directory", kind: "Tenant", set: map[string]string{"spec.identity": `{type: Entra, entra: {directoryID: 5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11, audiences: ["api://sync"]}}`}},
	{name: "AD FS of its own", kind: "Tenant", set: map[string]string{"spec.identity": `{type: ADFS, adfs: {issuer: "https://fs.example/adfs", audiences: ["https://sync"]}}`}},
	{name: "the home region among the satellites", kind: "Tenant", set: map[string]string{"spec.regions": "[{namespace: regions, name: paris}]"}, message: "regions lists the satellites only: leave homeRegion out of it"},
	{name: "a tenant that changes its cloud", kind: "Tenant", update: true, set: map[string]string{"spec.cloud": "other"}, message: "cloud cannot change: mail does not cross clouds, create the tenant in the other cloud"},
	{name: "smime without the feature", kind: "Tenant", set: map[string]string{"spec.smime": "{outgoing: {requireSigned: true}}"}, message: "smime counts only with features.smime"},
	{name: "smime with the feature off", kind: "Tenant", set: map[string]string{"spec.smime": "{}", "spec.features": "{smime: false, sharedMailboxes: true}"}, message: "smime counts only with features.smime"},
	{name: "smime with trust anchors", kind: "Tenant", set: map[string]string{"spec.features": "{smime: true}", "spec.smime": "{trustAnchors: {configMapRef: {name: roots, key: ca.crt}}, intermediates: {secretRef: {name: issuers, key: ca.crt}}, outgoing: {requireSigned: true, requireEncrypted: true}}"}},
	{name: "inline trust anchors", kind: "Tenant", set: map[string]string{"spec.features": "{smime: true}", "spec.smime": `{trustAnchors: {pem: "-----BEGIN CERTIFICATE-----"}}`}},
	{name: "trust anchors that are no certificates", kind: "Tenant", set: map[string]string{"spec.features": "{smime: true}", "spec.smime": "{trustAnchors: {pem: noise}}"}, message: "pem must hold PEM certificates"},
	{name: "trust anchors of two sources", kind: "Tenant", set: map[string]string{"spec.features": "{smime: true}", "spec.smime": "{trustAnchors: {configMapRef: {name: roots, key: a}, secretRef: {name: roots, key: a}}}"}, message: "choose exactly one of pem, configMapRef and secretRef"},
	{name: "trust anchors of no source", kind: "Tenant", set: map[string]string{"spec.features": "{smime: true}", "spec.smime": "{trustAnchors: {}}"}, message: "choose exactly one of pem, configMapRef and secretRef"},
	{name: "a tenant that gains a domain", kind: "Tenant", update: true, set: map[string]string{"spec.domains": "[contoso.example, fabrikam.example]"}},

	{name: "app protection for what is blocked", kind: "DevicePolicy", set: map[string]string{"spec.access": "Block"}, message: "appProtection and sync need access Allow"},
	{name: "a plain block", kind: "DevicePolicy", set: map[string]string{"spec.access": "Block", "spec.appProtection": "null"}},
	{name: "a wipe before the block", kind: "DevicePolicy", set: map[string]string{"spec.appProtection.overrides.offlineBlockMinutes": "43201"}, message: "offlineWipeDays must not end before offlineBlockMinutes"},
	{name: "a network that is no prefix", kind: "DevicePolicy", set: map[string]string{"spec.conditions.networks": `["192.0.2.1"]`}, message: "must be a CIDR prefix such as 192.0.2.0/24"},
	{name: "a policy that changes its tenant", kind: "DevicePolicy", update: true, set: map[string]string{"spec.tenant": "other"}, message: "tenant cannot change: create a policy for the other tenant"},

	{name: "both rights to send", kind: "SharedMailbox", set: map[string]string{"spec.members": "[{user: a@contoso.example, rights: [SendAs, SendOnBehalf]}]"}, message: "choose SendAs or SendOnBehalf"},
	{name: "a shared mailbox that changes its tenant", kind: "SharedMailbox", update: true, set: map[string]string{"spec.tenant": "other"}, message: "tenant cannot change: create the mailbox in the other tenant"},
	{name: "a shared mailbox that changes its address", kind: "SharedMailbox", update: true, set: map[string]string{"spec.address": "other@contoso.example"}, message: "address cannot change: the mail is kept under it, create another shared mailbox"},
	{name: "a shared mailbox that gains a member", kind: "SharedMailbox", update: true, set: map[string]string{"spec.members": "[{user: a@contoso.example, rights: [SendAs]}, {user: b@contoso.example, rights: [SendOnBehalf]}]"}},

	{name: "a label that changes its tenant", kind: "SensitivityLabel", update: true, set: map[string]string{"spec.tenant": "other"}, message: "tenant cannot change: create the label in the other tenant"},
	{name: "a label that changes its id", kind: "SensitivityLabel", update: true, set: map[string]string{"spec.labelID": "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a11"}, message: "labelID cannot change: labelled mail carries it"},
	{name: "a label that changes its rank", kind: "SensitivityLabel", update: true, set: map[string]string{"spec.rank": "2"}},
}

func TestRulesAcceptAndRefuseWithTheRemedy(t *testing.T) {
	t.Parallel()
	for i, c := range slices.Concat(changes, deliveryChanges) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			check(t, c, fmt.Sprintf("case-%d", i))
		})
	}
}

func check(t *testing.T, c change, name string) {
	t.Helper()
	object := parse(t, c.kind, name)
	for path, value := range c.before {
		edit(t, object, path, value)
	}
	if c.update {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatalf("create the valid %s: %v", c.kind, err)
		}
	}
	for path, value := range c.set {
		edit(t, object, path, value)
	}
	write := func() error { return api.Create(t.Context(), object) }
	if c.update {
		write = func() error { return api.Update(t.Context(), object) }
	}
	err := write()
	switch {
	case c.message == "" && err != nil:
		t.Errorf("refused: %v", err)
	case c.message != "" && err == nil:
		t.Errorf("accepted, want a refusal that says %q", c.message)
	case c.message != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.message)):
		t.Errorf("refused with %q, want %q", err, c.message)
	}
}

func TestTheValidObjectOfEachKindIsAccepted(t *testing.T) {
	t.Parallel()
	for kind := range valid {
		if err := api.Create(t.Context(), parse(t, kind, "valid")); err != nil {
			t.Errorf("create %s: %v", kind, err)
		}
	}
}

func TestEachRuleOfEachKindHasARefusingCase(t *testing.T) {
	t.Parallel()
	for kind, messages := range ruleMessages(t) {
		for message := range messages {
			if !refusedBySomeCase(kind, message) {
				t.Errorf("%s: no case is refused with %q", kind, message)
			}
		}
	}
}

func refusedBySomeCase(kind, message string) bool {
	for _, c := range slices.Concat(changes, deliveryChanges) {
		if c.kind == kind && c.message != "" && strings.HasPrefix(message, c.message) {
			return true
		}
	}
	return false
}

// ruleMessages collects the messages of all CEL rules in the CRDs, by kind.
func ruleMessages(t *testing.T) map[string]map[string]bool {
	t.Helper()
	found := map[string]map[string]bool{}
	files, err := filepath.Glob(filepath.Join(crdFolder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs in %q: %v", crdFolder, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := map[string]any{}
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			t.Fatal(err)
		}
		kind, _, _ := unstructured.NestedString(crd, "spec", "names", "kind")
		found[kind] = map[string]bool{}
		collectMessages(crd, found[kind])
	}
	return found
}

func collectMessages(node any, into map[string]bool) {
	switch n := node.(type) {
	case map[string]any:
		if rules, ok := n["x-kubernetes-validations"].([]any); ok {
			for _, rule := range rules {
				message, _, _ := unstructured.NestedString(rule.(map[string]any), "message")
				into[message] = true
			}
		}
		for _, child := range n {
			collectMessages(child, into)
		}
	case []any:
		for _, child := range n {
			collectMessages(child, into)
		}
	}
}

func TestEachCRDStaysBelow100KB(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(crdFolder, "*.yaml"))
	if err != nil || len(files) != len(valid) {
		t.Fatalf("%d CRDs, want %d: %v", len(files), len(valid), err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() >= 100_000 {
			t.Errorf("%s has %d bytes: shorten it, kubectl apply keeps it in an annotation", file, info.Size())
		}
	}
}

func TestUnknownFieldsAndUnboundedValuesAreRefused(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("a", 300) + `"`
	for i, c := range []change{
		{kind: "Tenant", set: map[string]string{"spec.domains": "[UPPER.example]"}, message: "spec.domains[0]"},
		{kind: "Tenant", set: map[string]string{"spec.domains": "[]"}, message: "spec.domains"},
		{kind: "Tenant", set: map[string]string{"spec.accountType": "Club"}, message: `Unsupported value: "Club"`},
		{kind: "MailboxRegion", set: map[string]string{"spec.geography": "EURO"}, message: "spec.geography"},
		{kind: "MailboxRegion", set: map[string]string{"spec.endpoint.hostname": long}, message: "spec.endpoint.hostname"},
		{kind: "SovereignCloud", set: map[string]string{"spec.geographies": "[]"}, message: "spec.geographies"},
		{kind: "SovereignCloud", set: map[string]string{"spec.displayName": long}, message: "spec.displayName"},
		{kind: "SensitivityLabel", set: map[string]string{"spec.color": "red"}, message: "spec.color"},
		{kind: "SharedMailbox", set: map[string]string{"spec.address": "nobody"}, message: "spec.address"},
		{kind: "DevicePolicy", set: map[string]string{"spec.priority": "-1"}, message: "spec.priority"},
	} {
		check(t, c, fmt.Sprintf("bounds-%d", i))
	}
}

func parse(t *testing.T, kind, name string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal([]byte(valid[kind]), &object.Object); err != nil {
		t.Fatal(err)
	}
	object.SetAPIVersion("mail.bailiwick.dev/v1alpha1")
	object.SetKind(kind)
	object.SetName(name)
	if kind != "SovereignCloud" {
		object.SetNamespace("default")
	}
	return object
}

func edit(t *testing.T, object *unstructured.Unstructured, path, value string) {
	t.Helper()
	fields := strings.Split(path, ".")
	var parsed any
	if err := yaml.Unmarshal([]byte(value), &parsed); err != nil {
		t.Fatal(err)
	}
	if parsed == nil {
		unstructured.RemoveNestedField(object.Object, fields...)
		return
	}
	if number, ok := parsed.(float64); ok {
		parsed = int64(number)
	}
	if err := unstructured.SetNestedField(object.Object, normalise(parsed), fields...); err != nil {
		t.Fatal(err)
	}
}

// normalise turns YAML numbers into the integers that the API machinery copies.
func normalise(value any) any {
	switch v := value.(type) {
	case float64:
		return int64(v)
	case map[string]any:
		for key, child := range v {
			v[key] = normalise(child)
		}
	case []any:
		for i, child := range v {
			v[i] = normalise(child)
		}
	}
	return value
}

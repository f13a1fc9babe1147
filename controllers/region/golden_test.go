package region

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psaapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

var update = flag.Bool("update", false, "write the golden files anew")

var epoch = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// plainFacts are those of a region that was just declared, in a cloud that is
// ready.
func plainFacts(t testing.TB) *Facts {
	t.Helper()
	r := &v1alpha1.MailboxRegion{
		ObjectMeta: metav1.ObjectMeta{Name: "virginia", Namespace: "regions-gcch", UID: "11111111-2222-3333-4444-555555555555", Generation: 1},
		Spec: v1alpha1.MailboxRegionSpec{
			Cloud: "gcc-high", Geography: "NAM", Country: "US",
			Endpoint: v1alpha1.RegionEndpoint{Hostname: "virginia.sync.agency.us"},
			Storage:  v1alpha1.RegionStorage{Embedded: &v1alpha1.EmbeddedStorage{Size: resource.MustParse("50Gi")}},
		},
	}
	cloud := testCloud("gcc-high")
	f := &Facts{Now: epoch, Region: r, Cloud: cloud, Authority: testAuthority(t, "gcc-high"), Together: together(nil)}
	f.Replicas = replicasOf(f)
	return f
}

// fullFacts are those of a region that uses every field that shapes an object.
func fullFacts(t testing.TB) *Facts {
	t.Helper()
	f := plainFacts(t)
	f.Cloud.Spec.Compliance = v1alpha1.CloudCompliance{Cryptography: v1alpha1.CryptographyFIPS140, MinimumTLSVersion: v1alpha1.TLSVersion13}
	spec := &f.Region.Spec
	spec.Endpoint.Hostname = "2001:db8::7"
	spec.Endpoint.Service = &v1alpha1.ServiceEndpoint{
		Type: v1alpha1.ServiceLoadBalancer, Annotations: map[string]string{"dns.example/name": "virginia"}, LoadBalancerClass: "example.com/internal",
	}
	spec.Storage.Embedded.StorageClassName = "encrypted"
	spec.DeletionPolicy = v1alpha1.DeletionDelete
	spec.Template = v1alpha1.RegionTemplate{
		Annotations:                   map[string]string{"backup.example/include": "data"},
		NodeSelector:                  map[string]string{"topology.kubernetes.io/region": "us-gov-virginia"},
		Tolerations:                   []corev1.Toleration{{Key: "mail", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		PriorityClassName:             "mail",
		TerminationGracePeriodSeconds: 60,
		Resources: &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("4Gi")},
		},
	}
	spec.Delivery = fullDelivery()
	f.Delivery.Revision = "5d0c6f1a2b3e4978"
	spec.Push = v1alpha1.RegionPush{KeyGeneration: 2}
	spec.Limits = v1alpha1.RegionLimits{RequestSlots: 64, ConnectionsPerAddress: 200}
	f.Tenants = []TenantFacts{{Name: "agency/agency", UID: "u", Generation: 1, IssuerPorts: []int32{443, 9443}}}
	return f
}

// fullDelivery uses every field that there is.
func fullDelivery() *v1alpha1.RegionDelivery {
	return &v1alpha1.RegionDelivery{
		Inbound: &v1alpha1.InboundDelivery{
			SMTP: &v1alpha1.DeliveryPort{Service: &v1alpha1.ServiceEndpoint{
				Type: v1alpha1.ServiceLoadBalancer, Annotations: map[string]string{"dns.example/name": "in.virginia"}, LoadBalancerClass: "example.com/internal",
			}},
			LMTP:            &v1alpha1.DeliveryPort{Port: 2024},
			AllowedNetworks: []v1alpha1.NetworkPrefix{"192.0.2.9/24", "2001:db8:0::/32", "192.0.2.0/24"},
			ClientCertificates: &v1alpha1.PeerCertificates{
				CABundle: v1alpha1.CertificateReference{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "relays", Key: "roots.pem"}},
				Names:    []v1alpha1.PeerName{"spiffe://agency.us/mx", "mx.agency.us"},
			},
			Hostname:       "in.virginia.agency.us",
			MaxMessageSize: new(resource.MustParse("30Mi")),
		},
		Outbound: &v1alpha1.OutboundDelivery{SmartHost: v1alpha1.SmartHost{
			Host: "relay.agency.us", TLS: v1alpha1.SmartHostImplicit,
			CABundle:                   &v1alpha1.CertificateReference{SecretRef: &v1alpha1.SecretKeyReference{Name: "relay", Key: "roots.pem"}},
			ClientCertificateSecretRef: &v1alpha1.TLSSecretReference{Name: "relay-client"},
		}},
	}
}

// deliveryFacts are those of a region to which a network brings mail through a load
// balancer, and from which mail leaves by an address.
func deliveryFacts(t testing.TB) *Facts {
	t.Helper()
	f := plainFacts(t)
	f.Region.Spec.Delivery = &v1alpha1.RegionDelivery{
		Inbound: &v1alpha1.InboundDelivery{
			LMTP:            &v1alpha1.DeliveryPort{Service: &v1alpha1.ServiceEndpoint{Type: v1alpha1.ServiceLoadBalancer}},
			AllowedNetworks: []v1alpha1.NetworkPrefix{"192.0.2.0/24", "198.51.100.0/24"},
		},
		Outbound: &v1alpha1.OutboundDelivery{SmartHost: v1alpha1.SmartHost{Host: "2001:db8::25"}},
	}
	return f
}

// postgresFacts are those of a region that was just declared, with one database and one
// pod.
func postgresFacts(t testing.TB) *Facts {
	t.Helper()
	f := plainFacts(t)
	f.Region.Spec.Storage = v1alpha1.RegionStorage{Postgres: &v1alpha1.PostgresStorage{
		DSNSecretRefs: []v1alpha1.SecretKeyReference{{Name: "mail-db", Key: "dsn"}},
	}}
	f.Storage.Ports, f.Storage.Revision = []int32{5432}, "1c3a5e7092b4d6f8"
	withPods(f, testPod("virginia-sync-7d4b9-x2x8q", true))
	return f
}

// postgresFullFacts are those of a region with two databases of one Secret each, object
// storage and autoscaling.
func postgresFullFacts(t testing.TB) *Facts {
	t.Helper()
	f := fullFacts(t)
	f.Region.Spec.Storage = v1alpha1.RegionStorage{
		Postgres: &v1alpha1.PostgresStorage{DSNSecretRefs: []v1alpha1.SecretKeyReference{{Name: "mail.db.one", Key: "dsn"}, {Name: "mail.db.two", Key: "dsn"}}},
		Blobs: &v1alpha1.BlobStorage{S3: v1alpha1.ObjectStorage{
			Endpoint: "s3.us-gov.example", Bucket: "virginia-mail", CredentialsSecretRef: v1alpha1.SecretKeyReference{Name: "mail-s3", Key: "credentials"},
		}},
	}
	f.Region.Spec.Autoscaling = &v1alpha1.RegionAutoscaling{MinReplicas: 3, MaxReplicas: 30, TargetCPUPercent: 60}
	f.Storage.Ports, f.Storage.Revision = []int32{5432, 6432}, "8f6d4b29e7a5c31b"
	withPods(f, testPod("virginia-sync-7d4b9-b", true), testPod("virginia-sync-7d4b9-a", false))
	return f
}

// withPods gives a region its pods as observe does.
func withPods(f *Facts, pods ...*corev1.Pod) {
	f.Pods = pods
	slices.SortFunc(f.Pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	f.Replicas = replicasOf(f)
	f.Together = together(f.Replicas)
}

func testPod(name string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}},
	}
}

func testAuthority(t testing.TB, cloud string) *authority.Authority {
	t.Helper()
	data, err := authority.Generate(cloud, v1alpha1.KeyECDSAP256, epoch)
	if err != nil {
		t.Fatal(err)
	}
	a, err := authority.Parse(cloud, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelCloud: cloud}}, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func testSettings() Settings {
	return Settings{Namespace: "bailiwick-system", Image: "registry.example/bailiwick:v1"}
}

// render gives the objects of a plan as YAML, without what is random.
func render(t *testing.T, f *Facts) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, obj := range decide(f, testSettings()).Plan.Wanted {
		kind, err := apiutil.GVKForObject(obj, apiScheme)
		if err != nil {
			t.Fatal(err)
		}
		if bundle, ok := obj.(*corev1.ConfigMap); ok && len(bundle.Data) > 0 {
			bundle.Data = map[string]string{"ca.crt": "the root of the cloud\n"}
		}
		obj.GetObjectKind().SetGroupVersionKind(kind)
		raw, err := yaml.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(raw)
	}
	return out.Bytes()
}

func TestObjectsAreWhatTheGoldenFilesShow(t *testing.T) {
	for name, facts := range map[string]*Facts{
		"plain.yaml": plainFacts(t), "full.yaml": fullFacts(t), "delivery.yaml": deliveryFacts(t),
		"postgres.yaml": postgresFacts(t), "postgres-full.yaml": postgresFullFacts(t),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name)
			got := render(t, facts)
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("objects differ from %s; run the test with -update when that is meant (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestPodsSatisfyTheRestrictedPodSecurityStandard(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	templates := map[string]corev1.PodTemplateSpec{}
	for name, f := range map[string]*Facts{"plain": plainFacts(t), "full": fullFacts(t), "delivery": deliveryFacts(t)} {
		templates[name] = buildStatefulSet(f, "image", resource.MustParse("1Gi")).Spec.Template
	}
	for name, f := range map[string]*Facts{"postgres": postgresFacts(t), "postgres-full": postgresFullFacts(t)} {
		templates[name] = buildDeployment(f, "image").Spec.Template
	}
	for name, template := range templates {
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec))
		if !result.Allowed {
			t.Errorf("%s: %s", name, result.ForbiddenDetail())
		}
		privileged := template.DeepCopy()
		privileged.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = new(true)
		if policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &privileged.ObjectMeta, &privileged.Spec)).Allowed {
			t.Errorf("%s: a pod that may escalate passes: the check is no check", name)
		}
	}
}

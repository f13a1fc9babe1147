package operator

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// rights grants the generated roles to a service account. It gives a configuration
// that acts as it, and what is granted as "verb group/resource", sorted.
func rights(t *testing.T) (*rest.Config, []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var granted []string
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "bailiwick-operator", Namespace: systemNamespace}
	for document := range strings.SplitSeq(string(raw), "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		role := &rbacv1.Role{}
		if err := yaml.Unmarshal([]byte(document), role); err != nil {
			t.Fatal(err)
		}
		granted = append(granted, verbs(role.Rules)...)
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.Kind, Name: role.Name}
		switch role.Kind {
		case "ClusterRole":
			create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role.Name}, Rules: role.Rules})
			create(t, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: ref, Subjects: []rbacv1.Subject{subject}})
		case "Role":
			create(t, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: systemNamespace}, Rules: role.Rules})
			create(t, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: systemNamespace}, RoleRef: ref, Subjects: []rbacv1.Subject{subject}})
		default:
			t.Fatalf("role.yaml holds a %q", role.Kind)
		}
	}
	config := rest.CopyConfig(apiConfig)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + systemNamespace + ":" + subject.Name,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace, "system:authenticated"},
	}
	slices.Sort(granted)
	return config, slices.Compact(granted)
}

func verbs(rules []rbacv1.PolicyRule) []string {
	var list []string
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					list = append(list, verb+" "+group+"/"+resource)
				}
			}
		}
	}
	return list
}

// usage notes what is asked of the API server, and what it refuses for lack of
// rights.
type usage struct {
	next    http.RoundTripper
	mu      sync.Mutex
	refused []string
	used    map[string]bool
}

func (u *usage) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := u.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if resp.StatusCode == http.StatusForbidden {
		u.refused = append(u.refused, req.Method+" "+req.URL.Path)
	}
	verb, resource := asked(req)
	u.used[verb+" "+resource] = true
	if verb == "patch" && resp.StatusCode == http.StatusCreated {
		u.used["create "+resource] = true // server-side apply needs both rights then
	}
	return resp, nil
}

// asked tells the verb and the "group/resource" of a request; both are empty for one
// that is not about a resource.
func asked(req *http.Request) (verb, resource string) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return "", ""
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	resource = group + "/" + parts[0]
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	switch {
	case req.Method == http.MethodGet && req.URL.Query().Get("watch") != "":
		return "watch", resource
	case req.Method == http.MethodGet && len(parts) == 1:
		return "list", resource
	}
	return map[string]string{
		http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
	}[req.Method], resource
}

// elsewhere are the rights that the life of one estate may go without, and what needs
// them.
var elsewhere = []string{
	"create /events",                                       // leader election tells who leads
	"delete /persistentvolumeclaims",                       // a region with deletionPolicy Delete
	"get /persistentvolumeclaims",                          // a volume that grows
	"patch /events",                                        // an event that repeats
	"patch /persistentvolumeclaims",                        // a volume that grows
	"patch events.k8s.io/events",                           // an event that repeats
	"update mail.bailiwick.dev/mailboxregions/finalizers",  // OwnerReferencesPermissionEnforcement
	"update mail.bailiwick.dev/sovereignclouds/finalizers", // OwnerReferencesPermissionEnforcement
	"update mail.bailiwick.dev/tenants/finalizers",         // OwnerReferencesPermissionEnforcement
}

// belongings declares a shared mailbox and a label of a tenant and waits until both
// are told of.
func belongings(t *testing.T, tenant *v1alpha1.Tenant) {
	t.Helper()
	mailbox := &v1alpha1.SharedMailbox{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant.Namespace, Name: "help"},
		Spec:       v1alpha1.SharedMailboxSpec{Tenant: v1alpha1.ObjectName(tenant.Name), Address: "help@example.org"},
	}
	label := &v1alpha1.SensitivityLabel{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant.Namespace, Name: "secret"},
		Spec: v1alpha1.SensitivityLabelSpec{
			Tenant: v1alpha1.ObjectName(tenant.Name), LabelID: "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10", DisplayName: "Secret",
		},
	}
	create(t, mailbox)
	create(t, label)
	eventually(t, "shared mailbox and label have a status", func() bool {
		return api.Get(t.Context(), client.ObjectKeyFromObject(mailbox), mailbox) == nil && mailbox.Status.ObservedGeneration == 1 &&
			api.Get(t.Context(), client.ObjectKeyFromObject(label), label) == nil && label.Status.ObservedGeneration == 1
	})
}

// scaledRegion declares a region on PostgreSQL that is scaled by its load, beside
// another, and waits until its first pod may report.
func scaledRegion(t *testing.T, beside *v1alpha1.MailboxRegion) *v1alpha1.MailboxRegion {
	t.Helper()
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "mail-db", Namespace: beside.Namespace},
		StringData: map[string]string{"dsn": "postgres://mail@db.invalid/mail?sslmode=verify-full"},
	})
	r := &v1alpha1.MailboxRegion{ObjectMeta: metav1.ObjectMeta{Name: "lyon", Namespace: beside.Namespace}, Spec: *beside.Spec.DeepCopy()}
	r.Spec.Endpoint.Hostname = "lyon." + r.Spec.Endpoint.Hostname
	r.Spec.Storage = v1alpha1.RegionStorage{Postgres: &v1alpha1.PostgresStorage{DSNSecretRefs: []v1alpha1.SecretKeyReference{{Name: "mail-db", Key: "dsn"}}}}
	r.Spec.Autoscaling = &v1alpha1.RegionAutoscaling{MinReplicas: 1, MaxReplicas: 2}
	create(t, r)
	key := client.ObjectKey{Namespace: r.Namespace, Name: "lyon-sync"}
	eventually(t, "the region on PostgreSQL has an autoscaler, and its pod a report that it may write", func() bool {
		role := &rbacv1.Role{}
		return api.Get(t.Context(), key, &autoscalingv2.HorizontalPodAutoscaler{}) == nil && api.Get(t.Context(), key, role) == nil && len(role.Rules) == 2
	})
	return r
}

func TestTheGeneratedRolesAreEnoughAndNoMore(t *testing.T) {
	o := options()
	o.LeaderElection = true
	config, granted := rights(t)
	o.Config = config
	seen := &usage{used: map[string]bool{}}
	o.Config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		seen.next = next
		return seen
	})
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName, Namespace: systemNamespace}}
	if err := api.Delete(t.Context(), lease); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	stop := start(t, o)
	r, tenant := estate(t, "rights")
	eventually(t, "region and tenant have a status", func() bool {
		return api.Get(t.Context(), client.ObjectKeyFromObject(r), r) == nil && api.Get(t.Context(), client.ObjectKeyFromObject(tenant), tenant) == nil &&
			meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionCertificateReady) && tenant.Status.ObservedGeneration == 1
	})
	belongings(t, tenant)
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: r.Namespace, Name: "paris-sync"}, &appsv1.StatefulSet{}); err != nil {
		t.Error(err)
	}
	scaled := scaledRegion(t, r)
	cloud := &v1alpha1.SovereignCloud{ObjectMeta: metav1.ObjectMeta{Name: string(r.Spec.Cloud)}}
	for _, obj := range []client.Object{tenant, r, scaled, cloud} {
		if err := api.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
		eventually(t, obj.GetName()+" is gone", func() bool {
			return apierrors.IsNotFound(api.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
		})
	}
	stop()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if len(seen.refused) > 0 {
		t.Errorf("the API server refused: %q", seen.refused)
	}
	for _, right := range granted {
		// A watch begins with a list, in one request where the API server can.
		listed, isList := strings.CutPrefix(right, "list ")
		needed := seen.used[right] || isList && seen.used["watch "+listed] || slices.Contains(elsewhere, right)
		if !needed {
			t.Errorf("right that nothing needs: %s", right)
		}
	}
	for _, right := range elsewhere {
		if !slices.Contains(granted, right) {
			t.Errorf("right that is needed and not granted: %s", right)
		}
	}
}

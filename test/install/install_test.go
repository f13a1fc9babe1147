// Package install_test proves on a real API server that what the repository ships
// installs: the kustomize manifests, the samples and the OLM bundle.
package install_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

var (
	root  = filepath.Join("..", "..")
	plane *controlplane.Plane
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	plane, err = controlplane.Start(context.Background(), controlplane.Options{APIServerOnly: true, Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = plane.Stop() }()
	return m.Run()
}

// kubectl runs kubectl against the plane with input on its standard input.
func kubectl(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), plane.Binary("kubectl"), append([]string{"--kubeconfig", plane.AdminKubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustKubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := kubectl(t, input, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func TestDefaultAndSamplesInstallTwiceWithoutADiff(t *testing.T) {
	for _, folder := range []string{"config/default", "config/samples", "config/samples/policies"} {
		path := filepath.Join(root, filepath.FromSlash(folder))
		mustKubectl(t, "", "apply", "--server-side", "-k", path)
		mustKubectl(t, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
		mustKubectl(t, "", "apply", "--server-side", "-k", path)
		if out, err := kubectl(t, "", "diff", "--server-side", "-k", path); err != nil {
			t.Errorf("kubectl diff after applying %s twice: %v\n%s", folder, err, out)
		}
	}
	if got := mustKubectl(t, "", "get", "deployment", "bailiwick-operator", "-n", "bailiwick-system", "-o", "jsonpath={.spec.template.spec.containers[0].image}"); !strings.HasPrefix(got, "ghcr.io/bailiwick-dev/bailiwick:") {
		t.Errorf("image of the operator: %q", got)
	}
	if got := mustKubectl(t, "", "get", "bailiwick", "-A", "-o", "name"); strings.Count(got, "\n") < 15 {
		t.Errorf("category bailiwick lists:\n%s", got)
	}
}

func TestTheOperatorsPodIsAdmittedByTheRestrictedProfile(t *testing.T) {
	mustKubectl(t, "", "apply", "--server-side", "-k", filepath.Join(root, "config", "default"))
	template := mustKubectl(t, "", "get", "deployment", "bailiwick-operator", "-n", "bailiwick-system", "-o", "jsonpath={.spec.template}")
	pod := map[string]any{}
	if err := yaml.Unmarshal([]byte(template), &pod); err != nil {
		t.Fatal(err)
	}
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	pod["metadata"] = map[string]any{"name": "probe"}
	if out, err := kubectl(t, encode(t, pod), "create", "--dry-run=server", "-n", "bailiwick-system", "-f", "-"); err != nil {
		t.Errorf("refused: %v\n%s", err, out)
	}
	container := pod["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	delete(container, "securityContext")
	out, err := kubectl(t, encode(t, pod), "create", "--dry-run=server", "-n", "bailiwick-system", "-f", "-")
	if err == nil || !strings.Contains(out, "violates PodSecurity") {
		t.Errorf("a pod without a security context: %v\n%s, want a refusal by PodSecurity", err, out)
	}
}

func TestTheBundleInstalls(t *testing.T) {
	const namespace = "olm-bailiwick"
	mustKubectl(t, "", "create", "namespace", namespace)
	manifests, err := filepath.Glob(filepath.Join(root, "bundle", "manifests", "*.yaml"))
	if err != nil || len(manifests) < 8 {
		t.Fatalf("%d manifests: %v", len(manifests), err)
	}
	for _, manifest := range manifests {
		if strings.HasSuffix(manifest, ".clusterserviceversion.yaml") {
			continue
		}
		mustKubectl(t, "", "apply", "--server-side", "--force-conflicts", "--field-manager=olm", "-n", namespace, "-f", manifest)
	}
	csv := readCSV(t)
	mustKubectl(t, csv["metadata"].(map[string]any)["annotations"].(map[string]any)["alm-examples"].(string), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", fileOf(t, csv))
	for _, object := range objectsOf(t, csv) {
		mustKubectl(t, object, "apply", "--server-side", "--field-manager=olm", "-n", namespace, "-f", "-")
	}
}

// fileOf writes the examples of the CSV, each into a namespace that exists.
func fileOf(t *testing.T, csv map[string]any) string {
	t.Helper()
	var examples []map[string]any
	raw := csv["metadata"].(map[string]any)["annotations"].(map[string]any)["alm-examples"].(string)
	if err := yaml.Unmarshal([]byte(raw), &examples); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, example := range examples {
		delete(example["metadata"].(map[string]any), "namespace")
		text.WriteString("---\n" + encode(t, example))
	}
	path := filepath.Join(t.TempDir(), "examples.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readCSV(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "bundle", "manifests", "bailiwick.clusterserviceversion.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	csv := map[string]any{}
	if err := yaml.Unmarshal(raw, &csv); err != nil {
		t.Fatal(err)
	}
	return csv
}

// objectsOf makes of the install strategy what OLM makes of it.
func objectsOf(t *testing.T, csv map[string]any) []string {
	t.Helper()
	spec := csv["spec"].(map[string]any)["install"].(map[string]any)["spec"].(map[string]any)
	permissions := spec["clusterPermissions"].([]any)[0].(map[string]any)
	deployment := spec["deployments"].([]any)[0].(map[string]any)
	account, _ := permissions["serviceAccountName"].(string)
	if account == "" {
		t.Fatal(errors.New("the CSV names no service account"))
	}
	return []string{
		encode(t, map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": account}}),
		encode(t, map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "olm-bailiwick"}, "rules": permissions["rules"]}),
		encode(t, map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": deployment["name"]}, "spec": deployment["spec"]}),
	}
}

func TestTheOperatorsRightsNameEachVerbAndResource(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		role := rbacv1.ClusterRole{}
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			rules++
			for _, word := range append(append(rule.APIGroups, rule.Resources...), rule.Verbs...) {
				if strings.Contains(word, "*") {
					t.Errorf("%s %q has a wildcard: %v", role.Kind, role.Name, rule)
				}
			}
		}
	}
	if rules == 0 {
		t.Error("config/rbac/role.yaml has no rules")
	}
}

func TestEverySampleNamespaceEnforcesPodSecurityWhereRegionsLive(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "config", "samples", "namespaces.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	regions := 0
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		namespace := corev1.Namespace{}
		if err := yaml.UnmarshalStrict([]byte(document), &namespace); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(namespace.Name, "regions-") {
			continue
		}
		regions++
		if namespace.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			t.Errorf("namespace %q does not enforce the restricted profile", namespace.Name)
		}
	}
	if regions != 3 {
		t.Errorf("%d namespaces of regions, want 3", regions)
	}
}

func TestTheExampleOfTheREADMEIsAccepted(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(raw), "```yaml\n")
	example, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("README.md shows no YAML")
	}
	mustKubectl(t, "", "apply", "--server-side", "-k", filepath.Join(root, "config", "default"))
	mustKubectl(t, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
	// The samples have objects of these names in their namespaces.
	example = strings.NewReplacer("regions-gcch", "default", "namespace: agency", "namespace: default").Replace(example)
	out := mustKubectl(t, example, "create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
	if got := strings.Fields(out); len(got) != 2 {
		t.Errorf("the example declares %q, want a region and a tenant", got)
	}
}

// TestEachValueOfTheCatalogueSaysHowItIsKnown holds the files to what each of them
// promises at its head.
func TestEachValueOfTheCatalogueSaysHowItIsKnown(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config", "clouds", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	kustomization, err := os.ReadFile(filepath.Join(root, "config", "clouds", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	clouds := 0
	for _, file := range files {
		name := filepath.Base(file)
		if name == "kustomization.yaml" {
			continue
		}
		clouds++
		if !strings.Contains(string(kustomization), "- "+name+"\n") {
			t.Errorf("%s is not in kustomization.yaml", name)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cloud := v1alpha1.SovereignCloud{}
		if err := yaml.UnmarshalStrict(raw, &cloud); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for value, mark := range marks(&cloud) {
			if mark == "" {
				t.Errorf("%s: %q has no provenance", name, value)
			}
		}
	}
	if clouds < 10 {
		t.Errorf("the catalogue has %d clouds, want at least 10", clouds)
	}
}

// marks gives the provenance of each value of a cloud.
func marks(cloud *v1alpha1.SovereignCloud) map[string]v1alpha1.Provenance {
	identity, endpoints := &cloud.Spec.Identity, &cloud.Spec.Endpoints
	known := map[string]v1alpha1.Provenance{identity.FederatedCredentialAudience: identity.FederatedCredentialAudienceProvenance}
	for _, host := range slices.Concat(identity.AuthorityHosts, identity.TokenIssuerHosts, endpoints.Exchange) {
		known[string(host.Host)] = host.Provenance
	}
	for _, host := range []*v1alpha1.CloudHost{endpoints.Graph, endpoints.Autodiscover, endpoints.DeviceManagement, endpoints.ResourceManager} {
		if host != nil {
			known[string(host.Host)] = host.Provenance
		}
	}
	for i := range cloud.Spec.Geographies {
		known[string(cloud.Spec.Geographies[i].Code)] = cloud.Spec.Geographies[i].Provenance
	}
	return known
}

func encode(t *testing.T, object any) string {
	t.Helper()
	raw, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

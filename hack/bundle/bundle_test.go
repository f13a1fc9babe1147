package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const root = "../.."

func TestTheCommittedBundleIsWhatTheManifestsYield(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	if err := Generate(root, out); err != nil {
		t.Fatal(err)
	}
	fresh, committed := readTree(t, out), readTree(t, filepath.Join(root, "bundle"))
	for name, want := range fresh {
		if !bytes.Equal(committed[name], want) {
			t.Errorf("bundle/%s is stale: run 'make bundle' and commit", name)
		}
		delete(committed, name)
	}
	for name := range committed {
		t.Errorf("bundle/%s is not generated: remove it", name)
	}
}

func TestTheFrameworksValidatorsAcceptTheBundle(t *testing.T) {
	t.Parallel()
	bundle, err := manifests.GetBundleFromDir(filepath.Join(root, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	results := validation.AllValidators.Validate(bundle.ObjectsToValidate()...)
	if len(results) == 0 {
		t.Fatal("no validator looked at the bundle")
	}
	for _, result := range results {
		for _, e := range result.Errors {
			t.Errorf("%s: %v", result.Name, e)
		}
		for _, w := range result.Warnings {
			t.Logf("%s: %v", result.Name, w)
		}
	}
}

func TestValidatorsRefuseABundleWithoutInstallModes(t *testing.T) {
	t.Parallel()
	bundle, err := manifests.GetBundleFromDir(filepath.Join(root, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	bundle.CSV.Spec.InstallModes = nil
	failed := false
	for _, result := range validation.AllValidators.Validate(bundle.ObjectsToValidate()...) {
		failed = failed || result.HasError()
	}
	if !failed {
		t.Error("validators accepted a bundle without install modes")
	}
}

func TestEveryOwnedKindHasAnExample(t *testing.T) {
	t.Parallel()
	bundle, err := manifests.GetBundleFromDir(filepath.Join(root, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	var examples []unstructured.Unstructured
	var raw []map[string]any
	if err := json.Unmarshal([]byte(bundle.CSV.Annotations["alm-examples"]), &raw); err != nil {
		t.Fatal(err)
	}
	for _, object := range raw {
		examples = append(examples, unstructured.Unstructured{Object: object})
	}
	for _, crd := range bundle.CSV.Spec.CustomResourceDefinitions.Owned {
		found := false
		for i := range examples {
			found = found || examples[i].GetKind() == crd.Kind
		}
		if !found {
			t.Errorf("alm-examples has no %s", crd.Kind)
		}
	}
}

func TestAMissingFileIsNamed(t *testing.T) {
	t.Parallel()
	err := Generate(t.TempDir(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), filepath.Join("config", "default")) {
		t.Errorf("Generate of an empty folder: %v, want an error that names config/default", err)
	}
}

func readTree(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		files[name] = raw
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

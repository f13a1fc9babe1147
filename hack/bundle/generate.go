package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// annotations is the metadata by which OLM recognises a bundle.
var annotations = map[string]map[string]string{"annotations": {
	"operators.operatorframework.io.bundle.mediatype.v1":       "registry+v1",
	"operators.operatorframework.io.bundle.manifests.v1":       "manifests/",
	"operators.operatorframework.io.bundle.metadata.v1":        "metadata/",
	"operators.operatorframework.io.bundle.package.v1":         "bailiwick",
	"operators.operatorframework.io.bundle.channels.v1":        "alpha",
	"operators.operatorframework.io.bundle.channel.default.v1": "alpha",
}}

// Generate writes the bundle of the repository at root into the folder out, in
// place of what is there.
func Generate(root, out string) error {
	install, err := render(filepath.Join(root, "config", "default"))
	if err != nil {
		return err
	}
	examples, err := renderAll(filepath.Join(root, "config", "samples"), filepath.Join(root, "config", "samples", "policies"))
	if err != nil {
		return err
	}
	csv, err := buildCSV(filepath.Join(root, "config", "bundle"), install, examples)
	if err != nil {
		return err
	}
	files := map[string]any{
		filepath.Join("manifests", "bailiwick.clusterserviceversion.yaml"): csv,
		filepath.Join("metadata", "annotations.yaml"):                      annotations,
	}
	for _, r := range install.Resources() {
		if name, ok := bundledFile(r.GetKind(), r.GetName()); ok {
			object, err := r.Map()
			if err != nil {
				return fmt.Errorf("render %s %q: %w", r.GetKind(), r.GetName(), err)
			}
			files[filepath.Join("manifests", name)] = withoutNamespace(object)
		}
	}
	return writeFiles(out, files)
}

// bundledFile names the file of an object that OLM takes as it is. What the CSV
// carries itself (the deployment, its account and its rights) and the namespace,
// which OLM chooses, have none.
func bundledFile(kind, name string) (string, bool) {
	switch kind {
	case "CustomResourceDefinition":
		return name + ".crd.yaml", true
	case "PodDisruptionBudget", "NetworkPolicy":
		return name + "." + strings.ToLower(kind) + ".yaml", true
	case "ClusterRole":
		if name != operatorName {
			return name + ".clusterrole.yaml", true
		}
	}
	return "", false
}

func withoutNamespace(object map[string]any) map[string]any {
	if metadata, ok := object["metadata"].(map[string]any); ok {
		delete(metadata, "namespace")
	}
	return object
}

func render(folder string) (resmap.ResMap, error) {
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, fmt.Errorf("render %q: %w", folder, err)
	}
	return m, nil
}

func renderAll(folders ...string) (resmap.ResMap, error) {
	all := resmap.New()
	for _, folder := range folders {
		m, err := render(folder)
		if err != nil {
			return nil, err
		}
		if err := all.AppendAll(m); err != nil {
			return nil, fmt.Errorf("render %q: %w", folder, err)
		}
	}
	return all, nil
}

func writeFiles(out string, files map[string]any) error {
	for _, folder := range []string{"manifests", "metadata"} {
		if err := errors.Join(os.RemoveAll(filepath.Join(out, folder)), os.MkdirAll(filepath.Join(out, folder), 0o750)); err != nil {
			return fmt.Errorf("empty %q: %w", filepath.Join(out, folder), err)
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		raw, err := yaml.Marshal(files[name])
		if err != nil {
			return fmt.Errorf("encode %q: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(out, name), raw, 0o600); err != nil {
			return fmt.Errorf("write %q: %w", name, err)
		}
	}
	return nil
}

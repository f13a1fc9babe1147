package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	operators "github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/yaml"
)

// operatorName is the name of the operator's deployment, account and roles.
const operatorName = "bailiwick-operator"

// installed holds the objects of config/default that the CSV carries itself.
type installed struct {
	deployment  *appsv1.Deployment
	clusterRole *rbacv1.ClusterRole
	role        *rbacv1.Role
	crds        []*apiextensionsv1.CustomResourceDefinition
}

// buildCSV completes the words in folder with what the rendered manifests say.
func buildCSV(folder string, install, examples resmap.ResMap) (*operators.ClusterServiceVersion, error) {
	csv, err := readBase(folder)
	if err != nil {
		return nil, err
	}
	in, err := collect(install)
	if err != nil {
		return nil, err
	}
	csv.Name = "bailiwick.v" + csv.Spec.Version.String()
	image := in.deployment.Spec.Template.Spec.Containers[0].Image
	csv.Annotations["containerImage"] = image
	csv.Spec.RelatedImages = []operators.RelatedImage{{Name: "bailiwick", Image: image}}
	csv.Spec.InstallStrategy = strategy(in)
	csv.Spec.CustomResourceDefinitions.Owned, err = owned(in.crds)
	if err != nil {
		return nil, err
	}
	csv.Annotations["alm-examples"], err = almExamples(in.crds, examples)
	return csv, err
}

func readBase(folder string) (*operators.ClusterServiceVersion, error) {
	raw, err := os.ReadFile(filepath.Join(folder, "base.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the words of the bundle: %w", err)
	}
	csv := &operators.ClusterServiceVersion{}
	if err := yaml.UnmarshalStrict(raw, csv); err != nil {
		return nil, fmt.Errorf("read the words of the bundle: %w", err)
	}
	icon, err := os.ReadFile(filepath.Join(folder, "icon.svg"))
	if err != nil {
		return nil, fmt.Errorf("read the icon of the bundle: %w", err)
	}
	csv.Spec.Icon = []operators.Icon{{Data: base64.StdEncoding.EncodeToString(icon), MediaType: "image/svg+xml"}}
	return csv, nil
}

// collect decodes the objects that the CSV carries, each into its own type.
func collect(install resmap.ResMap) (*installed, error) {
	in := &installed{deployment: &appsv1.Deployment{}, clusterRole: &rbacv1.ClusterRole{}, role: &rbacv1.Role{}}
	single := map[string]any{"Deployment": in.deployment, "ClusterRole": in.clusterRole, "Role": in.role}
	for _, r := range install.Resources() {
		into := single[r.GetKind()]
		if r.GetKind() == "CustomResourceDefinition" {
			crd := &apiextensionsv1.CustomResourceDefinition{}
			in.crds = append(in.crds, crd)
			into = crd
		} else if r.GetName() != operatorName || into == nil {
			continue
		}
		raw, err := r.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("render %s %q: %w", r.GetKind(), r.GetName(), err)
		}
		if err := yaml.UnmarshalStrict(raw, into); err != nil {
			return nil, fmt.Errorf("decode %s %q: %w", r.GetKind(), r.GetName(), err)
		}
	}
	if in.deployment.Name == "" || in.clusterRole.Name == "" || in.role.Name == "" || len(in.crds) == 0 {
		return nil, errors.New("config/default lacks the operator's Deployment, ClusterRole, Role or its CRDs")
	}
	return in, nil
}

func strategy(in *installed) operators.NamedInstallStrategy {
	return operators.NamedInstallStrategy{
		StrategyName: operators.InstallStrategyNameDeployment,
		StrategySpec: operators.StrategyDetailsDeployment{
			ClusterPermissions: []operators.StrategyDeploymentPermissions{{ServiceAccountName: operatorName, Rules: in.clusterRole.Rules}},
			Permissions:        []operators.StrategyDeploymentPermissions{{ServiceAccountName: operatorName, Rules: in.role.Rules}},
			DeploymentSpecs: []operators.StrategyDeploymentSpec{{
				Name: operatorName, Spec: in.deployment.Spec, Label: in.deployment.Labels,
			}},
		},
	}
}

// owned describes each CRD by its own documentation.
func owned(crds []*apiextensionsv1.CustomResourceDefinition) ([]operators.CRDDescription, error) {
	described := make([]operators.CRDDescription, 0, len(crds))
	for _, crd := range crds {
		version := crd.Spec.Versions[0]
		if version.Schema == nil || version.Schema.OpenAPIV3Schema.Description == "" {
			return nil, fmt.Errorf("the CRD %q has no description: document its type", crd.Name)
		}
		described = append(described, operators.CRDDescription{
			Name: crd.Name, Version: version.Name, Kind: crd.Spec.Names.Kind,
			DisplayName: crd.Spec.Names.Kind, Description: version.Schema.OpenAPIV3Schema.Description,
			SpecDescriptors: specDescriptors(version.Schema.OpenAPIV3Schema.Properties["spec"]),
			StatusDescriptors: []operators.StatusDescriptor{{
				Path: "conditions", DisplayName: "Conditions", Description: "What is so, where, and what to do.",
				XDescriptors: []string{"urn:alm:descriptor:io.kubernetes.conditions"},
			}},
		})
	}
	return described, nil
}

func specDescriptors(spec apiextensionsv1.JSONSchemaProps) []operators.SpecDescriptor {
	var out []operators.SpecDescriptor
	for name, property := range spec.Properties {
		out = append(out, operators.SpecDescriptor{Path: name, DisplayName: name, Description: property.Description})
	}
	slices.SortFunc(out, func(a, b operators.SpecDescriptor) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return out
}

// almExamples takes the first sample of each kind. A kind without one is an error:
// nobody should have to guess how an object looks.
func almExamples(crds []*apiextensionsv1.CustomResourceDefinition, examples resmap.ResMap) (string, error) {
	chosen := make([]map[string]any, 0, len(crds))
	for _, crd := range crds {
		example, err := firstOf(crd.Spec.Names.Kind, examples)
		if err != nil {
			return "", err
		}
		chosen = append(chosen, example)
	}
	raw, err := json.MarshalIndent(chosen, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode alm-examples: %w", err)
	}
	return string(raw), nil
}

func firstOf(kind string, examples resmap.ResMap) (map[string]any, error) {
	for _, r := range examples.Resources() {
		if r.GetKind() == kind {
			object, err := r.Map()
			if err != nil {
				return nil, fmt.Errorf("render the sample of %s: %w", kind, err)
			}
			return object, nil
		}
	}
	return nil, fmt.Errorf("config/samples has no %s", kind)
}

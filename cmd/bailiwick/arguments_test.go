package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// declaredArguments are those of the sync containers in a file of objects as the operator makes them.
func declaredArguments(t *testing.T, file string) (all [][]string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for document := range bytes.SplitSeq(raw, []byte("---\n")) {
		var workload struct {
			Spec struct {
				Template corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(document, &workload); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, container := range workload.Spec.Template.Spec.Containers {
			all = append(all, container.Args)
		}
	}
	return all
}

func TestTheSyncServerTakesTheArgumentsThatTheOperatorGives(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "controllers", "region", "testdata", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no objects of the operator: %v", err)
	}
	expand := strings.NewReplacer("$(POD_IP)", "127.0.0.1", "$(POD_NAME)", "virginia-sync-0")
	for _, file := range files {
		declared := declaredArguments(t, file)
		if len(declared) != 1 || declared[0][0] != "sync" {
			t.Errorf("%s: arguments %q, want those of one sync server", file, declared)
			continue
		}
		f := &syncFlags{}
		arguments := declared[0][1:]
		for i := range arguments {
			arguments[i] = expand.Replace(arguments[i])
		}
		if err := f.command().ParseFlags(arguments); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if err := f.validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

package kube_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/hack/demo/kube"
)

const config = `apiVersion: v1
kind: Config
current-context: x
clusters: [{name: x, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
users: [{name: x, user: {}}]
`

// cluster returns a cluster whose kubectl is a script.
func cluster(t *testing.T, script string) *kube.Cluster {
	t.Helper()
	folder := t.TempDir()
	kubectl, kubeconfig := filepath.Join(folder, "kubectl"), filepath.Join(folder, "config")
	if err := os.WriteFile(kubectl, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kubeconfig, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := kube.Connect(kubectl, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestKubectlGetsArgumentsInputAndKubeconfig(t *testing.T) {
	c := cluster(t, `echo "$@ $KUBECONFIG"; cat`)
	got, err := c.KubectlInput(t.Context(), []byte("stdin"), "apply", "-f", "-")
	if want := "apply -f - " + c.Kubeconfig() + "\nstdin"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestKubectlFailureTellsWhatItSaid(t *testing.T) {
	c := cluster(t, "echo out; echo bad >&2; exit 3")
	_, err := c.Kubectl(t.Context(), "get", "x")
	var exit *kube.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || !strings.Contains(err.Error(), "kubectl get x: exit status 3: bad") {
		t.Errorf("got %v", err)
	}
}

func TestMissingFilesAreNamed(t *testing.T) {
	t.Parallel()
	if _, err := kube.Connect("kubectl", "/nonexistent/config"); err == nil || !strings.Contains(err.Error(), "/nonexistent/config") {
		t.Errorf("got %v", err)
	}
}

func TestPollEndsWithTheLastProblem(t *testing.T) {
	t.Parallel()
	calls := 0
	err := kube.Poll(t.Context(), time.Millisecond, func(context.Context) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	late := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	err = kube.Poll(ctx, time.Millisecond, func(context.Context) error { cancel(late); return errors.New("still missing") })
	if !errors.Is(err, late) || !strings.Contains(err.Error(), "still missing") {
		t.Errorf("got %v", err)
	}
}

func TestConditionIsFoundByType(t *testing.T) {
	t.Parallel()
	status := v1alpha1.ReconcileStatus{Conditions: []metav1.Condition{
		{Type: "Other", Status: "True"}, {Type: "Ready", Status: "False", Reason: "Paused", Message: "why"},
	}}
	if value, reason, message := kube.Condition(status, "Ready"); value != "False" || reason != "Paused" || message != "why" {
		t.Errorf("got %q, %q, %q", value, reason, message)
	}
	if value, _, _ := kube.Condition(status, "Absent"); value != "" {
		t.Errorf("got %q", value)
	}
}

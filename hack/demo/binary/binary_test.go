package binary_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/hack/demo/binary"
)

func module(t *testing.T, source string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.test/x\n\ngo 1.26.0\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestBuildMakesAProgramThatRuns(t *testing.T) {
	t.Parallel()
	output := filepath.Join(t.TempDir(), "x")
	if err := binary.Build(t.Context(), module(t, "package main\n\nfunc main() { println(\"hi\") }\n"), ".", output); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), output).CombinedOutput()
	if err != nil || string(said) != "hi\n" {
		t.Errorf("said %q, %v", said, err)
	}
}

func TestBuildQuotesTheCompiler(t *testing.T) {
	t.Parallel()
	err := binary.Build(t.Context(), module(t, "package main\n\nfunc main() { x }\n"), ".", filepath.Join(t.TempDir(), "x"))
	if err == nil || !strings.Contains(err.Error(), "undefined: x") {
		t.Errorf("got %v", err)
	}
}

func TestMissingToolchainIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := binary.Build(t.Context(), t.TempDir(), ".", "x")
	if err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("got %v", err)
	}
}

func TestRootIsFoundFromBelow(t *testing.T) {
	t.Parallel()
	root, err := binary.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "hack", "demo", "go.mod")); err != nil {
		t.Error(err)
	}
	if _, err := binary.Root(t.TempDir()); err == nil || !strings.Contains(err.Error(), "inside the repository") {
		t.Errorf("got %v", err)
	}
}

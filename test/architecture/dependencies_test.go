package architecture_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachDirectDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, folder := range []string{".", "hack/localnode", "hack/demo", "hack/controlplane", "hack/bundle", "hack/tools"} {
		for _, name := range directDependencies(t, folder) {
			known[name] = true
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/dependencies.md does not give the reason of %q, required by %s/go.mod", name, folder)
			}
		}
	}
	for i, word := range strings.Split(string(page), "`") {
		if looksLikeModule := i%2 == 1 && strings.Contains(strings.SplitN(word, "/", 2)[0], "."); looksLikeModule && word != "go.mod" && !known[word] {
			t.Errorf("docs/dependencies.md names %q, which no module requires directly", word)
		}
	}
}

// directDependencies are the modules that a module requires itself, its own
// siblings aside, and those of its tools.
func directDependencies(t *testing.T, folder string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = filepath.Join("..", "..", filepath.FromSlash(folder))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit -json in %q: %v", folder, err)
	}
	var file struct {
		Require []struct {
			Path     string `json:"Path"`
			Indirect bool   `json:"Indirect"`
		} `json:"Require"`
		Tool []struct {
			Path string `json:"Path"`
		} `json:"Tool"`
	}
	if err := json.Unmarshal(out, &file); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, required := range file.Require {
		own := strings.HasPrefix(required.Path+"/", module)
		tool := false
		for _, t := range file.Tool {
			tool = tool || strings.HasPrefix(t.Path+"/", required.Path+"/")
		}
		if !own && (!required.Indirect || tool) {
			names = append(names, required.Path)
		}
	}
	return names
}

// Package architecture_test holds the direction in which packages import each
// other: cmd → controllers | sync → internal, api.
package architecture_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/bailiwick-dev/bailiwick/"

// forbidden maps a layer to the layers that it must not import.
var forbidden = map[string][]string{
	"api/":         {"cmd/", "controllers/", "sync/", "internal/", "test/"},
	"internal/":    {"cmd/", "controllers/", "sync/", "test/"},
	"sync/":        {"cmd/", "controllers/", "test/"},
	"controllers/": {"cmd/", "sync/", "test/"},
}

func TestPackagesImportDownwardOnly(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		for _, edge := range edges(words[0], words[1:]) {
			t.Error(edge)
		}
		for layer := range forbidden {
			seen[layer] = seen[layer] || strings.HasPrefix(words[0], module+layer)
		}
	}
	for layer := range forbidden {
		if !seen[layer] {
			t.Errorf("no package in %q: the test looks in the wrong place", layer)
		}
	}
}

func TestAnUpwardImportIsFound(t *testing.T) {
	t.Parallel()
	if got := edges(module+"sync/mail", []string{"fmt", module + "controllers/region"}); len(got) != 1 {
		t.Errorf("edges of a package of sync that imports a controller: %v, want one", got)
	}
}

func edges(pkg string, imports []string) []string {
	var found []string
	for layer, others := range forbidden {
		if !strings.HasPrefix(pkg, module+layer) {
			continue
		}
		for _, imported := range imports {
			for _, other := range others {
				if strings.HasPrefix(imported, module+other) {
					found = append(found, pkg+" imports "+imported)
				}
			}
		}
	}
	return found
}

package clients

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// programs puts shell scripts on the PATH, and nothing else but the system's.
func programs(t *testing.T, scripts map[string]string) {
	t.Helper()
	folder := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder)
}

func TestWithoutNodeTheRemedyIsNamed(t *testing.T) {
	cases := map[string]map[string]string{
		"neither": nil,
		"no npm":  {"node": "echo v20.1.0"},
		"no node": {"npm": "exit 0"},
	}
	for name, scripts := range cases {
		t.Run(name, func(t *testing.T) {
			programs(t, scripts)
			if _, err := Find(t.Context()); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), "apt-get install nodejs npm") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNodeThatIsTooOldIsRefused(t *testing.T) {
	programs(t, map[string]string{"node": "echo v16.20.2", "npm": "exit 0"})
	if _, err := Find(t.Context()); err == nil || !strings.Contains(err.Error(), `"v16.20.2": DEMO=check runs`) {
		t.Errorf("got %v", err)
	}
}

func TestVersionsAreComparedByTheirMajorNumber(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"v18.20.4\n": true, "v20.20.2\n": true, "v100.0.0": true, "v16.20.2": false, "v9.9.9": false, "20.1.0": false, "": false, "v": false,
	} {
		if got := recent(version); got != want {
			t.Errorf("%q: got %v", version, got)
		}
	}
}

func TestClientIsInstalledIntoItsFolderAndReadsTheAccessDocument(t *testing.T) {
	programs(t, map[string]string{
		"node": `if [ "$1" = --version ]; then echo v20.1.0; exit; fi
read -r line; echo "$line from $2 to $3 of $4, $(/bin/cat installed)" >&2; exit 3`,
		"npm": `echo "$1" >installed`,
	})
	node, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "clients")
	client, err := node.Install(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if diff := cmp.Diff([]string{"installed", "package-lock.json", "package.json", "route.mjs", "session.mjs"}, names); diff != "" {
		t.Error(diff)
	}
	err = client.Session(t.Context(), []byte("document\n"), "ada", "chloe", "Help desk")
	if err == nil || err.Error() != "node session.mjs: exit status 3:\ndocument from ada to chloe of Help desk, ci" {
		t.Errorf("got %v", err)
	}
	if _, err := node.Install(t.Context(), folder); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second installation: %v", err)
	}
}

func TestLockedVersionsAreThoseThatAreAskedFor(t *testing.T) {
	t.Parallel()
	type manifest struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	var asked manifest
	var locked struct {
		Packages map[string]struct {
			manifest

			Version   string `json:"version"`
			Integrity string `json:"integrity"`
		} `json:"packages"`
	}
	for name, into := range map[string]any{"package.json": &asked, "package-lock.json": &locked} {
		content, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(content, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(asked.Dependencies, locked.Packages[""].Dependencies); diff != "" || len(asked.Dependencies) == 0 {
		t.Error(diff)
	}
	for name, version := range asked.Dependencies {
		if got := locked.Packages["node_modules/"+name]; got.Version != version || got.Integrity == "" {
			t.Errorf("%s: locked at %q with integrity %q, want %q", name, got.Version, got.Integrity, version)
		}
	}
}

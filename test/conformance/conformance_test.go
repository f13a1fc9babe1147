// Package conformance_test holds docs/conformance.md to the tests that the page names.
package conformance_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// named is a test as the page names it: the path of its package and its name.
	named = regexp.MustCompile("`([a-z/]+)\\.(Test[A-Za-z0-9]+)`")
	// declared is a test as Go declares it.
	declared = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(t \*testing\.T\)`)
)

func TestEachRequirementNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	rows := requirements(t)
	if len(rows) < 150 {
		t.Fatalf("%d requirements: the test reads the page wrongly", len(rows))
	}
	tests := map[string]map[string]bool{}
	for _, row := range rows {
		found := named.FindAllStringSubmatch(row[2], -1)
		if len(found) == 0 || len(found) != strings.Count(row[2], "`")/2 {
			t.Errorf("%s, %q: name tests as `sync/jmap.TestName`, one at least", row[0], row[1])
		}
		for _, test := range found {
			folder, name := test[1], test[2]
			if tests[folder] == nil {
				tests[folder] = testsOf(t, folder)
			}
			if !tests[folder][name] {
				t.Errorf("%s, %q: there is no test %s in %s", row[0], row[1], name, folder)
			}
		}
	}
}

// requirements are the rows of the page: section, requirement and tests.
func requirements(t *testing.T) [][3]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][3]string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) == 1 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "§") {
			continue
		}
		if len(cells) != 5 {
			t.Errorf("%q has %d cells, want section, requirement and tests", line, len(cells)-2)
			continue
		}
		rows = append(rows, [3]string{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), cells[3]})
	}
	return rows
}

// testsOf are the tests that are declared in a package.
func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range declared.FindAllStringSubmatch(string(source), -1) {
			tests[found[1]] = true
		}
	}
	return tests
}

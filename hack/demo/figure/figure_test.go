package figure_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/figure"
)

const output = `goos: linux
pkg: github.com/bailiwick-dev/bailiwick/controllers/region
BenchmarkNoopReconcile-2      	   10000	    110234 ns/op	         0 reads/op	         0 writes/op
BenchmarkNoopReconcile-2      	   10000	    990000 ns/op	         0 reads/op	         1 writes/op
BenchmarkNoopReconcile/large-2	   10000	    150000 ns/op	         1.5 reads/op	         0 writes/op
pkg: github.com/bailiwick-dev/bailiwick/controllers/tenant
BenchmarkNoopReconcile-2      	   10000	    120000 ns/op	         0 reads/op	         0 writes/op
BenchmarkNoopReconcileSlowly-2	       1	 999999999 ns/op
PASS
`

func TestWorstOfAllBenchmarksCounts(t *testing.T) {
	t.Parallel()
	cases := []struct {
		metric string
		best   bool
		want   float64
	}{
		{"ns/op", true, 150000}, {"ns/op", false, 990000}, {"reads/op", false, 1.5}, {"writes/op", false, 1},
	}
	for _, c := range cases {
		source := figure.Source{Benchmark: "BenchmarkNoopReconcile", Metric: c.metric, Best: c.best}
		if got, err := source.Read(strings.NewReader(output)); err != nil || got != c.want {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func TestMissingResultIsAnError(t *testing.T) {
	t.Parallel()
	cases := map[string][2]string{"benchmark": {"BenchmarkOther", "ns/op"}, "metric": {"BenchmarkNoopReconcile", "B/op"}}
	for name, c := range cases {
		source := figure.Source{Benchmark: c[0], Metric: c[1]}
		if _, err := source.Read(strings.NewReader(output)); !errors.Is(err, figure.ErrNoResult) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := figure.Source{Benchmark: "BenchmarkX", Metric: "ns/op"}
	if _, err := broken.Read(strings.NewReader("BenchmarkX 1 many ns/op")); err == nil {
		t.Error("a value that is no number was accepted")
	}
}

func TestFiguresAreSelectedByName(t *testing.T) {
	t.Parallel()
	all, err := figure.Select("")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range all {
		if seen[f.Name] || f.Name == "" || f.Unit == "" || f.Source.Metric == "" || f.Scale == 0 {
			t.Errorf("figure %+v is told twice, or not wholly", f)
		}
		seen[f.Name] = true
	}
	two, err := figure.Select("crd_max_kb, demo_warm_s")
	if err != nil || len(two) != 2 || two[0].Name != "crd_max_kb" || two[1].Name != "demo_warm_s" {
		t.Errorf("got %v, %v", two, err)
	}
	if _, err := figure.Select("speed"); err == nil || !strings.Contains(err.Error(), "choose from noop_reconcile_writes") {
		t.Errorf("got %v", err)
	}
}

func TestLinesTellTheVerdict(t *testing.T) {
	t.Parallel()
	cases := []struct {
		figure figure.Figure
		value  float64
		want   string
	}{
		{figure.Figure{Name: "a", Unit: "writes"}, 0, "a\t0\twrites\t= 0\tok\n"},
		{figure.Figure{Name: "a", Unit: "writes"}, 1, "a\t1\twrites\t= 0\tshort\n"},
		{figure.Figure{Name: "b", Unit: "us", Limit: 200}, 200, "b\t200\tus\t<= 200\tok\n"},
		{figure.Figure{Name: "b", Unit: "us", Limit: 200}, 200.5, "b\t200.5\tus\t<= 200\tshort\n"},
		{figure.Figure{Name: "c", Unit: "ms", Limit: 1000, Goal: figure.LessThan}, 1000, "c\t1000\tms\t< 1000\tshort\n"},
		{figure.Figure{Name: "c", Unit: "ms", Limit: 1000, Goal: figure.LessThan}, 12.3456, "c\t12.35\tms\t< 1000\tok\n"},
		{figure.Figure{Name: "d", Unit: "1/s", Limit: 1500, Goal: figure.AtLeast}, 1500, "d\t1500\t1/s\t>= 1500\tok\n"},
		{figure.Figure{Name: "d", Unit: "1/s", Limit: 1500, Goal: figure.AtLeast}, 1499, "d\t1499\t1/s\t>= 1500\tshort\n"},
		{figure.Figure{Name: "e", Unit: "ratio", Limit: 1, Goal: figure.MoreThan}, 1, "e\t1\tratio\t> 1\tshort\n"},
		{figure.Figure{Name: "f", Unit: "us", Goal: figure.Told}, 7, "f\t7\tus\t-\tok\n"},
	}
	for _, c := range cases {
		var out bytes.Buffer
		if err := c.figure.Print(&out, c.value); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLargestFileCounts(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if _, err := figure.LargestFile(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for name, size := range map[string]int{"a.yaml": 10, "b.yaml": 30, "c.txt": 99} {
		if err := os.WriteFile(filepath.Join(folder, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := figure.LargestFile(folder); err != nil || got != 30 {
		t.Errorf("got %v, %v", got, err)
	}
}

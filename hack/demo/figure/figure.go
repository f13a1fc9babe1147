// Package figure holds the figures by which Bailiwick is judged: their goals, where
// they come from, and how they are printed.
package figure

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Figure is a measured value and the goal that it has to meet.
type Figure struct {
	// Name of the figure, in lower case with underscores.
	Name string
	// Unit of the value.
	Unit string
	// Goal says which side of the limit is good.
	Goal Goal
	// Limit is what the value is held to.
	Limit float64
	// Base, when it names a metric, makes the limit a multiple of what its source yields.
	Base Source
	// Source tells where the value comes from: the key of a Values map.
	Source Source
	// Scale turns what the source gives into the unit.
	Scale float64
}

// Source names a measurement that yields one or more figures.
type Source struct {
	// Kind is how it is measured.
	Kind Kind
	// Package is that of a benchmark, relative to the root module.
	Package string
	// Benchmark and Metric name a benchmark's result, as `go test -bench` prints it.
	Benchmark string
	Metric    string
	// Best takes the best of several runs of each benchmark: what else the machine does
	// can only make a run slower. Without it the worst run counts.
	Best bool
	// Once runs the benchmark a single time: it repeats what it measures by itself.
	Once bool
	// Peers has the mail servers installed beside which the benchmark measures.
	Peers bool
}

// Goal says which values are good.
type Goal int

// The goals.
const (
	// AtMost is met by values up to the limit.
	AtMost Goal = iota
	// LessThan is met by values below the limit.
	LessThan
	// AtLeast is met by values from the limit on.
	AtLeast
	// MoreThan is met by values above the limit.
	MoreThan
	// Told is met by any value: the figure is there to be compared.
	Told
)

// Kind is a way to measure.
type Kind int

// The ways to measure.
const (
	// Bench runs Go benchmarks.
	Bench Kind = iota
	// Demo runs the demonstration.
	Demo
	// Files looks at files of the repository.
	Files
)

const perMicrosecond = 1e-3 // benchmarks tell nanoseconds

func noop(metric string) Source {
	return Source{
		Kind: Bench, Package: "./controllers/...", Benchmark: "BenchmarkNoopReconcile", Metric: metric, Best: metric == "ns/op",
	}
}

// All returns every figure, in the order in which they are printed.
func All() []Figure { return append(operator(), sync()...) }

// operator returns the figures of the operator and the demonstration.
func operator() []Figure {
	return []Figure{
		{Name: "noop_reconcile_writes", Unit: "writes", Limit: 0, Source: noop("writes/op"), Scale: 1},
		{Name: "noop_reconcile_reads", Unit: "reads", Limit: 0, Source: noop("reads/op"), Scale: 1},
		{Name: "noop_reconcile_us", Unit: "us", Limit: 200, Source: noop("ns/op"), Scale: perMicrosecond},
		{Name: "create_region_extra_writes", Unit: "writes", Limit: 2, Scale: 1, Source: Source{
			Kind: Bench, Package: "./controllers/region", Benchmark: "BenchmarkCreateRegion", Metric: "extra-writes/op",
		}},
		{Name: "create_tenant_extra_writes", Unit: "writes", Limit: 2, Scale: 1, Source: Source{
			Kind: Bench, Package: "./controllers/tenant", Benchmark: "BenchmarkCreateTenant", Metric: "extra-writes/op",
		}},
		{Name: "propagation_p99_ms", Unit: "ms", Limit: 1000, Goal: LessThan, Source: Source{Kind: Demo, Metric: "propagation_p99_ms"}, Scale: 1},
		{Name: "demo_warm_s", Unit: "s", Limit: 60, Source: Source{Kind: Demo, Metric: "demo_warm_s"}, Scale: 1},
		{Name: "crd_max_kb", Unit: "kB", Limit: 100, Goal: LessThan, Source: Source{Kind: Files, Metric: "crd_max_bytes"}, Scale: 1e-3},
	}
}

// Select returns the figures with these comma-separated names, or all when it is empty.
func Select(names string) ([]Figure, error) {
	all := All()
	if strings.TrimSpace(names) == "" {
		return all, nil
	}
	var chosen []Figure
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		at := slices.IndexFunc(all, func(f Figure) bool { return f.Name == name })
		if at < 0 {
			var known []string
			for _, f := range all {
				known = append(known, f.Name)
			}
			return nil, fmt.Errorf("figure %q: unknown, choose from %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}

// goal renders the goal.
func (f Figure) goal() string {
	limit := strconv.FormatFloat(f.Limit, 'g', precision, 64)
	switch f.Goal {
	case Told:
		return "-"
	case LessThan:
		return "< " + limit
	case AtLeast:
		return ">= " + limit
	case MoreThan:
		return "> " + limit
	case AtMost:
	}
	if f.Limit == 0 {
		return "= 0"
	}
	return "<= " + limit
}

// Meets reports whether a value, in the figure's unit, meets the goal.
func (f Figure) Meets(value float64) bool {
	switch f.Goal {
	case Told:
		return true
	case LessThan:
		return value < f.Limit
	case AtLeast:
		return value >= f.Limit
	case MoreThan:
		return value > f.Limit
	case AtMost:
	}
	return value <= f.Limit
}

// precision is the number of digits that are printed.
const precision = 4

// Print writes the line of a figure: name, value, unit, goal, and ok or short.
func (f Figure) Print(out io.Writer, value float64) error {
	verdict := "short"
	if f.Meets(value) {
		verdict = "ok"
	}
	number := strconv.FormatFloat(value, 'g', precision, 64)
	if _, err := fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", f.Name, number, f.Unit, f.goal(), verdict); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// ErrNoResult says that a benchmark did not report what a figure needs.
var ErrNoResult = errors.New("no result")

// Read reads the output of `go test -bench` and returns the source's metric: of each
// benchmark with its name, sub-benchmarks and packages apart, the best or worst run, and
// of these the worst.
func (s Source) Read(output io.Reader) (float64, error) {
	runs, err := s.runs(output)
	if err != nil {
		return 0, err
	}
	if len(runs) == 0 {
		return 0, fmt.Errorf("%w: no %s reports %q", ErrNoResult, s.Benchmark, s.Metric)
	}
	worst := 0.0
	for _, values := range runs {
		value := slices.Max(values)
		if s.Best {
			value = slices.Min(values)
		}
		worst = max(worst, value)
	}
	return worst, nil
}

// runs collects the values of the metric by package and benchmark.
func (s Source) runs(output io.Reader) (map[string][]float64, error) {
	runs, pkg := map[string][]float64{}, ""
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 2 && fields[0] == "pkg:" { //nolint:mnd // key and value
			pkg = fields[1]
		}
		if len(fields) < 4 || !isBenchmark(fields[0], s.Benchmark) { //nolint:mnd // name, count, value, unit
			continue
		}
		at := slices.Index(fields, s.Metric)
		if at < 3 { //nolint:mnd // the first unit
			continue
		}
		value, err := strconv.ParseFloat(fields[at-1], 64)
		if err != nil {
			return nil, fmt.Errorf("benchmark %q: %w", fields[0], err)
		}
		key := pkg + " " + fields[0]
		runs[key] = append(runs[key], value)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read benchmark output: %w", err)
	}
	return runs, nil
}

// isBenchmark reports whether a printed name, with sub-benchmark and processor count, is
// of the benchmark.
func isBenchmark(printed, name string) bool {
	rest, ok := strings.CutPrefix(printed, name)
	return ok && (rest == "" || rest[0] == '-' || rest[0] == '/')
}

// LargestFile returns the size in bytes of the largest YAML file of a folder.
func LargestFile(folder string) (float64, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return 0, fmt.Errorf("list %q: %w", folder, err)
	}
	if len(names) == 0 {
		return 0, fmt.Errorf("list %q: no YAML file: %w", folder, fs.ErrNotExist)
	}
	var largest int64
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return 0, fmt.Errorf("size of %q: %w", name, err)
		}
		largest = max(largest, info.Size())
	}
	return float64(largest), nil
}

// Command figures measures and prints the figures by which Bailiwick is judged, one a
// line: name, value, unit, goal, and ok or short. It ends with 1 when a figure could not
// be measured; a figure that falls short is a line, not a failure.
//
//	figures                                          all
//	figures --only=crd_max_kb,noop_reconcile_us      some
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/binary"
	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/figure"
	"github.com/bailiwick-dev/bailiwick/hack/demo/peer"
	"github.com/bailiwick-dev/bailiwick/hack/demo/progress"
	"github.com/bailiwick-dev/bailiwick/hack/demo/world"
)

// benchRuns is how often each benchmark runs.
const benchRuns = 3

// propagationPairs is how often a tenant is suspended and resumed: the 99th percentile
// of twice as many samples is the second worst.
const propagationPairs = 60

func main() {
	only := flag.String("only", "", "comma-separated names of the figures to measure; all when empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	chosen, err := figure.Select(only)
	if err != nil {
		return err
	}
	root, err := binary.Root(".")
	if err != nil {
		return err
	}
	m := &measurer{root: root, log: progress.New(os.Stderr), outputs: map[string][]byte{}, values: map[string]float64{}}
	m.peers = sync.OnceValues(func() ([]string, error) { return install(ctx, m.log) })
	var failed error
	for _, f := range chosen {
		value, err := m.measure(ctx, f.Source)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.Name, err))
			continue
		}
		if f.Base.Metric != "" {
			base, err := m.measure(ctx, f.Base)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", f.Name, err))
				continue
			}
			f.Limit *= base * f.Scale
		}
		if err := f.Print(os.Stdout, value*f.Scale); err != nil {
			return err
		}
	}
	return failed
}

// measurer measures each source once, however many figures come from it.
type measurer struct {
	root    string
	log     *progress.Log
	outputs map[string][]byte  // of benchmarks
	values  map[string]float64 // of the demonstration
	demoErr error
	// peers gives the environment by which benchmarks find the peers, which it installs once.
	peers func() ([]string, error)
}

func (m *measurer) measure(ctx context.Context, source figure.Source) (float64, error) {
	switch source.Kind {
	case figure.Bench:
		output, err := m.bench(ctx, source)
		if err != nil {
			return 0, err
		}
		return source.Read(bytes.NewReader(output))
	case figure.Demo:
		return m.demo(ctx, source.Metric)
	case figure.Files:
		return figure.LargestFile(filepath.Join(m.root, "config", "crd", "bases"))
	default:
		return 0, fmt.Errorf("kind %d: not known", source.Kind)
	}
}

// bench runs a benchmark with the Go toolchain of the machine.
func (m *measurer) bench(ctx context.Context, source figure.Source) ([]byte, error) {
	key := source.Package + " " + source.Benchmark
	if output, ok := m.outputs[key]; ok {
		return output, nil
	}
	env := os.Environ()
	if source.Peers {
		peers, err := m.peers()
		if err != nil {
			return nil, err
		}
		env = append(env, peers...)
	}
	m.log.Sayf("%s in %s …", source.Benchmark, source.Package)
	args := []string{"test", "-p=1", "-run=^$", "-bench=^" + source.Benchmark + "$", "-timeout=60m"}
	if source.Once {
		args = append(args, "-benchtime=1x")
	} else {
		args = append(args, "-count="+strconv.Itoa(benchRuns))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, source.Package)...) //nolint:gosec // names of this program's own table
	cmd.Dir = m.root
	cmd.Env = env
	output, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w:\n%s", key, err, output)
	}
	m.outputs[key] = output
	return output, nil
}

// install puts the peers on the machine.
func install(ctx context.Context, log *progress.Log) ([]string, error) {
	installer, err := peer.New(log)
	if err != nil {
		return nil, err
	}
	return installer.Install(ctx)
}

// demo runs the demonstration once, and measures how long it takes to be ready and how
// fast a change is enforced.
func (m *measurer) demo(ctx context.Context, metric string) (float64, error) {
	if len(m.values) == 0 && m.demoErr == nil {
		m.demoErr = m.runDemo(ctx)
	}
	return m.values[metric], m.demoErr
}

func (m *measurer) runDemo(ctx context.Context) (err error) {
	begin := time.Now()
	w, err := world.Start(ctx, m.root, m.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close(ctx)) }()
	m.values["demo_warm_s"] = time.Since(begin).Seconds()
	r := cast.Residents()[0]
	result, err := w.Propagation(ctx, r, propagationPairs)
	if err != nil {
		return err
	}
	m.log.Sayf("propagation: %s", result)
	const high = 0.99
	m.values["propagation_p99_ms"] = float64(result.Quantile(high)) / float64(time.Millisecond)
	return nil
}

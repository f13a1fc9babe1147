package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// progressInterval is the time between two lines of progress while a binary is
// being compiled.
const progressInterval = 10 * time.Second

// compile makes one binary. The go command verifies each module against go.sum.
func (s *source) compile(ctx context.Context, bin binary, out string, told progress) error {
	told.sayf("compiling %s", bin.name)
	args := append([]string{"build", "-v", "-o", out}, s.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, bin.pkg)...) //nolint:gosec // G204: packages and flags are constants of this package
	cmd.Dir = s.dir
	cmd.Env = buildEnvironment()
	// An interrupt lets go remove its temporary folder; its compilers end with it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var log buildLog
	cmd.Stdout, cmd.Stderr = &log, &log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			told.sayf("compiling %s: %s, %s", bin.name, log.summary(), time.Since(begin).Round(time.Second))
		case err := <-done:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("go build: %w: %s", err, log.problems())
			}
			told.sayf("%s compiled in %s", bin.name, time.Since(begin).Round(time.Second))
			return nil
		}
	}
}

// keptProblems is how many lines of the compiler an error quotes.
const keptProblems = 20

// buildLog counts what go build -v reports and keeps what is not progress.
type buildLog struct {
	mu        sync.Mutex
	partial   []byte
	downloads int
	packages  int
	rest      []string
}

// Write takes a piece of go's output.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.partial = rest
		l.take(string(line))
	}
}

// take sorts a line: a download, the import path of a compiled package, which
// has no space, or something to show when the build fails.
func (l *buildLog) take(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		l.downloads++
	case line != "" && !strings.ContainsAny(line, " \t"):
		l.packages++
	default:
		l.rest = append(l.rest, line)
		if len(l.rest) > keptProblems {
			l.rest = l.rest[1:]
		}
	}
}

func (l *buildLog) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.packages == 0 {
		return fmt.Sprintf("%d modules downloaded", l.downloads)
	}
	return fmt.Sprintf("%d packages compiled", l.packages)
}

func (l *buildLog) problems() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.rest
	if len(l.partial) > 0 {
		lines = append(lines, string(l.partial))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

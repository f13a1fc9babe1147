// Package progress tells a person what the demonstration is doing, one line at a time.
package progress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Log writes lines with the time since its start. It is safe for concurrent use, and an
// io.Writer for programs that report lines on their own.
type Log struct {
	mu      sync.Mutex
	out     io.Writer
	started time.Time
	partial []byte
}

// New returns a log that writes to out.
func New(out io.Writer) *Log { return &Log{out: out, started: time.Now()} }

// Elapsed returns the time since the start.
func (l *Log) Elapsed() time.Duration { return time.Since(l.started) }

// Sayf writes a line.
func (l *Log) Sayf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(fmt.Sprintf(format, args...))
}

// Write implements io.Writer: each complete line becomes a line of the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.line(string(line))
		l.partial = rest
	}
}

// line writes one line. A terminal that went away must not stop the demonstration.
func (l *Log) line(text string) {
	_, _ = fmt.Fprintf(l.out, "[%6.1fs] %s\n", time.Since(l.started).Seconds(), text)
}

// Step says that something begins, runs it, and repeats from time to time what is going
// on while it lasts. The error names the step.
func (l *Log) Step(ctx context.Context, what string, run func(context.Context) error) error {
	const reminder = 10 * time.Second
	l.Sayf("%s …", what)
	finished := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		ticker := time.NewTicker(reminder)
		defer ticker.Stop()
		for {
			select {
			case <-finished:
				return
			case <-ticker.C:
				l.Sayf("%s … still at it", what)
			}
		}
	})
	err := run(ctx)
	close(finished)
	waiting.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

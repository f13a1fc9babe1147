// Package process runs the programs of the demonstration as children that end with it.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Child is a running program.
type Child struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // set before exited is closed
}

// Start starts a program whose output goes to a log file. Extra environment variables
// come as "NAME=value".
func Start(name, program, log string, environment []string, args ...string) (*Child, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %q: %w", name, err)
	}
	cmd := exec.Command(program, args...) //nolint:noctx // it outlives the start and is ended by Stop
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Dir = filepath.Dir(log)
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = attributes()
	c := &Child{name: name, log: log, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go c.run(started)
	err = <-started
	if err := errors.Join(err, output.Close()); err != nil {
		return nil, fmt.Errorf("start %q: %w", name, err)
	}
	return c, nil
}

// run starts the program and waits for its end on one thread: the kernel takes the end
// of the thread that started a child for the end of its parent.
func (c *Child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.exited)
	err := c.cmd.Start()
	started <- err
	if err == nil {
		c.err = c.cmd.Wait()
	}
}

// Exited is closed when the program has ended.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// Failure describes a program that ended on its own, with the end of its log.
func (c *Child) Failure() error {
	return fmt.Errorf("%s ended (%w), its log ends with:\n%s", c.name, errOr(c.err, errors.New("exit status 0")), c.Tail())
}

// Tail returns the last lines of the log.
func (c *Child) Tail() string {
	const lines = 15
	content, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Stop asks the program to end, and kills it when the context ends first.
func (c *Child) Stop(ctx context.Context) error {
	const lastWait = 5 * time.Second
	select {
	case <-c.exited:
		return nil
	default:
	}
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %q: %w", c.name, err)
	}
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %q: %w", c.name, err)
	}
	select {
	case <-c.exited:
		return fmt.Errorf("stop %q: killed, for it did not end in time", c.name)
	case <-time.After(lastWait):
		return fmt.Errorf("stop %q: still running after it was killed", c.name)
	}
}

func errOr(err, fallback error) error {
	if err != nil {
		return err
	}
	return fallback
}

package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Errors quote this much of a component's log.
const (
	quotedLines = 15
	quotedBytes = 16 << 10
)

// process is a running component.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	// exited is closed when the process has ended; err is set before that.
	exited chan struct{}
	err    error
}

// startProcess runs the binary in dir with its output in the file log.
func startProcess(dir, path, log string, args []string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	// The component reads nothing of the caller's environment: etcd takes flags
	// from ETCD_ variables and all of them proxies and kubeconfigs.
	cmd := &exec.Cmd{
		Path: path, Args: append([]string{path}, args...), Dir: dir,
		Env:    []string{"HOME=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH")},
		Stdout: out, Stderr: out, SysProcAttr: componentAttributes(),
	}
	p := &process{name: strings.TrimSuffix(filepath.Base(log), ".log"), log: log, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	err = <-started
	if err := errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// run starts the process and waits for its end on one thread. The kernel takes
// the end of the thread that started a process for the end of its parent.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// failure describes an unexpected end.
func (p *process) failure() error {
	reason := "exit status 0"
	if p.err != nil {
		reason = p.err.Error()
	}
	return fmt.Errorf("%s ended: %s: %s", p.name, reason, p.tail())
}

// stop asks the processes to end, kills those that still run after the grace
// period and returns when all of them are gone.
func stop(grace time.Duration, processes ...*process) error {
	var errs []error
	for _, p := range processes {
		if err := p.signal(syscall.SIGTERM); err != nil {
			errs = append(errs, err)
		}
	}
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	expired := false
	for _, p := range processes {
		if !expired {
			select {
			case <-p.exited:
				continue
			case <-deadline.C:
				expired = true
			}
		}
		if err := p.signal(syscall.SIGKILL); err != nil {
			errs = append(errs, err)
			continue
		}
		<-p.exited
	}
	return errors.Join(errs...)
}

func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}

// tail quotes the end of the log.
func (p *process) tail() string {
	f, err := os.Open(p.log)
	if err != nil {
		return "its log is gone: " + err.Error()
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	start := max(0, info.Size()-quotedBytes)
	text, err := io.ReadAll(io.NewSectionReader(f, start, quotedBytes))
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	lines = lines[max(0, len(lines)-quotedLines):]
	if len(bytes.TrimSpace(text)) == 0 {
		return "its log is empty"
	}
	return "the end of its log:\n\t" + string(bytes.Join(lines, []byte("\n\t")))
}

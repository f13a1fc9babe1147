package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drainTime is how long output is still read after a process ended; a descendant may hold the pipe open.
const drainTime = 2 * time.Second

// Output stores one stream of a process until its end.
type Output func(stream string, reader io.Reader) error

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code; for a process that a signal ended it is 128 plus the signal, as in container runtimes.
	Code int
	// Signal is the signal that ended the process, or zero.
	Signal syscall.Signal
	// Finished is when it ended.
	Finished time.Time
}

// Process is a process and the group that it leads.
type Process struct {
	cmd    *exec.Cmd
	output Output
	done   chan struct{}
	exit   Exit
	record *Record

	mu     sync.Mutex
	reaped bool
}

// Starter starts a command; Spawner.Start is one.
type Starter func(cmd *exec.Cmd) error

// Run starts cmd as the leader of a new process group and gives its output to output. The record, which may be nil,
// keeps it in the books of the node until it ends. The error says why it could not start.
func Run(cmd *exec.Cmd, start Starter, output Output, records *Records) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var readers, writers [2]*os.File
	for i := range readers {
		reader, writer, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, closeAll(readers[:i]), closeAll(writers[:i]))
		}
		readers[i], writers[i] = reader, writer
	}
	cmd.Stdout, cmd.Stderr = writers[0], writers[1]
	err := start(cmd)
	_ = closeAll(writers[:]) // the process has its own
	if err != nil {
		return nil, errors.Join(err, closeAll(readers[:]))
	}
	p := &Process{cmd: cmd, output: output, done: make(chan struct{})}
	p.record, err = records.add(cmd.Process.Pid)
	if err != nil {
		_ = p.Kill() // it must not run unrecorded
	}
	go p.wait(readers)
	return p, err
}

func closeAll(files []*os.File) error {
	errs := make([]error, 0, len(files))
	for _, file := range files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended, its group is killed and its output is stored.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended; it is valid after Done.
func (p *Process) Exit() Exit { return p.exit }

// Signal sends a signal to the process itself, as a container runtime does. A process that has ended is no error.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", signal, err)
	}
	return nil
}

// Kill ends the process and its group at once. A process that has ended is no error.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped { // its number may belong to another process by now
		return nil
	}
	return killGroup(p.Pid())
}

func killGroup(pid int) error {
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", pid, err)
	}
	return nil
}

func (p *Process) wait(readers [2]*os.File) {
	var copies sync.WaitGroup
	for i, stream := range []string{"stdout", "stderr"} {
		copies.Go(func() {
			if err := p.output(stream, readers[i]); err != nil {
				_, _ = io.Copy(io.Discard, readers[i]) // the process must not block on output that cannot be stored
			}
		})
	}
	p.bury()
	finished := time.Now()
	timer := time.AfterFunc(drainTime, func() { _ = closeAll(readers[:]) })
	copies.Wait()
	if timer.Stop() {
		_ = closeAll(readers[:])
	}
	p.exit = exitOf(p.cmd.ProcessState, finished)
	p.record.remove()
	close(p.done)
}

// bury waits for the process, kills what it left behind while its number is still its own, and releases it.
func (p *Process) bury() {
	for {
		err := unix.Waitid(unix.P_PID, p.Pid(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = killGroup(p.Pid()) // a group that cannot be killed is killed by the next node
	_ = p.cmd.Wait()       // an error only repeats the state, which exitOf reads
	p.reaped = true
}

func exitOf(state *os.ProcessState, finished time.Time) Exit {
	exit := Exit{Code: state.ExitCode(), Finished: finished}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = status.Signal()
		exit.Code = 128 + int(exit.Signal)
	}
	return exit
}

// Package sandbox gives a process a file system of its own: mount namespaces and a fresh root, built by this program
// itself, which is started again as a shim and then becomes the process.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// Mode is how mount paths of containers are made true on this machine.
type Mode int

const (
	// Rewrite changes the mount paths in arguments and environment, because the machine allows no namespaces.
	Rewrite Mode = iota
	// UserNamespace makes mount and PID namespaces within a user namespace, without being root.
	UserNamespace
	// Namespace makes mount and PID namespaces as root.
	Namespace
)

// String names the mode.
func (m Mode) String() string {
	switch m {
	case Namespace:
		return "namespaces"
	case UserNamespace:
		return "user namespaces"
	case Rewrite:
	}
	return "path rewriting"
}

// shimName is the first argument by which the program knows that it is started as a shim.
const shimName = "localnode-sandbox-shim"

// File descriptors of the shim: it reads the plan from one and reports an error on the other, which execve closes.
const (
	planDescriptor  = 3
	errorDescriptor = 4
)

// Plan is what the shim does before it becomes the process.
type Plan struct {
	// Root is the folder that becomes the root of the file system.
	Root string `json:"root"`
	// Binds are mounted below the root in this order.
	Binds []Bind `json:"binds"`
	// ReadOnlyRoot makes the root itself read-only; the binds keep their own flags.
	ReadOnlyRoot bool `json:"readOnlyRoot"`
	// Hostname is what the process sees as the name of its machine.
	Hostname string `json:"hostname"`
	// Dir is the working directory within the root.
	Dir string `json:"dir"`
	// Args is the command; the first one is looked up in PATH when it has no slash.
	Args []string `json:"args"`
	// Path is the executable when it is not the first of Args.
	Path string `json:"path"`
}

// Bind shows a file or folder of the machine at a path below the root.
type Bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly"`
	// Optional leaves the bind out when the machine refuses it.
	Optional bool `json:"optional"`
}

// ErrStart says that the shim could not become the process.
var ErrStart = errors.New("container cannot start")

// Launch starts a command that was made by Command: start is called to start it. It returns after the process took
// over from the shim; an error of the shim wraps ErrStart and the process is waited for.
func (p *Plan) Launch(cmd *exec.Cmd, start func(*exec.Cmd) error) error {
	planReader, planWriter, err := os.Pipe()
	if err != nil {
		return err
	}
	errorReader, errorWriter, err := os.Pipe()
	if err != nil {
		return errors.Join(err, planReader.Close(), planWriter.Close())
	}
	defer func() { _ = errorReader.Close() }()
	cmd.ExtraFiles = []*os.File{planReader, errorWriter}
	err = start(cmd)
	_, _ = planReader.Close(), errorWriter.Close() // the shim has its own
	if err != nil {
		return errors.Join(err, planWriter.Close())
	}
	encodeErr := json.NewEncoder(planWriter).Encode(p)
	_ = planWriter.Close() // the shim sees a short plan when writing failed, and says so
	message, err := io.ReadAll(errorReader)
	if err == nil && encodeErr == nil && len(message) == 0 {
		return nil
	}
	_ = cmd.Process.Kill() // it has failed already
	_ = cmd.Wait()         // its exit code says nothing more
	return fmt.Errorf("%w: %w", ErrStart, errors.Join(err, encodeErr, errors.New(string(message))))
}

// Command returns the command that starts the shim in the namespaces of the mode. Its environment is that of the
// process.
func Command(mode Mode, env []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: self, Args: []string{shimName}, Env: env, Dir: "/", SysProcAttr: &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
	}}
	if mode == UserNamespace {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd, nil
}

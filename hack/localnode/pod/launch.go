package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/process"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/rewrite"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/sandbox"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/variables"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"

// blocked is an error that keeps a container from starting, with the reason that its status gives.
type blocked struct {
	reason string
	err    error
}

func (b *blocked) Error() string { return b.err.Error() }
func (b *blocked) Unwrap() error { return b.err }

// launch is a container made ready to start: all that its process and the commands beside it need.
type launch struct {
	host     *Host
	program  image.Program
	env      variables.List
	args     []string
	mounts   []volume.Mount
	dir      string
	work     string
	hostname string
	readOnly bool
}

// prepare resolves image, environment, mounts and command. The error is a blocked one.
func (c *container) prepare(ctx context.Context, run int32) (*launch, error) {
	w, pod := c.worker, c.worker.view()
	spec := c.current()
	program, err := w.host.Images.Resolve(spec.Image)
	if err != nil {
		return nil, &blocked{reason: "ErrImagePull", err: err}
	}
	env, err := w.host.Variables.Build(ctx, pod, spec)
	if err != nil {
		return nil, &blocked{reason: "CreateContainerConfigError", err: err}
	}
	l := &launch{host: w.host, program: program, env: env, dir: filepath.Join(w.host.folder(pod), spec.Name), hostname: hostname(pod), work: spec.WorkingDir}
	l.setDefaults()
	expand := func(text string) string { return variables.Expand(text, env.Lookup) }
	if l.mounts, err = w.volumes.Mounts(spec, expand); err != nil {
		return nil, &blocked{reason: "CreateContainerConfigError", err: err}
	}
	for _, arg := range append(append([]string(nil), spec.Command...), spec.Args...) {
		l.args = append(l.args, expand(arg))
	}
	if len(spec.Command) == 0 {
		if program.Path == "" {
			return nil, &blocked{reason: "CreateContainerError", err: fmt.Errorf("image %q: is mapped to the host, so the container needs a command", spec.Image)}
		}
		l.args = append([]string{program.Path}, l.args...)
	}
	if security := spec.SecurityContext; security != nil && security.ReadOnlyRootFilesystem != nil {
		l.readOnly = *security.ReadOnlyRootFilesystem
	}
	if err := l.makeRoot(pod, spec, run); err != nil {
		return nil, &blocked{reason: "CreateContainerError", err: err}
	}
	return l, nil
}

func (l *launch) setDefaults() {
	for name, value := range map[string]string{"PATH": defaultPath, "HOSTNAME": l.hostname, "HOME": "/root"} {
		if _, set := l.env[name]; !set {
			l.env[name] = value
		}
	}
}

func hostname(pod *corev1.Pod) string {
	if pod.Spec.Hostname != "" {
		return pod.Spec.Hostname
	}
	return pod.Name
}

// makeRoot makes a fresh root folder, and the file for the container's last message.
func (l *launch) makeRoot(pod *corev1.Pod, spec *corev1.Container, run int32) error {
	if err := os.RemoveAll(l.rootDir()); err != nil {
		return err
	}
	if err := os.MkdirAll(l.rootDir(), 0o755); err != nil { //nolint:gosec // the process of the pod reads it
		return err
	}
	message := messageFile(l.dir, run)
	if err := os.WriteFile(message, nil, 0o666); err != nil { //nolint:gosec // any user of the container may write its message
		return err
	}
	if spec.TerminationMessagePath != "" {
		l.mounts = append(l.mounts, volume.Mount{Source: message, Target: path.Clean(spec.TerminationMessagePath)})
	}
	if l.host.Mode == sandbox.Rewrite {
		return nil
	}
	return l.root().Prepare(pod.Status.PodIP, l.hostname)
}

func messageFile(dir string, run int32) string {
	return filepath.Join(dir, fmt.Sprintf("%d.message", run))
}

func (l *launch) rootDir() string { return filepath.Join(l.dir, "root") }

func (l *launch) root() *sandbox.Root {
	return &sandbox.Root{Dir: l.rootDir(), Program: l.program}
}

// command returns what starts a command as or beside the container.
func (l *launch) command(args []string) (*exec.Cmd, process.Starter, error) {
	if len(args) == 0 {
		return nil, nil, errors.New("the command is empty")
	}
	if l.host.Mode == sandbox.Rewrite {
		cmd, err := l.rewritten(args)
		return cmd, l.host.Spawner.Start, err
	}
	cmd, err := sandbox.Command(l.host.Mode, l.env.Strings())
	if err != nil {
		return nil, nil, err
	}
	plan := &sandbox.Plan{
		Root: l.rootDir(), Binds: l.root().Binds(l.mounts), ReadOnlyRoot: l.readOnly, Hostname: l.hostname,
		Dir: path.Clean("/" + l.work), Args: l.root().Command(args),
	}
	return cmd, func(cmd *exec.Cmd) error { return plan.Launch(cmd, l.host.Spawner.Start) }, nil
}

// rewritten makes a command that sees the machine's own file system, with mount paths replaced by real ones.
func (l *launch) rewritten(args []string) (*exec.Cmd, error) {
	paths := rewrite.New(l.mounts)
	env := variables.List{}
	for name, value := range l.env {
		env[name] = paths.Text(value)
	}
	if _, set := env["TMPDIR"]; !set && paths.Text("/tmp") != "/tmp" {
		env["TMPDIR"] = paths.Text("/tmp")
	}
	args = paths.List(args)
	program := args[0]
	if own := l.program.Path; own != "" && filepath.Base(own) == filepath.Base(program) {
		program = own
	} else if found, err := lookPath(program, env["PATH"]); err == nil {
		program = found
	} else {
		return nil, fmt.Errorf("%w: %w", sandbox.ErrStart, err)
	}
	dir := l.rootDir()
	if l.work != "" {
		dir = paths.Text(l.work)
	}
	return &exec.Cmd{Path: program, Args: args, Env: env.Strings(), Dir: dir}, nil
}

func lookPath(name, list string) (string, error) {
	if filepath.Base(name) != name {
		return exec.LookPath(name)
	}
	for _, dir := range filepath.SplitList(list) {
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("exec %q: executable file not found in PATH %q", name, list)
}

// streams are what a command beside the container is connected to; each may be nil.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exec runs a command beside the container until it ends or ctx does, and returns its exit code.
func (l *launch) exec(ctx context.Context, args []string, io streams) (int, error) {
	cmd, start, err := l.command(args)
	if err != nil {
		return 0, err
	}
	cmd.SysProcAttr = withGroup(cmd.SysProcAttr)
	cmd.WaitDelay = killDelay
	if io.in != nil {
		// A pipe of its own, because exec.Cmd would wait for a reader that never ends.
		if err := feed(cmd, io.in); err != nil {
			return 0, err
		}
	}
	cmd.Stdout, cmd.Stderr = io.out, io.err
	if err := start(cmd); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	stop()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), ctx.Err()
	}
	return 0, errors.Join(err, ctx.Err())
}

func feed(cmd *exec.Cmd, in io.Reader) error {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(stdin, in) // the command says what it thinks of a short input
		_ = stdin.Close()
	}()
	return nil
}

func withGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Setpgid, attr.Pdeathsig = true, syscall.SIGKILL
	return attr
}

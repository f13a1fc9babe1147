// Command controlplane compiles the local Kubernetes control plane and runs it
// in the foreground; see package [controlplane] for what it is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/bailiwick-dev/bailiwick/test/controlplane"
)

const usage = `Usage: controlplane <command> [flags]

Commands:
  build   compile the binaries unless the cache has them
  path    do as build and print the folder of the binaries, for KUBEBUILDER_ASSETS
  up      start a control plane, print how to use it, stop it at Ctrl-C
  run     start a control plane, run a command with KUBECONFIG, KUBEBUILDER_ASSETS
          and PATH set, and stop the plane: run [flags] -- command [argument...]

Flags of up and run:
  --address=IP        loopback address to listen on (default 127.0.0.1)
  --api-only          start etcd and kube-apiserver alone
  --assets=FOLDER     use the binaries in the folder instead of the cache
  --kubeconfig=FILE   write the administrator's kubeconfig here as well
  --quiet             show no progress
`

// Exit codes: that of the command for run, else one of these.
const (
	exitFailure = 1
	exitUsage   = 2
)

// commandGrace is the time that the command of run has to end after a signal.
const commandGrace = 10 * time.Second

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// errUsage marks errors that the usage text answers.
var errUsage = errors.New("see controlplane help")

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	var exit *exec.ExitError
	if err == nil {
		return 0
	}
	sayf(stderr, "%v", err)
	switch {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	case errors.Is(err, errUsage):
		return exitUsage
	default:
		return exitFailure
	}
}

// sayf writes a line about the progress or the end of the command, which goes on
// when nobody can read it.
func sayf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, "controlplane: "+format+"\n", args...)
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command: give one of build, path, up, run: %w", errUsage)
	}
	switch name, rest := args[0], args[1:]; name {
	case "help", "-h", "--help":
		_, err := io.WriteString(stdout, usage)
		return err
	case "build", "path":
		if len(rest) > 0 {
			return fmt.Errorf("%s takes no argument: %q: %w", name, rest[0], errUsage)
		}
		dir, err := controlplane.Assets(ctx, stderr)
		if err == nil {
			_, err = fmt.Fprintln(stdout, dir)
		}
		return err
	case "up":
		return start(ctx, rest, stdout, stderr, up)
	case "run":
		return start(ctx, rest, stdout, stderr, run)
	default:
		return fmt.Errorf("command %q is unknown: give one of build, path, up, run: %w", name, errUsage)
	}
}

// use is what is done with a plane that runs: it returns when the plane is to be
// stopped.
type use func(ctx context.Context, p *controlplane.Plane, args []string, stdout, stderr io.Writer) error

// start starts a plane by the flags, uses it and stops it.
func start(ctx context.Context, args []string, stdout, stderr io.Writer, fn use) error {
	o := controlplane.Options{Progress: stderr}
	var copyTo string
	var quiet bool
	flags := flag.NewFlagSet("controlplane", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.Address, "address", "", "")
	flags.BoolVar(&o.APIServerOnly, "api-only", false, "")
	flags.StringVar(&o.Assets, "assets", "", "")
	flags.StringVar(&copyTo, "kubeconfig", "", "")
	flags.BoolVar(&quiet, "quiet", false, "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	if quiet {
		o.Progress = nil
	}
	p, err := controlplane.Start(ctx, o)
	if err != nil {
		return err
	}
	if copyTo != "" {
		err = copyKubeconfig(p, copyTo)
	}
	if err == nil {
		err = fn(ctx, p, flags.Args(), stdout, stderr)
	}
	if !quiet {
		sayf(stderr, "stopping")
	}
	return errors.Join(err, p.Stop())
}

func copyKubeconfig(p *controlplane.Plane, to string) error {
	body, err := os.ReadFile(p.AdminKubeconfig())
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	if err := os.WriteFile(to, body, 0o600); err != nil { //nolint:gosec // G703: the user names the file
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return nil
}

// up prints the environment and waits for the signal or a failure.
func up(ctx context.Context, p *controlplane.Plane, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("up takes no argument: %q: %w", args[0], errUsage)
	}
	_, err := fmt.Fprintf(stdout, "export KUBECONFIG=%s\nexport PATH=%s:$PATH\n", shellQuote(p.AdminKubeconfig()), shellQuote(p.Assets()))
	if err != nil {
		return fmt.Errorf("print the environment: %w", err)
	}
	sayf(stderr, "ready at %s, until Ctrl-C", p.URL())
	select {
	case <-ctx.Done():
		return nil
	case <-p.Failed():
		return p.Err()
	}
}

// run runs the command with the plane's environment and the caller's terminal.
func run(ctx context.Context, p *controlplane.Plane, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("run needs a command: %w", errUsage)
	}
	path := p.Assets() + string(os.PathListSeparator) + os.Getenv("PATH")
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // G204: the user gives the command to run
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.AdminKubeconfig(), "KUBEBUILDER_ASSETS="+p.Assets())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %q: %w", args[0], errors.Join(err, p.Err()))
	}
	return nil
}

// shellQuote makes a word that a POSIX shell reads as it is.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

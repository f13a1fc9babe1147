package pod

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/probe"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/process"
)

// supervise runs hooks and probes beside a process until it has ended. When ctx ends or a restart is asked for, it
// stops the process gracefully.
func (c *container) supervise(ctx context.Context, proc *process.Process) {
	watch, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watchers sync.WaitGroup
	watchers.Go(func() { c.watch(watch, proc) })
	select {
	case <-proc.Done():
	case <-ctx.Done():
		c.stop(watch, proc, c.worker.grace)
	case request := <-c.restart:
		c.worker.host.note(c.worker.view(), "Killing", fmt.Sprintf("Container %s %s, will be restarted", c.name, request.message))
		c.stop(watch, proc, graceOf(request.grace))
	}
	stopWatching()
	watchers.Wait()
	select { // a request that came too late must not stop the next run
	case <-c.restart:
	default:
	}
}

// watch runs the postStart hook and then the probes, until ctx ends.
func (c *container) watch(ctx context.Context, proc *process.Process) {
	spec := c.current()
	if spec.Lifecycle != nil && spec.Lifecycle.PostStart != nil {
		if err := c.hook(ctx, spec.Lifecycle.PostStart); err != nil && ctx.Err() == nil {
			c.worker.host.warn(c.worker.view(), "FailedPostStartHook", fmt.Sprintf("PostStartHook failed: %v", err))
			c.askRestart("failed its postStart hook", killDelay)
			return
		}
	}
	if !c.awaitStartup(ctx, spec) {
		return
	}
	c.set(func() {
		c.started = c.process == proc
		c.ready = c.started && spec.ReadinessProbe == nil
	})
	c.markUp()
	var probes sync.WaitGroup
	if spec.ReadinessProbe != nil {
		probes.Go(func() { c.readiness(ctx, proc, spec.ReadinessProbe) })
	}
	if spec.LivenessProbe != nil {
		probes.Go(func() { c.liveness(ctx, spec.LivenessProbe) })
	}
	probes.Wait()
}

func (c *container) markUp() {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	select {
	case <-c.up:
	default:
		close(c.up)
	}
}

// awaitStartup asks the startup probe and says whether the container has started.
func (c *container) awaitStartup(ctx context.Context, spec *corev1.Container) bool {
	if spec.StartupProbe == nil {
		return ctx.Err() == nil
	}
	passed := false
	c.target().Run(ctx, spec.StartupProbe, true, func(outcome probe.Outcome, _ bool, err error) bool {
		c.unhealthy("Startup", err)
		passed = outcome == probe.Passed
		if outcome == probe.Failed {
			c.askRestart("failed startup probe", c.probeGrace(spec.StartupProbe))
		}
		return outcome == probe.Undecided
	})
	return passed
}

func (c *container) readiness(ctx context.Context, proc *process.Process, p *corev1.Probe) {
	c.target().Run(ctx, p, true, func(outcome probe.Outcome, changed bool, err error) bool {
		c.unhealthy("Readiness", err)
		if changed {
			c.set(func() { c.ready = outcome == probe.Passed && c.process == proc })
		}
		return true
	})
}

func (c *container) liveness(ctx context.Context, p *corev1.Probe) {
	c.target().Run(ctx, p, false, func(outcome probe.Outcome, _ bool, err error) bool {
		c.unhealthy("Liveness", err)
		if outcome == probe.Failed {
			c.askRestart("failed liveness probe", c.probeGrace(p))
			return false
		}
		return true
	})
}

func (c *container) unhealthy(which string, err error) {
	if err != nil {
		c.worker.host.warn(c.worker.view(), "Unhealthy", fmt.Sprintf("%s probe failed: %v", which, err))
	}
}

func (c *container) probeGrace(p *corev1.Probe) time.Duration {
	if p.TerminationGracePeriodSeconds != nil {
		return time.Duration(*p.TerminationGracePeriodSeconds) * time.Second
	}
	return c.worker.specGrace()
}

func (c *container) askRestart(message string, grace time.Duration) {
	select {
	case c.restart <- restartRequest{message: message, grace: grace}:
	default: // one is on its way already
	}
}

func (c *container) target() *probe.Target {
	return &probe.Target{Address: c.worker.address.String(), Ports: c.current().Ports, Exec: c.output}
}

// output runs a command beside the container and returns what it wrote.
func (c *container) output(ctx context.Context, command []string) (string, error) {
	var out limited
	code, err := c.run(ctx, command, streams{out: &out, err: &out})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	return out.String(), err
}

// run runs a command beside the container.
func (c *container) run(ctx context.Context, command []string, io streams) (int, error) {
	c.worker.mu.Lock()
	l, running := c.launched, c.process != nil
	c.worker.mu.Unlock()
	if l == nil || !running {
		return 0, fmt.Errorf("container %q: is not running", c.name)
	}
	return l.exec(ctx, command, io)
}

// limited keeps the beginning of what is written to it.
type limited struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p[:min(len(p), max(0, maxMessage-l.text.Len()))])
	return len(p), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// stop ends a process gracefully: preStop hook, signal, and after the grace the kill.
func (c *container) stop(ctx context.Context, proc *process.Process, g *grace) {
	spec := c.current()
	if spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil {
		c.preStop(ctx, spec, g)
	}
	if err := proc.Signal(stopSignal(spec)); err != nil {
		c.worker.host.Log.Error("a container cannot be signalled", "container", spec.Name, "error", err)
	}
	if left, _ := g.left(); left <= 0 {
		g = graceOf(killDelay) // a hook that used up the grace leaves the process a moment
	}
	if !g.wait(proc.Done()) {
		if err := proc.Kill(); err != nil {
			c.worker.host.Log.Error("a container cannot be killed", "container", spec.Name, "error", err)
		}
	}
	<-proc.Done()
}

func stopSignal(spec *corev1.Container) syscall.Signal {
	if spec.Lifecycle != nil && spec.Lifecycle.StopSignal != nil {
		if number, ok := signals[*spec.Lifecycle.StopSignal]; ok {
			return number
		}
	}
	return syscall.SIGTERM
}

var signals = map[corev1.Signal]syscall.Signal{
	corev1.SIGHUP: syscall.SIGHUP, corev1.SIGINT: syscall.SIGINT, corev1.SIGQUIT: syscall.SIGQUIT,
	corev1.SIGUSR1: syscall.SIGUSR1, corev1.SIGUSR2: syscall.SIGUSR2, corev1.SIGKILL: syscall.SIGKILL,
}

// preStop runs the hook for as long as the grace lasts.
func (c *container) preStop(ctx context.Context, spec *corev1.Container, g *grace) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if err := c.hook(ctx, spec.Lifecycle.PreStop); err != nil && ctx.Err() == nil {
			c.worker.host.warn(c.worker.view(), "FailedPreStopHook", fmt.Sprintf("PreStopHook failed: %v", err))
		}
	}()
	g.wait(finished)
	cancel()
	<-finished
}

// hook runs a lifecycle handler.
func (c *container) hook(ctx context.Context, handler *corev1.LifecycleHandler) error {
	switch {
	case handler.Exec != nil:
		_, err := c.output(ctx, handler.Exec.Command)
		return err
	case handler.HTTPGet != nil:
		return c.target().HTTPGet(ctx, handler.HTTPGet)
	case handler.Sleep != nil:
		timer := time.NewTimer(time.Duration(handler.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		return nil
	}
	return errors.New("the hook has no handler that this node supports")
}

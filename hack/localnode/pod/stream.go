package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	utilexec "k8s.io/utils/exec"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/journal"
)

// tailKey is the context key of WithNoTail.
type tailKey struct{}

// WithNoTail says that a request for logs asks for none of the lines there are, which api.ContainerLogOpts cannot
// tell from a request for all of them.
func WithNoTail(ctx context.Context) context.Context {
	return context.WithValue(ctx, tailKey{}, true)
}

// Logs reads the log of a container as kubectl logs asks for it. The error is a "not found" of errdefs when there is
// no such container or it has no such run.
func (p *Provider) Logs(ctx context.Context, namespace, pod, name string, wanted api.ContainerLogOpts) (io.ReadCloser, error) {
	c, err := p.container(namespace, pod, name)
	if err != nil {
		return nil, err
	}
	run, done := c.logOf(wanted.Previous)
	if run < 0 {
		return nil, errdefs.NotFoundf("previous terminated container %q in pod %q not found", name, pod)
	}
	options := journal.Options{
		Tail: wanted.Tail, Limit: wanted.LimitBytes, Since: wanted.SinceTime, Timestamps: wanted.Timestamps,
		Follow: wanted.Follow && done != nil,
	}
	if wanted.SinceSeconds > 0 {
		options.Since = time.Now().Add(-time.Duration(wanted.SinceSeconds) * time.Second)
	}
	if none, ok := ctx.Value(tailKey{}).(bool); wanted.Tail == 0 && (!ok || !none) {
		options.Tail = -1
	}
	reader, err := journal.Read(ctx, c.logPath(run), done, options)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errdefs.NotFoundf("container %q in pod %q has not started yet", name, pod)
	}
	return reader, err
}

// logOf returns the run whose log is asked for, and when that log ends; the channel is nil for an old log.
func (c *container) logOf(previous bool) (run int32, done <-chan struct{}) {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	run = c.restarts
	if previous {
		return run - 1, nil
	}
	if c.log != nil {
		done = c.log.Done()
	}
	if c.state.Running == nil {
		done = nil
		if _, err := os.Stat(c.logPath(run)); err != nil && run > 0 {
			run-- // between two runs the last one is shown
		}
	}
	return run, done
}

// Exec runs a command beside a container, as kubectl exec asks for it. Terminals are not supported. A command that
// fails gives an error with its exit code.
func (p *Provider) Exec(ctx context.Context, namespace, pod, name string, command []string, attach api.AttachIO) error {
	c, err := p.container(namespace, pod, name)
	if err != nil {
		return err
	}
	if attach.TTY() {
		return errdefs.InvalidInput("terminals are not supported by this node: leave out -t")
	}
	wanted := streams{}
	if in := attach.Stdin(); in != nil {
		wanted.in = in
	}
	if out := attach.Stdout(); out != nil {
		wanted.out = out
	}
	if stderr := attach.Stderr(); stderr != nil {
		wanted.err = stderr
	}
	code, err := c.run(ctx, command, wanted)
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

func (p *Provider) container(namespace, pod, name string) (*container, error) {
	worker := p.find(namespace, pod)
	if worker == nil {
		return nil, errdefs.NotFoundf("pod %q is not known to the node", namespace+"/"+pod)
	}
	for _, list := range [][]*container{worker.main, worker.init} {
		for _, c := range list {
			if c.name == name {
				return c, nil
			}
		}
	}
	return nil, errdefs.NotFoundf("pod %q has no container %q", namespace+"/"+pod, name)
}

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/journal"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/process"
)

// kind is the part that a container plays in its pod.
type kind int

const (
	mainKind kind = iota
	initKind
	sidecarKind
)

const (
	killDelay = 2 * time.Second
	// startFailed is the exit code of a container whose program could not be started.
	startFailed = 128
	// lostCode is the exit code of a container whose process died with an earlier node.
	lostCode = 137
	// maxMessage is how much of a container's last message is kept.
	maxMessage = 4096
)

// container is one container of a pod. The fields after mu of the worker are guarded by it.
type container struct {
	worker *Worker
	name   string
	kind   kind
	policy corev1.RestartPolicy
	// restart is sent a reason when a running container must be restarted; hurry is how it is stopped then.
	restart chan restartRequest
	// up is closed when the container has started for the first time, probes included.
	up chan struct{}

	spec     *corev1.Container
	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	started  bool
	ready    bool
	finished bool
	launched *launch
	process  *process.Process
	log      *journal.File
}

type restartRequest struct {
	message string
	grace   time.Duration
}

func newContainer(w *Worker, spec *corev1.Container, part kind, previous *corev1.ContainerStatus) *container {
	c := &container{worker: w, name: spec.Name, kind: part, spec: spec, restart: make(chan restartRequest, 1), up: make(chan struct{})}
	c.policy = w.origin.Spec.RestartPolicy
	switch {
	case part == initKind && c.policy == corev1.RestartPolicyAlways:
		c.policy = corev1.RestartPolicyOnFailure
	case part == sidecarKind:
		c.policy = corev1.RestartPolicyAlways
	case spec.RestartPolicy != nil:
		c.policy = corev1.RestartPolicy(*spec.RestartPolicy)
	}
	c.state.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	if w.hasInit() {
		c.state.Waiting.Reason = "PodInitializing"
	}
	if previous != nil && previous.ContainerID != "" {
		c.resume(previous)
	}
	return c
}

// resume takes over from an earlier node, whose processes are dead.
func (c *container) resume(previous *corev1.ContainerStatus) {
	c.restarts = previous.RestartCount + 1
	c.last = previous.State
	if previous.State.Running != nil {
		c.last = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: lostCode, Reason: "ContainerStatusUnknown", Message: "the container's process ended with the node",
			StartedAt: previous.State.Running.StartedAt, FinishedAt: metav1.Now(), ContainerID: previous.ContainerID,
		}}
	}
}

// lost says whether the container ran on an earlier node and may not be started again.
func (c *container) lost() bool {
	ended := c.last.Terminated
	return c.restarts > 0 && ended != nil && !again(c.policy, int(ended.ExitCode))
}

func (c *container) current() *corev1.Container {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	return c.spec
}

// loop starts the container again and again as its policy demands, until ctx ends. It returns the last exit code.
func (c *container) loop(ctx context.Context) int {
	defer c.set(func() { c.finished = true })
	if c.lost() {
		c.set(func() { c.state, c.restarts = c.last, c.restarts-1 })
		return int(c.state.Terminated.ExitCode)
	}
	crashes := 0
	for {
		began := time.Now()
		code, wait := c.once(ctx)
		if ctx.Err() != nil || (!wait && !again(c.policy, code)) {
			return code
		}
		if time.Since(began) > healthyRun {
			crashes = 0
		}
		crashes++
		if !c.backOff(ctx, restartWait(crashes, c.worker.host.Backoff), wait) {
			return code
		}
		if !wait {
			c.set(func() { c.restarts++ })
		}
	}
}

// again says whether a policy restarts a container after an exit code.
func again(policy corev1.RestartPolicy, code int) bool {
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	case corev1.RestartPolicyAlways:
	}
	return true
}

// once runs the container once. blocked is true when it could not even be made, which no policy counts as an exit.
func (c *container) once(ctx context.Context) (code int, notMade bool) {
	run := c.runNumber()
	l, err := c.prepare(ctx, run)
	if block, ok := errors.AsType[*blocked](err); ok {
		c.block(block)
		return 0, true
	}
	proc, err := c.begin(l, run)
	if err != nil {
		c.set(func() { c.end(ended(startFailed, "StartError", err.Error(), time.Now(), time.Now())) })
		c.worker.host.warn(c.worker.view(), "Failed", fmt.Sprintf("Error: failed to start container %q: %v", c.name, err))
		return startFailed, false
	}
	began := time.Now()
	c.supervise(ctx, proc)
	exit := proc.Exit()
	c.set(func() { c.end(c.describe(context.WithoutCancel(ctx), exit, began, run)) })
	return exit.Code, false
}

func (c *container) runNumber() int32 {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	return c.restarts
}

// begin starts the process and its log.
func (c *container) begin(l *launch, run int32) (*process.Process, error) {
	log, err := journal.Create(c.logPath(run))
	if err != nil {
		return nil, err
	}
	_ = os.Remove(c.logPath(run - 2)) // the last two runs are kept
	_ = os.Remove(messageFile(l.dir, run-1))
	cmd, start, err := l.command(l.args)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	proc, err := process.Run(cmd, start, log.Copy, c.worker.host.Records)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		<-proc.Done()
		_ = log.Close() // a log that cannot be closed is still read
	}()
	c.set(func() {
		c.move(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
		c.process, c.launched, c.log = proc, l, log
		c.started = c.spec.StartupProbe == nil
		c.ready = c.started && c.spec.ReadinessProbe == nil
	})
	c.worker.host.note(c.worker.view(), "Started", fmt.Sprintf("Container %s started as process %d", c.name, proc.Pid()))
	return proc, nil
}

// block reports what keeps the container from being made.
func (c *container) block(b *blocked) {
	c.set(func() {
		c.move(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: b.reason, Message: b.Error()}})
	})
	c.worker.host.warn(c.worker.view(), "Failed", fmt.Sprintf("Error: %s: container %s: %v", b.reason, c.name, b))
}

// backOff waits before the next start. It says whether ctx is still alive.
func (c *container) backOff(ctx context.Context, wait time.Duration, notMade bool) bool {
	if wait == 0 {
		return ctx.Err() == nil
	}
	c.set(func() { c.move(c.waitingState(wait, notMade)) })
	if !notMade {
		c.worker.host.warn(c.worker.view(), "BackOff", "Back-off restarting failed container "+c.name)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c *container) waitingState(wait time.Duration, notMade bool) corev1.ContainerState {
	waiting := &corev1.ContainerStateWaiting{
		Reason:  "CrashLoopBackOff",
		Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", wait, c.name, c.worker.origin.Name),
	}
	if notMade && c.state.Waiting != nil {
		waiting.Reason, waiting.Message = c.state.Waiting.Reason, c.state.Waiting.Message
		if waiting.Reason == "ErrImagePull" {
			waiting.Reason = "ImagePullBackOff"
		}
	}
	return corev1.ContainerState{Waiting: waiting}
}

// end moves the container to a terminated state; the worker's lock is held.
func (c *container) end(state *corev1.ContainerStateTerminated) {
	c.move(corev1.ContainerState{Terminated: state})
	c.started, c.ready, c.process = false, false, nil
}

// move changes the state and remembers how the container ended before; the worker's lock is held.
func (c *container) move(state corev1.ContainerState) {
	if c.state.Terminated != nil {
		c.last = c.state
	}
	c.state = state
}

func ended(code int, reason, message string, began, finished time.Time) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ExitCode: int32(code), Reason: reason, Message: message, //nolint:gosec // exit codes are small
		StartedAt: metav1.NewTime(began), FinishedAt: metav1.NewTime(finished),
	}
}

// describe turns an exit into a state, with the message that the container left.
func (c *container) describe(ctx context.Context, exit process.Exit, began time.Time, run int32) *corev1.ContainerStateTerminated {
	reason := "Completed"
	if exit.Code != 0 {
		reason = "Error"
	}
	message, _ := os.ReadFile(messageFile(c.launched.dir, run)) // no file is no message
	if len(message) == 0 && exit.Code != 0 && c.spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
		message = lastLines(ctx, c.logPath(run))
	}
	state := ended(exit.Code, reason, string(message[:min(len(message), maxMessage)]), began, exit.Finished)
	state.Signal = int32(exit.Signal) //nolint:gosec // signals are small
	state.ContainerID = c.id(run)
	return state
}

func (c *container) id(run int32) string {
	return fmt.Sprintf("process://%s-%s-%d", c.worker.origin.UID, c.name, run)
}

func (c *container) logPath(run int32) string {
	return filepath.Join(c.worker.host.folder(c.worker.origin), c.name, fmt.Sprintf("%d.log", run))
}

// set changes the container under the worker's lock and has the pod reported.
func (c *container) set(change func()) {
	c.worker.mu.Lock()
	change()
	c.worker.mu.Unlock()
	c.worker.report()
}

func lastLines(ctx context.Context, path string) []byte {
	const fallbackLines = 80
	reader, err := journal.Read(ctx, path, nil, journal.Options{Tail: fallbackLines})
	if err != nil {
		return nil
	}
	defer func() { _ = reader.Close() }()
	var out strings.Builder
	buffer := make([]byte, maxMessage)
	for {
		n, err := reader.Read(buffer)
		out.Write(buffer[:n])
		if err != nil {
			text := out.String()
			return []byte(text[max(0, len(text)-maxMessage):])
		}
	}
}

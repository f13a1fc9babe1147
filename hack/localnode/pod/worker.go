package pod

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

// Worker runs one pod from its creation to its deletion.
type Worker struct {
	host    *Host
	volumes *volume.Set
	// notify is told the pod with its new status.
	notify func(*corev1.Pod)
	// after is closed when an earlier pod of the same name is gone; nil means there is none.
	after <-chan struct{}
	// grace is the time that the containers have once the pod is stopped.
	grace *grace
	// alive ends when the containers are to be stopped.
	alive context.Context //nolint:containedctx // it is the life of the containers, not of a call
	end   context.CancelFunc
	// left is closed when the pod is deleted or the node stops; until then its status is told.
	left  chan struct{}
	leave func()
	// refresh asks for the volumes to be rendered again, dirty for the status to be reported again.
	refresh, dirty chan struct{}
	done           chan struct{}

	// origin is the pod as it was when the worker was made; its identity and most of its spec never change.
	origin *corev1.Pod

	mu          sync.Mutex
	pod         *corev1.Pod
	address     netip.Addr
	started     metav1.Time
	prepared    bool
	initialized bool
	initFailed  bool
	finished    bool
	reason      string
	message     string
	init        []*container
	main        []*container
	last        corev1.PodStatus
}

// newWorker returns a worker for a pod; Run runs it.
func newWorker(host *Host, pod *corev1.Pod, after <-chan struct{}, notify func(*corev1.Pod)) *Worker {
	w := &Worker{
		host: host, origin: pod, pod: pod, after: after, notify: notify, grace: newGrace(), started: metav1.Now(),
		refresh: make(chan struct{}, 1), dirty: make(chan struct{}, 1), left: make(chan struct{}), done: make(chan struct{}),
		last: pod.Status,
	}
	if pod.Status.StartTime != nil {
		w.started = *pod.Status.StartTime
	}
	w.alive, w.end = context.WithCancel(context.Background())
	w.leave = sync.OnceFunc(func() { close(w.left) })
	w.volumes = &volume.Set{Dir: filepath.Join(host.folder(pod), "volumes"), Renderer: host.Renderer, Claims: host.Claims}
	for i := range pod.Spec.InitContainers {
		spec := &pod.Spec.InitContainers[i]
		part := initKind
		if spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			part = sidecarKind
		}
		w.init = append(w.init, newContainer(w, spec, part, statusOf(pod.Status.InitContainerStatuses, spec.Name)))
	}
	for i := range pod.Spec.Containers {
		spec := &pod.Spec.Containers[i]
		w.main = append(w.main, newContainer(w, spec, mainKind, statusOf(pod.Status.ContainerStatuses, spec.Name)))
	}
	return w
}

func statusOf(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

func (w *Worker) hasInit() bool { return len(w.origin.Spec.InitContainers) > 0 }

// Run runs the pod. It returns when the pod's processes have ended, the pod was deleted, and its folder is gone.
func (w *Worker) Run() {
	defer close(w.done)
	if w.after != nil {
		<-w.after
	}
	var helpers sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	helpers.Go(func() { w.reportLoop(ctx) })
	if w.setUp() {
		helpers.Go(func() { w.refreshLoop(ctx) })
		w.runContainers()
	}
	w.setFinished()
	<-w.left // a pod that has completed keeps its logs until it is deleted
	cancel()
	helpers.Wait()
	w.remove()
}

// setUp gives the pod its address and volumes. It says whether the pod may run.
func (w *Worker) setUp() bool {
	address := w.host.Address
	if !w.origin.Spec.HostNetwork {
		taken, err := w.host.Addresses.Prefer(string(w.origin.UID), w.origin.Status.PodIP)
		if err != nil {
			w.fail("OutOfAddresses", err.Error())
			return false
		}
		address = taken
	}
	w.mu.Lock()
	w.address = address
	w.mu.Unlock()
	w.report()
	if !w.mount() {
		return false
	}
	w.mu.Lock()
	w.prepared = true
	w.mu.Unlock()
	return true
}

// mount prepares the volumes again and again until it succeeds or the pod is stopped.
func (w *Worker) mount() bool {
	const slowest = 5 * time.Second
	told := ""
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, slowest) {
		_, err := w.volumes.Prepare(w.alive, w.view())
		if err == nil {
			return true
		}
		if message := err.Error(); message != told && w.alive.Err() == nil {
			told = message
			w.host.warn(w.view(), "FailedMount", message)
		}
		select {
		case <-w.alive.Done():
			return false
		case <-w.refresh:
		case <-time.After(wait):
		}
	}
}

// runContainers runs init containers one by one and then the others together, until all have ended for good.
func (w *Worker) runContainers() {
	if seconds := w.origin.Spec.ActiveDeadlineSeconds; seconds != nil {
		left := time.Until(w.started.Add(time.Duration(*seconds) * time.Second))
		deadline := time.AfterFunc(left, func() {
			w.fail("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
			w.endContainers(w.specGrace())
		})
		defer deadline.Stop()
	}
	var sidecars, mains sync.WaitGroup
	sidecarLife, stopSidecars := context.WithCancel(context.Background())
	defer stopSidecars()
	if w.initialise(sidecarLife, &sidecars) {
		for _, c := range w.main {
			mains.Go(func() { c.loop(w.alive) })
		}
		mains.Wait()
	}
	w.grace.shorten(time.Now().Add(w.specGrace())) // sidecars of a pod that completed by itself have a grace, too
	stopSidecars()
	sidecars.Wait()
}

// initialise runs the init containers. Sidecars keep running after it. It says whether the others may start.
func (w *Worker) initialise(sidecarLife context.Context, sidecars *sync.WaitGroup) bool {
	for _, c := range w.init {
		if c.kind == sidecarKind {
			sidecars.Go(func() { c.loop(sidecarLife) })
			select {
			case <-c.up:
			case <-w.alive.Done():
				return false
			}
			continue
		}
		code := c.loop(w.alive) //nolint:contextcheck // init containers end with the pod, sidecars after it
		if w.alive.Err() != nil {
			return false
		}
		if code != 0 {
			w.mu.Lock()
			w.initFailed = true
			w.mu.Unlock()
			return false
		}
	}
	w.mu.Lock()
	w.initialized = true
	for _, c := range w.main {
		if c.state.Waiting != nil {
			c.state.Waiting.Reason = "ContainerCreating"
		}
	}
	w.mu.Unlock()
	w.report()
	return true
}

// refreshLoop renders the volumes again when their objects change, the pod's labels change, or a token gets old.
func (w *Worker) refreshLoop(ctx context.Context) {
	const retry = 10 * time.Second
	w.kick() // the first pass learns when the tokens get old
	for wait := time.Duration(0); ; {
		var alarm <-chan time.Time
		var timer *time.Timer
		if wait > 0 {
			timer = time.NewTimer(wait)
			alarm = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-w.refresh:
		case <-alarm:
		}
		if timer != nil {
			timer.Stop()
		}
		next, err := w.volumes.Refresh(ctx, w.view())
		wait = 0
		if !next.IsZero() {
			wait = max(time.Until(next), time.Second)
		}
		if err != nil && ctx.Err() == nil {
			w.host.warn(w.view(), "FailedMount", err.Error())
			wait = retry
		}
	}
}

// kick has the volumes rendered again.
func (w *Worker) kick() {
	select {
	case w.refresh <- struct{}{}:
	default:
	}
}

// fail records why the pod failed.
func (w *Worker) fail(reason, message string) {
	w.mu.Lock()
	w.reason, w.message = reason, message
	w.mu.Unlock()
	w.host.warn(w.view(), reason, message)
	w.report()
}

// setFinished says that nothing of the pod runs any more.
func (w *Worker) setFinished() {
	w.mu.Lock()
	w.finished = true
	for _, c := range append(append([]*container(nil), w.init...), w.main...) {
		c.finished = true
	}
	w.mu.Unlock()
	w.report()
}

// Stop ends the pod within the grace. Later calls can only shorten it.
func (w *Worker) Stop(grace time.Duration) {
	w.endContainers(grace)
	w.leave()
}

// endContainers ends the pod's containers within the grace; the pod stays.
func (w *Worker) endContainers(grace time.Duration) {
	w.grace.shorten(time.Now().Add(grace))
	w.end()
}

// Done is closed when the pod is gone.
func (w *Worker) Done() <-chan struct{} { return w.done }

func (w *Worker) specGrace() time.Duration {
	if seconds := w.origin.Spec.TerminationGracePeriodSeconds; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

// remove reports the last status, deletes the pod in the API and everything of it on the machine.
func (w *Worker) remove() {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	final, known := w.compose()
	name := final.Namespace + "/" + final.Name
	if known && final.DeletionTimestamp == nil {
		return // the node stops, and the next one goes on with the pod
	}
	pods := w.host.Client.CoreV1().Pods(final.Namespace)
	if known {
		if _, err := pods.UpdateStatus(ctx, final, metav1.UpdateOptions{}); err != nil && !gone(err) {
			w.host.Log.Warn("the last status of a pod cannot be written", "pod", name, "error", err)
		}
		now := metav1.NewDeleteOptions(0)
		now.Preconditions = metav1.NewUIDPreconditions(string(final.UID))
		if err := pods.Delete(ctx, final.Name, *now); err != nil && !gone(err) {
			w.host.Log.Error("a pod cannot be deleted", "pod", name, "error", err)
		}
	}
	w.host.Tokens.Forget(final)
	w.host.Addresses.Release(string(final.UID))
	if err := os.RemoveAll(w.host.folder(final)); err != nil {
		w.host.Log.Error("the folder of a pod cannot be removed", "pod", name, "error", err)
	}
}

func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

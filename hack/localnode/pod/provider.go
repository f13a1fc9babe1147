package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// forcedGrace is what the processes of a pod have that was deleted without asking its node.
const forcedGrace = 2 * time.Second

// Provider runs the pods of a node for virtual-kubelet's pod controller.
type Provider struct {
	host *Host

	mu      sync.Mutex
	workers map[types.NamespacedName]*Worker
	running sync.WaitGroup
	notify  func(*corev1.Pod)
	closed  bool
}

// NewProvider returns a provider that runs no pods yet.
func NewProvider(host *Host) *Provider {
	return &Provider{host: host, workers: map[types.NamespacedName]*Worker{}, notify: func(*corev1.Pod) {}}
}

// NotifyPods implements node.PodNotifier.
func (p *Provider) NotifyPods(_ context.Context, notify func(*corev1.Pod)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notify = notify
}

func (p *Provider) tell(pod *corev1.Pod) {
	p.mu.Lock()
	notify, closed := p.notify, p.closed
	p.mu.Unlock()
	if !closed { // what happens to pods because the node stops is not their status
		notify(pod)
	}
}

// CreatePod implements node.PodLifecycleHandler. It returns at once; whatever keeps the pod from running is told in
// its status. A pod waits for an earlier one of the same name to be gone.
func (p *Provider) CreatePod(_ context.Context, pod *corev1.Pod) error {
	name := nameOf(pod)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil // the next node starts it
	}
	earlier := p.workers[name]
	var after <-chan struct{}
	if earlier != nil {
		if earlier.origin.UID == pod.UID {
			return nil
		}
		earlier.Stop(forcedGrace)
		after = earlier.Done()
	}
	worker := newWorker(p.host, pod.DeepCopy(), after, p.tell)
	p.workers[name] = worker
	p.running.Go(func() { //nolint:contextcheck // a pod outlives the call that creates it
		worker.Run()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.workers[name] == worker {
			delete(p.workers, name)
		}
	})
	return nil
}

// UpdatePod implements node.PodLifecycleHandler: labels, annotations and images may change. A pod that ended since it
// was looked up is created. There is never an error: the pod controller would write it into the pod that its cache
// shares with everyone.
func (p *Provider) UpdatePod(ctx context.Context, pod *corev1.Pod) error {
	worker := p.find(pod.Namespace, pod.Name)
	if worker == nil || worker.origin.UID != pod.UID {
		return p.CreatePod(ctx, pod)
	}
	worker.update(pod)
	return nil
}

// update takes over what may change in a running pod.
func (w *Worker) update(pod *corev1.Pod) {
	w.mu.Lock()
	w.pod = pod.DeepCopy()
	var changed []*container
	for i, c := range w.main {
		if i < len(pod.Spec.Containers) && c.spec.Image != pod.Spec.Containers[i].Image {
			changed = append(changed, c)
		}
		c.spec = &w.pod.Spec.Containers[i]
	}
	w.mu.Unlock()
	for _, c := range changed {
		c.askRestart("definition changed", w.specGrace())
	}
	w.kick()
	w.report()
}

// DeletePod implements node.PodLifecycleHandler. It returns at once; the worker deletes the pod in the API when its
// processes have ended.
func (p *Provider) DeletePod(_ context.Context, pod *corev1.Pod) error {
	worker := p.find(pod.Namespace, pod.Name)
	if worker == nil || worker.origin.UID != pod.UID {
		return errdefs.NotFoundf("pod %q is not known to the node", nameOf(pod))
	}
	grace := forcedGrace
	if seconds := pod.DeletionGracePeriodSeconds; seconds != nil && *seconds > 0 {
		grace = time.Duration(*seconds) * time.Second
	}
	worker.Stop(grace)
	return nil
}

// GetPod implements node.PodLifecycleHandler. A pod whose name another one has taken in the API is not known any
// more, so that the pod controller creates the other even when the two are alike.
func (p *Provider) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	worker := p.find(namespace, name)
	if worker == nil || p.superseded(worker) {
		return nil, errdefs.NotFoundf("pod %q is not known to the node", namespace+"/"+name)
	}
	return worker.known(), nil
}

// superseded tells whether the API has another pod under the name of a worker's.
func (p *Provider) superseded(w *Worker) bool {
	seen, err := p.host.Pods.Pods(w.origin.Namespace).Get(w.origin.Name)
	return err == nil && seen.UID != w.origin.UID
}

// known is the pod as it was given to the worker, with its present status.
func (w *Worker) known() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	pod := w.pod.DeepCopy()
	pod.Status = w.statusLocked(pod)
	return pod
}

// GetPodStatus implements node.PodLifecycleHandler.
func (p *Provider) GetPodStatus(ctx context.Context, namespace, name string) (*corev1.PodStatus, error) {
	pod, err := p.GetPod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return &pod.Status, nil
}

// GetPods implements node.PodLifecycleHandler.
func (p *Provider) GetPods(context.Context) ([]*corev1.Pod, error) {
	p.mu.Lock()
	workers := make([]*Worker, 0, len(p.workers))
	for _, worker := range p.workers {
		workers = append(workers, worker)
	}
	p.mu.Unlock()
	pods := make([]*corev1.Pod, 0, len(workers))
	for _, worker := range workers {
		pods = append(pods, worker.known())
	}
	return pods, nil
}

func (p *Provider) find(namespace, name string) *Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers[types.NamespacedName{Namespace: namespace, Name: name}]
}

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// ObjectChanged has the pods of a namespace render their volumes again when they show the object. kind is
// "ConfigMap" or "Secret".
func (p *Provider) ObjectChanged(kind, namespace, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, worker := range p.workers {
		if key.Namespace == namespace && uses(&worker.origin.Spec, kind, name) {
			worker.kick()
		}
	}
}

func uses(spec *corev1.PodSpec, kind, name string) bool {
	for i := range spec.Volumes {
		volume := &spec.Volumes[i]
		if volume.ConfigMap != nil && kind == "ConfigMap" && volume.ConfigMap.Name == name ||
			volume.Secret != nil && kind == "Secret" && volume.Secret.SecretName == name ||
			volume.Projected != nil && projects(volume.Projected, kind, name) {
			return true
		}
	}
	return false
}

func projects(projected *corev1.ProjectedVolumeSource, kind, name string) bool {
	for i := range projected.Sources {
		source := &projected.Sources[i]
		if source.ConfigMap != nil && kind == "ConfigMap" && source.ConfigMap.Name == name ||
			source.Secret != nil && kind == "Secret" && source.Secret.Name == name {
			return true
		}
	}
	return false
}

// Sweep removes folders of pods that the API does not have any more: an earlier node left them.
func (p *Provider) Sweep(known func(uid types.UID) bool) error {
	entries, err := os.ReadDir(p.host.PodsDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if !known(types.UID(entry.Name())) {
			errs = append(errs, os.RemoveAll(filepath.Join(p.host.PodsDir(), entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// StopUnknown stops the pods that the API does not have any more, in case the watch missed their deletion.
func (p *Provider) StopUnknown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, worker := range p.workers {
		seen, err := p.host.Pods.Pods(name.Namespace).Get(name.Name)
		if apierrors.IsNotFound(err) || (err == nil && seen.UID != worker.origin.UID) {
			worker.Stop(forcedGrace)
		}
	}
}

// Close stops the processes of all pods within the grace and waits for them. The pods stay in the API.
func (p *Provider) Close(grace time.Duration) error {
	p.mu.Lock()
	p.closed = true
	for _, worker := range p.workers {
		worker.Stop(grace)
	}
	p.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		p.running.Wait()
		close(finished)
	}()
	limit := time.NewTimer(grace + time.Minute)
	defer limit.Stop()
	select {
	case <-finished:
		return nil
	case <-limit.C:
		return fmt.Errorf("pods still run %s after their grace of %s", time.Minute, grace)
	}
}

// Package pod runs pods: it starts the processes of their containers, watches them and reports what they do.
package pod

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/address"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/process"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/sandbox"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/variables"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

// Host is what pods need of their node.
type Host struct {
	// Address is the node's own address, at which pods in the host's network are reached too.
	Address netip.Addr
	// Addresses gives each other pod an address.
	Addresses *address.Pool
	// DataDir holds the folders of all pods.
	DataDir string
	// Mode is how mount paths are made true.
	Mode sandbox.Mode
	// Images maps images to programs.
	Images image.Catalog
	// Client deletes pods whose processes are gone.
	Client kubernetes.Interface
	// Pods are the pods of this node, as last seen by the watch.
	Pods corelisters.PodLister
	// Variables makes environments.
	Variables *variables.Builder
	// Renderer renders volumes.
	Renderer *volume.Renderer
	// Tokens are forgotten with their pod.
	Tokens *volume.Tokens
	// Claims finds the folders of PersistentVolumeClaims.
	Claims volume.Claims
	// Spawner starts processes, and Records keeps their books.
	Spawner *process.Spawner
	Records *process.Records
	// Recorder writes events.
	Recorder record.EventRecorder
	// Backoff is the wait before the second restart of a container; it doubles with each further one.
	Backoff time.Duration
	// Log tells the user of the node what happens.
	Log *slog.Logger
}

// folder is the place of everything that belongs to a pod.
func (h *Host) folder(pod *corev1.Pod) string {
	return filepath.Join(h.PodsDir(), string(pod.UID))
}

// PodsDir is the folder with one folder per pod, named by its UID.
func (h *Host) PodsDir() string { return filepath.Join(h.DataDir, "pods") }

func (h *Host) warn(pod *corev1.Pod, reason, message string) {
	h.Log.Warn(message, "pod", pod.Namespace+"/"+pod.Name, "reason", reason)
	h.Recorder.Event(pod, corev1.EventTypeWarning, reason, message)
}

func (h *Host) note(pod *corev1.Pod, reason, message string) {
	h.Log.Info(message, "pod", pod.Namespace+"/"+pod.Name, "reason", reason)
	h.Recorder.Event(pod, corev1.EventTypeNormal, reason, message)
}

// Limits of the wait between restarts, as in a kubelet.
const (
	// DefaultBackoff is the first wait.
	DefaultBackoff = 10 * time.Second
	maxBackoff     = 5 * time.Minute
	// healthyRun is how long a container must run for its earlier crashes to be forgotten.
	healthyRun = 10 * time.Minute
)

// restartWait is how long to wait before the next start after so many crashes in a row: the first restart is
// immediate.
func restartWait(crashes int, first time.Duration) time.Duration {
	if crashes <= 1 {
		return 0
	}
	wait := first
	for range crashes - 2 {
		if wait >= maxBackoff {
			break
		}
		wait *= 2
	}
	return min(wait, maxBackoff)
}

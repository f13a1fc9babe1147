// Package node is a Kubernetes node that runs the containers of pods as processes of this machine.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/pod"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/process"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/sandbox"
)

// Config is how a node is started.
type Config struct {
	// Kubeconfig is the file that says how to reach the control plane, with rights of an administrator.
	Kubeconfig string
	// Name is the name of the node.
	Name string
	// Images maps images to programs, see image.Parse.
	Images image.Catalog
	// Rootless makes mount paths true by rewriting arguments even where namespaces are allowed.
	Rootless bool
	// DataDir holds everything that the node writes. Only one node at a time uses it.
	DataDir string
	// Loopback is the range of pod addresses, and Services that of load balancers.
	Loopback, Services string
	// Port is the port of the node's API; zero chooses a free one.
	Port uint16
	// ClientCA is a file with the authorities of clients of the node's API; empty means those of the kubeconfig.
	ClientCA string
	// Grace is what the processes have to end when the node stops.
	Grace time.Duration
	// Backoff is the wait before a container's second restart; zero means that of a kubelet.
	Backoff time.Duration
	// Log is told what happens.
	Log *slog.Logger
}

// Run runs a node until ctx ends and stops its processes then. The error says why the node could not start or had to
// stop; the end of ctx is none.
func Run(ctx context.Context, config Config) error {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Backoff == 0 {
		config.Backoff = pod.DefaultBackoff
	}
	dir, err := filepath.Abs(config.DataDir)
	if err != nil {
		return err
	}
	config.DataDir = dir
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	records, killed, err := process.OpenRecords(filepath.Join(dir, "processes"))
	if err != nil {
		return fmt.Errorf("processes of an earlier node: %w", err)
	}
	if killed > 0 {
		config.Log.Info("killed what an earlier node left", "processes", killed)
	}
	spawner := process.NewSpawner()
	defer spawner.Close()
	n, err := assemble(config, records, spawner)
	if err != nil {
		return err
	}
	defer n.events.Shutdown()
	return n.run(ctx)
}

// lock makes sure that only one node uses a data folder; the lock ends with the process.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // pods of user namespaces pass through it
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %q: another node uses it: %w", dir, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// mode chooses how mount paths are made true.
func mode(config Config) sandbox.Mode {
	if config.Rootless {
		return sandbox.Rewrite
	}
	found, reason := sandbox.Detect(config.DataDir)
	if reason != nil {
		config.Log.Info("this machine does not allow a better way to make mount paths true", "chosen", found, "reason", reason)
	}
	return found
}

// client reads the kubeconfig. The node is trusted with all objects of its control plane, so it is not slowed down.
func client(path string) (*rest.Config, *kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig %q: %w", path, err)
	}
	config.QPS, config.Burst = -1, 0
	config.UserAgent = "localnode"
	set, err := kubernetes.NewForConfig(config)
	return config, set, err
}

// variables are what every container gets.
func (n *node) baseVariables() (map[string]string, error) {
	host, port, err := apiServer(n.rest.Host)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "KUBERNETES_SERVICE_PORT_HTTPS": port,
		"KUBERNETES_PORT": "tcp://" + net.JoinHostPort(host, port),
	}, nil
}

// run starts everything and waits for ctx.
func (n *node) run(ctx context.Context) error {
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	listener, err := n.listen(ctx)
	if err != nil {
		return err
	}
	if err := n.start(serving); err != nil {
		return errors.Join(err, listener.Close())
	}
	group, running := errgroup.WithContext(serving)
	group.Go(func() error { return n.serve(running, listener) })
	n.control(running, group, listener)
	n.config.Log.Info("node is ready", "name", n.config.Name, "mount paths", n.host.Mode.String(), "api", listener.Addr().String())
	select {
	case <-ctx.Done():
	case <-running.Done():
	}
	closeErr := n.provider.Close(n.config.Grace)
	cancel()
	err = errors.Join(group.Wait(), closeErr)
	n.informers.Shutdown()
	n.podInformers.Shutdown()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	vknode "github.com/virtual-kubelet/virtual-kubelet/node"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/address"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/balancer"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/objects"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/pod"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/process"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/storage"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/variables"
	"github.com/bailiwick-dev/bailiwick/hack/localnode/volume"
)

// podWorkers is how many pods the pod controller handles at a time; handling one never blocks.
const podWorkers = 8

// node is a node with all its parts.
type node struct {
	config       Config
	rest         *rest.Config
	client       kubernetes.Interface
	host         *pod.Host
	provider     *pod.Provider
	informers    informers.SharedInformerFactory
	podInformers informers.SharedInformerFactory
	events       record.EventBroadcaster
	storage      *storage.Provisioner
	balancer     *balancer.Balancer
	address      netip.Addr
}

func assemble(config Config, records *process.Records, spawner *process.Spawner) (*node, error) {
	restConfig, set, err := client(config.Kubeconfig)
	if err != nil {
		return nil, err
	}
	addresses, err := address.NewPool(config.Loopback)
	if err != nil {
		return nil, err
	}
	services, err := address.NewPool(config.Services)
	if err != nil {
		return nil, err
	}
	n := &node{config: config, rest: restConfig, client: set, address: addresses.Node()}
	base, err := n.baseVariables()
	if err != nil {
		return nil, err
	}
	n.events = record.NewBroadcaster()
	recorder := n.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "localnode", Host: config.Name})
	n.informers = informers.NewSharedInformerFactory(set, 0)
	n.podInformers = informers.NewSharedInformerFactoryWithOptions(set, 0, ofNode(config.Name))
	core := n.informers.Core().V1()
	read := &objects.Cached{Client: set, ConfigMaps: core.ConfigMaps().Lister(), Secrets: core.Secrets().Lister()}
	tokens := &volume.Tokens{Client: set}
	n.host = &pod.Host{
		Address: n.address, Addresses: addresses, DataDir: config.DataDir, Mode: mode(config), Images: config.Images,
		Client: set, Pods: n.podInformers.Core().V1().Pods().Lister(),
		Variables: &variables.Builder{Objects: read, Allocatable: allocatable(), Base: base},
		Renderer:  &volume.Renderer{Objects: read, Tokens: tokens, Allocatable: allocatable()},
		Tokens:    tokens, Claims: &storage.Claims{Client: set}, Spawner: spawner, Records: records,
		Recorder: recorder, Backoff: config.Backoff, Log: config.Log,
	}
	n.provider = pod.NewProvider(n.host)
	n.storage = &storage.Provisioner{
		Client: set, Recorder: recorder, Log: config.Log, Node: config.Name, Dir: filepath.Join(config.DataDir, "volumes"),
	}
	n.balancer = balancer.New(set, core.Services().Lister(), n.host.Pods, services, recorder, config.Log)
	return n, nil
}

// ofNode limits a factory to the pods of the node.
func ofNode(name string) informers.SharedInformerOption {
	return informers.WithTweakListOptions(func(options *metav1.ListOptions) {
		options.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", name).String()
	})
}

// apiServer is the host and port of the control plane.
func apiServer(address string) (host, port string, err error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", "", fmt.Errorf("address of the API server %q: %w", address, err)
	}
	if port = parsed.Port(); port == "" {
		port = "443"
	}
	if parsed.Scheme != "https" || parsed.Hostname() == "" {
		return "", "", fmt.Errorf("address of the API server %q: must begin with https:// and name a host", address)
	}
	return parsed.Hostname(), port, nil
}

// start starts the watches and waits until they have seen everything once.
func (n *node) start(ctx context.Context) error {
	n.events.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: n.client.CoreV1().Events("")})
	core := n.informers.Core().V1()
	for kind, informer := range map[string]cache.SharedIndexInformer{"ConfigMap": core.ConfigMaps().Informer(), "Secret": core.Secrets().Informer()} {
		if err := n.followObjects(kind, informer); err != nil {
			return err
		}
	}
	_ = n.podInformers.Core().V1().Pods().Informer()
	for _, informer := range []cache.SharedIndexInformer{core.Services().Informer(), core.PersistentVolumeClaims().Informer(), core.PersistentVolumes().Informer()} {
		_ = informer.HasSynced() // asking for an informer is what registers it
	}
	n.informers.Start(ctx.Done())
	n.podInformers.Start(ctx.Done())
	const patience = 30 * time.Second
	syncing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, factory := range []informers.SharedInformerFactory{n.informers, n.podInformers} {
		for kind, synced := range factory.WaitForCacheSync(syncing.Done()) {
			if !synced {
				return fmt.Errorf("the API server does not answer: no list of %s within %s", kind, patience)
			}
		}
	}
	if err := n.storage.EnsureClass(ctx); err != nil {
		return fmt.Errorf("storage class %q: %w", storage.Class, err)
	}
	return n.sweep()
}

// followObjects has pods render their volumes again when a ConfigMap or Secret changes.
func (n *node) followObjects(kind string, informer cache.SharedIndexInformer) error {
	changed := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			namespace, name, _ := cache.SplitMetaNamespaceKey(key) // keys of the cache are well formed
			n.provider.ObjectChanged(kind, namespace, name)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, object any) { changed(object) }, DeleteFunc: changed,
	})
	return err
}

// sweep removes the folders of pods that are gone.
func (n *node) sweep() error {
	pods, err := n.host.Pods.List(labels.Everything())
	if err != nil {
		return err
	}
	known := map[types.UID]bool{}
	for _, found := range pods {
		known[found.UID] = true
	}
	return n.provider.Sweep(func(uid types.UID) bool { return known[uid] })
}

// control adds the controllers of the node to a group.
func (n *node) control(ctx context.Context, group *errgroup.Group, listener net.Listener) {
	group.Go(func() error { return n.runPods(ctx) })
	group.Go(func() error { return n.stopUnknown(ctx) })
	group.Go(func() error { return n.register(ctx, listener) })
	group.Go(func() error { return n.runStorage(ctx) })
	group.Go(func() error { return n.runBalancer(ctx) })
}

func (n *node) runPods(ctx context.Context) error {
	core := n.informers.Core().V1()
	controller, err := vknode.NewPodController(vknode.PodControllerConfig{
		PodClient: n.client.CoreV1(), PodInformer: n.podInformers.Core().V1().Pods(), EventRecorder: n.host.Recorder, Provider: n.provider,
		ConfigMapInformer: core.ConfigMaps(), SecretInformer: core.Secrets(), ServiceInformer: core.Services(),
		SkipDownwardAPIResolution: true,
	})
	if err != nil {
		return err
	}
	return controller.Run(ctx, podWorkers)
}

// stopUnknown looks for pods whose deletion the watch missed, as it can after it was interrupted.
func (n *node) stopUnknown(ctx context.Context) error {
	const period = 10 * time.Second
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			n.provider.StopUnknown()
		}
	}
}

// register makes the Node object and keeps its lease.
func (n *node) register(ctx context.Context, listener net.Listener) error {
	bound, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return errors.New("the node's API does not listen on TCP")
	}
	wanted := object(n.config.Name, n.address, int32(bound.Port)) //nolint:gosec // ports are small
	controller, err := vknode.NewNodeController(vknode.NewNaiveNodeProvider(), wanted, n.client.CoreV1().Nodes(),
		vknode.WithNodeEnableLeaseV1(n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease), vknode.DefaultLeaseDuration))
	if err != nil {
		return err
	}
	return controller.Run(ctx)
}

func (n *node) runStorage(ctx context.Context) error {
	core := n.informers.Core().V1()
	claims := newQueue("PersistentVolumeClaim", n.config.Log, func(ctx context.Context, key string) error {
		namespace, name, _ := cache.SplitMetaNamespaceKey(key) // keys of the cache are well formed
		claim, err := core.PersistentVolumeClaims().Lister().PersistentVolumeClaims(namespace).Get(name)
		if err != nil {
			return ignoreNotFound(err)
		}
		return n.storage.SyncClaim(ctx, claim)
	})
	volumes := newQueue("PersistentVolume", n.config.Log, func(ctx context.Context, key string) error {
		found, err := core.PersistentVolumes().Lister().Get(key)
		if err != nil {
			return ignoreNotFound(err)
		}
		return n.storage.SyncVolume(ctx, found)
	})
	if err := errors.Join(claims.follow(core.PersistentVolumeClaims().Informer()), volumes.follow(core.PersistentVolumes().Informer())); err != nil {
		return err
	}
	group := errgroup.Group{}
	group.Go(func() error { claims.run(ctx); return nil })
	group.Go(func() error { volumes.run(ctx); return nil })
	return group.Wait()
}

func (n *node) runBalancer(ctx context.Context) error {
	services := newQueue("Service", n.config.Log, n.balancer.Sync)
	if err := services.follow(n.informers.Core().V1().Services().Informer()); err != nil {
		return err
	}
	services.run(ctx)
	n.balancer.Close()
	return nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

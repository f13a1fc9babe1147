package balancer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/address"
)

// Annotation tells where a Service of type LoadBalancer is really reached, as address:port, one for each port and
// separated by commas. The port differs from the Service's when that one cannot be had by this user.
const Annotation = "localnode.bailiwick.dev/address"

// Balancer forwards the connections of Services: those of type LoadBalancer from an address of their own, and all
// that have a cluster IP on the loopback network from that one too.
type Balancer struct {
	client   kubernetes.Interface
	services corelisters.ServiceLister
	pods     corelisters.PodLister
	pool     *address.Pool
	recorder record.EventRecorder
	log      *slog.Logger
	// drain is what connections have after their Service is gone.
	drain time.Duration

	mu       sync.Mutex
	open     map[string]map[socket]*forwarder
	draining sync.WaitGroup
}

// socket is what a Service wants to be listened on.
type socket struct {
	address netip.Addr
	port    uint16
}

// New returns a balancer that forwards nothing yet. Load balancers get their addresses from pool.
func New(client kubernetes.Interface, services corelisters.ServiceLister, pods corelisters.PodLister, pool *address.Pool, recorder record.EventRecorder, log *slog.Logger) *Balancer {
	return &Balancer{
		client: client, services: services, pods: pods, pool: pool, recorder: recorder, log: log,
		drain: drainTime, open: map[string]map[socket]*forwarder{},
	}
}

// Sync makes what is listened on match one Service, and the Service say so. It is called after each change of the
// Service, whose key is namespace/name. After an error it is called again.
func (b *Balancer) Sync(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, err := b.services.Services(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		b.closeAll(key)
		return nil
	}
	if err != nil {
		return err
	}
	balanced := service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil && service.DeletionTimestamp == nil
	var own netip.Addr
	if balanced {
		if own, err = b.pool.Prefer(key, reported(service)); err != nil {
			b.recorder.Event(service, corev1.EventTypeWarning, "SyncLoadBalancerFailed", err.Error())
			return err
		}
	}
	b.forwardClusterIP(ctx, key, service)
	if !balanced {
		b.closeExcept(key, b.clusterSockets(service))
		b.pool.Release(key)
		return b.withdraw(ctx, service)
	}
	wanted := sockets(own, service)
	b.closeExcept(key, append(b.clusterSockets(service), wanted...))
	for _, at := range wanted {
		if err := b.ensure(ctx, key, at, true); err != nil {
			b.recorder.Event(service, corev1.EventTypeWarning, "SyncLoadBalancerFailed", err.Error())
			return err
		}
	}
	return b.publish(ctx, key, service, own)
}

// reported is the address that the Service's status has already.
func reported(service *corev1.Service) string {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		return ingress.IP
	}
	return ""
}

// sockets are the TCP ports of a Service at an address.
func sockets(at netip.Addr, service *corev1.Service) []socket {
	var out []socket
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		if port.Protocol == "" || port.Protocol == corev1.ProtocolTCP {
			out = append(out, socket{address: at, port: uint16(port.Port)}) //nolint:gosec // the API allows ports only
		}
	}
	return out
}

// clusterSockets are those of the cluster IP, when there is one on this machine and pods to reach.
func (b *Balancer) clusterSockets(service *corev1.Service) []socket {
	at, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil || !at.IsLoopback() || len(service.Spec.Selector) == 0 || service.DeletionTimestamp != nil {
		return nil
	}
	return sockets(at, service)
}

// forwardClusterIP listens on the cluster IP as kube-proxy would. A port that cannot be had is only told: nobody can
// be told another one.
func (b *Balancer) forwardClusterIP(ctx context.Context, key string, service *corev1.Service) {
	for _, at := range b.clusterSockets(service) {
		if err := b.ensure(ctx, key, at, false); err != nil {
			b.log.Debug("a cluster IP cannot be listened on", "service", key, "error", err)
		}
	}
}

// ensure listens on a socket unless that is so already.
func (b *Balancer) ensure(ctx context.Context, key string, at socket, shifted bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[key][at] != nil {
		return nil
	}
	f, err := listen(ctx, at.address, at.port, shifted, func() []string { return b.targets(key, at.port) })
	if err != nil {
		return fmt.Errorf("service port %d: %w", at.port, err)
	}
	if b.open[key] == nil {
		b.open[key] = map[socket]*forwarder{}
	}
	b.open[key][at] = f
	return nil
}

// targets looks the Service up for each connection, so that a change of its selector counts at once.
func (b *Balancer) targets(key string, number uint16) []string {
	namespace, name, _ := cache.SplitMetaNamespaceKey(key) // Sync has checked it
	service, err := b.services.Services(namespace).Get(name)
	if err != nil {
		return nil
	}
	list := func(namespace string, selector labels.Selector) ([]*corev1.Pod, error) {
		return b.pods.Pods(namespace).List(selector)
	}
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		if port.Port == int32(number) && (port.Protocol == "" || port.Protocol == corev1.ProtocolTCP) {
			return targets(list, service, port)
		}
	}
	return nil
}

// publish writes address and ports into the status, and the annotation.
func (b *Balancer) publish(ctx context.Context, key string, service *corev1.Service, own netip.Addr) error {
	ingress := corev1.LoadBalancerIngress{IP: own.String()}
	var places []string
	b.mu.Lock()
	for at, f := range b.open[key] {
		if at.address == own {
			ingress.Ports = append(ingress.Ports, corev1.PortStatus{Port: int32(f.bound), Protocol: corev1.ProtocolTCP})
		}
	}
	b.mu.Unlock()
	sort.Slice(ingress.Ports, func(i, j int) bool { return ingress.Ports[i].Port < ingress.Ports[j].Port })
	for _, port := range ingress.Ports {
		places = append(places, net.JoinHostPort(ingress.IP, strconv.Itoa(int(port.Port))))
	}
	mode := corev1.LoadBalancerIPModeProxy
	ingress.IPMode = &mode
	return b.write(ctx, service, strings.Join(places, ","), corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{ingress}})
}

// withdraw takes back what publish wrote, when it did.
func (b *Balancer) withdraw(ctx context.Context, service *corev1.Service) error {
	if _, written := service.Annotations[Annotation]; !written {
		return nil
	}
	return b.write(ctx, service, "", corev1.LoadBalancerStatus{})
}

func (b *Balancer) write(ctx context.Context, service *corev1.Service, place string, status corev1.LoadBalancerStatus) error {
	current := service
	services := b.client.CoreV1().Services(service.Namespace)
	if service.Annotations[Annotation] != place {
		next := service.DeepCopy()
		delete(next.Annotations, Annotation)
		if place != "" {
			metav1.SetMetaDataAnnotation(&next.ObjectMeta, Annotation, place)
		}
		updated, err := services.Update(ctx, next, metav1.UpdateOptions{})
		if err != nil {
			return changedMeanwhile(err)
		}
		current = updated
	}
	if equality.Semantic.DeepEqual(current.Status.LoadBalancer, status) {
		return nil
	}
	next := current.DeepCopy()
	next.Status.LoadBalancer = status
	if _, err := services.UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		return changedMeanwhile(err)
	}
	b.log.Info("a service changed where it is reached", "service", service.Namespace+"/"+service.Name, "address", place)
	return nil
}

// changedMeanwhile forgives what the next call will see anyway: the watch brings the change.
func changedMeanwhile(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// closeExcept ends the forwarders of a Service that are not wanted any more.
func (b *Balancer) closeExcept(key string, wanted []socket) {
	keep := map[socket]bool{}
	for _, at := range wanted {
		keep[at] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for at, f := range b.open[key] {
		if !keep[at] {
			delete(b.open[key], at)
			b.draining.Go(func() { f.close(b.drain) })
		}
	}
	if len(b.open[key]) == 0 {
		delete(b.open, key)
	}
}

func (b *Balancer) closeAll(key string) {
	b.closeExcept(key, nil)
	b.pool.Release(key)
}

// Close ends all forwarders at once and waits for them.
func (b *Balancer) Close() {
	b.mu.Lock()
	for _, forwarders := range b.open {
		for _, f := range forwarders {
			b.draining.Go(func() { f.close(0) })
		}
	}
	b.open = map[string]map[socket]*forwarder{}
	b.mu.Unlock()
	b.draining.Wait()
}

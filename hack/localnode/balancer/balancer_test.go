package balancer

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/address"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend answers each connection with its name and then with all that it was sent, after the client's half has ended.
func backend(t *testing.T, at, name string) string {
	t.Helper()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := io.WriteString(conn, name+":"); err != nil {
					return
				}
				data, err := io.ReadAll(conn)
				if err == nil {
					_, _ = conn.Write(data)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// ask sends a text, ends its half of the connection, and reads the answer.
func ask(t *testing.T, address, text string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	data, err := io.ReadAll(conn)
	return string(data), err
}

var loopback = netip.MustParseAddr("127.0.0.1")

// freePort is a port that nobody listens on.
func freePort(t *testing.T, host string) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

func TestConnectionsGoRoundAndSkipWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	places := []string{backend(t, "127.0.0.1:0", "a"), backend(t, "127.0.0.1:0", "b"), dead.Addr().String()}
	f, err := listen(t.Context(), loopback, freePort(t, "127.0.0.1"), false, func() []string { return places })
	if err != nil {
		t.Fatal(err)
	}
	defer f.close(0)
	counts := map[string]int{}
	large := strings.Repeat("x", 1<<20)
	for range 6 {
		answer, err := ask(t, f.listener.Addr().String(), large)
		if err != nil {
			t.Fatal(err)
		}
		name, echo, _ := strings.Cut(answer, ":")
		if echo != large {
			t.Errorf("%d bytes came back, want %d: the half close was lost", len(echo), len(large))
		}
		counts[name]++
	}
	if diff := cmp.Diff(map[string]int{"a": 4, "b": 2}, counts); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestPodSeesTheAddressOfTheClient(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f, err := listen(t.Context(), loopback, freePort(t, "127.0.0.1"), false, func() []string { return []string{listener.Addr().String()} })
	if err != nil {
		t.Fatal(err)
	}
	defer f.close(0)
	for _, want := range []string{"127.88.0.9", "127.0.0.1"} {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(want)}}
		client, err := dialer.Dial("tcp", f.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		seen, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := seen.RemoteAddr().(*net.TCPAddr).IP.String(); got != want {
			t.Errorf("the pod sees %s, want %s", got, want)
		}
		_, _ = client.Close(), seen.Close()
	}
}

func TestConnectionWithoutAPodIsReset(t *testing.T) {
	t.Parallel()
	f, err := listen(t.Context(), loopback, freePort(t, "127.0.0.1"), false, func() []string { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer f.close(0)
	if answer, err := ask(t, f.listener.Addr().String(), "x"); err == nil {
		t.Errorf("got %q without an error", answer)
	}
}

func TestConnectionsEndWithinTheDrainTime(t *testing.T) {
	t.Parallel()
	place := backend(t, "127.0.0.1:0", "a")
	f, err := listen(t.Context(), loopback, freePort(t, "127.0.0.1"), false, func() []string { return []string{place} })
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", f.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	var closed atomic.Bool
	go func() {
		f.close(time.Hour)
		closed.Store(true)
	}()
	for {
		if _, err := net.Dial("tcp", f.listener.Addr().String()); err != nil {
			break // no new connections are taken
		}
	}
	if _, err := conn.Write([]byte("still")); err != nil || closed.Load() {
		t.Errorf("a draining connection was cut: %v", err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "still" {
		t.Errorf("got %q, %v", rest, err)
	}
	for !closed.Load() {
		time.Sleep(time.Millisecond)
	}
}

func TestConnectionsAreCutAfterTheDrainTime(t *testing.T) {
	t.Parallel()
	place := backend(t, "127.0.0.1:0", "a")
	f, err := listen(t.Context(), loopback, freePort(t, "127.0.0.1"), false, func() []string { return []string{place} })
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", f.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	f.close(0)
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("got %v", err)
	}
}

func TestPrivilegedPortThatIsTakenIsShifted(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddr("127.67.255.77")
	first, err := listen(t.Context(), at, 443, true, func() []string { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer first.close(0)
	if first.bound == 443 { // this user may have privileged ports: take the port away
		second, err := listen(t.Context(), at, 443, true, func() []string { return nil })
		if err != nil {
			t.Fatal(err)
		}
		defer second.close(0)
		first = second
	}
	if first.bound != 8443 {
		t.Errorf("got port %d", first.bound)
	}
	if f, err := listen(t.Context(), at, 8443, true, func() []string { return nil }); err == nil {
		f.close(0)
		t.Error("a port that is not privileged was shifted")
	}
	if f, err := listen(t.Context(), at, 443, true, func() []string { return nil }); err == nil {
		if f.close(0); f.bound != 443 {
			t.Error("a third listener was found a port")
		}
	}
}

func pod(name, ip string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
			{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "http", ContainerPort: 8080},
		}}}},
		Status: corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	if change != nil {
		change(p)
	}
	return p
}

func unready(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func TestOnlyReadyPodsOfTheSelectorAreTargets(t *testing.T) {
	t.Parallel()
	now := metav1.Now()
	pods := []*corev1.Pod{
		pod("b", "127.66.0.3", nil),
		pod("a", "127.66.0.2", nil),
		pod("unready", "127.66.0.4", unready),
		pod("no condition", "127.66.0.5", func(p *corev1.Pod) { p.Status.Conditions = nil }),
		pod("terminating", "127.66.0.6", func(p *corev1.Pod) { p.DeletionTimestamp = &now }),
		pod("no address", "", nil),
		pod("other", "127.66.0.7", func(p *corev1.Pod) { p.Labels = nil }),
	}
	list := func(_ string, selector labels.Selector) (out []*corev1.Pod, err error) {
		for _, p := range pods {
			if selector.Matches(labels.Set(p.Labels)) {
				out = append(out, p)
			}
		}
		return out, nil
	}
	service := &corev1.Service{Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}}}
	for _, test := range []struct {
		port corev1.ServicePort
		want []string
	}{
		{corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("http")}, []string{"127.66.0.2:8080", "127.66.0.3:8080"}},
		{corev1.ServicePort{Port: 80, TargetPort: intstr.FromInt32(9)}, []string{"127.66.0.2:9", "127.66.0.3:9"}},
		{corev1.ServicePort{Port: 80}, []string{"127.66.0.2:80", "127.66.0.3:80"}},
		{corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("dns")}, nil},
		{corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("none")}, nil},
	} {
		if diff := cmp.Diff(test.want, targets(list, service, &test.port)); diff != "" {
			t.Errorf("%v: -want +got\n%s", test.port.TargetPort, diff)
		}
	}
	service.Spec.PublishNotReadyAddresses = true
	if got := targets(list, service, &corev1.ServicePort{Port: 80}); len(got) != 4 {
		t.Errorf("with unready pods: got %v", got)
	}
	service.Spec.Selector = nil
	if got := targets(list, service, &corev1.ServicePort{Port: 80}); got != nil {
		t.Errorf("without a selector: got %v", got)
	}
	failing := func(string, labels.Selector) ([]*corev1.Pod, error) { return nil, errors.New("no list") }
	service.Spec.Selector = map[string]string{"app": "web"}
	if got := targets(failing, service, &corev1.ServicePort{Port: 80}); got != nil {
		t.Errorf("without a list: got %v", got)
	}
}

// bench is a balancer on fake objects.
type bench struct {
	*Balancer

	client   *fake.Clientset
	services cache.Indexer
	pods     cache.Indexer
}

func newBench(t *testing.T, cidr string, service *corev1.Service) *bench {
	t.Helper()
	pool, err := address.NewPool(cidr)
	if err != nil {
		t.Fatal(err)
	}
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	b := &bench{
		client:   fake.NewClientset(service),
		services: cache.NewIndexer(cache.MetaNamespaceKeyFunc, byNamespace),
		pods:     cache.NewIndexer(cache.MetaNamespaceKeyFunc, byNamespace),
	}
	b.Balancer = New(b.client, corelisters.NewServiceLister(b.services), corelisters.NewPodLister(b.pods), pool,
		&record.FakeRecorder{}, slog.New(slog.DiscardHandler))
	t.Cleanup(b.Close)
	return b
}

// sync puts a Service into the watch, or takes it out, and syncs it. It returns what the API has then.
func (b *bench) sync(t *testing.T, service *corev1.Service) *corev1.Service {
	t.Helper()
	var err error
	if service == nil {
		err = b.services.Replace(nil, "")
	} else {
		err = b.services.Update(service)
	}
	if err = errors.Join(err, b.Sync(t.Context(), "n/web")); err != nil {
		t.Fatal(err)
	}
	got, err := b.client.CoreV1().Services("n").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestServiceIsForwardedPublishedAndWithdrawn(t *testing.T) {
	t.Parallel()
	place := backend(t, "127.66.255.10:0", "pod")
	_, port, _ := net.SplitHostPort(place)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "n"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"}, ClusterIP: "127.96.255.10",
			Ports: []corev1.ServicePort{{Port: 18080, TargetPort: intstr.Parse(port)}, {Port: 53, Protocol: corev1.ProtocolUDP}},
		},
	}
	b := newBench(t, "127.67.254.0/29", service)
	if err := b.pods.Add(pod("a", "127.66.255.10", nil)); err != nil {
		t.Fatal(err)
	}
	published := b.sync(t, service)
	mode := corev1.LoadBalancerIPModeProxy
	want := []corev1.LoadBalancerIngress{{IP: "127.67.254.2", IPMode: &mode, Ports: []corev1.PortStatus{{Port: 18080, Protocol: corev1.ProtocolTCP}}}}
	if diff := cmp.Diff(want, published.Status.LoadBalancer.Ingress); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := published.Annotations[Annotation]; got != "127.67.254.2:18080" {
		t.Errorf("annotation: got %q", got)
	}
	for _, at := range []string{"127.67.254.2:18080", "127.96.255.10:18080"} {
		if answer, err := ask(t, at, "x"); err != nil || answer != "pod:x" {
			t.Errorf("%s: got %q, %v", at, answer, err)
		}
	}
	writes := len(b.client.Actions())
	b.sync(t, published)
	if got := len(b.client.Actions()); got != writes+1 {
		t.Errorf("a Service that is as it should be was written: %v", b.client.Actions()[writes:])
	}
	published.Spec.Type = corev1.ServiceTypeClusterIP
	withdrawn := b.sync(t, published)
	if len(withdrawn.Status.LoadBalancer.Ingress) != 0 || withdrawn.Annotations[Annotation] != "" {
		t.Errorf("after the type changed: %v %v", withdrawn.Annotations, withdrawn.Status)
	}
	if _, err := ask(t, "127.67.254.2:18080", "x"); err == nil {
		t.Error("the load balancer's address still answers")
	}
	if answer, err := ask(t, "127.96.255.10:18080", "x"); err != nil || answer != "pod:x" {
		t.Errorf("cluster IP: got %q, %v", answer, err)
	}
	b.sync(t, nil)
	if _, err := ask(t, "127.96.255.10:18080", "x"); err == nil {
		t.Error("the cluster IP of a Service that is gone still answers")
	}
}

func TestServiceKeepsTheAddressOfItsStatus(t *testing.T) {
	t.Parallel()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "n"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 18081}}},
		Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "127.67.253.5"}}}},
	}
	b := newBench(t, "127.67.253.0/29", service)
	if got := b.sync(t, service).Annotations[Annotation]; got != "127.67.253.5:18081" {
		t.Errorf("got %q", got)
	}
}

func TestServiceThatCannotBeForwardedIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.67.252.2:18082")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "n"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 18082}}},
	}
	b := newBench(t, "127.67.252.0/29", service)
	events := record.NewFakeRecorder(1)
	b.recorder = events
	if err := b.services.Add(service); err != nil {
		t.Fatal(err)
	}
	if err := b.Sync(t.Context(), "n/web"); err == nil || !strings.Contains(err.Error(), "18082") {
		t.Errorf("got %v", err)
	}
	if event := <-events.Events; !strings.Contains(event, "SyncLoadBalancerFailed") {
		t.Errorf("event: got %q", event)
	}
	if err := b.Sync(t.Context(), "a/b/c"); err == nil {
		t.Error("a malformed key gives no error")
	}
}

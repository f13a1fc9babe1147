package region

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

// networkDelivery lets one network bring mail by both protocols.
func networkDelivery() *v1alpha1.RegionDelivery {
	return &v1alpha1.RegionDelivery{Inbound: &v1alpha1.InboundDelivery{
		SMTP: &v1alpha1.DeliveryPort{}, LMTP: &v1alpha1.DeliveryPort{}, AllowedNetworks: []v1alpha1.NetworkPrefix{"192.0.2.0/24"},
	}}
}

// declare changes the spec of a region and reconciles it.
func (w *world) declare(r *v1alpha1.MailboxRegion, change func(*v1alpha1.MailboxRegionSpec)) {
	w.t.Helper()
	got := w.get(r)
	change(&got.Spec)
	w.update(got)
	w.reconcile(r)
}

// services are the Services of the world's namespace.
func (w *world) services() []string {
	w.t.Helper()
	list := &corev1.ServiceList{}
	if err := apiClient.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names
}

// mailPortsOf are the ports of the pods that the network policy opens beside those of clients and metrics.
func (w *world) mailPortsOf(r *v1alpha1.MailboxRegion) []string {
	w.t.Helper()
	var open []string
	for _, rule := range child(w, namesOf(r).sync(), &networkingv1.NetworkPolicy{}).Spec.Ingress[2:] {
		for _, port := range rule.Ports {
			for _, from := range rule.From {
				open = append(open, from.IPBlock.CIDR+" "+port.Port.String())
			}
		}
	}
	return open
}

func TestDeliveryCostsItsServicesAloneAndNothingOnceItIsThere(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	r.Spec.Delivery = networkDelivery()
	w.create(r)
	w.reconcile(r)
	if got, want := w.wire.writes.Load(), int64(children+2+2); got != want {
		t.Errorf("%d writes, want %d children, 2 Services for mail, and 2", got, children)
	}
	w.wire.writes.Store(0)
	w.wire.reads.Store(0)
	w.reconcile(r)
	w.restart(&wire{})
	w.wire.reads.Store(0)
	w.reconcile(r)
	if writes, reads := w.wire.writes.Load(), w.wire.reads.Load(); writes != 0 || reads != 0 {
		t.Errorf("%d writes and %d reads once it is there, want none", writes, reads)
	}
}

func TestMailPortsComeAndGoWithTheFields(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	before := child(w, "virginia-sync", &appsv1.StatefulSet{}).Spec.Template
	plain := []string{"virginia-sync", "virginia-sync-pods"}
	steps := []struct {
		name     string
		delivery *v1alpha1.RegionDelivery
		services []string
		open     []string
		reason   string
		message  string
	}{
		{"nothing", nil, plain, nil, v1alpha1.ReasonNotConfigured, "spec.delivery is not set: mail moves between the mailboxes of the region only"},
		{
			"both", networkDelivery(),
			[]string{"virginia-sync", "virginia-sync-lmtp", "virginia-sync-pods", "virginia-sync-smtp"},
			[]string{"192.0.2.0/24 2525", "192.0.2.0/24 2424"},
			v1alpha1.ReasonReady,
			fmt.Sprintf("mail comes in by SMTP at virginia-sync-smtp.%s.svc:25, mail comes in by LMTP at virginia-sync-lmtp.%[1]s.svc:24", w.namespace),
		},
		{
			"one", &v1alpha1.RegionDelivery{
				Inbound:  &v1alpha1.InboundDelivery{LMTP: &v1alpha1.DeliveryPort{Port: 2024}, AllowedNetworks: []v1alpha1.NetworkPrefix{"198.51.100.7/24"}},
				Outbound: &v1alpha1.OutboundDelivery{SmartHost: v1alpha1.SmartHost{Host: "relay.example"}},
			},
			[]string{"virginia-sync", "virginia-sync-lmtp", "virginia-sync-pods"},
			[]string{"198.51.100.0/24 2424"},
			v1alpha1.ReasonReady,
			fmt.Sprintf("mail comes in by LMTP at virginia-sync-lmtp.%s.svc:2024, mail goes out by relay.example:587", w.namespace),
		},
		{"nothing again", nil, plain, nil, v1alpha1.ReasonNotConfigured, "spec.delivery is not set: mail moves between the mailboxes of the region only"},
	}
	for _, step := range steps {
		w.declare(r, func(spec *v1alpha1.MailboxRegionSpec) { spec.Delivery = step.delivery })
		if diff := cmp.Diff(step.services, w.services()); diff != "" {
			t.Errorf("%s: Services (-want +got):\n%s", step.name, diff)
		}
		if diff := cmp.Diff(step.open, w.mailPortsOf(r)); diff != "" {
			t.Errorf("%s: open ports (-want +got):\n%s", step.name, diff)
		}
		c := condition(t, w.get(r), v1alpha1.ConditionDeliveryReady)
		if c == nil || c.Status != metav1.ConditionTrue || c.Reason != step.reason || c.Message != step.message {
			t.Errorf("%s: DeliveryReady is %+v, want True %s %q", step.name, c, step.reason, step.message)
		}
	}
	if diff := cmp.Diff(before, child(w, "virginia-sync", &appsv1.StatefulSet{}).Spec.Template); diff != "" {
		t.Errorf("the pods are not as before (-before +after):\n%s", diff)
	}
}

func TestTheCertificateNamesWhatMailServersConnectTo(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	w.create(r)
	w.reconcile(r)
	hosts := func() []string {
		return authority.Examine(nil, child(w, "virginia-sync-tls", &corev1.Secret{}).Data).Hosts
	}
	before := hosts()
	w.declare(r, func(spec *v1alpha1.MailboxRegionSpec) {
		spec.Delivery = networkDelivery()
		spec.Delivery.Inbound.SMTP, spec.Delivery.Inbound.Hostname = nil, "in.example"
	})
	want := append([]string{"in.example", "virginia-sync-lmtp." + w.namespace + ".svc", "virginia-sync-lmtp." + w.namespace + ".svc.cluster.local"}, before...)
	slices.Sort(want)
	if diff := cmp.Diff(want, hosts()); diff != "" {
		t.Errorf("hosts of the certificate (-want +got):\n%s", diff)
	}
	w.declare(r, func(spec *v1alpha1.MailboxRegionSpec) { spec.Delivery = nil })
	if diff := cmp.Diff(before, hosts()); diff != "" {
		t.Errorf("hosts of the certificate without delivery (-want +got):\n%s", diff)
	}
}

func TestALoadBalancerForMailKeepsTheAddressesOfServers(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	r.Spec.Delivery = networkDelivery()
	r.Spec.Delivery.Inbound.SMTP.Service = &v1alpha1.ServiceEndpoint{Type: v1alpha1.ServiceLoadBalancer}
	w.create(r)
	w.reconcile(r)
	service := func() *corev1.Service { return child(w, "virginia-sync-smtp", &corev1.Service{}) }
	if got := service().Spec; got.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal || !slices.Equal(got.LoadBalancerSourceRanges, []string{"192.0.2.0/24"}) {
		t.Errorf("the Service has externalTrafficPolicy %q and the ranges %q, want Local and the allowed network", got.ExternalTrafficPolicy, got.LoadBalancerSourceRanges)
	}
	if got := child(w, "virginia-sync-lmtp", &corev1.Service{}).Spec.Type; got != corev1.ServiceTypeClusterIP {
		t.Errorf("LMTP is exposed as %s along with SMTP, want ClusterIP", got)
	}
	c := condition(t, w.get(r), v1alpha1.ConditionDeliveryReady)
	if want := `Service "virginia-sync-smtp" has no load balancer address: see its events`; c == nil || c.Reason != v1alpha1.ReasonAddressPending || c.Message != want {
		t.Errorf("DeliveryReady is %+v, want %s %q", c, v1alpha1.ReasonAddressPending, want)
	}
	balanced := service()
	balanced.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.9"}}
	w.updateStatus(balanced)
	w.reconcile(r)
	if c := condition(t, w.get(r), v1alpha1.ConditionDeliveryReady); c.Status != metav1.ConditionTrue {
		t.Errorf("DeliveryReady is %+v once there is an address, want True", c)
	}
	w.declare(r, func(spec *v1alpha1.MailboxRegionSpec) { spec.Delivery.Inbound.SMTP.Service = nil })
	got := service().Spec
	if got.Type != corev1.ServiceTypeClusterIP || got.ExternalTrafficPolicy != "" || got.LoadBalancerSourceRanges != nil {
		t.Errorf("the Service is %+v once it is no longer exposed, want ClusterIP with nothing of a load balancer", got)
	}
	if got.SessionAffinity != corev1.ServiceAffinityClientIP {
		t.Errorf("the Service has session affinity %s, want %s: the replica remembers what it delivered", got.SessionAffinity, corev1.ServiceAffinityClientIP)
	}
}

func TestAMailServiceOfSomebodyElseIsToldByDeliveryReady(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "virginia-sync-lmtp", Namespace: w.namespace},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 24}}},
	})
	r := w.region("virginia")
	r.Spec.Delivery = networkDelivery()
	w.create(r)
	if _, err := w.controller.Reconcile(t.Context(), w.request(r)); err == nil {
		t.Fatal("no error, want one that names the Service")
	}
	for kind, want := range map[string]string{v1alpha1.ConditionDeliveryReady: v1alpha1.ReasonApplyFailed, v1alpha1.ConditionEndpointReady: v1alpha1.ReasonReady} {
		if c := condition(t, w.get(r), kind); c == nil || c.Reason != want {
			t.Errorf("%s is %+v, want %s", kind, c, want)
		}
	}
}

func TestARegionWithDeliveryIsDeletedWhole(t *testing.T) {
	w := newWorld(t)
	r := w.region("virginia")
	r.Spec.Delivery = networkDelivery()
	w.create(r)
	w.reconcile(r)
	w.delete(r)
	w.reconcile(r)
	w.reconcile(r)
	if got := w.services(); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
	if err := apiClient.Get(t.Context(), client.ObjectKeyFromObject(r), r); !apierrors.IsNotFound(err) {
		t.Errorf("the region is still there: %v", err)
	}
}

package region

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/conditions"
)

// buildMailService gives the Service of a port at which mail comes in. Each has one of its
// own, so that none is exposed along with another. Servers are admitted by the address of
// their connection, which a load balancer therefore has to keep.
func buildMailService(r *v1alpha1.MailboxRegion, port mailPort) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metaOf(r, namesOf(r).mail(port.protocol)),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: selectorOf(r),
			Ports: []corev1.ServicePort{{
				Name: port.protocol, Port: port.service, TargetPort: intstr.FromString(port.protocol), Protocol: corev1.ProtocolTCP,
			}},
		},
	}
	if port.protocol == protocolSMTP && !balanced(port) {
		// The process that gave a message to some of its recipients remembers them: the
		// next try shall find it. Some load balancers refuse to be asked for that.
		service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	expose(service, port.exposure, true)
	if in := inboundOf(r); balanced(port) && in.ClientCertificates == nil {
		service.Spec.LoadBalancerSourceRanges = networks(in.AllowedNetworks)
	}
	return service
}

// balanced tells whether a port has a load balancer.
func balanced(port mailPort) bool {
	return port.exposure != nil && port.exposure.Type == v1alpha1.ServiceLoadBalancer
}

// surplusMailPorts are the Services of ports that the spec turns on no longer.
func surplusMailPorts(f *Facts) []client.Object {
	var surplus []client.Object
	for _, protocol := range mailProtocols {
		wanted := slices.ContainsFunc(mailPorts(f.Region), func(p mailPort) bool { return p.protocol == protocol })
		if service := f.MailPorts[protocol]; service != nil && !wanted {
			surplus = append(surplus, service)
		}
	}
	return surplus
}

// ofMailPort tells whether a Service of a region is one at which mail comes in.
func ofMailPort(service string) bool {
	return slices.ContainsFunc(mailProtocols, func(protocol string) bool { return strings.HasSuffix(service, names{}.mail(protocol)) })
}

// mailHost is the name of a port's Service within the cluster.
func mailHost(r *v1alpha1.MailboxRegion, port mailPort) string {
	return namesOf(r).mail(port.protocol) + "." + r.Namespace + ".svc"
}

// mailHosts are what mail servers connect to, and the certificate has to name.
func mailHosts(r *v1alpha1.MailboxRegion) []string {
	var hosts []string
	for _, port := range mailPorts(r) {
		host := mailHost(r, port)
		hosts = append(hosts, host, host+".cluster.local")
	}
	if in := inboundOf(r); in != nil && in.Hostname != "" {
		hosts = append(hosts, string(in.Hostname))
	}
	return hosts
}

// mailIngress lets mail servers reach the ports that are on: those of the networks that
// may bring mail, or any where a certificate admits them wherever they are.
func mailIngress(r *v1alpha1.MailboxRegion) []networkingv1.NetworkPolicyIngressRule {
	in := inboundOf(r)
	if in == nil {
		return nil
	}
	var rule networkingv1.NetworkPolicyIngressRule
	for _, p := range mailPorts(r) {
		rule.Ports = append(rule.Ports, port(corev1.ProtocolTCP, p.pod))
	}
	if in.ClientCertificates == nil {
		for _, network := range networks(in.AllowedNetworks) {
			rule.From = append(rule.From, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: network}})
		}
	}
	return []networkingv1.NetworkPolicyIngressRule{rule}
}

// mailEgress lets mail reach the smart host on its port: at its address when the spec
// names one, and else anywhere, since a policy knows no names. It may run in this cluster.
func mailEgress(r *v1alpha1.MailboxRegion) []networkingv1.NetworkPolicyEgressRule {
	host := smartHostOf(r)
	if host == nil {
		return nil
	}
	to := anywhere()
	if address, err := netip.ParseAddr(string(host.Host)); err == nil {
		to = []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: netip.PrefixFrom(address, address.BitLen()).String()}}}
	}
	return []networkingv1.NetworkPolicyEgressRule{{Ports: tcp(smartHostPort(host)), To: append(to, podsAnywhere())}}
}

// judgeDelivery tells whether mail can come in and go out as it is declared.
func judgeDelivery(f *Facts, _ Decision, _ Outcome) conditions.Dependent {
	const condition = v1alpha1.ConditionDeliveryReady
	if f.Region.Spec.Delivery == nil {
		return conditions.True(condition, v1alpha1.ReasonNotConfigured, "spec.delivery is not set: mail moves between the mailboxes of the region only")
	}
	if problem := f.Delivery.Problem; problem != nil {
		message := problem.Message
		if f.running() {
			message += "; the sync servers stay as they are until then"
		}
		return conditions.Blocked(condition, problem.Reason, message)
	}
	var ways []string
	for _, port := range mailPorts(f.Region) {
		if balanced(port) && len(loadBalancer(f.MailPorts[port.protocol])) == 0 {
			return conditions.Waiting(condition, v1alpha1.ReasonAddressPending,
				fmt.Sprintf("Service %q has no load balancer address: see its events", namesOf(f.Region).mail(port.protocol)))
		}
		ways = append(ways, fmt.Sprintf("mail comes in by %s at %s:%d", strings.ToUpper(port.protocol), mailHost(f.Region, port), port.service))
	}
	if host := smartHostOf(f.Region); host != nil {
		ways = append(ways, "mail goes out by "+smartHostAddress(host))
	}
	return conditions.True(condition, v1alpha1.ReasonReady, strings.Join(ways, ", "))
}

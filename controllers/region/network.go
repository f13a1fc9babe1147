package region

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

const (
	portDNS       = 53
	portAPIServer = 6443
	// labelMonitoring marks the namespaces that may scrape metrics.
	labelMonitoring = "metrics"
	monitoringOn    = "enabled"
)

// buildService gives the Service that clients reach the region through.
func buildService(r *v1alpha1.MailboxRegion) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metaOf(r, namesOf(r).sync()),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: selectorOf(r),
			Ports: []corev1.ServicePort{{
				Name: portNameHTTPS, Port: portService, TargetPort: intstr.FromString(portNameHTTPS), Protocol: corev1.ProtocolTCP,
			}},
		},
	}
	expose(service, r.Spec.Endpoint.Service, r.Spec.Limits.ConnectionsPerAddress > 0)
	return service
}

// expose makes a Service as it is declared; one of the cluster only when nothing is.
// Where addresses count, those of clients are kept: by default every connection through
// a load balancer seems to come from a node.
func expose(service *corev1.Service, endpoint *v1alpha1.ServiceEndpoint, addressesCount bool) {
	if endpoint == nil {
		return
	}
	service.Annotations = maps.Clone(endpoint.Annotations)
	if endpoint.Type == v1alpha1.ServiceLoadBalancer {
		service.Spec.Type = corev1.ServiceTypeLoadBalancer
		if addressesCount {
			service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}
	}
	if endpoint.LoadBalancerClass != "" {
		service.Spec.LoadBalancerClass = new(endpoint.LoadBalancerClass)
	}
}

// buildHeadlessService gives the replicas their names within the cluster.
func buildHeadlessService(r *v1alpha1.MailboxRegion) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metaOf(r, namesOf(r).pods()),
		Spec: corev1.ServiceSpec{
			Type:                     corev1.ServiceTypeClusterIP,
			ClusterIP:                corev1.ClusterIPNone,
			PublishNotReadyAddresses: true,
			Selector:                 selectorOf(r),
			Ports: []corev1.ServicePort{{
				Name: portNameHTTPS, Port: portHTTPS, TargetPort: intstr.FromString(portNameHTTPS), Protocol: corev1.ProtocolTCP,
			}},
		},
	}
}

// buildDenyPolicy denies the sync pods all traffic that no other policy allows.
func buildDenyPolicy(r *v1alpha1.MailboxRegion) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metaOf(r, namesOf(r).deny()),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: selectorOf(r)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		},
	}
}

// buildAllowPolicy allows what the sync server needs: clients from anywhere,
// scrapes from the operator's namespace and those marked for monitoring, name
// resolution, the API server, and the keys of the issuers and what stores the mail on
// their ports, and delivery as it is declared. Link-local addresses, where clouds keep their metadata services, are
// never reached.
func buildAllowPolicy(r *v1alpha1.MailboxRegion, operatorNamespace string, issuerPorts, storagePorts []int32) *networkingv1.NetworkPolicy {
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metaOf(r, namesOf(r).sync()),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: selectorOf(r)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{Ports: tcp(portHTTPS)},
				{Ports: tcp(portMetrics), From: []networkingv1.NetworkPolicyPeer{
					namespacePeer(corev1.LabelMetadataName, operatorNamespace),
					namespacePeer(labelMonitoring, monitoringOn),
				}},
			},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				{
					Ports: append(tcp(portDNS), port(corev1.ProtocolUDP, portDNS)),
					To:    []networkingv1.NetworkPolicyPeer{namespacePeer(corev1.LabelMetadataName, metav1.NamespaceSystem)},
				},
				{Ports: tcp(outwardPorts(slices.Concat(issuerPorts, storagePorts))...), To: anywhere()},
			},
		},
	}
	if len(storagePorts) > 0 {
		// Where the network knows pods by their identity, a range of addresses does
		// not cover the databases that run in this cluster.
		policy.Spec.Egress = append(policy.Spec.Egress, networkingv1.NetworkPolicyEgressRule{
			Ports: tcp(compacted(storagePorts)...),
			To:    []networkingv1.NetworkPolicyPeer{podsAnywhere()},
		})
	}
	policy.Spec.Ingress = append(policy.Spec.Ingress, mailIngress(r)...)
	policy.Spec.Egress = append(policy.Spec.Egress, mailEgress(r)...)
	return policy
}

// anywhere are all addresses but the link-local ones.
func anywhere() []networkingv1.NetworkPolicyPeer {
	return []networkingv1.NetworkPolicyPeer{
		{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"169.254.0.0/16"}}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "::/0", Except: []string{"fe80::/10"}}},
	}
}

// podsAnywhere are the pods of every namespace.
func podsAnywhere() networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}}
}

// outwardPorts are those of the API server and others, sorted, each once.
func outwardPorts(others []int32) []int32 {
	return compacted(append([]int32{portService, portAPIServer}, others...))
}

func compacted(ports []int32) []int32 {
	ports = slices.Clone(ports)
	slices.Sort(ports)
	return slices.Compact(ports)
}

func namespacePeer(label, value string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}}
}

func tcp(numbers ...int32) []networkingv1.NetworkPolicyPort {
	ports := make([]networkingv1.NetworkPolicyPort, 0, len(numbers)+1)
	for _, number := range numbers {
		ports = append(ports, port(corev1.ProtocolTCP, number))
	}
	return ports
}

func port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: new(protocol), Port: new(intstr.FromInt32(number))}
}

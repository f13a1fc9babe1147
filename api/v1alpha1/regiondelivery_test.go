package v1alpha1_test

import (
	"fmt"
	"testing"
)

// delivery is a region with mail in and out, the base of the cases below.
var delivery = map[string]string{"spec.delivery": `{
  inbound: {smtp: {}, lmtp: {port: 2024}, allowedNetworks: [192.0.2.0/24, "2001:db8::/32"], hostname: in.example, maxMessageSize: 30Mi,
    clientCertificates: {caBundle: {configMapRef: {name: relays, key: ca.crt}}, names: [mx.example, "spiffe://example/mx"]}},
  outbound: {smartHost: {host: relay.example, port: 2525, tls: Implicit, caBundle: {secretRef: {name: relays, key: ca.crt}},
    clientCertificateSecretRef: {name: relay-client}}}}`}

// with gives a value below spec.delivery.
func with(path, value string) map[string]string {
	return map[string]string{"spec.delivery." + path: value}
}

var deliveryChanges = []change{
	{name: "mail in and out with all that there is", kind: "MailboxRegion", set: delivery},
	{name: "mail in by LMTP from a network alone", kind: "MailboxRegion", set: with("inbound", "{lmtp: {}, allowedNetworks: [192.0.2.0/24]}")},
	{name: "mail in by SMTP with certificates alone", kind: "MailboxRegion", set: with("inbound", "{smtp: {}, clientCertificates: {caBundle: {secretRef: {name: relays, key: ca.crt}}}}")},
	{name: "mail out alone", kind: "MailboxRegion", set: with("outbound", "{smartHost: {host: relay.example}}")},
	{name: "mail out by an address", kind: "MailboxRegion", set: with("outbound", "{smartHost: {host: 192.0.2.7}}")},
	{name: "delivery that is taken out again", kind: "MailboxRegion", update: true, before: delivery, set: map[string]string{"spec.delivery": "null"}},
	{name: "delivery neither in nor out", kind: "MailboxRegion", set: map[string]string{"spec.delivery": "{}"}, message: "declare inbound, outbound or both, or leave delivery out"},
	{name: "mail in without a port", kind: "MailboxRegion", set: with("inbound", "{allowedNetworks: [192.0.2.0/24]}"), message: "turn on smtp, lmtp or both: without a port no mail comes in"},
	{name: "mail in from nobody", kind: "MailboxRegion", set: with("inbound", "{smtp: {}}"), message: "name allowedNetworks, clientCertificates or both: otherwise no server may bring mail"},
	{name: "mail in from everybody", kind: "MailboxRegion", set: with("inbound", `{smtp: {}, allowedNetworks: ["::/0"]}`), message: "a network of every address admits everybody: name the networks of the servers in front, or use clientCertificates"},
	{name: "mail in from a network that is no prefix", kind: "MailboxRegion", set: with("inbound", "{smtp: {}, allowedNetworks: [192.0.2.1]}"), message: "must be a CIDR prefix such as 192.0.2.0/24"},
	{name: "authorities of two sources", kind: "MailboxRegion", set: with("inbound", "{smtp: {}, clientCertificates: {caBundle: {configMapRef: {name: a, key: b}, secretRef: {name: a, key: b}}}}"), message: "choose exactly one of configMapRef and secretRef"},
	{name: "authorities of no source", kind: "MailboxRegion", set: with("outbound", "{smartHost: {host: relay.example, caBundle: {}}}"), message: "choose exactly one of configMapRef and secretRef"},
	{name: "a load balancer for SMTP", kind: "MailboxRegion", set: with("inbound", "{smtp: {service: {type: LoadBalancer, loadBalancerClass: x}}, allowedNetworks: [192.0.2.0/24]}")},
	{name: "a load balancer class for LMTP without a load balancer", kind: "MailboxRegion", set: with("inbound", "{lmtp: {service: {loadBalancerClass: x}}, allowedNetworks: [192.0.2.0/24]}"), message: "loadBalancerClass needs service.type LoadBalancer"},
	{name: "messages that are too small to be useful", kind: "MailboxRegion", set: with("inbound", "{smtp: {}, allowedNetworks: [192.0.2.0/24], maxMessageSize: 63Ki}"), message: "maxMessageSize must be from 64Ki to 75M, such as 50Mi"},
	{name: "messages that no mailbox takes", kind: "MailboxRegion", set: with("inbound", "{smtp: {}, allowedNetworks: [192.0.2.0/24], maxMessageSize: 75Mi}"), message: "maxMessageSize must be from 64Ki to 75M, such as 50Mi"},
	{name: "a smart host at a link-local address", kind: "MailboxRegion", set: with("outbound", "{smartHost: {host: 169.254.169.254}}"), message: "host must not be a link-local address: name the smart host as its certificate does"},
	{name: "a smart host at a link-local address of IPv6", kind: "MailboxRegion", set: with("outbound", `{smartHost: {host: "fe80::1"}}`), message: "host must not be a link-local address"},
	{name: "a key of push that is replaced", kind: "MailboxRegion", update: true, before: map[string]string{"spec.push": "{keyGeneration: 2}"}, set: map[string]string{"spec.push": "{keyGeneration: 3}"}},
	{name: "a key of push that comes back", kind: "MailboxRegion", update: true, before: map[string]string{"spec.push": "{keyGeneration: 2}"}, set: map[string]string{"spec.push": "{keyGeneration: 1}"}, message: "keyGeneration cannot become smaller, a key that was replaced does not come back: keep it, or raise it"},
	{name: "limits", kind: "MailboxRegion", set: map[string]string{"spec.limits": "{requestSlots: 64, connectionsPerAddress: 200}"}},
}

func TestBoundsOfDeliveryNameTheField(t *testing.T) {
	t.Parallel()
	for i, c := range []change{
		{set: with("inbound.smtp.port", "65536"), message: "spec.delivery.inbound.smtp.port"},
		{set: with("inbound.smtp.service", "{type: NodePort}"), message: `spec.delivery.inbound.smtp.service.type: Unsupported value: "NodePort"`},
		{set: with("inbound.allowedNetworks", "[]"), message: "spec.delivery.inbound.allowedNetworks"},
		{set: with("inbound.allowedNetworks", "[192.0.2.0/24, 192.0.2.0/24]"), message: "spec.delivery.inbound.allowedNetworks[1]: Duplicate value"},
		{set: with("inbound.clientCertificates.names", `["mx.example,any"]`), message: "spec.delivery.inbound.clientCertificates.names[0]"},
		{set: with("inbound.clientCertificates.names", `["$(POD_IP)"]`), message: "spec.delivery.inbound.clientCertificates.names[0]"},
		{set: with("outbound.smartHost.tls", "None"), message: `spec.delivery.outbound.smartHost.tls: Unsupported value: "None"`},
		{set: with("outbound.smartHost.host", "https://relay.example"), message: "spec.delivery.outbound.smartHost.host"},
		{set: with("outbound.smartHost.host", "null"), message: "spec.delivery.outbound.smartHost.host: Required value"},
		{set: map[string]string{"spec.limits": "{requestSlots: -1}"}, message: "spec.limits.requestSlots"},
		{set: map[string]string{"spec.push": "{keyGeneration: -1}"}, message: "spec.push.keyGeneration"},
	} {
		c.kind, c.before = "MailboxRegion", delivery
		check(t, c, fmt.Sprintf("delivery-bounds-%d", i))
	}
}

package region

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Protocols by which mail comes in. They name the ports of the pods, and end the names of
// the Services.
const (
	protocolSMTP = "smtp"
	protocolLMTP = "lmtp"
)

var mailProtocols = []string{protocolSMTP, protocolLMTP}

// Ports for mail: of the pods, which may not have those below 1024, and of the Services and
// the smart host when the spec names none.
const (
	portSMTP = 2525
	portLMTP = 2424

	defaultPortSMTP       = 25
	defaultPortLMTP       = 24
	defaultPortSubmission = 587
	defaultPortImplicit   = 465
)

// Paths and volumes of the certificates of mail servers in the sync pod.
const (
	pathPeerAuthorities      = "/var/run/bailiwick/smtp-ca"
	pathSmartHostAuthorities = "/var/run/bailiwick/smarthost-ca"
	pathSmartHostCertificate = "/var/run/bailiwick/smarthost-tls"

	peerAuthoritiesVolume      = "smtp-ca"
	smartHostAuthoritiesVolume = "smarthost-ca"
	smartHostCertificateVolume = "smarthost-tls"
)

// mailPort is a port at which mail comes in.
type mailPort struct {
	protocol string
	// pod and service are the numbers of the port.
	pod, service int32
	// exposure is what the spec says of the Service; nil when it says nothing.
	exposure *v1alpha1.ServiceEndpoint
}

// mailPorts are those that the spec turns on.
func mailPorts(r *v1alpha1.MailboxRegion) []mailPort {
	in := inboundOf(r)
	if in == nil {
		return nil
	}
	var list []mailPort
	for _, p := range []struct {
		declared *v1alpha1.DeliveryPort
		port     mailPort
	}{
		{in.SMTP, mailPort{protocol: protocolSMTP, pod: portSMTP, service: defaultPortSMTP}},
		{in.LMTP, mailPort{protocol: protocolLMTP, pod: portLMTP, service: defaultPortLMTP}},
	} {
		if p.declared == nil {
			continue
		}
		p.port.exposure = p.declared.Service
		if p.declared.Port > 0 {
			p.port.service = p.declared.Port
		}
		list = append(list, p.port)
	}
	return list
}

// deliveryOf gives what delivery adds to the pods of a region.
func deliveryOf(r *v1alpha1.MailboxRegion) podPart {
	var p podPart
	if in := inboundOf(r); in != nil {
		p.inbound(r, in)
	}
	if host := smartHostOf(r); host != nil {
		p.smartHost(host)
	}
	return p
}

func (p *podPart) inbound(r *v1alpha1.MailboxRegion, in *v1alpha1.InboundDelivery) {
	for _, port := range mailPorts(r) {
		p.arguments = append(p.arguments, fmt.Sprintf("--%s-port=%d", port.protocol, port.pod))
		p.ports = append(p.ports, corev1.ContainerPort{Name: port.protocol, ContainerPort: port.pod, Protocol: corev1.ProtocolTCP})
	}
	if len(in.AllowedNetworks) > 0 {
		p.arguments = append(p.arguments, "--smtp-allowed-networks="+strings.Join(networks(in.AllowedNetworks), ","))
	}
	if certificates := in.ClientCertificates; certificates != nil {
		p.arguments = append(p.arguments, "--smtp-client-ca="+pathPeerAuthorities+"/"+corev1.ServiceAccountRootCAKey)
		p.add(peerAuthoritiesVolume, pathPeerAuthorities, bundleSource(&certificates.CABundle))
		if len(certificates.Names) > 0 {
			p.arguments = append(p.arguments, "--smtp-client-names="+strings.Join(peerNames(certificates.Names), ","))
		}
	}
	if size := in.MaxMessageSize; size != nil {
		p.arguments = append(p.arguments, "--smtp-max-message-size="+strconv.FormatInt(size.Value(), 10))
	}
}

func (p *podPart) smartHost(host *v1alpha1.SmartHost) {
	p.arguments = append(p.arguments, "--smarthost="+smartHostAddress(host), "--smarthost-tls="+strings.ToLower(string(smartHostTLS(host))))
	if host.CABundle != nil {
		p.arguments = append(p.arguments, "--smarthost-ca="+pathSmartHostAuthorities+"/"+corev1.ServiceAccountRootCAKey)
		p.add(smartHostAuthoritiesVolume, pathSmartHostAuthorities, bundleSource(host.CABundle))
	}
	if ref := host.ClientCertificateSecretRef; ref != nil {
		p.arguments = append(p.arguments, "--smarthost-cert-dir="+pathSmartHostCertificate)
		p.add(smartHostCertificateVolume, pathSmartHostCertificate, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName:  string(ref.Name),
			DefaultMode: new(int32(modeSecret)),
			Items: []corev1.KeyToPath{
				{Key: corev1.TLSCertKey, Path: corev1.TLSCertKey},
				{Key: corev1.TLSPrivateKeyKey, Path: corev1.TLSPrivateKeyKey},
			},
		}})
	}
}

// bundleSource mounts the certificates of a reference as ca.crt.
func bundleSource(b *v1alpha1.CertificateReference) corev1.VolumeSource {
	if ref := b.SecretRef; ref != nil {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName:  string(ref.Name),
			DefaultMode: new(int32(modeSecret)),
			Items:       []corev1.KeyToPath{{Key: ref.Key, Path: corev1.ServiceAccountRootCAKey}},
		}}
	}
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: string(b.ConfigMapRef.Name)},
		DefaultMode:          new(int32(modeSecret)),
		Items:                []corev1.KeyToPath{{Key: b.ConfigMapRef.Key, Path: corev1.ServiceAccountRootCAKey}},
	}}
}

// networks are the networks in one spelling, sorted, each once, so that another order in
// the spec replaces no pod.
func networks(declared []v1alpha1.NetworkPrefix) []string {
	list := make([]string, 0, len(declared))
	for _, network := range declared {
		if prefix, err := netip.ParsePrefix(string(network)); err == nil {
			list = append(list, prefix.Masked().String())
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func peerNames(declared []v1alpha1.PeerName) []string {
	list := make([]string, 0, len(declared))
	for _, name := range declared {
		list = append(list, string(name))
	}
	slices.Sort(list)
	return list
}

// smartHostTLS is how TLS begins, default applied.
func smartHostTLS(host *v1alpha1.SmartHost) v1alpha1.SmartHostTLS {
	if host.TLS == "" {
		return v1alpha1.SmartHostStartTLS
	}
	return host.TLS
}

// smartHostPort is the port of the smart host, default applied.
func smartHostPort(host *v1alpha1.SmartHost) int32 {
	switch {
	case host.Port > 0:
		return host.Port
	case smartHostTLS(host) == v1alpha1.SmartHostImplicit:
		return defaultPortImplicit
	default:
		return defaultPortSubmission
	}
}

func smartHostAddress(host *v1alpha1.SmartHost) string {
	return net.JoinHostPort(string(host.Host), strconv.Itoa(int(smartHostPort(host))))
}

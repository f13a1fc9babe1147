package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// CertificateReference names PEM certificates in the namespace of the object that
// refers to them.
//
// +kubebuilder:validation:XValidation:rule="has(self.configMapRef) != has(self.secretRef)",message="choose exactly one of configMapRef and secretRef"
type CertificateReference struct {
	// configMapRef names a ConfigMap with PEM certificates.
	// +optional
	ConfigMapRef *ConfigMapKeyReference `json:"configMapRef,omitempty"`
	// secretRef names a Secret with PEM certificates.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
}

// TLSSecretReference names a Secret with tls.crt and tls.key, as those of type
// kubernetes.io/tls have, in the namespace of the object that refers to it.
type TLSSecretReference struct {
	// name of the Secret.
	// +required
	Name ObjectName `json:"name"`
}

// PeerName is a DNS name or a URI that the certificate of a mail server carries.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9._:/%+~@-]+$`
type PeerName string

// PeerCertificates are the client certificates by which mail servers are admitted.
type PeerCertificates struct {
	// caBundle holds the authorities that issue them.
	// +required
	CABundle CertificateReference `json:"caBundle"`
	// names narrows them to certificates that carry one of these DNS names or URIs;
	// any when absent.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Names []PeerName `json:"names,omitempty"`
}

// DeliveryPort is a port at which mail comes in, with a Service of its own.
//
// +kubebuilder:validation:XValidation:rule="!has(self.service) || !has(self.service.loadBalancerClass) || (has(self.service.type) && self.service.type == 'LoadBalancer')",message="loadBalancerClass needs service.type LoadBalancer"
type DeliveryPort struct {
	// port of the Service; 25 for smtp and 24 for lmtp when absent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
	// service exposes the port; within the cluster only, as ClusterIP, when absent.
	// +optional
	Service *ServiceEndpoint `json:"service,omitempty"`
}

// InboundDelivery is how the servers in front of a region bring mail, always by TLS.
// A server is admitted by its network or by its certificate: no password exists.
//
// +kubebuilder:validation:XValidation:rule="has(self.smtp) || has(self.lmtp)",message="turn on smtp, lmtp or both: without a port no mail comes in"
// +kubebuilder:validation:XValidation:rule="has(self.allowedNetworks) || has(self.clientCertificates)",message="name allowedNetworks, clientCertificates or both: otherwise no server may bring mail"
type InboundDelivery struct {
	// smtp takes mail by SMTP with STARTTLS, at Service <region>-sync-smtp.
	// +optional
	SMTP *DeliveryPort `json:"smtp,omitempty"`
	// lmtp takes mail by LMTP with STARTTLS, at Service <region>-sync-lmtp. It has a
	// reply for each recipient: prefer it where the server in front speaks it.
	// +optional
	LMTP *DeliveryPort `json:"lmtp,omitempty"`
	// allowedNetworks from which servers may bring mail, by the address of the
	// connection.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(n, !n.endsWith('/0'))",message="a network of every address admits everybody: name the networks of the servers in front, or use clientCertificates"
	// +optional
	AllowedNetworks []NetworkPrefix `json:"allowedNetworks,omitempty"`
	// clientCertificates with which servers may bring mail from anywhere.
	// +optional
	ClientCertificates *PeerCertificates `json:"clientCertificates,omitempty"`
	// hostname that servers outside the cluster connect to. The certificate names it
	// beside the hostname of the endpoint and the names of the Services.
	// +optional
	Hostname Hostname `json:"hostname,omitempty"`
	// maxMessageSize of a message; 50Mi when absent.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('64Ki')) >= 0 && quantity(string(self)).compareTo(quantity('75M')) <= 0",message="maxMessageSize must be from 64Ki to 75M, such as 50Mi"
	// +optional
	MaxMessageSize *resource.Quantity `json:"maxMessageSize,omitempty"`
}

// SmartHostTLS is how TLS begins with a smart host.
//
// +kubebuilder:validation:Enum=StartTLS;Implicit
type SmartHostTLS string

// The ways to begin TLS. There is no way without it.
const (
	// SmartHostStartTLS upgrades the connection, and gives up when that is refused.
	SmartHostStartTLS SmartHostTLS = "StartTLS"
	// SmartHostImplicit begins with TLS.
	SmartHostImplicit SmartHostTLS = "Implicit"
)

// SmartHost is the server that takes mail out of a region. It knows the region by its
// network or by a client certificate: no password exists.
//
// +kubebuilder:validation:XValidation:rule="!isIP(self.host) || !ip(self.host).isLinkLocalUnicast()",message="host must not be a link-local address: name the smart host as its certificate does"
type SmartHost struct {
	// host that is connected to; its certificate must name it.
	// +required
	Host Hostname `json:"host"`
	// port of the host; 587 with StartTLS and 465 with Implicit when absent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
	// tls is how TLS begins; StartTLS when absent.
	// +optional
	TLS SmartHostTLS `json:"tls,omitempty"`
	// caBundle verifies the host's certificate; the roots of the system do when absent.
	// +optional
	CABundle *CertificateReference `json:"caBundle,omitempty"`
	// clientCertificateSecretRef names the certificate that is shown to the host. A
	// renewed one is used without a restart.
	// +optional
	ClientCertificateSecretRef *TLSSecretReference `json:"clientCertificateSecretRef,omitempty"`
}

// OutboundDelivery is how mail leaves a region.
type OutboundDelivery struct {
	// smartHost takes all mail that no mailbox of the region receives.
	// +required
	SmartHost SmartHost `json:"smartHost"`
}

// RegionDelivery is how mail enters and leaves a region. What it refers to lies in the
// region's namespace.
//
// +kubebuilder:validation:XValidation:rule="has(self.inbound) || has(self.outbound)",message="declare inbound, outbound or both, or leave delivery out"
type RegionDelivery struct {
	// inbound mail; none when absent.
	// +optional
	Inbound *InboundDelivery `json:"inbound,omitempty"`
	// outbound mail; none when absent: mail then moves between mailboxes of the region
	// only.
	// +optional
	Outbound *OutboundDelivery `json:"outbound,omitempty"`
}

// RegionPush is how a region identifies itself to push services.
type RegionPush struct {
	// keyGeneration of the key, 1 when absent. The region makes the key itself, once,
	// and keeps it with the mail. Raise this to have it replaced: the one before serves
	// its subscriptions for 7 more days.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="keyGeneration cannot become smaller, a key that was replaced does not come back: keep it, or raise it"
	// +optional
	KeyGeneration int64 `json:"keyGeneration,omitempty"`
}

// RegionLimits bound what clients may use of each replica.
type RegionLimits struct {
	// requestSlots is how many requests and uploads are worked on at a time; four for
	// each processor when absent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	// +optional
	RequestSlots int32 `json:"requestSlots,omitempty"`
	// connectionsPerAddress is how many connections one client address may have open;
	// any number when absent. With it a load balancer has to pass the addresses of
	// clients on: the Service gets externalTrafficPolicy Local.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	ConnectionsPerAddress int32 `json:"connectionsPerAddress,omitempty"`
}

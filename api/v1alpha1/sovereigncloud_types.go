package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Provenance says how a value of the catalogue is known.
//
// +kubebuilder:validation:Enum=Verified;Conflicting;Unverified;Inferred
type Provenance string

// The provenance marks.
const (
	// ProvenanceVerified was read in the named source.
	ProvenanceVerified Provenance = "Verified"
	// ProvenanceConflicting has sources that contradict each other.
	ProvenanceConflicting Provenance = "Conflicting"
	// ProvenanceUnverified was not found in a source: check before relying on it.
	ProvenanceUnverified Provenance = "Unverified"
	// ProvenanceInferred follows from verified values.
	ProvenanceInferred Provenance = "Inferred"
)

// CloudHost is one host of a cloud with the mark of how it is known.
type CloudHost struct {
	// host name, without scheme, port or path.
	// +required
	Host Hostname `json:"host"`
	// provenance says how the value is known.
	// +optional
	Provenance Provenance `json:"provenance,omitempty"`
	// source names where the value was read.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Source string `json:"source,omitempty"`
}

// IssuerHostPattern is a host name, or "*." and a domain for every host under it.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$|^[0-9a-f:.]+$`
type IssuerHostPattern string

// AddressRange is a CIDR prefix.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a CIDR prefix such as 10.20.0.0/16"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || !(cidr('169.254.0.0/16').containsCIDR(self) || cidr('fe80::/10').containsCIDR(self) || self.matches('^(0[.]0[.]0[.]0|::)/'))",message="link-local and all-covering ranges are never allowed: name the private range in which the identity hosts live"
type AddressRange string

// CloudIdentity is who may issue tokens in a cloud.
//
// +kubebuilder:validation:XValidation:rule="(has(self.authorityHosts) && size(self.authorityHosts) > 0) || (has(self.tenantIssuerHosts) && size(self.tenantIssuerHosts) > 0)",message="name at least one host in authorityHosts or tenantIssuerHosts: without an identity authority nobody can sign in"
type CloudIdentity struct {
	// authorityHosts are the hosts of the cloud's own identity authority (Entra ID),
	// the current one first, then its aliases.
	// +listType=map
	// +listMapKey=host
	// +kubebuilder:validation:MaxItems=16
	// +optional
	AuthorityHosts []CloudHost `json:"authorityHosts,omitempty"`
	// tokenIssuerHosts are further hosts that tokens of the authority name in "iss"
	// without serving documents there.
	// +listType=map
	// +listMapKey=host
	// +kubebuilder:validation:MaxItems=16
	// +optional
	TokenIssuerHosts []CloudHost `json:"tokenIssuerHosts,omitempty"`
	// tenantIssuerHosts are the hosts outside authorityHosts that tenants may name
	// as their own AD FS or OIDC issuer. Empty: tenants use the cloud's authority.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +optional
	TenantIssuerHosts []IssuerHostPattern `json:"tenantIssuerHosts,omitempty"`
	// privateRanges are the non-public address ranges in which identity hosts of
	// this cloud may resolve (an air-gapped cloud, an AD FS on premises). Elsewhere
	// only public addresses are dialled.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	PrivateRanges []AddressRange `json:"privateRanges,omitempty"`
	// federatedCredentialAudience is the audience of workload identity federation
	// in this cloud.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	FederatedCredentialAudience string `json:"federatedCredentialAudience,omitempty"`
	// federatedCredentialAudienceProvenance says how the audience is known.
	// +optional
	FederatedCredentialAudienceProvenance Provenance `json:"federatedCredentialAudienceProvenance,omitempty"`
}

// CloudEndpoints are the hosts of a cloud's services. A cloud that lacks a service
// leaves it out.
type CloudEndpoints struct {
	// graph is the Microsoft Graph root.
	// +optional
	Graph *CloudHost `json:"graph,omitempty"`
	// exchange are the Exchange Online hosts.
	// +listType=map
	// +listMapKey=host
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Exchange []CloudHost `json:"exchange,omitempty"`
	// autodiscover is the Autodiscover host.
	// +optional
	Autodiscover *CloudHost `json:"autodiscover,omitempty"`
	// deviceManagement is the Intune host.
	// +optional
	DeviceManagement *CloudHost `json:"deviceManagement,omitempty"`
	// resourceManager is the Azure Resource Manager host.
	// +optional
	ResourceManager *CloudHost `json:"resourceManager,omitempty"`
}

// Geography is an area in which a cloud keeps mailbox data.
type Geography struct {
	// code of the geography.
	// +required
	Code GeographyCode `json:"code"`
	// name for people.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Name string `json:"name"`
	// countries in which data of this geography may rest. A region's country must
	// be one of them.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +required
	Countries []CountryCode `json:"countries"`
	// provenance says how the entry is known.
	// +optional
	Provenance Provenance `json:"provenance,omitempty"`
	// source names where the entry was read.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Source string `json:"source,omitempty"`
}

// Cryptography is the cryptographic regime of a cloud.
//
// +kubebuilder:validation:Enum=Standard;FIPS140
type Cryptography string

// The cryptographic regimes.
const (
	// CryptographyStandard uses Go's standard cryptography.
	CryptographyStandard Cryptography = "Standard"
	// CryptographyFIPS140 runs workloads on the FIPS 140-3 module.
	CryptographyFIPS140 Cryptography = "FIPS140"
)

// TLSVersion is the lowest TLS version that an endpoint accepts.
//
// +kubebuilder:validation:Enum="1.2";"1.3"
type TLSVersion string

// The TLS versions that may be the minimum.
const (
	TLSVersion12 TLSVersion = "1.2"
	TLSVersion13 TLSVersion = "1.3"
)

// CloudCompliance is what every workload in a cloud must satisfy.
type CloudCompliance struct {
	// cryptography of workloads; Standard when absent.
	// +optional
	Cryptography Cryptography `json:"cryptography,omitempty"`
	// minimumTLSVersion of every endpoint; 1.2 when absent.
	// +optional
	MinimumTLSVersion TLSVersion `json:"minimumTLSVersion,omitempty"`
	// podSecurity is the Pod Security Standard that generated pods satisfy;
	// Restricted when absent, and nothing less is offered.
	// +kubebuilder:validation:Enum=Restricted
	// +optional
	PodSecurity string `json:"podSecurity,omitempty"`
	// certificateKey is the key of the cloud's own certificate authority and of the
	// serving certificates that it issues; ECDSA-P256 when absent.
	// +optional
	CertificateKey KeyAlgorithm `json:"certificateKey,omitempty"`
}

// KeyAlgorithm is the algorithm and curve of a certificate's key.
//
// +kubebuilder:validation:Enum=ECDSA-P256;ECDSA-P384
type KeyAlgorithm string

// The key algorithms (FIPS 186-5).
const (
	KeyECDSAP256 KeyAlgorithm = "ECDSA-P256"
	KeyECDSAP384 KeyAlgorithm = "ECDSA-P384"
)

// SovereignCloudSpec is the boundary of a cloud.
type SovereignCloudSpec struct {
	// displayName for people.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// identity is who may issue tokens.
	// +required
	Identity CloudIdentity `json:"identity"`
	// endpoints of the cloud's services.
	// +optional
	Endpoints CloudEndpoints `json:"endpoints,omitzero"`
	// geographies in which the cloud keeps mailbox data.
	// +listType=map
	// +listMapKey=code
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +required
	Geographies []Geography `json:"geographies"`
	// compliance that every workload must satisfy.
	// +optional
	Compliance CloudCompliance `json:"compliance,omitzero"`
}

// CloudUsage counts what lies within a cloud.
type CloudUsage struct {
	// regions that name this cloud.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Regions int32 `json:"regions"`
	// tenants that name this cloud.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Tenants int32 `json:"tenants"`
}

// SovereignCloudStatus is the observed state of a cloud.
type SovereignCloudStatus struct {
	ReconcileStatus `json:",inline"`

	// usedBy counts the regions and tenants of this cloud. While it is not zero the
	// cloud cannot be deleted.
	// +optional
	UsedBy CloudUsage `json:"usedBy,omitzero"`
	// compliance in force, defaults applied.
	// +optional
	Compliance CloudCompliance `json:"compliance,omitzero"`
	// authorityNotAfter is when the cloud's own certificate authority expires.
	// +optional
	AuthorityNotAfter *metav1.Time `json:"authorityNotAfter,omitempty"`
}

// SovereignCloud is a boundary that mail, identities and keys do not cross.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=scl,categories=bailiwick
// +kubebuilder:printcolumn:name="Cryptography",type=string,JSONPath=`.status.compliance.cryptography`
// +kubebuilder:printcolumn:name="TLS",type=string,JSONPath=`.status.compliance.minimumTLSVersion`
// +kubebuilder:printcolumn:name="Regions",type=integer,JSONPath=`.status.usedBy.regions`
// +kubebuilder:printcolumn:name="Tenants",type=integer,JSONPath=`.status.usedBy.tenants`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name must be at most 40 characters: the names of the cloud's objects are made from it"
type SovereignCloud struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the boundary.
	// +required
	Spec SovereignCloudSpec `json:"spec"`
	// status is written by the operator.
	// +optional
	Status SovereignCloudStatus `json:"status,omitzero"`
}

// SovereignCloudList is a list of SovereignCloud.
//
// +kubebuilder:object:root=true
type SovereignCloudList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SovereignCloud `json:"items"`
}

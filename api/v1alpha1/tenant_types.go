package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccountType is the kind of organisation that a tenant is.
//
// +kubebuilder:validation:Enum=Enterprise;Government;Business;Education
type AccountType string

// The account types.
const (
	AccountEnterprise AccountType = "Enterprise"
	AccountGovernment AccountType = "Government"
	AccountBusiness   AccountType = "Business"
	AccountEducation  AccountType = "Education"
)

// MailDomain is a mail domain in lower case; internationalised names in A-label
// form (RFC 5890).
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
type MailDomain string

// IdentityType is the kind of identity provider.
//
// +kubebuilder:validation:Enum=Entra;ADFS;OIDC
type IdentityType string

// The identity types.
const (
	// IdentityEntra is Microsoft Entra ID of the tenant's cloud.
	IdentityEntra IdentityType = "Entra"
	// IdentityADFS is Active Directory Federation Services.
	IdentityADFS IdentityType = "ADFS"
	// IdentityOIDC is an OpenID Provider whose access tokens follow RFC 9068.
	IdentityOIDC IdentityType = "OIDC"
)

// Audience is an accepted "aud" value of access tokens.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type Audience string

// ClientID is the identifier of an OAuth client.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type ClientID string

// ClaimName is the name of a token claim.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type ClaimName string

// EntraIdentity trusts one Entra directory at the cloud's own authority.
type EntraIdentity struct {
	// directoryID is the directory (tenant) id, a UUID in lower case.
	// +kubebuilder:validation:MinLength=36
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	// +required
	DirectoryID string `json:"directoryID"`
	// audiences accepted: v2.0 tokens carry the API's client id, v1.0 tokens the
	// client id or a spelling of the application id URI.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +required
	Audiences []Audience `json:"audiences"`
	// clientIDs accepted; every client of the directory when empty.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +optional
	ClientIDs []ClientID `json:"clientIDs,omitempty"`
}

// IssuerIdentity trusts one issuer that the tenant runs.
type IssuerIdentity struct {
	// issuer URL, as in the "iss" claim and the discovery document.
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.startsWith('https://')",message="issuer must be an https URL: tokens are only as good as the channel that their keys come through"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#') && !self.contains('@')",message="issuer must have no query, fragment or user information (RFC 8414 section 2)"
	// +required
	Issuer string `json:"issuer"`
	// audiences accepted.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +required
	Audiences []Audience `json:"audiences"`
	// clientIDs accepted; every client of the issuer when empty.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +optional
	ClientIDs []ClientID `json:"clientIDs,omitempty"`
}

// IdentityClaims names the claims that carry identity and location. What is absent
// has the default of the identity type, shown in status.
type IdentityClaims struct {
	// address carries the mailbox address.
	// +optional
	Address ClaimName `json:"address,omitempty"`
	// name carries the display name.
	// +optional
	Name ClaimName `json:"name,omitempty"`
	// preferredDataLocation carries the geography code; xms_pdl when absent.
	// +optional
	PreferredDataLocation ClaimName `json:"preferredDataLocation,omitempty"`
}

// CABundle is a set of PEM certificates.
//
// +kubebuilder:validation:XValidation:rule="has(self.pem) != has(self.secretRef)",message="choose exactly one of pem and secretRef"
type CABundle struct {
	// pem certificates, inline.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	PEM string `json:"pem,omitempty"`
	// secretRef names a Secret with PEM certificates.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
}

// TenantIdentity is who signs in a tenant's users.
//
// +kubebuilder:validation:XValidation:rule="(self.type == 'Entra') == has(self.entra)",message="set identity.entra exactly when identity.type is Entra"
// +kubebuilder:validation:XValidation:rule="(self.type == 'ADFS') == has(self.adfs)",message="set identity.adfs exactly when identity.type is ADFS"
// +kubebuilder:validation:XValidation:rule="(self.type == 'OIDC') == has(self.oidc)",message="set identity.oidc exactly when identity.type is OIDC"
type TenantIdentity struct {
	// type of the identity provider.
	// +required
	Type IdentityType `json:"type"`
	// entra directory, with type Entra.
	// +optional
	Entra *EntraIdentity `json:"entra,omitempty"`
	// adfs issuer, with type ADFS.
	// +optional
	ADFS *IssuerIdentity `json:"adfs,omitempty"`
	// oidc issuer, with type OIDC.
	// +optional
	OIDC *IssuerIdentity `json:"oidc,omitempty"`
	// claims that carry identity and location.
	// +optional
	Claims IdentityClaims `json:"claims,omitzero"`
	// caBundle is trusted, in place of the system's roots, when the issuer's
	// documents and keys are fetched.
	// +optional
	CABundle *CABundle `json:"caBundle,omitempty"`
}

// TenantFeatures are the optional functions of a tenant.
type TenantFeatures struct {
	// smime verifies S/MIME signatures by the trust anchors of spec.smime, and
	// requires S/MIME of outgoing mail where spec.smime says so.
	// +optional
	SMIME bool `json:"smime,omitempty"`
	// sensitivityLabels applies SensitivityLabel objects.
	// +optional
	SensitivityLabels bool `json:"sensitivityLabels,omitempty"`
	// sharedMailboxes applies SharedMailbox objects.
	// +optional
	SharedMailboxes bool `json:"sharedMailboxes,omitempty"`
}

// TenantSpec is an organisation whose mail lives in the regions that it names.
//
// +kubebuilder:validation:XValidation:rule="!has(self.smime) || (has(self.features) && has(self.features.smime) && self.features.smime)",message="smime counts only with features.smime: set features.smime to true, or leave smime out"
// +kubebuilder:validation:XValidation:rule="!has(self.regions) || !self.regions.exists(r, r.__namespace__ == self.homeRegion.__namespace__ && r.name == self.homeRegion.name)",message="regions lists the satellites only: leave homeRegion out of it"
type TenantSpec struct {
	// cloud is the name of the SovereignCloud.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cloud cannot change: mail does not cross clouds, create the tenant in the other cloud"
	// +required
	Cloud ObjectName `json:"cloud"`
	// accountType of the organisation.
	// +required
	AccountType AccountType `json:"accountType"`
	// domains of the tenant's mail addresses. A domain belongs to one tenant of a
	// cloud: the first that claims it.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +required
	Domains []MailDomain `json:"domains"`
	// homeRegion holds the mailboxes of users without a preferred data location.
	// +required
	HomeRegion RegionReference `json:"homeRegion"`
	// regions are the Multi-Geo satellites, each in a geography of its own.
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Regions []RegionReference `json:"regions,omitempty"`
	// identity is who signs in the tenant's users.
	// +required
	Identity TenantIdentity `json:"identity"`
	// features that the tenant uses.
	// +optional
	Features TenantFeatures `json:"features,omitzero"`
	// smime is whose signatures are believed, and what mail must carry to leave.
	// +optional
	SMIME *TenantSMIME `json:"smime,omitempty"`
	// suspend refuses every request of the tenant's users; mail is kept.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// TenantRegionStatus is the state of a tenant in one region.
type TenantRegionStatus struct {
	// namespace of the region.
	// +required
	Namespace NamespaceName `json:"namespace"`
	// name of the region.
	// +required
	Name ObjectName `json:"name"`
	// geography of the region.
	// +optional
	Geography GeographyCode `json:"geography,omitempty"`
	// url of the region's sync endpoint.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	URL string `json:"url,omitempty"`
	// enforcedGeneration is the generation of the tenant that every replica of the
	// region enforces.
	// +kubebuilder:validation:Minimum=0
	// +optional
	EnforcedGeneration int64 `json:"enforcedGeneration,omitempty"`
	// message says why the region does not enforce the newest generation.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
	// mailboxes held, refreshed at most once a minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Mailboxes int64 `json:"mailboxes"`
	// devices registered, refreshed at most once a minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Devices int64 `json:"devices"`
}

// ResolvedIdentity is what the tenant's identity configuration came to.
type ResolvedIdentity struct {
	// issuer that tokens must name.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Issuer string `json:"issuer,omitempty"`
	// issuerAliases are further accepted spellings.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +optional
	IssuerAliases []string `json:"issuerAliases,omitempty"`
	// jwksURI from which the signing keys come.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	JWKSURI string `json:"jwksURI,omitempty"`
	// keysFingerprint changes when the issuer's signing keys do.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	KeysFingerprint string `json:"keysFingerprint,omitempty"`
	// algorithms accepted for signatures.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Algorithms []string `json:"algorithms,omitempty"`
	// tokenProfile by which tokens are verified: rfc9068, entra or adfs.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	TokenProfile string `json:"tokenProfile,omitempty"`
	// claims in force, defaults applied.
	// +optional
	Claims IdentityClaims `json:"claims,omitzero"`
}

// TenantStatus is the observed state of a tenant.
type TenantStatus struct {
	ReconcileStatus `json:",inline"`

	// home is the name of the home region, once it is accepted.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Home string `json:"home,omitempty"`
	// regionsReady is "enforcing/wanted".
	// +kubebuilder:validation:MaxLength=16
	// +optional
	RegionsReady string `json:"regionsReady,omitempty"`
	// heldDomains are the domains that the tenant holds. A domain that is held stays
	// with its holder for as long as the holder claims it.
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +optional
	HeldDomains []MailDomain `json:"heldDomains,omitempty"`
	// regions of the tenant, the home region first.
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=33
	// +optional
	Regions []TenantRegionStatus `json:"regions,omitempty"`
	// identity is what the identity configuration came to.
	// +optional
	Identity ResolvedIdentity `json:"identity,omitzero"`
	// mailboxes held in all regions, refreshed at most once a minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Mailboxes int64 `json:"mailboxes"`
	// devices registered in all regions, refreshed at most once a minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Devices int64 `json:"devices"`
}

// Tenant is an organisation whose mail lives in the regions that it names.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ten,categories=bailiwick
// +kubebuilder:printcolumn:name="Cloud",type=string,JSONPath=`.spec.cloud`
// +kubebuilder:printcolumn:name="Home",type=string,JSONPath=`.status.home`
// +kubebuilder:printcolumn:name="Regions",type=string,JSONPath=`.status.regionsReady`
// +kubebuilder:printcolumn:name="Mailboxes",type=integer,JSONPath=`.status.mailboxes`
// +kubebuilder:printcolumn:name="Devices",type=integer,JSONPath=`.status.devices`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`,priority=1
type Tenant struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the platform team declares.
	// +required
	Spec TenantSpec `json:"spec"`
	// status is written by the operator.
	// +optional
	Status TenantStatus `json:"status,omitzero"`
}

// TenantList is a list of Tenant.
//
// +kubebuilder:object:root=true
type TenantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Tenant `json:"items"`
}

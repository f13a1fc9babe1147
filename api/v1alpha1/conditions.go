package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow kstatus; the others each
// answer one question and Ready is derived from them.
const (
	// ConditionReady is True when everything below is.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while the controllers work towards
	// the spec.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when only a change by a person helps.
	ConditionStalled = "Stalled"
	// ConditionPaused is present, and True, while the annotation
	// bailiwick.dev/paused holds the object.
	ConditionPaused = "Paused"
	// ConditionDeleting is present, and True, while the object is being deleted; its
	// message names what still holds it.
	ConditionDeleting = "Deleting"

	// ConditionAuthorityReady tells on a SovereignCloud whether its own certificate
	// authority can issue.
	ConditionAuthorityReady = "AuthorityReady"

	// ConditionCloudReady tells on a MailboxRegion whether its cloud, geography and
	// country are accepted.
	ConditionCloudReady = "CloudReady"
	// ConditionCertificateReady tells whether the serving certificate is valid.
	ConditionCertificateReady = "CertificateReady"
	// ConditionStorageReady tells whether the region's store can be used.
	ConditionStorageReady = "StorageReady"
	// ConditionWorkloadAvailable tells whether the sync server runs.
	ConditionWorkloadAvailable = "WorkloadAvailable"
	// ConditionEndpointReady tells whether clients can reach the region.
	ConditionEndpointReady = "EndpointReady"
	// ConditionDeliveryReady tells whether mail can enter and leave the region as
	// spec.delivery says.
	ConditionDeliveryReady = "DeliveryReady"
	// ConditionClusterReachable tells whether the region's cluster answers; Unknown
	// after a grace period when it does not.
	ConditionClusterReachable = "ClusterReachable"
	// ConditionTenantsSynced tells whether every replica enforces the newest
	// document of each tenant.
	ConditionTenantsSynced = "TenantsSynced"

	// ConditionIdentityReady tells on a Tenant whether its issuer is accepted and
	// its keys can be fetched.
	ConditionIdentityReady = "IdentityReady"
	// ConditionDomainsReady tells whether the tenant holds all of its domains.
	ConditionDomainsReady = "DomainsReady"
	// ConditionRegionsReady tells whether every region takes the tenant and enforces
	// its newest generation.
	ConditionRegionsReady = "RegionsReady"
	// ConditionPoliciesReady tells whether the policies of the tenant are part of
	// what the regions enforce.
	ConditionPoliciesReady = "PoliciesReady"
	// ConditionSMIMEReady tells whether the certificates of spec.smime can be used;
	// it is there while features.smime is on.
	ConditionSMIMEReady = "SMIMEReady"

	// ConditionAccepted tells on a SharedMailbox or SensitivityLabel whether its tenant
	// can have it.
	ConditionAccepted = "Accepted"
	// ConditionServed tells on a SharedMailbox or SensitivityLabel whether the regions
	// that it concerns are given it as it is declared.
	ConditionServed = "Served"
)

// Reasons. Each says in one word what is so; the message says where and what to do.
const (
	// ReasonReady: everything is as declared.
	ReasonReady = "Ready"
	// ReasonProgressing: the controllers or the cluster are at work, wait.
	ReasonProgressing = "Progressing"
	// ReasonPaused: remove the annotation bailiwick.dev/paused to go on.
	ReasonPaused = "Paused"
	// ReasonInUse: others still refer to the object, remove those first.
	ReasonInUse = "InUse"
	// ReasonDeleting: what the object made is being removed.
	ReasonDeleting = "Deleting"
	// ReasonInvalidSpec: the spec was stored before a rule existed that refuses it.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonApplyFailed: the API server refused an object that the operator applied.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonObserveFailed: the API server could not be read.
	ReasonObserveFailed = "ObserveFailed"
	// ReasonUnsupported: this release does not provide what the field asks for.
	ReasonUnsupported = "Unsupported"

	// ReasonCloudNotFound: create the SovereignCloud that spec.cloud names.
	ReasonCloudNotFound = "CloudNotFound"
	// ReasonCloudNotReady: see the conditions of the SovereignCloud.
	ReasonCloudNotReady = "CloudNotReady"
	// ReasonUnknownGeography: choose a geography of the cloud.
	ReasonUnknownGeography = "UnknownGeography"
	// ReasonCountryNotInGeography: choose a country of the geography.
	ReasonCountryNotInGeography = "CountryNotInGeography"

	// ReasonAuthorityMalformed: the Secret of the cloud's authority holds no usable
	// key pair; restore it, or delete it to start a new authority.
	ReasonAuthorityMalformed = "AuthorityMalformed"
	// ReasonAuthorityExpired: the cloud's authority is past its validity.
	ReasonAuthorityExpired = "AuthorityExpired"
	// ReasonCertificateIssued: the serving certificate is valid.
	ReasonCertificateIssued = "CertificateIssued"
	// ReasonCertificatePending: the serving certificate is being made.
	ReasonCertificatePending = "CertificatePending"
	// ReasonSecretNotFound: create the Secret that is referred to.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretMalformed: the Secret lacks the key, or its content is not what is
	// needed.
	ReasonSecretMalformed = "SecretMalformed"
	// ReasonVolumePending: the volume is not bound yet.
	ReasonVolumePending = "VolumePending"
	// ReasonVolumeBound: the volume is bound.
	ReasonVolumeBound = "VolumeBound"
	// ReasonVolumeResizing: the volume grows.
	ReasonVolumeResizing = "VolumeResizing"
	// ReasonVolumeOfAnotherJurisdiction: a volume of the region's name was kept that
	// holds mail of another cloud, geography or country.
	ReasonVolumeOfAnotherJurisdiction = "VolumeOfAnotherJurisdiction"
	// ReasonStoragePending: no sync server has told yet whether it can use the store.
	ReasonStoragePending = "StoragePending"
	// ReasonStorageUsable: the sync servers use the store.
	ReasonStorageUsable = "StorageUsable"
	// ReasonAuthenticationFailed: the store refuses the user or the password that the
	// Secret holds.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonStorageUnreachable: the store does not answer the sync servers.
	ReasonStorageUnreachable = "StorageUnreachable"
	// ReasonUnsupportedVersion: the database is too old, or its data is of a newer
	// release.
	ReasonUnsupportedVersion = "UnsupportedVersion"
	// ReasonDiskFull: the store has no space left.
	ReasonDiskFull = "DiskFull"
	// ReasonReadOnly: the store takes no writes, as a standby does not.
	ReasonReadOnly = "ReadOnly"
	// ReasonStorageFailed: the store fails for a reason of its own, the message says
	// which.
	ReasonStorageFailed = "StorageFailed"
	// ReasonPodsNotReady: see the message for what the pods wait for.
	ReasonPodsNotReady = "PodsNotReady"
	// ReasonAddressPending: the load balancer has no address yet.
	ReasonAddressPending = "AddressPending"
	// ReasonNotConfigured: nothing is asked for, which is no error.
	ReasonNotConfigured = "NotConfigured"
	// ReasonInvalidCertificate: a certificate or key that is referred to cannot be used,
	// the message says why.
	ReasonInvalidCertificate = "InvalidCertificate"
	// ReasonHostnameTaken: another region of this cluster has the same hostname.
	ReasonHostnameTaken = "HostnameTaken"
	// ReasonLocal: the region runs in this cluster.
	ReasonLocal = "Local"
	// ReasonUnreachable: the region's cluster does not answer.
	ReasonUnreachable = "Unreachable"
	// ReasonSynced: every replica enforces the newest documents.
	ReasonSynced = "Synced"
	// ReasonNotEnforcedYet: a replica has not yet taken a newer document.
	ReasonNotEnforcedYet = "NotEnforcedYet"
	// ReasonDocumentRefused: a replica refuses a document, the message says why.
	ReasonDocumentRefused = "DocumentRefused"

	// ReasonIssuerVerified: the issuer's documents and keys are as they should be.
	ReasonIssuerVerified = "IssuerVerified"
	// ReasonIssuerOutsideCloud: the issuer's host is not one that the cloud allows.
	ReasonIssuerOutsideCloud = "IssuerOutsideCloud"
	// ReasonIssuerAddressRefused: the issuer resolves to an address that is never
	// dialled.
	ReasonIssuerAddressRefused = "IssuerAddressRefused"
	// ReasonIssuerMismatch: the discovery document names another issuer.
	ReasonIssuerMismatch = "IssuerMismatch"
	// ReasonIssuerUnreachable: the issuer does not answer; the last good keys hold.
	ReasonIssuerUnreachable = "IssuerUnreachable"
	// ReasonIssuerInvalid: the issuer's documents are not usable.
	ReasonIssuerInvalid = "IssuerInvalid"
	// ReasonKeysEmpty: the issuer publishes no usable signing key.
	ReasonKeysEmpty = "KeysEmpty"
	// ReasonDomainConflict: another tenant of the cloud holds the domain.
	ReasonDomainConflict = "DomainConflict"
	// ReasonDomainsHeld: the tenant holds all of its domains.
	ReasonDomainsHeld = "DomainsHeld"
	// ReasonRegionNotFound: create the region, or name another.
	ReasonRegionNotFound = "RegionNotFound"
	// ReasonRegionCloudMismatch: the region belongs to another cloud.
	ReasonRegionCloudMismatch = "RegionCloudMismatch"
	// ReasonRegionNotAllowed: the region does not consent to the tenant's namespace.
	ReasonRegionNotAllowed = "RegionNotAllowed"
	// ReasonRegionNotReady: see the conditions of the region.
	ReasonRegionNotReady = "RegionNotReady"
	// ReasonRegionDeleting: the region is being deleted, choose another.
	ReasonRegionDeleting = "RegionDeleting"
	// ReasonGeographyTwice: two regions of the tenant lie in one geography.
	ReasonGeographyTwice = "GeographyTwice"
	// ReasonEnforced: every region enforces the newest generation.
	ReasonEnforced = "Enforced"
	// ReasonConfigMapNotFound: create the ConfigMap that is referred to.
	ReasonConfigMapNotFound = "ConfigMapNotFound"
	// ReasonConfigMapMalformed: the ConfigMap lacks the key, or its content is not
	// what is needed.
	ReasonConfigMapMalformed = "ConfigMapMalformed"
	// ReasonNoTrustAnchors: no signature is good until spec.smime.trustAnchors names
	// some.
	ReasonNoTrustAnchors = "NoTrustAnchors"
	// ReasonTrustAnchorsRead: the certificates of spec.smime are in force.
	ReasonTrustAnchorsRead = "TrustAnchorsRead"
	// ReasonNoPolicies: no policy names the tenant; the default applies.
	ReasonNoPolicies = "NoPolicies"

	// ReasonAccepted: the tenant can have it.
	ReasonAccepted = "Accepted"
	// ReasonServed: the regions are given it as it is declared.
	ReasonServed = "Served"
	// ReasonNotServedYet: see the conditions of the Tenant if this lasts.
	ReasonNotServedYet = "NotServedYet"
	// ReasonTenantNotFound: create the Tenant that spec.tenant names.
	ReasonTenantNotFound = "TenantNotFound"
	// ReasonTenantNotReady: see the conditions of the Tenant.
	ReasonTenantNotReady = "TenantNotReady"
	// ReasonFeatureOff: turn the function on in spec.features of the Tenant.
	ReasonFeatureOff = "FeatureOff"
	// ReasonDomainNotOfTenant: choose an address in a domain of the tenant.
	ReasonDomainNotOfTenant = "DomainNotOfTenant"
	// ReasonGeographyNotOfTenant: choose a geography in which the tenant has a region.
	ReasonGeographyNotOfTenant = "GeographyNotOfTenant"
	// ReasonMailboxElsewhere: the mailbox has a region already, and its spec means
	// another.
	ReasonMailboxElsewhere = "MailboxElsewhere"
	// ReasonAddressTaken: an older SharedMailbox of the tenant has the address.
	ReasonAddressTaken = "AddressTaken"
	// ReasonLabelIDTaken: an older SensitivityLabel of the tenant has the labelID.
	ReasonLabelIDTaken = "LabelIDTaken"
	// ReasonRankTaken: an older SensitivityLabel of the tenant has the rank.
	ReasonRankTaken = "RankTaken"
)

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Platform is a client platform.
//
// +kubebuilder:validation:Enum=iOS;Android;Windows;macOS;Linux;Web
type Platform string

// Access is what a policy grants to the devices that it matches.
//
// +kubebuilder:validation:Enum=Allow;Block;Quarantine
type Access string

// The access levels.
const (
	AccessAllow      Access = "Allow"
	AccessBlock      Access = "Block"
	AccessQuarantine Access = "Quarantine"
)

// Requirement says whether something is required.
//
// +kubebuilder:validation:Enum=Required;NotRequired
type Requirement string

// The requirements.
const (
	Required    Requirement = "Required"
	NotRequired Requirement = "NotRequired"
)

// Permission allows or blocks one action.
//
// +kubebuilder:validation:Enum=Allow;Block
type Permission string

// VersionNumber is a dotted version of one to four numbers.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:Pattern=`^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$`
type VersionNumber string

// Expression is a CEL expression over the documented variables of a request.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=4096
type Expression string

// GroupID is the identifier of a group as tokens carry it.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type GroupID string

// AuthenticationReference is an authentication context or method as tokens carry
// it ("acrs", "acr", "amr").
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
type AuthenticationReference string

// NetworkPrefix is a CIDR prefix of client addresses.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a CIDR prefix such as 192.0.2.0/24"
type NetworkPrefix string

// PlatformVersions are versions by platform.
type PlatformVersions struct {
	// iOS version.
	// +optional
	IOS VersionNumber `json:"iOS,omitempty"`
	// Android version.
	// +optional
	Android VersionNumber `json:"Android,omitempty"`
	// Windows version.
	// +optional
	Windows VersionNumber `json:"Windows,omitempty"`
	// macOS version.
	// +optional
	MacOS VersionNumber `json:"macOS,omitempty"`
	// Linux version.
	// +optional
	Linux VersionNumber `json:"Linux,omitempty"`
}

// PolicyMatch selects devices. What is set must all hold; empty matches every
// device of the tenant.
type PolicyMatch struct {
	// users by address.
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Users []MailAddress `json:"users,omitempty"`
	// groups of which the user is in at least one.
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Groups []GroupID `json:"groups,omitempty"`
	// platforms of the device.
	// +listType=set
	// +kubebuilder:validation:MaxItems=6
	// +optional
	Platforms []Platform `json:"platforms,omitempty"`
	// expression that must be true.
	// +optional
	Expression Expression `json:"expression,omitempty"`
}

// PolicyConditions must all hold for access; a fact that is missing does not hold.
type PolicyConditions struct {
	// minimumOS version by platform.
	// +optional
	MinimumOS PlatformVersions `json:"minimumOS,omitzero"`
	// minimumApp version by platform.
	// +optional
	MinimumApp PlatformVersions `json:"minimumApp,omitzero"`
	// compliantDevice as the device management service attests it.
	// +optional
	CompliantDevice Requirement `json:"compliantDevice,omitempty"`
	// integrity: Required refuses rooted and jailbroken devices.
	// +optional
	Integrity Requirement `json:"integrity,omitempty"`
	// senderConstrainedToken: Required accepts only tokens bound to a key (RFC 9449,
	// RFC 8705).
	// +optional
	SenderConstrainedToken Requirement `json:"senderConstrainedToken,omitempty"`
	// authenticationContexts of which the token must carry at least one.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	AuthenticationContexts []AuthenticationReference `json:"authenticationContexts,omitempty"`
	// authenticationMethods of which the token must carry every one.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	AuthenticationMethods []AuthenticationReference `json:"authenticationMethods,omitempty"`
	// networks from which requests may come.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Networks []NetworkPrefix `json:"networks,omitempty"`
	// expression that must be true.
	// +optional
	Expression Expression `json:"expression,omitempty"`
}

// PolicySession bounds sessions.
type PolicySession struct {
	// maxTokenAgeMinutes since the token was issued.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=43200
	// +optional
	MaxTokenAgeMinutes int32 `json:"maxTokenAgeMinutes,omitempty"`
	// reauthenticateMinutes since the user signed in.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=525600
	// +optional
	ReauthenticateMinutes int32 `json:"reauthenticateMinutes,omitempty"`
}

// ProtectionLevel is one of the three levels of the app protection framework.
//
// +kubebuilder:validation:Enum=Basic;Enhanced;High
type ProtectionLevel string

// The protection levels.
const (
	ProtectionBasic    ProtectionLevel = "Basic"
	ProtectionEnhanced ProtectionLevel = "Enhanced"
	ProtectionHigh     ProtectionLevel = "High"
)

// ClipboardAccess is what may pass between the app and the clipboard.
//
// +kubebuilder:validation:Enum=AnyApp;ManagedAppsWithPasteIn;ManagedApps;Blocked
type ClipboardAccess string

// AppProtectionSettings are the settings of app protection. What is absent follows
// the level.
//
// +kubebuilder:validation:XValidation:rule="!has(self.offlineBlockMinutes) || !has(self.offlineWipeDays) || self.offlineBlockMinutes <= self.offlineWipeDays * 1440",message="offlineWipeDays must not end before offlineBlockMinutes"
type AppProtectionSettings struct {
	// pin to open the app.
	// +optional
	PIN Requirement `json:"pin,omitempty"`
	// pinMinimumLength in digits.
	// +kubebuilder:validation:Minimum=4
	// +kubebuilder:validation:Maximum=16
	// +optional
	PINMinimumLength int32 `json:"pinMinimumLength,omitempty"`
	// pinMaximumAttempts before the PIN is reset.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	// +optional
	PINMaximumAttempts int32 `json:"pinMaximumAttempts,omitempty"`
	// simplePIN such as 1111.
	// +optional
	SimplePIN Permission `json:"simplePIN,omitempty"`
	// biometrics in place of the PIN.
	// +optional
	Biometrics Permission `json:"biometrics,omitempty"`
	// encryption of the app's data.
	// +optional
	Encryption Requirement `json:"encryption,omitempty"`
	// clipboard between this and other apps.
	// +optional
	Clipboard ClipboardAccess `json:"clipboard,omitempty"`
	// saveAs of organisation data elsewhere.
	// +optional
	SaveAs Permission `json:"saveAs,omitempty"`
	// share of organisation data with other apps.
	// +optional
	Share Permission `json:"share,omitempty"`
	// screenshots of the app.
	// +optional
	Screenshots Permission `json:"screenshots,omitempty"`
	// backup of organisation data.
	// +optional
	Backup Permission `json:"backup,omitempty"`
	// print of organisation data.
	// +optional
	Print Permission `json:"print,omitempty"`
	// recheckMinutes between two checks of access.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=43200
	// +optional
	RecheckMinutes int32 `json:"recheckMinutes,omitempty"`
	// offlineBlockMinutes without contact after which the app blocks.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=525600
	// +optional
	OfflineBlockMinutes int32 `json:"offlineBlockMinutes,omitempty"`
	// offlineWipeDays without contact after which the app wipes its data.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=365
	// +optional
	OfflineWipeDays int32 `json:"offlineWipeDays,omitempty"`
	// minimumOS version by platform.
	// +optional
	MinimumOS PlatformVersions `json:"minimumOS,omitzero"`
	// maximumOS version by platform.
	// +optional
	MaximumOS PlatformVersions `json:"maximumOS,omitzero"`
	// minimumApp version by platform.
	// +optional
	MinimumApp PlatformVersions `json:"minimumApp,omitzero"`
	// maximumApp version by platform.
	// +optional
	MaximumApp PlatformVersions `json:"maximumApp,omitzero"`
}

// AppProtection is what the app on the device must do.
type AppProtection struct {
	// level gives every setting a value.
	// +required
	Level ProtectionLevel `json:"level"`
	// overrides of single settings.
	// +optional
	Overrides AppProtectionSettings `json:"overrides,omitzero"`
}

// SyncSettings bound what a device receives.
type SyncSettings struct {
	// mailDays of mail that sync, counted back from now; all when absent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	// +optional
	MailDays int32 `json:"mailDays,omitempty"`
	// maxAttachmentBytes of one attachment; no bound when absent.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147482624
	// +optional
	MaxAttachmentBytes *int64 `json:"maxAttachmentBytes,omitempty"`
	// smime: Required refuses to send what is not signed or encrypted.
	// +optional
	SMIME Requirement `json:"smime,omitempty"`
	// labelCeiling is the name of the SensitivityLabel above which mail does not
	// sync.
	// +optional
	LabelCeiling ObjectName `json:"labelCeiling,omitempty"`
}

// DevicePolicySpec is a rule over a tenant's devices.
//
// +kubebuilder:validation:XValidation:rule="self.access == 'Allow' || (!has(self.appProtection) && !has(self.sync))",message="appProtection and sync need access Allow: a device that is blocked or quarantined does not sync"
type DevicePolicySpec struct {
	// tenant in the namespace of this policy.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="tenant cannot change: create a policy for the other tenant"
	// +required
	Tenant ObjectName `json:"tenant"`
	// priority among the tenant's policies: the highest that matches decides.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	// +required
	Priority int32 `json:"priority"`
	// match selects devices; every device of the tenant when absent.
	// +optional
	Match PolicyMatch `json:"match,omitzero"`
	// access for what matches.
	// +required
	Access Access `json:"access"`
	// conditions that must hold for access.
	// +optional
	Conditions PolicyConditions `json:"conditions,omitzero"`
	// session bounds.
	// +optional
	Session PolicySession `json:"session,omitzero"`
	// appProtection that the app must apply.
	// +optional
	AppProtection *AppProtection `json:"appProtection,omitempty"`
	// sync bounds what a device receives.
	// +optional
	Sync *SyncSettings `json:"sync,omitempty"`
}

// DeviceCounts count devices by what a policy decides for them.
type DeviceCounts struct {
	// matched by the policy.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Matched int64 `json:"matched"`
	// allowed by the policy.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Allowed int64 `json:"allowed"`
	// blocked by the policy.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Blocked int64 `json:"blocked"`
	// quarantined by the policy.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Quarantined int64 `json:"quarantined"`
}

// DevicePolicyStatus is the observed state of a policy.
type DevicePolicyStatus struct {
	ReconcileStatus `json:",inline"`

	// devices by what the policy decides, refreshed at most once a minute.
	// +optional
	Devices DeviceCounts `json:"devices,omitzero"`
	// overlaps names policies of the same priority that match the same devices.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Overlaps []ObjectName `json:"overlaps,omitempty"`
}

// DevicePolicy is a rule over the devices of a tenant.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=devicepolicies,shortName=dpol,categories=bailiwick
// +kubebuilder:printcolumn:name="Tenant",type=string,JSONPath=`.spec.tenant`
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Access",type=string,JSONPath=`.spec.access`
// +kubebuilder:printcolumn:name="Level",type=string,JSONPath=`.spec.appProtection.level`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
type DevicePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the rule.
	// +required
	Spec DevicePolicySpec `json:"spec"`
	// status is written by the operator.
	// +optional
	Status DevicePolicyStatus `json:"status,omitzero"`
}

// DevicePolicyList is a list of DevicePolicy.
//
// +kubebuilder:object:root=true
type DevicePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []DevicePolicy `json:"items"`
}

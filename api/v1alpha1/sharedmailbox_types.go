package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MailboxRight is a right over a shared mailbox.
//
// +kubebuilder:validation:Enum=FullAccess;SendAs;SendOnBehalf
type MailboxRight string

// The mailbox rights.
const (
	// RightFullAccess reads and changes the mailbox.
	RightFullAccess MailboxRight = "FullAccess"
	// RightSendAs sends with the mailbox's address alone.
	RightSendAs MailboxRight = "SendAs"
	// RightSendOnBehalf sends with the mailbox's address and the member's own as
	// Sender (RFC 5322 §3.6.2).
	RightSendOnBehalf MailboxRight = "SendOnBehalf"
)

// MailboxMember is a user with rights over a shared mailbox.
//
// +kubebuilder:validation:XValidation:rule="!(self.rights.exists(r, r == 'SendAs') && self.rights.exists(r, r == 'SendOnBehalf'))",message="choose SendAs or SendOnBehalf: the first makes the second meaningless"
type MailboxMember struct {
	// user by address.
	// +required
	User MailAddress `json:"user"`
	// rights of the user.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	// +required
	Rights []MailboxRight `json:"rights"`
}

// SharedMailboxSpec is a mailbox that several users of a tenant share.
type SharedMailboxSpec struct {
	// tenant in the namespace of this object.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="tenant cannot change: create the mailbox in the other tenant"
	// +required
	Tenant ObjectName `json:"tenant"`
	// address of the mailbox, in one of the tenant's domains. Its mail is kept under
	// the address: an object that is deleted and created again finds it.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="address cannot change: the mail is kept under it, create another shared mailbox"
	// +required
	Address MailAddress `json:"address"`
	// displayName for people.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// geography in which the mailbox lives, one of the tenant's; that of the home
	// region when absent. A mailbox that has a region stays there: mail does not move
	// because somebody edits a field.
	// +optional
	Geography GeographyCode `json:"geography,omitempty"`
	// members and their rights. A member whose own mailbox is in another region than
	// this one cannot use it: nobody's session reaches across regions.
	// +listType=map
	// +listMapKey=user
	// +kubebuilder:validation:MaxItems=512
	// +optional
	Members []MailboxMember `json:"members,omitempty"`
}

// SharedMailboxStatus is the observed state of a shared mailbox.
type SharedMailboxStatus struct {
	ReconcileStatus `json:",inline"`

	// region in which the mailbox lives, as namespace/name.
	// +kubebuilder:validation:MaxLength=317
	// +optional
	Region string `json:"region,omitempty"`
}

// SharedMailbox is a mailbox that several users of a tenant share.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=sharedmailboxes,shortName=smb,categories=bailiwick
// +kubebuilder:printcolumn:name="Tenant",type=string,JSONPath=`.spec.tenant`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Region",type=string,JSONPath=`.status.region`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
type SharedMailbox struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the mailbox and its members.
	// +required
	Spec SharedMailboxSpec `json:"spec"`
	// status is written by the operator.
	// +optional
	Status SharedMailboxStatus `json:"status,omitzero"`
}

// SharedMailboxList is a list of SharedMailbox.
//
// +kubebuilder:object:root=true
type SharedMailboxList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SharedMailbox `json:"items"`
}

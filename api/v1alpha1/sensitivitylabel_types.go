package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LabelMarking is what a label adds to the content.
type LabelMarking struct {
	// header text.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Header string `json:"header,omitempty"`
	// footer text.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Footer string `json:"footer,omitempty"`
	// subjectPrefix put before the subject.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	SubjectPrefix string `json:"subjectPrefix,omitempty"`
}

// LabelProtection is what a label demands of labelled mail.
type LabelProtection struct {
	// encryption of labelled mail.
	// +optional
	Encryption Requirement `json:"encryption,omitempty"`
	// forwardOutside the tenant's domains.
	// +optional
	ForwardOutside Permission `json:"forwardOutside,omitempty"`
	// downgradeJustification when a lower label replaces this one.
	// +optional
	DowngradeJustification Requirement `json:"downgradeJustification,omitempty"`
}

// LabelMobile restricts labelled mail on devices.
type LabelMobile struct {
	// minimumProtection of the devices that may show labelled mail. Clients are told.
	// +optional
	MinimumProtection ProtectionLevel `json:"minimumProtection,omitempty"`
	// print of labelled mail.
	// +optional
	Print Permission `json:"print,omitempty"`
	// copy out of labelled mail.
	// +optional
	Copy Permission `json:"copy,omitempty"`
	// screenshots of labelled mail.
	// +optional
	Screenshots Permission `json:"screenshots,omitempty"`
}

// SensitivityLabelSpec is one label of a tenant.
type SensitivityLabelSpec struct {
	// tenant in the namespace of this object.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="tenant cannot change: create the label in the other tenant"
	// +required
	Tenant ObjectName `json:"tenant"`
	// labelID is the identifier in the msip_labels header, a UUID in lower case.
	// +kubebuilder:validation:MinLength=36
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="labelID cannot change: labelled mail carries it"
	// +required
	LabelID string `json:"labelID"`
	// displayName for people.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	DisplayName string `json:"displayName"`
	// rank among the tenant's labels: higher is more sensitive.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +required
	Rank int32 `json:"rank"`
	// color as #rrggbb.
	// +kubebuilder:validation:MaxLength=7
	// +kubebuilder:validation:Pattern=`^#[0-9a-f]{6}$`
	// +optional
	Color string `json:"color,omitempty"`
	// tooltip for people who choose a label.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Tooltip string `json:"tooltip,omitempty"`
	// marking of the content.
	// +optional
	Marking LabelMarking `json:"marking,omitzero"`
	// protection of labelled mail.
	// +optional
	Protection LabelProtection `json:"protection,omitzero"`
	// mobile restrictions.
	// +optional
	Mobile LabelMobile `json:"mobile,omitzero"`
}

// SensitivityLabelStatus is the observed state of a label.
type SensitivityLabelStatus struct {
	ReconcileStatus `json:",inline"`
}

// SensitivityLabel is one label of a tenant's mail.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=slab,categories=bailiwick
// +kubebuilder:printcolumn:name="Tenant",type=string,JSONPath=`.spec.tenant`
// +kubebuilder:printcolumn:name="Rank",type=integer,JSONPath=`.spec.rank`
// +kubebuilder:printcolumn:name="Display",type=string,JSONPath=`.spec.displayName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
type SensitivityLabel struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the label.
	// +required
	Spec SensitivityLabelSpec `json:"spec"`
	// status is written by the operator.
	// +optional
	Status SensitivityLabelStatus `json:"status,omitzero"`
}

// SensitivityLabelList is a list of SensitivityLabel.
//
// +kubebuilder:object:root=true
type SensitivityLabelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SensitivityLabel `json:"items"`
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Hostname is a lower-case host name or IP address, without scheme, port or path.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^([a-z0-9]([a-z0-9-]*[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$|^[0-9a-f:.]+$`
type Hostname string

// GeographyCode is a Multi-Geo geography code: three upper-case letters.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=3
// +kubebuilder:validation:Pattern=`^[A-Z]{3}$`
type GeographyCode string

// CountryCode is an ISO 3166-1 alpha-2 country code in upper case.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=2
// +kubebuilder:validation:Pattern=`^[A-Z]{2}$`
type CountryCode string

// ObjectName is the name of a Kubernetes object.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
type ObjectName string

// NamespaceName is the name of a namespace.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
type NamespaceName string

// MailAddress is an addr-spec (RFC 5322 §3.4.1) in lower case.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=254
// +kubebuilder:validation:Pattern=`^[^@\sA-Z]+@[a-z0-9.-]+$`
type MailAddress string

// SecretKeyReference names one key of a Secret in the namespace of the object
// that refers to it. There is no namespace field, on purpose: nobody reads a
// Secret through Bailiwick that lies elsewhere.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	Name ObjectName `json:"name"`
	// key in the Secret's data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +required
	Key string `json:"key"`
}

// RegionReference names a MailboxRegion, possibly in another namespace: the region
// consents through spec.allowedTenants.
type RegionReference struct {
	// namespace of the MailboxRegion.
	// +required
	Namespace NamespaceName `json:"namespace"`
	// name of the MailboxRegion.
	// +required
	Name ObjectName `json:"name"`
}

// String is the reference as "namespace/name".
func (r RegionReference) String() string {
	return string(r.Namespace) + "/" + string(r.Name)
}

// ReconcileStatus is the part of every status that says how far the controllers
// are.
type ReconcileStatus struct {
	// conditions tell the state for the person who can act. Ready is derived from
	// the others.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the metadata.generation that this status describes.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// lastHandledReconcileAt echoes the annotation
	// reconcile.bailiwick.dev/requestedAt once it was handled.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

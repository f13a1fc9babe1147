package v1alpha1

// ConfigMapKeyReference names one key of a ConfigMap in the namespace of the object
// that refers to it.
type ConfigMapKeyReference struct {
	// name of the ConfigMap.
	// +required
	Name ObjectName `json:"name"`
	// key in the ConfigMap's data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +required
	Key string `json:"key"`
}

// CertificateSource is a set of PEM certificates, inline or from an object in the
// same namespace, at most 256 of them and 256 KiB.
//
// +kubebuilder:validation:XValidation:rule="[has(self.pem), has(self.configMapRef), has(self.secretRef)].filter(x, x).size() == 1",message="choose exactly one of pem, configMapRef and secretRef"
type CertificateSource struct {
	// pem certificates, inline.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----')",message="pem must hold PEM certificates: paste them with their BEGIN CERTIFICATE lines"
	// +optional
	PEM string `json:"pem,omitempty"`
	// configMapRef names a ConfigMap with PEM certificates. It is read
	// again when it changes.
	// +optional
	ConfigMapRef *ConfigMapKeyReference `json:"configMapRef,omitempty"`
	// secretRef names a Secret with PEM certificates, read at the same times.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
}

// TenantSMIME is how a tenant uses S/MIME.
type TenantSMIME struct {
	// trustAnchors are the roots at which the chain of a signer's certificate may
	// end. Without any, no signature is good.
	// +optional
	TrustAnchors *CertificateSource `json:"trustAnchors,omitempty"`
	// intermediates complete the chains of messages that leave them out. They are
	// not trusted by themselves.
	// +optional
	Intermediates *CertificateSource `json:"intermediates,omitempty"`
	// outgoing is what mail must carry to be sent.
	// +optional
	Outgoing SMIMEOutgoing `json:"outgoing,omitzero"`
}

// SMIMEOutgoing is what mail must carry to be sent.
type SMIMEOutgoing struct {
	// requireSigned refuses to send what is not signed.
	// +optional
	RequireSigned bool `json:"requireSigned,omitempty"`
	// requireEncrypted refuses to send what is not encrypted.
	// +optional
	RequireEncrypted bool `json:"requireEncrypted,omitempty"`
}

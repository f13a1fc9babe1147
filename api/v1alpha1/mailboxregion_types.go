package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NamespacesFrom selects namespaces.
//
// +kubebuilder:validation:Enum=Same;All;Selector
type NamespacesFrom string

// The ways to select namespaces.
const (
	// NamespacesSame allows the region's own namespace only.
	NamespacesSame NamespacesFrom = "Same"
	// NamespacesAll allows every namespace.
	NamespacesAll NamespacesFrom = "All"
	// NamespacesSelector allows namespaces whose labels match.
	NamespacesSelector NamespacesFrom = "Selector"
)

// AllowedNamespaces selects the namespaces whose tenants may live in a region.
//
// +kubebuilder:validation:XValidation:rule="(has(self.from) && self.from == 'Selector') == has(self.selector)",message="set selector exactly when from is Selector"
type AllowedNamespaces struct {
	// from is Same when absent.
	// +optional
	From NamespacesFrom `json:"from,omitempty"`
	// selector over namespace labels, with from Selector.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// AllowedTenants is the region's consent.
type AllowedTenants struct {
	// namespaces whose tenants may live here.
	// +optional
	Namespaces AllowedNamespaces `json:"namespaces,omitzero"`
}

// RegionCluster is the cluster in which the region runs.
type RegionCluster struct {
	// kubeConfigSecretRef names a kubeconfig of the region's cluster. It holds a
	// server, CA data and a token or client certificate, and nothing else: no exec,
	// no files, no insecure TLS.
	// +required
	KubeConfigSecretRef SecretKeyReference `json:"kubeConfigSecretRef"`
}

// GatewayEndpoint exposes the region through a Gateway API TLSRoute with
// passthrough: TLS ends in the sync server and nowhere else.
type GatewayEndpoint struct {
	// name of the Gateway.
	// +required
	Name ObjectName `json:"name"`
	// namespace of the Gateway; the region's own when absent. The Gateway consents
	// through its listeners' allowedRoutes.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
	// sectionName of the listener.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SectionName string `json:"sectionName,omitempty"`
}

// ServiceType is the type of the region's Service.
//
// +kubebuilder:validation:Enum=ClusterIP;LoadBalancer
type ServiceType string

// The service types.
const (
	ServiceClusterIP    ServiceType = "ClusterIP"
	ServiceLoadBalancer ServiceType = "LoadBalancer"
)

// ServiceEndpoint exposes the region through its Service.
type ServiceEndpoint struct {
	// type of the Service; ClusterIP when absent.
	// +optional
	Type ServiceType `json:"type,omitempty"`
	// annotations of the Service, for load balancers and DNS.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// loadBalancerClass of the Service, with type LoadBalancer.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	LoadBalancerClass string `json:"loadBalancerClass,omitempty"`
}

// RegionEndpoint is how clients reach the region.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.gateway) && has(self.service))",message="choose gateway or service, not both"
// +kubebuilder:validation:XValidation:rule="!has(self.service) || !has(self.service.loadBalancerClass) || (has(self.service.type) && self.service.type == 'LoadBalancer')",message="loadBalancerClass needs service.type LoadBalancer"
type RegionEndpoint struct {
	// hostname that clients use; the certificate names it.
	// +required
	Hostname Hostname `json:"hostname"`
	// gateway exposes the region through a TLSRoute.
	// +optional
	Gateway *GatewayEndpoint `json:"gateway,omitempty"`
	// service exposes the region through its Service.
	// +optional
	Service *ServiceEndpoint `json:"service,omitempty"`
}

// IssuerReference names a cert-manager issuer.
type IssuerReference struct {
	// name of the issuer.
	// +required
	Name ObjectName `json:"name"`
	// kind of the issuer; Issuer when absent.
	// +kubebuilder:validation:Enum=Issuer;ClusterIssuer
	// +optional
	Kind string `json:"kind,omitempty"`
}

// RegionCertificate is where the serving certificate comes from.
type RegionCertificate struct {
	// issuerRef names a cert-manager issuer. Absent: Bailiwick's own authority of
	// the cloud issues the certificate.
	// +optional
	IssuerRef *IssuerReference `json:"issuerRef,omitempty"`
	// lifetime of a certificate of Bailiwick's own authority, in hours; 2160 (90
	// days) when absent. It is replaced at two thirds.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9528
	// +optional
	LifetimeHours int32 `json:"lifetimeHours,omitempty"`
}

// RegionAutoscaling scales the sync replicas by CPU.
//
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="minReplicas must not exceed maxReplicas"
type RegionAutoscaling struct {
	// minReplicas is the lower bound.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +required
	MinReplicas int32 `json:"minReplicas"`
	// maxReplicas is the upper bound.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +required
	MaxReplicas int32 `json:"maxReplicas"`
	// targetCPUPercent of the requested CPU; 70 when absent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	TargetCPUPercent int32 `json:"targetCPUPercent,omitempty"`
}

// RegionTemplate shapes the sync pods.
type RegionTemplate struct {
	// annotations of the pods.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// nodeSelector keeps the pods on nodes of the region's jurisdiction.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations of the pods.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// priorityClassName of the pods.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// resources of the sync container.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// terminationGracePeriodSeconds in which requests drain; 30 when absent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	TerminationGracePeriodSeconds int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// DeletionPolicy says what becomes of mail when its region is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionRetain keeps volumes and databases.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete erases the volumes that Bailiwick made. Databases and buckets
	// are not Bailiwick's: they are kept.
	DeletionDelete DeletionPolicy = "Delete"
)

// MailboxRegionSpec is a place where mailboxes live.
//
// +kubebuilder:validation:XValidation:rule="has(self.storage.postgres) || (!has(self.autoscaling) && (!has(self.replicas) || self.replicas <= 1))",message="the embedded store has one replica: use storage.postgres to run more"
// +kubebuilder:validation:XValidation:rule="!(has(self.replicas) && has(self.autoscaling))",message="choose replicas or autoscaling, not both"
// +kubebuilder:validation:XValidation:rule="!has(self.autoscaling) || !has(self.template) || !has(self.template.resources) || (has(self.template.resources.requests) && 'cpu' in self.template.resources.requests) || (has(self.template.resources.limits) && 'cpu' in self.template.resources.limits)",message="autoscaling measures the use of the requested CPU: set template.resources.requests.cpu"
type MailboxRegionSpec struct {
	// cloud is the name of the SovereignCloud.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cloud cannot change: mail does not cross clouds, create a region in the other cloud"
	// +required
	Cloud ObjectName `json:"cloud"`
	// geography code, one of the cloud's.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="geography cannot change: create a region there and move the mailboxes"
	// +required
	Geography GeographyCode `json:"geography"`
	// country in which the data rests, one of the geography's.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="country cannot change: create a region there and move the mailboxes"
	// +required
	Country CountryCode `json:"country"`
	// allowedTenants is the region's consent; tenants of its own namespace when
	// absent.
	// +optional
	AllowedTenants AllowedTenants `json:"allowedTenants,omitzero"`
	// cluster in which the region runs; this one when absent.
	// +optional
	Cluster *RegionCluster `json:"cluster,omitempty"`
	// endpoint is how clients reach the region.
	// +required
	Endpoint RegionEndpoint `json:"endpoint"`
	// certificate is where the serving certificate comes from.
	// +optional
	Certificate RegionCertificate `json:"certificate,omitzero"`
	// storage is where the region keeps its mailboxes.
	// +required
	Storage RegionStorage `json:"storage"`
	// delivery is how mail enters and leaves the region; by neither way when absent.
	// +optional
	Delivery *RegionDelivery `json:"delivery,omitempty"`
	// push is how the region identifies itself to push services.
	// +optional
	Push RegionPush `json:"push,omitzero"`
	// limits of what clients may use.
	// +optional
	Limits RegionLimits `json:"limits,omitzero"`
	// replicas of the sync server, with storage.postgres; 1 when absent.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// autoscaling of the sync server, with storage.postgres.
	// +optional
	Autoscaling *RegionAutoscaling `json:"autoscaling,omitempty"`
	// template shapes the sync pods.
	// +optional
	Template RegionTemplate `json:"template,omitzero"`
	// deletionPolicy is Retain when absent: nothing deletes mail by accident.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// MailboxRegionStatus is the observed state of a region.
type MailboxRegionStatus struct {
	ReconcileStatus `json:",inline"`

	// endpointURL is the base URL of the sync endpoint.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	EndpointURL string `json:"endpointURL,omitempty"`
	// loadBalancer lists the addresses of the region's load balancer.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	LoadBalancer []string `json:"loadBalancer,omitempty"`
	// syncVersion is the release that the sync servers run.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	SyncVersion string `json:"syncVersion,omitempty"`
	// replicas is "ready/desired".
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Replicas string `json:"replicas,omitempty"`
	// readyReplicas of the sync server.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
	// desiredReplicas of the sync server.
	// +kubebuilder:validation:Minimum=0
	// +optional
	DesiredReplicas int32 `json:"desiredReplicas"`
	// certificateNotAfter is when the serving certificate expires.
	// +optional
	CertificateNotAfter *metav1.Time `json:"certificateNotAfter,omitempty"`
	// deletionPolicy in force, default applied.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// tenants that have mailboxes here by their spec.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Tenants int32 `json:"tenants"`
	// mailboxes held, refreshed at most once a minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Mailboxes int64 `json:"mailboxes"`
	// devices registered, refreshed at most once a minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Devices int64 `json:"devices"`
	// bytesStored by the region, refreshed at most once a minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	BytesStored int64 `json:"bytesStored"`
}

// MailboxRegion is a place where mailboxes live: a sync deployment in one country,
// within one sovereign cloud.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mbr,categories=bailiwick
// +kubebuilder:printcolumn:name="Cloud",type=string,JSONPath=`.spec.cloud`
// +kubebuilder:printcolumn:name="Geo",type=string,JSONPath=`.spec.geography`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpointURL`
// +kubebuilder:printcolumn:name="Replicas",type=string,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Tenants",type=integer,JSONPath=`.status.tenants`
// +kubebuilder:printcolumn:name="Cert-Expires",type=string,JSONPath=`.status.certificateNotAfter`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",message="metadata.name must be at most 40 characters without dots: the names of the region's objects are made from it"
type MailboxRegion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the platform team declares.
	// +required
	Spec MailboxRegionSpec `json:"spec"`
	// status is written by the operator.
	// +optional
	Status MailboxRegionStatus `json:"status,omitzero"`
}

// MailboxRegionList is a list of MailboxRegion.
//
// +kubebuilder:object:root=true
type MailboxRegionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []MailboxRegion `json:"items"`
}

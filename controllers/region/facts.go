package region

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

// Facts are everything that is known of a region when it is decided upon. Objects
// are those of the cache: they are read and never changed.
type Facts struct {
	// Now is the time of the observation.
	Now time.Time
	// Region is the object that is reconciled.
	Region *v1alpha1.MailboxRegion
	// Cloud that the region names; nil when it does not exist.
	Cloud *v1alpha1.SovereignCloud
	// Authority of the cloud; nil when it is not there, or not usable.
	Authority *authority.Authority
	// AuthorityProblem says why the authority is not usable; empty when it is, and
	// when it is not there yet.
	AuthorityProblem string
	// Serving is what the Secret with the certificate holds; nil without a Secret.
	Serving *authority.Serving
	// Found are the region's own objects that exist.
	Found []client.Object
	// Secret, StatefulSet, Deployment, Autoscaler, Service and Claim are those of
	// Found by role; nil when they do not exist. A StatefulSet and a claim are of the
	// embedded store, a Deployment and an autoscaler of PostgreSQL.
	Secret      *corev1.Secret
	StatefulSet *appsv1.StatefulSet
	Deployment  *appsv1.Deployment
	Autoscaler  *autoscalingv2.HorizontalPodAutoscaler
	Service     *corev1.Service
	Claim       *corev1.PersistentVolumeClaim
	// MailPorts are the Services of the ports at which mail comes in, by protocol. Those
	// that do not exist are not in it.
	MailPorts map[string]*corev1.Service
	// Pods of the region, sorted by name.
	Pods []*corev1.Pod
	// Tenants that name the region, sorted by "namespace/name".
	Tenants []TenantFacts
	// Replicas are those that have, or get, reports, sorted by name.
	Replicas []ReplicaFacts
	// Together is what the reports of the replicas say, merged.
	Together ReplicaFacts
	// Storage is what the Secrets that spec.storage names say.
	Storage StorageFacts
	// Delivery is what the objects that spec.delivery names say.
	Delivery DeliveryFacts
	// Rival is the "namespace/name" of the region that has the hostname; empty when
	// this region may have it.
	Rival string
	// KubeConfigProblem says why the kubeconfig that the spec names cannot be used;
	// nil when it can, and when none is named.
	KubeConfigProblem *Obstacle
	// CountedAt is when the counts in status were refreshed last by this process;
	// zero before.
	CountedAt time.Time
}

// TenantFacts is one tenant that names the region.
type TenantFacts struct {
	// Name is "namespace/name".
	Name string
	// Lives tells that the region was given a document of the tenant: it consented,
	// and there may be mail.
	Lives bool
	// UID and Generation are those of the document; empty and 0 while there is none.
	UID        string
	Generation int64
	// IssuerPorts are the ports on which the tenant's issuers publish their keys.
	IssuerPorts []int32
}

// ReplicaFacts is what a replica reports.
type ReplicaFacts struct {
	// Name is that of the pod; empty in what is merged.
	Name string
	// Serves tells that requests may reach the replica, so that what it enforces
	// counts. The one replica of an embedded store always does.
	Serves bool
	// SyncVersion is the release of the sync server.
	SyncVersion string
	// Tenants is what is enforced, by "namespace/name".
	Tenants map[string]EnforcedFacts
	// Storage tells of the parts of the store, as the replica finds them.
	Storage []tenantdoc.CellReport
	// Mailboxes, Devices and BytesStored are the sums of the region.
	Mailboxes, Devices, BytesStored int64
	// Problem says why a report could not be read; empty when all could.
	Problem string
}

// EnforcedFacts is what a replica says of one tenant.
type EnforcedFacts struct {
	// UID and Generation are those of the document that is enforced.
	UID        string
	Generation int64
	// Refused says why a newer document is not enforced.
	Refused string
}

// Obstacle is why nothing can be made of the spec as it is.
type Obstacle struct {
	// Condition that tells of it, with the reason and the message: what is wrong,
	// where, and what to do.
	Condition, Reason, Message string
}

// deleting tells whether the region is being deleted.
func (f *Facts) deleting() bool { return !f.Region.DeletionTimestamp.IsZero() }

// onPostgres tells whether the mail is in databases, and not in an embedded store.
func (f *Facts) onPostgres() bool { return f.Region.Spec.Storage.Postgres != nil }

// running tells whether the object that makes the pods exists.
func (f *Facts) running() bool { return f.StatefulSet != nil || f.Deployment != nil }

// paused tells whether a person holds the region.
func (f *Facts) paused() bool { return f.Region.Annotations[v1alpha1.AnnotationPaused] == "true" }

// requested is the value of the annotation that asks for a reconcile; empty when it
// was handled already.
func (f *Facts) requested() string {
	value := requestedAt(f.Region)
	if value == f.Region.Status.LastHandledReconcileAt {
		return ""
	}
	return value
}

// requestedAt is the annotation, no longer than status can hold.
func requestedAt(r metav1.Object) string {
	const limit = 253
	value := r.GetAnnotations()[v1alpha1.AnnotationRequestedAt]
	if len(value) > limit {
		return value[:limit]
	}
	return value
}

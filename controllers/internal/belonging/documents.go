package belonging

import (
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Documents decodes each version of a tenant document once, however many mailboxes
// and labels ask what it says.
type Documents struct {
	mu    sync.Mutex
	known map[string]map[types.NamespacedName]Given // by tenant
}

// Given is what one region is given.
type Given struct {
	// Region is the region.
	Region v1alpha1.RegionReference
	// Mailboxes are its shared mailboxes by account, Labels those by id.
	Mailboxes map[string]tenantdoc.SharedMailbox
	Labels    map[string]tenantdoc.Label

	uid             types.UID
	resourceVersion string
}

// Read gives what the documents of a tenant say. Of one that cannot be read, nothing
// is known.
func (d *Documents) Read(tenant string, documents []corev1.ConfigMap) map[v1alpha1.RegionReference]Given {
	d.mu.Lock()
	defer d.mu.Unlock()
	had, has := d.known[tenant], map[types.NamespacedName]Given{}
	byRegion := map[v1alpha1.RegionReference]Given{}
	for i := range documents {
		cm := &documents[i]
		key := client.ObjectKeyFromObject(cm)
		given, ok := had[key]
		if !ok || given.uid != cm.UID || given.resourceVersion != cm.ResourceVersion {
			given = read(cm)
		}
		has[key] = given
		byRegion[given.Region] = given
	}
	if d.known == nil {
		d.known = map[string]map[types.NamespacedName]Given{}
	}
	d.known[tenant] = has
	if len(has) == 0 {
		delete(d.known, tenant)
	}
	return byRegion
}

func read(cm *corev1.ConfigMap) Given {
	given := Given{
		Region:    RegionOf(cm),
		Mailboxes: map[string]tenantdoc.SharedMailbox{}, Labels: map[string]tenantdoc.Label{},
		uid: cm.UID, resourceVersion: cm.ResourceVersion,
	}
	document, err := tenantdoc.Decode([]byte(cm.Data[tenantdoc.DocumentKey]))
	if err != nil {
		return given
	}
	for _, m := range document.SharedMailboxes {
		given.Mailboxes[m.Account] = m
	}
	for _, l := range document.Labels {
		given.Labels[l.ID] = l
	}
	return given
}

// RegionOf is the region that a document is for.
func RegionOf(cm client.Object) v1alpha1.RegionReference {
	return v1alpha1.RegionReference{
		Namespace: v1alpha1.NamespaceName(cm.GetNamespace()),
		Name:      v1alpha1.ObjectName(cm.GetLabels()[tenantdoc.LabelRegion]),
	}
}

// TenantOf names the tenant whose document an object is, as "namespace/name"; empty
// when it is none.
func TenantOf(obj client.Object) string {
	if obj.GetLabels()[tenantdoc.LabelContent] != tenantdoc.ContentDocument {
		return ""
	}
	return obj.GetAnnotations()[tenantdoc.AnnotationTenant]
}

// TenantKey is a tenant of TenantOf as a key.
func TenantKey(tenant string) client.ObjectKey {
	namespace, name, _ := strings.Cut(tenant, "/")
	return client.ObjectKey{Namespace: namespace, Name: name}
}

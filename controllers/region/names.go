package region

import (
	"net/netip"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// Labels of what is made for a region, beside v1alpha1.LabelRegion.
const (
	labelName     = "app.kubernetes.io/name"
	labelInstance = "app.kubernetes.io/instance"
	labelPartOf   = "app.kubernetes.io/part-of"

	appName = "bailiwick-sync"
	partOf  = "bailiwick"
)

// names are the names of a region's objects. They are made from the region's name
// alone, so that each object is found without a search.
type names struct{ region string }

func namesOf(r *v1alpha1.MailboxRegion) names { return names{r.Name} }

func (n names) sync() string                { return n.region + "-sync" }
func (n names) tls() string                 { return n.region + "-sync-tls" }
func (n names) bundle() string              { return n.region + "-ca" }
func (n names) pods() string                { return n.region + "-sync-pods" }
func (n names) deny() string                { return n.region + "-sync-deny" }
func (n names) mail(protocol string) string { return n.sync() + "-" + protocol }
func (n names) replica() string             { return n.region + "-sync-0" }
func (n names) claim() string               { return dataVolume + "-" + n.replica() }

// selectorOf selects the sync pods of a region.
func selectorOf(r *v1alpha1.MailboxRegion) map[string]string {
	return map[string]string{labelName: appName, labelInstance: r.Name}
}

// labelsOf are the labels of every object of a region.
func labelsOf(r *v1alpha1.MailboxRegion) map[string]string {
	return map[string]string{
		labelName:            appName,
		labelInstance:        r.Name,
		labelPartOf:          partOf,
		apply.LabelManagedBy: apply.ManagedBy,
		v1alpha1.LabelRegion: r.Name,
	}
}

// metaOf is the metadata of an object that the region controls, and that goes with
// it.
func metaOf(r *v1alpha1.MailboxRegion, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:            name,
		Namespace:       r.Namespace,
		Labels:          labelsOf(r),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(r, v1alpha1.GroupVersion.WithKind("MailboxRegion"))},
	}
}

// endpointURL is the base URL of the sync endpoint. An IPv6 address stands in
// brackets (RFC 3986 §3.2.2).
func endpointURL(hostname v1alpha1.Hostname) string {
	host := string(hostname)
	if address, err := netip.ParseAddr(host); err == nil && address.Is6() {
		host = "[" + host + "]"
	}
	return "https://" + strings.ToLower(host)
}

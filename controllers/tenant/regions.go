package tenant

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// regionVerdict is what becomes of one region of a tenant.
type regionVerdict struct {
	ref       v1alpha1.RegionReference
	field     string
	geography v1alpha1.GeographyCode
	url       string
	// refused regions must not hold anything of the tenant: what is there is
	// removed.
	refused bool
	// problem says why the region does not take the tenant; nil when it does.
	problem *problem
}

// serves tells whether the tenant's document belongs into the region: when nothing
// is wrong, or when only time stands between and the region serves it already.
func (v *regionVerdict) serves(f *Facts) bool {
	if v.refused || v.url == "" || v.geography == "" {
		return false
	}
	return v.problem == nil || f.served(v.ref)
}

// references lists the regions of a tenant, the home region first.
func references(t *v1alpha1.Tenant) []v1alpha1.RegionReference {
	return append([]v1alpha1.RegionReference{t.Spec.HomeRegion}, t.Spec.Regions...)
}

// judgeRegions holds each region of a tenant against the rules, in the order of the
// spec. Of two regions in one geography the first is kept.
func judgeRegions(f *Facts) []regionVerdict {
	verdicts := make([]regionVerdict, 0, 1+len(f.Tenant.Spec.Regions))
	taken := map[v1alpha1.GeographyCode]v1alpha1.RegionReference{}
	for i, ref := range references(f.Tenant) {
		field := "spec.homeRegion"
		if i > 0 {
			field = "spec.regions"
		}
		v := judgeRegion(f, ref, field)
		if other, twice := taken[v.geography]; twice && !v.refused {
			v.refused = true
			v.problem = &problem{reason: v1alpha1.ReasonGeographyTwice, message: fmt.Sprintf("regions %q and %q are both in geography %q: keep one of them in spec.regions", other, ref, v.geography)}
		}
		if !v.refused {
			taken[v.geography] = ref
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// judgeRegion asks the questions in order; the first that is answered no counts.
func judgeRegion(f *Facts, ref v1alpha1.RegionReference, field string) regionVerdict {
	v := regionVerdict{ref: ref, field: field}
	region := f.Regions[ref]
	for _, refuse := range []func(*Facts, *v1alpha1.MailboxRegion, *regionVerdict) *problem{notFound, otherCloud, noConsent} {
		if v.problem = refuse(f, region, &v); v.problem != nil {
			v.refused = true
			return v
		}
	}
	v.geography = region.Spec.Geography
	v.url = region.Status.EndpointURL
	for _, delay := range []func(*v1alpha1.MailboxRegion, *regionVerdict) *problem{deleting, cloudRefused, noEndpoint} {
		if v.problem = delay(region, &v); v.problem != nil {
			return v
		}
	}
	return v
}

func notFound(_ *Facts, region *v1alpha1.MailboxRegion, v *regionVerdict) *problem {
	if region != nil {
		return nil
	}
	return &problem{reason: v1alpha1.ReasonRegionNotFound, message: fmt.Sprintf("region %q does not exist: create it, or name another in %s", v.ref, v.field)}
}

func otherCloud(f *Facts, region *v1alpha1.MailboxRegion, v *regionVerdict) *problem {
	cloud := f.Tenant.Spec.Cloud
	if region.Spec.Cloud == cloud {
		return nil
	}
	remedy := fmt.Sprintf("choose a region of %q (%s) in %s", cloud, enumerate(f.CloudRegions), v.field)
	if len(f.CloudRegions) == 0 {
		remedy = fmt.Sprintf("%q has no region yet, create one and name it in %s", cloud, v.field)
	}
	return &problem{
		reason:  v1alpha1.ReasonRegionCloudMismatch,
		message: fmt.Sprintf("region %q is in cloud %q, tenant %q in %q: %s", v.ref, region.Spec.Cloud, f.Tenant.Name, cloud, remedy),
	}
}

func noConsent(f *Facts, region *v1alpha1.MailboxRegion, v *regionVerdict) *problem {
	allowed := region.Spec.AllowedTenants.Namespaces
	var remedy string
	switch allowed.From {
	case v1alpha1.NamespacesAll:
		return nil
	case v1alpha1.NamespacesSelector:
		selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
		if err != nil {
			remedy = fmt.Sprintf("have the region's owner correct spec.allowedTenants.namespaces.selector (%v), or name another region in %s", err, v.field)
			break
		}
		if allowed.Selector != nil && selector.Matches(labels.Set(f.NamespaceLabels)) {
			return nil
		}
		remedy = fmt.Sprintf("have the namespace labelled as the region's spec.allowedTenants asks (%s), or name another region in %s", metav1.FormatLabelSelector(allowed.Selector), v.field)
	default:
		if region.Namespace == f.Tenant.Namespace {
			return nil
		}
		remedy = "have the region's owner allow the namespace in spec.allowedTenants, or name another region in " + v.field
	}
	return &problem{
		reason:  v1alpha1.ReasonRegionNotAllowed,
		message: fmt.Sprintf("region %q does not take tenants of namespace %q: %s", v.ref, f.Tenant.Namespace, remedy),
	}
}

func deleting(region *v1alpha1.MailboxRegion, v *regionVerdict) *problem {
	if region.DeletionTimestamp.IsZero() {
		return nil
	}
	return &problem{reason: v1alpha1.ReasonRegionDeleting, message: fmt.Sprintf("region %q is being deleted: name another in %s, its mailboxes stay until then", v.ref, v.field)}
}

func cloudRefused(region *v1alpha1.MailboxRegion, v *regionVerdict) *problem {
	c := meta.FindStatusCondition(region.Status.Conditions, v1alpha1.ConditionCloudReady)
	if c == nil || c.Status != metav1.ConditionFalse {
		return nil
	}
	return &problem{reason: v1alpha1.ReasonRegionNotReady, temporary: true, message: fmt.Sprintf("region %q is not accepted by its cloud (%s): see its conditions", v.ref, c.Reason)}
}

func noEndpoint(region *v1alpha1.MailboxRegion, v *regionVerdict) *problem {
	if region.Status.EndpointURL != "" {
		return nil
	}
	return &problem{reason: v1alpha1.ReasonRegionNotReady, temporary: true, message: fmt.Sprintf("region %q has no endpoint yet: see its conditions", v.ref)}
}

// enforcement is how far one region is with the tenant's document.
type enforcement struct {
	generation         int64
	refused, keysError string
	mailboxes, devices int64
}

// enforcementOf sums up what the replicas of a region report: a region enforces
// what its slowest replica does. All replicas see one store, so counts are those of
// the replica that has seen most.
func enforcementOf(f *Facts, ref v1alpha1.RegionReference) enforcement {
	var e enforcement
	for i, r := range f.Reports[ref] {
		if string(f.Tenant.UID) != r.UID {
			r.Generation = 0
		}
		if i == 0 || r.Generation < e.generation {
			e.generation = r.Generation
		}
		if e.refused == "" || r.Refused != "" && r.Refused < e.refused {
			e.refused = r.Refused
		}
		if e.keysError == "" || r.KeysError != "" && r.KeysError < e.keysError {
			e.keysError = r.KeysError
		}
		e.mailboxes = max(e.mailboxes, r.Mailboxes)
		e.devices = max(e.devices, r.Devices)
	}
	return e
}

// served tells whether a region has a document of the tenant.
func (f *Facts) served(ref v1alpha1.RegionReference) bool {
	return slices.ContainsFunc(f.Documents, func(d found) bool { return d.region == ref })
}

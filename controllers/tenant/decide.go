package tenant

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// Decision is what to do for a tenant, and the verdicts from which it follows.
type Decision struct {
	// Paused leaves everything as it is.
	Paused bool
	// Deleting removes the documents and lets the tenant go.
	Deleting bool
	// Wait leaves a new tenant as it is until its issuer has answered, so that it is
	// told of once.
	Wait bool
	// Plan for the writer.
	Plan apply.Plan

	cloud    *problem
	identity identityVerdict
	domains  domainsVerdict
	regions  []regionVerdict
	// mailboxes by the region that serves them, and labels, which every region has.
	mailboxes map[v1alpha1.RegionReference][]tenantdoc.SharedMailbox
	labels    []tenantdoc.Label
	// rendered tells that the documents are of the newest generation; else those
	// that were served before are kept.
	rendered bool
	// invalid is why a document could not be rendered.
	invalid error
	// untouched are the names of documents that stay as they are.
	untouched []client.ObjectKey
}

// decide says what to do. It is pure.
func decide(f *Facts) Decision {
	d := Decision{
		Paused:   f.Tenant.Annotations[v1alpha1.AnnotationPaused] == "true",
		Deleting: !f.Tenant.DeletionTimestamp.IsZero(),
	}
	for _, document := range f.Documents {
		d.Plan.Found = append(d.Plan.Found, document.configMap)
	}
	switch {
	case d.Paused:
		return d
	case d.Deleting:
		d.Plan.Prune = d.Plan.Found
		return d
	}
	d.Plan.Finalizer = true
	d.Plan.CheckLive = f.Tenant.Annotations[v1alpha1.AnnotationRequestedAt] != f.Tenant.Status.LastHandledReconcileAt
	d.cloud = judgeCloud(f)
	d.identity = judgeIdentity(f)
	d.domains = judgeDomains(f)
	d.regions = judgeRegions(f)
	d.Wait = d.identity.pending && len(f.Tenant.Status.Conditions) == 0 && d.acceptable(f)
	if d.Wait {
		return d
	}
	d.judgeBelongings(f)
	d.documents(f)
	return d
}

// judgeCloud tells why the cloud takes no new tenant; nil when it does.
func judgeCloud(f *Facts) *problem {
	name := f.Tenant.Spec.Cloud
	switch {
	case f.Cloud == nil:
		return &problem{reason: v1alpha1.ReasonCloudNotFound, message: fmt.Sprintf("cloud %q of spec.cloud does not exist: create the SovereignCloud, or create the tenant in one that exists", name)}
	case !f.Cloud.DeletionTimestamp.IsZero():
		return &problem{reason: v1alpha1.ReasonCloudNotReady, message: fmt.Sprintf("cloud %q is being deleted: create the tenant in another", name)}
	}
	c := meta.FindStatusCondition(f.Cloud.Status.Conditions, v1alpha1.ConditionAuthorityReady)
	if c == nil || c.Status != metav1.ConditionTrue {
		return &problem{reason: v1alpha1.ReasonCloudNotReady, temporary: true, message: fmt.Sprintf("cloud %q is not ready: see its conditions", name)}
	}
	return nil
}

// acceptable tells whether nothing but the identity could stand in the way of
// serving the tenant.
func (d *Decision) acceptable(f *Facts) bool {
	served := len(f.Documents) > 0
	home := &d.regions[0]
	return (d.cloud == nil || f.Cloud != nil && served) &&
		len(d.domains.held) > 0 && (len(d.domains.contested) == 0 || served) &&
		home.serves(f)
}

// documents plans what the regions serve. A tenant that passes is rendered anew. Of
// one that does not, what is served stays as it is, within three limits: a region
// that must not hold it loses it, a domain that is no longer held leaves it, and an
// issuer that the cloud no longer allows ends it. A suspension always counts, and so
// does what belongs to the tenant: a right that is taken away must go.
func (d *Decision) documents(f *Facts) {
	if d.identity.resolution != nil && d.acceptable(f) {
		d.rendered = true
		for i := range d.regions {
			if d.regions[i].serves(f) {
				d.want(render(f, d, &d.regions[i]), d.regions[i].ref)
			}
		}
	} else {
		for _, served := range f.Documents {
			d.keep(f, served)
		}
	}
	for _, document := range f.Documents {
		if !d.stays(client.ObjectKeyFromObject(document.configMap)) {
			d.Plan.Prune = append(d.Plan.Prune, document.configMap)
		}
	}
}

func (d *Decision) stays(key client.ObjectKey) bool {
	return slices.Contains(d.untouched, key) ||
		slices.ContainsFunc(d.Plan.Wanted, func(w client.Object) bool { return client.ObjectKeyFromObject(w) == key })
}

// keep plans a document that was served before.
func (d *Decision) keep(f *Facts, served found) {
	named := slices.ContainsFunc(d.regions, func(v regionVerdict) bool { return v.ref == served.region && !v.refused })
	if !named {
		return
	}
	document, err := tenantdoc.Decode([]byte(served.configMap.Data[tenantdoc.DocumentKey]))
	if err != nil {
		// Somebody spoilt it. The region keeps the last good one in memory for as long
		// as this one is there, and there is nothing yet to put in its place.
		d.untouched = append(d.untouched, client.ObjectKeyFromObject(served.configMap))
		return
	}
	if document.UID != string(f.Tenant.UID) {
		return // of another tenant that had the name
	}
	document.Suspended = f.Tenant.Spec.Suspend
	document.Domains = slices.DeleteFunc(document.Domains, func(domain string) bool {
		return !slices.Contains(d.domains.held, v1alpha1.MailDomain(domain))
	})
	outside := func(issuer tenantdoc.Issuer) bool { return f.Cloud != nil && !withinBoundary(f.Cloud, &issuer) }
	if len(document.Domains) == 0 || slices.ContainsFunc(document.Issuers, outside) {
		return
	}
	d.furnish(f, document, served.region)
	d.want(document, served.region)
}

// want plans a document. One that breaks its own contract is not written, and what
// the region has stays.
func (d *Decision) want(document *tenantdoc.Document, region v1alpha1.RegionReference) {
	cm, err := configMapOf(document, region)
	if err != nil {
		d.invalid = err
		d.untouched = append(d.untouched, client.ObjectKey{
			Namespace: string(region.Namespace),
			Name:      tenantdoc.ConfigMapName(string(region.Name), document.Tenant),
		})
		return
	}
	d.Plan.Wanted = append(d.Plan.Wanted, cm)
}

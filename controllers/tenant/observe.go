package tenant

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/issuers"
)

// Facts are all that is known about a tenant when it is decided upon. What could
// not be read is no fact: observe fails then, and nothing is done.
type Facts struct {
	// Now is the time of the observation.
	Now metav1.Time
	// Tenant is the object itself, as the cache shows it.
	Tenant *v1alpha1.Tenant
	// Cloud is the one that the tenant names; nil when it does not exist.
	Cloud *v1alpha1.SovereignCloud
	// CloudRegions are the names of the cloud's regions, sorted. They are looked up
	// only when a region of the tenant is in another cloud.
	CloudRegions []string
	// NamespaceLabels are those of the tenant's namespace.
	NamespaceLabels map[string]string
	// Regions are those that the tenant names and that exist.
	Regions map[v1alpha1.RegionReference]*v1alpha1.MailboxRegion
	// Reports of the replicas of each region about this tenant.
	Reports map[v1alpha1.RegionReference][]tenantdoc.TenantReport
	// Documents of this tenant that exist, in whatever region.
	Documents []found
	// Holders tells who holds each domain of the spec, as "namespace/name".
	Holders map[v1alpha1.MailDomain]string
	// Trust is what the identity asks for, TrustProblem why it is refused. Neither is
	// set without a cloud.
	Trust        *trust
	TrustProblem *problem
	// BundleProblem is why the CA bundle cannot be used.
	BundleProblem *problem
	// Answer is what the issuer said; nothing while BundleProblem is set.
	Answer issuers.Answer
	// SMIME is what the certificates of spec.smime came to.
	SMIME smimeFacts
	// Policies are the names of the policies that name the tenant, sorted.
	Policies []string
	// Mailboxes and Labels name the tenant.
	Mailboxes []*v1alpha1.SharedMailbox
	Labels    []*v1alpha1.SensitivityLabel
	// CountsDue tells that mailboxes and devices may be refreshed in status.
	CountsDue bool
}

// found is a document that exists.
type found struct {
	region    v1alpha1.RegionReference
	configMap *corev1.ConfigMap
}

// observe reads everything that a decision needs. No facts and no error mean that
// the tenant is gone.
func (c *Controller) observe(ctx context.Context, key client.ObjectKey) (*Facts, error) {
	tenant := &v1alpha1.Tenant{}
	if err := c.cache.Get(ctx, key, tenant, client.UnsafeDisableDeepCopy); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	f := &Facts{Now: metav1.NewTime(c.now()), Tenant: tenant}
	f.CountsDue = c.counts.due(tenant.UID, f.Now.Time)
	for _, step := range []func(context.Context, *Facts) error{
		c.observeDocuments, c.observeCloud, c.observeNamespace, c.observeRegions, c.observeDomains, c.observeIdentity, c.observeSMIME, c.observePolicies,
		c.observeBelongings,
	} {
		if err := step(ctx, f); err != nil {
			return nil, err
		}
		if !tenant.DeletionTimestamp.IsZero() {
			break // the documents are all that matters any more
		}
	}
	return f, nil
}

func (c *Controller) observeDocuments(ctx context.Context, f *Facts) error {
	list := &corev1.ConfigMapList{}
	if err := c.cache.List(ctx, list, client.MatchingFields{indexDocument: nameOf(f.Tenant)}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list documents of tenant %q: %w", nameOf(f.Tenant), err)
	}
	for i := range list.Items {
		cm := &list.Items[i]
		f.Documents = append(f.Documents, found{
			region: v1alpha1.RegionReference{
				Namespace: v1alpha1.NamespaceName(cm.Namespace),
				Name:      v1alpha1.ObjectName(cm.Labels[tenantdoc.LabelRegion]),
			},
			configMap: cm,
		})
	}
	slices.SortFunc(f.Documents, func(a, b found) int { return strings.Compare(a.region.String(), b.region.String()) })
	return nil
}

func (c *Controller) observeCloud(ctx context.Context, f *Facts) error {
	cloud := &v1alpha1.SovereignCloud{}
	err := c.cache.Get(ctx, client.ObjectKey{Name: string(f.Tenant.Spec.Cloud)}, cloud, client.UnsafeDisableDeepCopy)
	if err == nil {
		f.Cloud = cloud
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read cloud %q: %w", f.Tenant.Spec.Cloud, err)
	}
	return nil
}

func (c *Controller) observeNamespace(ctx context.Context, f *Facts) error {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := c.cache.Get(ctx, client.ObjectKey{Name: f.Tenant.Namespace}, namespace, client.UnsafeDisableDeepCopy); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read namespace %q: %w", f.Tenant.Namespace, err)
	}
	f.NamespaceLabels = namespace.Labels
	return nil
}

func (c *Controller) observeRegions(ctx context.Context, f *Facts) error {
	f.Regions = map[v1alpha1.RegionReference]*v1alpha1.MailboxRegion{}
	f.Reports = map[v1alpha1.RegionReference][]tenantdoc.TenantReport{}
	mismatch := false
	for _, ref := range references(f.Tenant) {
		region := &v1alpha1.MailboxRegion{}
		err := c.cache.Get(ctx, client.ObjectKey{Namespace: string(ref.Namespace), Name: string(ref.Name)}, region, client.UnsafeDisableDeepCopy)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read region %q: %w", ref, err)
		}
		if err != nil {
			continue
		}
		f.Regions[ref] = region
		mismatch = mismatch || region.Spec.Cloud != f.Tenant.Spec.Cloud
		if f.Reports[ref], err = c.reportsOf(ctx, ref, nameOf(f.Tenant)); err != nil {
			return err
		}
	}
	if mismatch {
		return c.observeCloudRegions(ctx, f)
	}
	return nil
}

func (c *Controller) observeCloudRegions(ctx context.Context, f *Facts) error {
	list := &v1alpha1.MailboxRegionList{}
	if err := c.cache.List(ctx, list, client.MatchingFields{indexCloud: string(f.Tenant.Spec.Cloud)}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list regions of cloud %q: %w", f.Tenant.Spec.Cloud, err)
	}
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp.IsZero() {
			f.CloudRegions = append(f.CloudRegions, list.Items[i].Name)
		}
	}
	slices.Sort(f.CloudRegions)
	f.CloudRegions = slices.Compact(f.CloudRegions)
	return nil
}

// reportsOf gives what each replica of a region says of a tenant. A replica whose
// reports do not mention the tenant says that it enforces nothing; one that was just
// started and has not said anything does not speak against those that have.
func (c *Controller) reportsOf(ctx context.Context, ref v1alpha1.RegionReference, tenant string) ([]tenantdoc.TenantReport, error) {
	list := &corev1.ConfigMapList{}
	if err := c.cache.List(ctx, list, client.InNamespace(ref.Namespace), client.MatchingFields{indexReport: string(ref.Name)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list reports of region %q: %w", ref, err)
	}
	byReplica := map[string]tenantdoc.TenantReport{}
	spoken := slices.ContainsFunc(list.Items, func(report corev1.ConfigMap) bool { return hasSpoken(&report) })
	for i := range list.Items {
		if spoken && !hasSpoken(&list.Items[i]) {
			continue
		}
		replica := list.Items[i].Labels[tenantdoc.LabelReplica]
		told := c.reports.read(&list.Items[i])[tenant]
		if before, ok := byReplica[replica]; !ok || before.UID == "" {
			byReplica[replica] = told
		}
	}
	replicas := make([]tenantdoc.TenantReport, 0, len(byReplica))
	for _, told := range byReplica {
		replicas = append(replicas, told)
	}
	return replicas, nil
}

// hasSpoken tells whether a replica has written its report.
func hasSpoken(report *corev1.ConfigMap) bool { return report.Data[tenantdoc.ReportKey] != "" }

// observeDomains asks the ledger for the holder of each domain. Tenants that no
// longer claim a domain but still serve it hold it until they stop.
func (c *Controller) observeDomains(ctx context.Context, f *Facts) error {
	f.Holders = make(map[v1alpha1.MailDomain]string, len(f.Tenant.Spec.Domains))
	for _, domain := range f.Tenant.Spec.Domains {
		list := &v1alpha1.TenantList{}
		key := domainKey(f.Tenant.Spec.Cloud, domain)
		if err := c.cache.List(ctx, list, client.MatchingFields{indexDomain: key}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list tenants with domain %q: %w", domain, err)
		}
		claimants := make([]*v1alpha1.Tenant, 0, len(list.Items))
		for i := range list.Items {
			claimants = append(claimants, &list.Items[i])
		}
		f.Holders[domain] = c.ledger.holder(claim{cloud: string(f.Tenant.Spec.Cloud), domain: string(domain)}, claimants)
	}
	return nil
}

// observeIdentity asks the prober, which answers at once with what is known.
func (c *Controller) observeIdentity(ctx context.Context, f *Facts) error {
	if f.Cloud == nil {
		return nil
	}
	key := client.ObjectKeyFromObject(f.Tenant)
	f.Trust, f.TrustProblem = resolveTrust(f.Cloud, &f.Tenant.Spec.Identity)
	if f.TrustProblem != nil {
		c.prober.Forget(key)
		return nil
	}
	pem, p, err := c.bundles.get(ctx, f.Tenant, f.Now.Time, c.prober.Failing(key))
	if err != nil {
		return err
	}
	if f.BundleProblem = p; p != nil {
		return nil
	}
	f.Trust.query.CABundle = pem
	if f.Tenant.Annotations[v1alpha1.AnnotationRequestedAt] != f.Tenant.Status.LastHandledReconcileAt {
		c.prober.Refresh(key)
	}
	f.Answer, err = c.prober.Want(key, f.Trust.query)
	return err
}

func (c *Controller) observePolicies(ctx context.Context, f *Facts) error {
	list := &v1alpha1.DevicePolicyList{}
	if err := c.cache.List(ctx, list, client.InNamespace(f.Tenant.Namespace), client.MatchingFields{indexPolicy: f.Tenant.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list policies of tenant %q: %w", nameOf(f.Tenant), err)
	}
	for i := range list.Items {
		f.Policies = append(f.Policies, list.Items[i].Name)
	}
	slices.Sort(f.Policies)
	return nil
}

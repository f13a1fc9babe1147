package region

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/authority"
)

// Settings are what the builders need to know beyond the facts.
type Settings struct {
	// Namespace is the operator's own.
	Namespace string
	// Image of the sync server.
	Image string
}

// Decision is what to do about a region.
type Decision struct {
	// Obstacles are why nothing is made; empty when all is well.
	Obstacles []Obstacle
	// Certificate says what to do about the serving certificate.
	Certificate authority.Decision
	// Request is what a new certificate must be.
	Request authority.Request
	// Plan for the writer, without the certificate when one is to be issued: keys
	// are made outside of what is pure.
	Plan apply.Plan
	// Deleting says how far a deletion is; nil when the region stays.
	Deleting *Teardown
}

// Teardown is how far a deletion is.
type Teardown struct {
	// Tenants live here and hold up the deletion.
	Tenants []string
	// Remaining are the objects that are still there, as "Kind name".
	Remaining []string
	// Kept is the mail that no deletion reaches; empty when there is none.
	Kept string
}

// decide is pure: the same facts give the same decision.
func decide(f *Facts, s Settings) Decision {
	d := Decision{Obstacles: obstacles(f)}
	d.Plan.Found = f.Found
	d.Plan.CheckLive = f.requested() != ""
	if f.deleting() {
		d.Deleting = &Teardown{Tenants: inhabitants(f)}
		if len(d.Deleting.Tenants) == 0 {
			d.teardown(f)
			return d
		}
	}
	d.Plan.Finalizer = hasFinalizer(f) || len(d.Obstacles) == 0
	if len(d.Obstacles) > 0 {
		return d
	}
	d.Request = certificateRequest(f)
	d.Certificate = authority.Decide(authority.Facts{
		Now: f.Now, Cloud: string(f.Region.Spec.Cloud), Authority: f.Authority, Wanted: d.Request, Serving: f.Serving,
	})
	d.Plan.Wanted = d.wanted(f, s)
	d.Plan.Prune = slices.Concat(surplusReports(f), surplusAutoscaler(f), surplusMailPorts(f))
	d.Plan.Release = released(f)
	return d
}

func hasFinalizer(f *Facts) bool {
	return slices.Contains(f.Region.Finalizers, v1alpha1.Finalizer)
}

// inhabitants are the tenants that live in the region. One that only names it, and
// was refused, holds up no deletion.
func inhabitants(f *Facts) []string {
	var list []string
	for i := range f.Tenants {
		if f.Tenants[i].Lives {
			list = append(list, f.Tenants[i].Name)
		}
	}
	return list
}

func certificateRequest(f *Facts) authority.Request {
	lifetime := authority.DefaultLifetime
	if hours := f.Region.Spec.Certificate.LifetimeHours; hours > 0 {
		lifetime = time.Duration(hours) * time.Hour
	}
	algorithm := f.Cloud.Spec.Compliance.CertificateKey
	if algorithm == "" {
		algorithm = v1alpha1.KeyECDSAP256
	}
	return authority.Request{
		Hosts:     append(authority.ServingHosts(string(f.Region.Spec.Endpoint.Hostname), namesOf(f.Region).sync(), f.Region.Namespace), mailHosts(f.Region)...),
		Algorithm: algorithm,
		Lifetime:  lifetime,
	}
}

// wanted are the region's objects in the order in which they are applied: what the
// pods need comes before the pods.
func (d *Decision) wanted(f *Facts, s Settings) []client.Object {
	r := f.Region
	reports := wantedReports(f)
	list := []client.Object{buildServiceAccount(r), buildRole(r, reports), buildRoleBinding(r)}
	for _, report := range reports {
		list = append(list, report)
	}
	if d.Certificate.Action == authority.Keep {
		list = append(list, buildSecret(r, f.Secret.Data))
	}
	if f.Authority != nil {
		list = append(list, buildBundle(r, f.Authority.Bundle()))
	}
	list = append(list, buildService(r))
	for _, port := range mailPorts(r) {
		list = append(list, buildMailService(r, port))
	}
	if !f.onPostgres() {
		list = append(list, buildHeadlessService(r))
	}
	list = append(list, buildDisruptionBudget(r), buildDenyPolicy(r), buildAllowPolicy(r, s.Namespace, issuerPorts(f), storagePorts(f)))
	if f.Claim != nil && requested(f.Claim.Spec.Resources.Requests).Cmp(r.Spec.Storage.Embedded.Size) < 0 {
		list = append(list, buildClaim(r))
	}
	if !d.starts(f) || held(f) {
		return list
	}
	return append(list, workload(f, s)...)
}

// workload is what makes the pods, and what scales it.
func workload(f *Facts, s Settings) []client.Object {
	r := f.Region
	if !f.onPostgres() {
		return []client.Object{buildStatefulSet(f, s.Image, templateSize(f))}
	}
	list := []client.Object{buildDeployment(f, s.Image)}
	if r.Spec.Autoscaling != nil {
		list = append(list, buildAutoscaler(r))
	}
	return list
}

// released are the replicas of a Deployment that an autoscaler gets to own. Without
// this their number would fall to one when the operator ceases to declare it.
func released(f *Facts) []apply.Release {
	if held(f) || f.Region.Spec.Autoscaling == nil || f.Deployment == nil || f.Autoscaler != nil || f.Deployment.Spec.Replicas == nil {
		return nil
	}
	return []apply.Release{{Object: f.Deployment, Fields: map[string]any{"spec": map[string]any{"replicas": *f.Deployment.Spec.Replicas}}}}
}

// surplusAutoscaler is one that the spec asks for no longer.
func surplusAutoscaler(f *Facts) []client.Object {
	if held(f) || f.Autoscaler == nil || f.Region.Spec.Autoscaling != nil {
		return nil
	}
	return []client.Object{f.Autoscaler}
}

func issuerPorts(f *Facts) []int32 {
	var ports []int32
	for i := range f.Tenants {
		ports = append(ports, f.Tenants[i].IssuerPorts...)
	}
	return ports
}

// starts tells whether there are, or will be, sync servers. A server without a
// certificate, or without what delivery needs, is not started; one that runs is left
// running.
func (d *Decision) starts(f *Facts) bool {
	return f.running() || (len(d.Obstacles) == 0 && d.Deleting == nil && d.Certificate.Action != authority.Wait && !held(f))
}

// held tells whether the sync servers are left as they are. A pod that needs an object
// which is missing would not start, and take the mailboxes along.
func held(f *Facts) bool { return f.Delivery.Problem != nil }

// templateSize is the size in the template of the claim: that of the StatefulSet
// which exists, because it cannot change there, and else that of the spec.
func templateSize(f *Facts) resource.Quantity {
	if f.StatefulSet != nil && len(f.StatefulSet.Spec.VolumeClaimTemplates) > 0 {
		return *requested(f.StatefulSet.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests)
	}
	return f.Region.Spec.Storage.Embedded.Size
}

// wantedReports are those of each replica, as many as the tenants need.
func wantedReports(f *Facts) []*corev1.ConfigMap {
	shards := tenantdoc.ReportShards(len(f.Tenants))
	reports := make([]*corev1.ConfigMap, 0, shards*len(f.Replicas))
	for i := range f.Replicas {
		for shard := range shards {
			reports = append(reports, buildReport(f.Region, f.Replicas[i].Name, shard))
		}
	}
	return reports
}

// surplusReports are those of shards that are no longer needed, and of pods that are
// gone.
func surplusReports(f *Facts) []client.Object {
	needed := map[string]bool{}
	for _, report := range wantedReports(f) {
		needed[report.Name] = true
	}
	var surplus []client.Object
	for _, obj := range f.Found {
		if obj.GetLabels()[tenantdoc.LabelContent] == tenantdoc.ContentReport && !needed[obj.GetName()] {
			surplus = append(surplus, obj)
		}
	}
	return surplus
}

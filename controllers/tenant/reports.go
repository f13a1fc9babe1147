package tenant

import (
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// countsEvery is how often counts that move on their own are refreshed in status.
const countsEvery = time.Minute

// reports decodes each version of a report once, however many tenants it tells of.
type reports struct {
	mu    sync.Mutex
	known map[types.NamespacedName]decoded
}

type decoded struct {
	uid             types.UID
	resourceVersion string
	tenants         map[string]tenantdoc.TenantReport
}

// read gives what a report says, by tenant. A report that cannot be read says
// nothing: a replica of another release, which the region tells of.
func (r *reports) read(cm *corev1.ConfigMap) map[string]tenantdoc.TenantReport {
	key := types.NamespacedName{Namespace: cm.Namespace, Name: cm.Name}
	r.mu.Lock()
	have, ok := r.known[key]
	r.mu.Unlock()
	if ok && have.uid == cm.UID && have.resourceVersion == cm.ResourceVersion {
		return have.tenants
	}
	tenants := decodeReport(cm)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[types.NamespacedName]decoded{}
	}
	r.known[key] = decoded{uid: cm.UID, resourceVersion: cm.ResourceVersion, tenants: tenants}
	return tenants
}

// reportVersion is one version of a report; the zero one is that of no report.
type reportVersion struct {
	region  string // as a tenant names it
	spoken  bool   // whether its replica has written it
	tenants map[string]tenantdoc.TenantReport
}

func (r *reports) version(obj client.Object) reportVersion {
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return reportVersion{}
	}
	return reportVersion{
		region:  cm.Namespace + "/" + cm.Labels[tenantdoc.LabelRegion],
		spoken:  hasSpoken(cm),
		tenants: r.read(cm),
	}
}

func (r *reports) forget(cm *corev1.ConfigMap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, types.NamespacedName{Namespace: cm.Namespace, Name: cm.Name})
}

func decodeReport(cm *corev1.ConfigMap) map[string]tenantdoc.TenantReport {
	raw := cm.Data[tenantdoc.ReportKey]
	if raw == "" {
		return nil
	}
	report, err := tenantdoc.DecodeReport([]byte(raw))
	if err != nil {
		return nil
	}
	return report.Tenants
}

// changed names the tenants of which two versions of a report say something else:
// those whose enforcement changed, and those of whom only counts did.
func changed(before, after map[string]tenantdoc.TenantReport) (enforcement, counts []string) {
	union := maps.Clone(after)
	if union == nil {
		union = map[string]tenantdoc.TenantReport{}
	}
	maps.Copy(union, before)
	for tenant := range union {
		a, b := before[tenant], after[tenant]
		if a == b {
			continue
		}
		a.Mailboxes, a.Devices = b.Mailboxes, b.Devices
		if a == b {
			counts = append(counts, tenant)
		} else {
			enforcement = append(enforcement, tenant)
		}
	}
	return enforcement, counts
}

// pacer remembers when counts of a tenant were last written.
type pacer struct {
	mu   sync.Mutex
	last map[types.UID]time.Time
}

func (p *pacer) due(tenant types.UID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.last[tenant]
	return !ok || now.Sub(last) >= countsEvery
}

func (p *pacer) written(tenant types.UID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[types.UID]time.Time{}
	}
	p.last[tenant] = now
}

func (p *pacer) forget(tenant types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, tenant)
}

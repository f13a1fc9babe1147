package region

import (
	"net/url"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// maxMemoised bounds a memo. When it is reached everything is decoded once more,
// which also drops what is gone.
const maxMemoised = 1 << 16

// memo keeps what was decoded from a ConfigMap until the ConfigMap changes, so that
// a reconcile in which nothing changed decodes nothing. It is safe for concurrent
// use.
type memo[T any] struct {
	decode func(*corev1.ConfigMap) T

	mu   sync.Mutex
	seen map[types.UID]memoised[T]
}

type memoised[T any] struct {
	resourceVersion string
	value           T
}

func (m *memo[T]) value(object *corev1.ConfigMap) T {
	m.mu.Lock()
	defer m.mu.Unlock()
	if got, ok := m.seen[object.UID]; ok && got.resourceVersion == object.ResourceVersion {
		return got.value
	}
	value := m.decode(object)
	if m.seen == nil || len(m.seen) >= maxMemoised {
		m.seen = map[types.UID]memoised[T]{}
	}
	m.seen[object.UID] = memoised[T]{object.ResourceVersion, value}
	return value
}

func (m *memo[T]) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, uid)
}

// reportMemo reads the reports of replicas.
type reportMemo struct{ memo[decodedReport] }

type decodedReport struct {
	report  *tenantdoc.Report
	problem string
}

func newReportMemo() *reportMemo {
	return &reportMemo{memo[decodedReport]{decode: decodeReport}}
}

// decodeReport gives nothing while the replica has not written yet.
func decodeReport(object *corev1.ConfigMap) decodedReport {
	raw := object.Data[tenantdoc.ReportKey]
	if raw == "" {
		return decodedReport{}
	}
	report, err := tenantdoc.DecodeReport([]byte(raw))
	if err != nil {
		return decodedReport{problem: err.Error()}
	}
	return decodedReport{report: report}
}

// merge adds one shard of the replica. A tenant that is in two shards, because their
// number changed, counts as the newer report says.
func (f *ReplicaFacts) merge(d decodedReport) {
	if d.problem != "" {
		f.Problem = d.problem
	}
	if d.report == nil {
		return
	}
	if d.report.SyncVersion != "" {
		f.SyncVersion = d.report.SyncVersion
	}
	f.BytesStored += d.report.BytesStored
	f.Storage = append(f.Storage, d.report.Storage...)
	for name, tenant := range d.report.Tenants {
		before, twice := f.Tenants[name]
		if twice && before.Generation >= tenant.Generation {
			continue
		}
		f.Tenants[name] = EnforcedFacts{UID: tenant.UID, Generation: tenant.Generation, Refused: tenant.Refused}
		if !twice {
			f.Mailboxes += tenant.Mailboxes
			f.Devices += tenant.Devices
		}
	}
}

// documentMemo reads what matters to the region of a tenant's document.
type documentMemo struct{ memo[rendered] }

// rendered is which tenant, at which generation, a document renders, and on which
// ports its issuers publish their keys.
type rendered struct {
	uid        string
	generation int64
	ports      []int32
}

func newDocumentMemo() *documentMemo {
	return &documentMemo{memo[rendered]{decode: decodeDocument}}
}

func decodeDocument(object *corev1.ConfigMap) rendered {
	document, err := tenantdoc.Decode([]byte(object.Data[tenantdoc.DocumentKey]))
	if err != nil {
		return rendered{}
	}
	r := rendered{uid: document.UID, generation: document.Generation}
	for i := range document.Issuers {
		r.ports = append(r.ports, portOf(document.Issuers[i].JWKSURI))
	}
	return r
}

// portOf is the port of an https URL.
func portOf(raw string) int32 {
	u, err := url.Parse(raw)
	if err != nil || u.Port() == "" {
		return portService
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return portService
	}
	return int32(port)
}

// declaredMemo remembers what the objects said that the spec of a region names, so that
// a reconcile in which nothing changed reads none. It is safe for concurrent use.
type declaredMemo[T any] struct {
	mu    sync.Mutex
	known map[types.UID]remembered[T]
}

type remembered[T any] struct {
	generation int64
	until      time.Time
	facts      T
}

// get gives what is known of this generation of a region, unless it is too old.
func (m *declaredMemo[T]) get(r *v1alpha1.MailboxRegion, now time.Time) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.known[r.UID]
	return known.facts, ok && known.generation == r.Generation && now.Before(known.until)
}

func (m *declaredMemo[T]) set(r *v1alpha1.MailboxRegion, facts T, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[types.UID]remembered[T]{}
	}
	m.known[r.UID] = remembered[T]{r.Generation, until, facts}
}

func (m *declaredMemo[T]) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, uid)
}

// clock remembers when something was done last for an object.
type clock struct {
	mu    sync.Mutex
	times map[types.UID]time.Time
}

func (c *clock) at(uid types.UID) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times[uid]
}

func (c *clock) set(uid types.UID, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[types.UID]time.Time{}
	}
	c.times[uid] = now
}

func (c *clock) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.times, uid)
}

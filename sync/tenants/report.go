package tenants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// maxDoublings bounds how often the time until the next try of a write doubles.
const maxDoublings = 10

// Counts is what a replica holds.
type Counts struct {
	// BytesStored is the size of the store.
	BytesStored int64
	// Tenants counts by "namespace/name".
	Tenants map[string]TenantCounts
}

// TenantCounts is what a replica holds for one tenant.
type TenantCounts struct {
	Mailboxes int64
	Devices   int64
}

// ReporterOptions are what a Reporter needs.
type ReporterOptions struct {
	// ConfigMaps is the client for the namespace of the region.
	ConfigMaps corev1client.ConfigMapInterface
	// Replica is the name of the pod.
	Replica string
	// Version is the release of the server.
	Version string
	// Set is what is reported on.
	Set *Set
	// Count counts; it is asked once per CountInterval. While it fails, or is nil, the
	// counts that the reports hold from before stay.
	Count func(context.Context) (Counts, error)
	// KeysError says why the keys of an issuer cannot be fetched; empty when they can.
	KeysError func(*tenantdoc.Issuer) string
	// Storage tells of the parts of the store; nil when there is nothing to tell. It is
	// asked often and must not wait for the store.
	Storage func() []tenantdoc.CellReport
	// Log takes what goes wrong.
	Log *slog.Logger
	// Interval is the least time between two rounds of writes; one second when zero.
	Interval time.Duration
	// CountInterval is the time between two counts; one minute when zero.
	CountInterval time.Duration
	// StorageInterval is the time between two looks at Storage; five seconds when zero.
	StorageInterval time.Duration
	// Retry is the time after which a failed write is tried again; one second when zero.
	// It doubles with each failure up to MaxRetry, which is half a minute when zero.
	Retry, MaxRetry time.Duration
}

// Reporter writes what a replica enforces into the report ConfigMaps that the
// operator made for it, when it differs from what they hold and not more often than
// once a second. A region in which nothing happens writes nothing.
type Reporter struct {
	o      ReporterOptions
	wake   chan struct{}
	shards *shardStore
	counts Counts
	// counted tells that counts are of this process.
	counted bool
	// failures counts the rounds in a row in which a write failed.
	failures int
}

// NewReporter makes a reporter; Run runs it.
func NewReporter(o ReporterOptions) *Reporter {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.CountInterval <= 0 {
		o.CountInterval = time.Minute
	}
	if o.StorageInterval <= 0 {
		o.StorageInterval = 5 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.MaxRetry <= 0 {
		o.MaxRetry = 30 * time.Second
	}
	r := &Reporter{o: o, wake: make(chan struct{}, 1)}
	r.shards = &shardStore{changed: r.Notify, content: map[string]string{}}
	return r
}

// Notify has the report looked at again soon, because something that it tells of may
// have changed. It never blocks.
func (r *Reporter) Notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run reports until the context ends. It begins when the set is ready.
func (r *Reporter) Run(ctx context.Context) {
	changes, cancel := r.o.Set.Subscribe()
	defer cancel()
	select {
	case <-ctx.Done():
		return
	case <-r.o.Set.Listed():
	}
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() {
		selector := labels.Set{tenantdoc.LabelContent: tenantdoc.ContentReport, tenantdoc.LabelReplica: r.o.Replica}
		mirror(ctx, "reports", r.o.ConfigMaps, selector, r.shards, r.o.Log)
	})
	r.count(ctx)
	counting := time.NewTicker(r.o.CountInterval)
	defer counting.Stop()
	looking := time.NewTicker(r.o.StorageInterval)
	defer looking.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-r.wake:
		case <-retry:
		case <-looking.C:
			if retry != nil {
				continue // what failed is tried again in its own time
			}
		case <-counting.C:
			r.count(ctx)
		}
		retry = r.round(ctx)
	}
}

// round writes what differs. After writes it rests, so that rounds stay apart; what
// happens meanwhile is in the next one. It gives a channel when a write has to be
// tried again.
func (r *Reporter) round(ctx context.Context) (retry <-chan time.Time) {
	wrote, err := r.write(ctx)
	if err == nil {
		r.failures = 0
	} else if ctx.Err() == nil {
		wait := r.pause()
		r.failures++
		r.o.Log.Log(ctx, levelOf(err), "writing a report failed, trying again", "error", err, "after", wait)
		retry = time.After(wait)
	}
	if wrote {
		select {
		case <-ctx.Done():
		case <-time.After(r.o.Interval):
		}
	}
	return retry
}

// pause is the time until what failed is tried again.
func (r *Reporter) pause() time.Duration {
	return min(r.o.Retry<<min(r.failures, maxDoublings), r.o.MaxRetry)
}

// levelOf tells how much a failure matters. The operator makes a report, and permits it,
// soon after the pod exists: until then there is nothing wrong.
func levelOf(err error) slog.Level {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

func (r *Reporter) count(ctx context.Context) {
	if r.o.Count == nil {
		return
	}
	counts, err := r.o.Count(ctx)
	if err != nil {
		r.o.Log.Warn("counting what the store holds failed, the last counts stay", "error", err)
		return
	}
	r.counts, r.counted = counts, true
}

// recall takes the counts from what the reports hold, as long as there are no others.
func (r *Reporter) recall(held map[string]string) {
	if r.counted {
		return
	}
	counts := Counts{Tenants: map[string]TenantCounts{}}
	for _, raw := range held {
		report, err := tenantdoc.DecodeReport([]byte(raw))
		if err != nil {
			continue
		}
		counts.BytesStored += report.BytesStored
		for tenant, told := range report.Tenants {
			counts.Tenants[tenant] = TenantCounts{Mailboxes: told.Mailboxes, Devices: told.Devices}
		}
	}
	r.counts = counts
}

// write brings each report ConfigMap up to date.
func (r *Reporter) write(ctx context.Context) (wrote bool, err error) {
	held := r.shards.snapshot()
	r.recall(held)
	reports := r.reports(contiguous(r.o.Replica, held))
	var errs []error
	for shard, report := range reports {
		raw, err := tenantdoc.EncodeReport(report)
		if err != nil {
			return wrote, err
		}
		name := tenantdoc.ReportName(r.o.Replica, shard)
		if held[name] == string(raw) {
			continue
		}
		wrote = true
		if err := r.patch(ctx, name, string(raw)); err != nil {
			errs = append(errs, fmt.Errorf("report %q: %w", name, err))
			continue
		}
		r.shards.wrote(name, string(raw))
	}
	return wrote, errors.Join(errs...)
}

// contiguous counts the report ConfigMaps from number 0 on.
func contiguous(replica string, held map[string]string) int {
	for n := 0; ; n++ {
		if _, ok := held[tenantdoc.ReportName(replica, n)]; !ok {
			return n
		}
	}
}

// reports makes the content of a number of report ConfigMaps.
func (r *Reporter) reports(shards int) []*tenantdoc.Report {
	if shards == 0 {
		return nil
	}
	reports := make([]*tenantdoc.Report, shards)
	for i := range reports {
		reports[i] = &tenantdoc.Report{Version: tenantdoc.FormatVersion, Replica: r.o.Replica, SyncVersion: r.o.Version, Tenants: map[string]tenantdoc.TenantReport{}}
	}
	reports[0].BytesStored = r.counts.BytesStored
	reports[0].Storage = r.storage()
	for tenant, status := range r.o.Set.Statuses() {
		counts := r.counts.Tenants[tenant]
		report := tenantdoc.TenantReport{Refused: status.Refused, Mailboxes: counts.Mailboxes, Devices: counts.Devices}
		if doc := status.Document; doc != nil {
			report.UID, report.Generation, report.KeysError = doc.UID, doc.Generation, r.keysError(doc)
		}
		reports[tenantdoc.ReportShard(tenant, shards)].Tenants[tenant] = report
	}
	return reports
}

// storage gives the parts of the store by name, each with a text that is not too long.
func (r *Reporter) storage() []tenantdoc.CellReport {
	if r.o.Storage == nil {
		return nil
	}
	cells := slices.Clone(r.o.Storage())
	for i := range cells {
		text := cells[i].Text
		cells[i].Text = strings.ToValidUTF8(text[:min(len(text), tenantdoc.MaxCellText)], "")
	}
	slices.SortFunc(cells, func(a, b tenantdoc.CellReport) int { return strings.Compare(a.Cell, b.Cell) })
	return cells
}

func (r *Reporter) keysError(doc *tenantdoc.Document) string {
	for i := range doc.Issuers {
		if text := r.o.KeysError(&doc.Issuers[i]); text != "" {
			return text
		}
	}
	return ""
}

// patch writes the one data key that is the replica's own.
func (r *Reporter) patch(ctx context.Context, name, content string) error {
	patch, err := json.Marshal(map[string]any{"data": map[string]string{tenantdoc.ReportKey: content}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = r.o.ConfigMaps.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: userAgent})
	return err
}

// shardStore knows what the report ConfigMaps of this replica hold, by name.
type shardStore struct {
	changed func()

	mu      sync.Mutex
	content map[string]string
}

func (s *shardStore) snapshot() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.content)
}

func (s *shardStore) wrote(name, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.content[name]; ok {
		s.content[name] = content
	}
}

// Add takes in a report ConfigMap.
func (s *shardStore) Add(obj any) error {
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return fmt.Errorf("%w: %T", errNotAConfigMap, obj)
	}
	s.mu.Lock()
	s.content[cm.Name] = cm.Data[tenantdoc.ReportKey]
	s.mu.Unlock()
	s.changed()
	return nil
}

// Update takes in a changed report ConfigMap.
func (s *shardStore) Update(obj any) error { return s.Add(obj) }

// Delete forgets a report ConfigMap.
func (s *shardStore) Delete(obj any) error {
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return fmt.Errorf("%w: %T", errNotAConfigMap, obj)
	}
	s.mu.Lock()
	delete(s.content, cm.Name)
	s.mu.Unlock()
	s.changed()
	return nil
}

// Replace takes in the full list.
func (s *shardStore) Replace(objs []any, _ string) error {
	content := make(map[string]string, len(objs))
	for _, obj := range objs {
		cm, ok := obj.(*corev1.ConfigMap)
		if !ok {
			return fmt.Errorf("%w: %T", errNotAConfigMap, obj)
		}
		content[cm.Name] = cm.Data[tenantdoc.ReportKey]
	}
	s.mu.Lock()
	s.content = content
	s.mu.Unlock()
	s.changed()
	return nil
}

// Resync does nothing.
func (s *shardStore) Resync() error { return nil }

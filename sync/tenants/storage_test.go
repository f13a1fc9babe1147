package tenants

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

func TestTheStateOfTheStoreIsReportedWhenItChanges(t *testing.T) {
	t.Parallel()
	client := &counting{api: newAPI(reportMap(0))}
	s := newSet()
	var mu sync.Mutex
	cells := []tenantdoc.CellReport{{Cell: "b", State: tenantdoc.CellUnreachable, Text: strings.Repeat("ä", tenantdoc.MaxCellText)}, {Cell: "a", State: tenantdoc.CellReady}}
	o := newOptions(client, s)
	o.StorageInterval = time.Millisecond
	o.Storage = func() []tenantdoc.CellReport {
		mu.Lock()
		defer mu.Unlock()
		return cells
	}
	background(t, NewReporter(o).Run)
	s.Replace(nil)
	waitFor(t, "the report", func() bool { return len(held(t, client, 0).Storage) == 2 })
	want := []tenantdoc.CellReport{{Cell: "a", State: tenantdoc.CellReady}, {Cell: "b", State: tenantdoc.CellUnreachable, Text: strings.Repeat("ä", tenantdoc.MaxCellText/2)}}
	if diff := cmp.Diff(want, held(t, client, 0).Storage); diff != "" {
		t.Errorf("storage (-want +got):\n%s", diff)
	}
	mu.Lock()
	cells = []tenantdoc.CellReport{{Cell: "a", State: tenantdoc.CellDiskFull}}
	mu.Unlock()
	waitFor(t, "the change", func() bool {
		got := held(t, client, 0).Storage
		return len(got) == 1 && got[0].State == tenantdoc.CellDiskFull
	})
}

// gate refuses patches as an API server does while the Role does not name the report.
type gate struct {
	*counting

	mu      sync.Mutex
	open    bool
	refused int
}

func (g *gate) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.ConfigMap, error) {
	g.mu.Lock()
	open := g.open
	if !open {
		g.refused++
	}
	g.mu.Unlock()
	if !open {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, name, errors.New("the Role does not name it"))
	}
	return g.counting.Patch(ctx, name, pt, data, o, sub...)
}

func TestPausesBetweenTriesGrowUpToABound(t *testing.T) {
	t.Parallel()
	r := NewReporter(ReporterOptions{})
	var got []time.Duration
	for range 7 {
		got = append(got, r.pause()/time.Second)
		r.failures++
	}
	r.failures = 1 << 20
	if diff := cmp.Diff([]time.Duration{1, 2, 4, 8, 16, 30, 30}, got); diff != "" || r.pause() != 30*time.Second {
		t.Errorf("after many failures %s; pauses in seconds (-want +got):\n%s", r.pause(), diff)
	}
}

func TestAReportThatIsNotThereOrNotPermittedYetIsWrittenOnceItIs(t *testing.T) {
	t.Parallel()
	client := &gate{counting: &counting{api: newAPI()}}
	s := newSet()
	o := newOptions(client.counting, s)
	o.ConfigMaps, o.MaxRetry = client, 4*time.Millisecond
	background(t, NewReporter(o).Run)
	s.Replace([]Input{{Source: "a", Raw: encode(t, document("n/a", 1, nil))}})
	refusals := func() int {
		client.mu.Lock()
		defer client.mu.Unlock()
		return client.refused
	}
	waitFor(t, "the report to be noticed", func() bool {
		// The fake tells a watch nothing of what happened before it began, so make it again.
		_ = client.Delete(t.Context(), tenantdoc.ReportName(replica, 0), metav1.DeleteOptions{})
		if _, err := client.Create(t.Context(), reportMap(0), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		return refusals() > 0
	})
	more := refusals() + 3
	waitFor(t, "more tries", func() bool { return refusals() >= more })
	client.mu.Lock()
	client.open = true
	client.mu.Unlock()
	waitFor(t, "the report", func() bool { return held(t, client.counting, 0).Tenants["n/a"].Generation == 1 })
}

func TestCountsFromBeforeStayUntilTheStoreCanBeCounted(t *testing.T) {
	t.Parallel()
	before := reportMap(0)
	raw, err := tenantdoc.EncodeReport(&tenantdoc.Report{
		Version: tenantdoc.FormatVersion, BytesStored: 4096, Tenants: map[string]tenantdoc.TenantReport{"n/a": {Mailboxes: 12, Devices: 19}},
	})
	if err != nil {
		t.Fatal(err)
	}
	before.Data = map[string]string{tenantdoc.ReportKey: string(raw)}
	client := &counting{api: newAPI(before)}
	s := newSet()
	o := newOptions(client, s)
	o.Count = nil
	background(t, NewReporter(o).Run)
	s.Replace([]Input{{Source: "a", Raw: encode(t, document("n/a", 1, nil))}})
	waitFor(t, "the report", func() bool { return held(t, client, 0).Tenants["n/a"].Generation == 1 })
	if got := held(t, client, 0); got.BytesStored != 4096 || got.Tenants["n/a"].Mailboxes != 12 || got.Tenants["n/a"].Devices != 19 {
		t.Errorf("report %+v, want the counts from before", got)
	}
}

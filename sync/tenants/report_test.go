package tenants

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

const replica = "virginia-sync-0"

func reportMap(shard int) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: tenantdoc.ReportName(replica, shard),
		Labels: map[string]string{tenantdoc.LabelContent: tenantdoc.ContentReport, tenantdoc.LabelReplica: replica},
	}}
}

// counting counts the patches that pass through it, and fails some.
type counting struct {
	*api

	mu      sync.Mutex
	patches int
	fail    int
}

func (c *counting) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.ConfigMap, error) {
	c.mu.Lock()
	c.patches++
	failing := c.fail > 0
	if failing {
		c.fail--
	}
	c.mu.Unlock()
	if failing {
		return nil, errors.New("the API server says no")
	}
	return c.api.Patch(ctx, name, pt, data, o, sub...)
}

func (c *counting) Patches() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.patches
}

func held(t *testing.T, client *counting, shard int) *tenantdoc.Report {
	t.Helper()
	cm, err := client.Get(t.Context(), tenantdoc.ReportName(replica, shard), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if cm.Data[tenantdoc.ReportKey] == "" {
		return &tenantdoc.Report{}
	}
	r, err := tenantdoc.DecodeReport([]byte(cm.Data[tenantdoc.ReportKey]))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newOptions(client *counting, s *Set) ReporterOptions {
	return ReporterOptions{
		ConfigMaps: client, Replica: replica, Version: "v0.1.0", Set: s, Log: quiet,
		Count: func(context.Context) (Counts, error) {
			return Counts{BytesStored: 7, Tenants: map[string]TenantCounts{"n/a": {Mailboxes: 2, Devices: 3}}}, nil
		},
		KeysError: func(*tenantdoc.Issuer) string { return "" },
		Interval:  time.Millisecond, CountInterval: time.Hour, Retry: time.Millisecond,
	}
}

func TestReportTellsWhatIsEnforcedAndThenFallsSilent(t *testing.T) {
	t.Parallel()
	client := &counting{api: newAPI(reportMap(0))}
	s := newSet()
	r := NewReporter(newOptions(client, s))
	background(t, r.Run)
	s.Replace([]Input{
		{Source: "a", Raw: encode(t, document("n/a", 4, nil))},
		{Source: "b", Tenant: "n/b", Raw: []byte("{")},
	})
	waitFor(t, "the report", func() bool { return len(held(t, client, 0).Tenants) == 2 })
	got := held(t, client, 0)
	want := &tenantdoc.Report{
		Version: "1", Replica: replica, SyncVersion: "v0.1.0", BytesStored: 7,
		Tenants: map[string]tenantdoc.TenantReport{
			"n/a": {UID: "uid-n/a", Generation: 4, Mailboxes: 2, Devices: 3},
			"n/b": {Refused: got.Tenants["n/b"].Refused},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || got.Tenants["n/b"].Refused == "" {
		t.Fatal(diff, got)
	}
	waitFor(t, "the reporter to know that it wrote", func() bool {
		wrote, err := r.write(t.Context())
		return !wrote && err == nil
	})
	before := client.Patches()
	for range 5 { // nothing changed, whatever wakes the reporter
		r.Notify()
		if wrote, err := r.write(t.Context()); wrote || err != nil {
			t.Fatalf("write = %v, %v", wrote, err)
		}
	}
	if after := client.Patches(); after != before {
		t.Fatalf("%d patches although nothing changed", after-before)
	}
}

func TestChangesAreReported(t *testing.T) {
	t.Parallel()
	client := &counting{api: newAPI(reportMap(0))}
	s := newSet()
	var mu sync.Mutex
	keysError, mailboxes := "", int64(1)
	o := newOptions(client, s)
	o.CountInterval = 5 * time.Millisecond
	o.Count = func(context.Context) (Counts, error) {
		mu.Lock()
		defer mu.Unlock()
		if mailboxes < 0 {
			return Counts{}, errors.New("the store is busy")
		}
		return Counts{Tenants: map[string]TenantCounts{"n/a": {Mailboxes: mailboxes}}}, nil
	}
	o.KeysError = func(*tenantdoc.Issuer) string {
		mu.Lock()
		defer mu.Unlock()
		return keysError
	}
	change := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}
	r := NewReporter(o)
	background(t, r.Run)
	s.Replace([]Input{{Source: "a", Raw: encode(t, document("n/a", 1, nil))}})
	tenant := func() tenantdoc.TenantReport { return held(t, client, 0).Tenants["n/a"] }
	waitFor(t, "the first report", func() bool { return tenant().Generation == 1 && tenant().Mailboxes == 1 })
	s.Put(Input{Source: "a", Raw: encode(t, document("n/a", 2, nil))})
	waitFor(t, "the new generation", func() bool { return tenant().Generation == 2 })
	change(func() { keysError = "issuer is down" })
	r.Notify()
	waitFor(t, "the failure of the issuer", func() bool { return tenant().KeysError == "issuer is down" })
	change(func() { mailboxes = 9 })
	waitFor(t, "the new count", func() bool { return tenant().Mailboxes == 9 })
	change(func() { mailboxes = -1 })
	s.Put(Input{Source: "a", Raw: encode(t, document("n/a", 3, nil))})
	waitFor(t, "the next generation with the last counts", func() bool { return tenant().Generation == 3 && tenant().Mailboxes == 9 })
	s.Remove("a")
	waitFor(t, "the removal", func() bool { return len(held(t, client, 0).Tenants) == 0 })
}

func TestTenantsAreSpreadOverTheReportsThatExist(t *testing.T) {
	t.Parallel()
	client := &counting{api: newAPI(reportMap(0), reportMap(1), reportMap(3))} // 2 is missing, so 3 does not count
	s := newSet()
	background(t, NewReporter(newOptions(client, s)).Run)
	var all []Input
	for i := range 40 {
		name := "n/t" + strconv.Itoa(i)
		all = append(all, Input{Source: name, Raw: encode(t, document(name, 1, nil))})
	}
	s.Replace(all)
	waitFor(t, "all tenants", func() bool { return len(held(t, client, 0).Tenants)+len(held(t, client, 1).Tenants) == 40 })
	for shard := range 2 {
		report := held(t, client, shard)
		if len(report.Tenants) == 0 || (report.BytesStored != 0) != (shard == 0) {
			t.Errorf("shard %d: %+v", shard, report)
		}
		for name := range report.Tenants {
			if tenantdoc.ReportShard(name, 2) != shard {
				t.Errorf("tenant %q is in shard %d", name, shard)
			}
		}
	}
	if len(held(t, client, 3).Tenants) != 0 {
		t.Error("a report out of line was written")
	}
	waitFor(t, "one report for all", func() bool {
		// The fake tells a watch nothing of what happened before it began, so delete it again.
		if err := client.Delete(t.Context(), tenantdoc.ReportName(replica, 1), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if len(held(t, client, 0).Tenants) == 40 {
				return true
			}
		}
		if _, err := client.Create(t.Context(), reportMap(1), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		return false
	})
}

func TestFailedWriteIsTriedAgain(t *testing.T) {
	t.Parallel()
	client := &counting{api: newAPI(reportMap(0)), fail: 3}
	s := newSet()
	background(t, NewReporter(newOptions(client, s)).Run)
	s.Replace([]Input{{Source: "a", Raw: encode(t, document("n/a", 1, nil))}})
	waitFor(t, "the report", func() bool { return held(t, client, 0).Tenants["n/a"].Generation == 1 })
	if n := client.Patches(); n < 4 {
		t.Fatalf("%d patches, want at least 4", n)
	}
}

func TestForeignEditOfAReportIsPutRight(t *testing.T) {
	t.Parallel()
	client := &counting{api: newAPI(reportMap(0))}
	s := newSet()
	background(t, NewReporter(newOptions(client, s)).Run)
	s.Replace([]Input{{Source: "a", Raw: encode(t, document("n/a", 1, nil))}})
	waitFor(t, "the report", func() bool { return held(t, client, 0).Tenants["n/a"].Generation == 1 })
	waitFor(t, "the edit to be put right", func() bool {
		// The fake tells a watch nothing of what happened before it began, so edit again.
		before := client.Patches()
		edited := reportMap(0)
		edited.Data = map[string]string{tenantdoc.ReportKey: `{"version":"1","tenants":{}}`}
		if _, err := client.Update(t.Context(), edited, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		return client.Patches() > before && held(t, client, 0).Tenants["n/a"].Generation == 1
	})
}

func TestReporterThatIsStoppedBeforeTheFirstListEnds(t *testing.T) {
	t.Parallel()
	client := &counting{api: newAPI(reportMap(0))}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	NewReporter(ReporterOptions{ConfigMaps: client, Set: newSet(), Log: quiet}).Run(ctx)
	if n := client.Patches(); n != 0 {
		t.Fatalf("%d patches", n)
	}
}

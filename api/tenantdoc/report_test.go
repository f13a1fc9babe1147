package tenantdoc

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testReport() *Report {
	return &Report{
		Version: FormatVersion, Replica: "virginia-sync-0", SyncVersion: "v0.1.0", BytesStored: 4096,
		Storage: []CellReport{{Cell: "db-1", State: CellReady}, {Cell: "db-2", State: CellFailed, Text: "the database is broken"}},
		Tenants: map[string]TenantReport{
			"agency/agency": {UID: "1", Generation: 3, Mailboxes: 12, Devices: 19},
			"acme/acme":     {UID: "2", Generation: 1, Refused: "domains: empty", KeysError: "host unreachable"},
			"other/other":   {},
		},
	}
}

func TestReportSurvivesEncodingAndDecoding(t *testing.T) {
	t.Parallel()
	first, err := EncodeReport(testReport())
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeReport(first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testReport(), got); diff != "" {
		t.Error(diff)
	}
	for range 20 {
		again, err := EncodeReport(testReport())
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("the same report has other bytes (error %v)", err)
		}
	}
}

func TestReportOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"version":"2"}`: `version "2" is not "1"`,
		`{}`:              `version "" is not "1"`,
		`noise`:           "decode report",
		``:                "decode report",
	} {
		if _, err := DecodeReport([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", raw, err, want)
		}
	}
}

func TestTenantsSpreadOverTheReportsOfAReplica(t *testing.T) {
	t.Parallel()
	for tenants, want := range map[int]int{0: 1, 1: 1, TenantsPerReport: 1, TenantsPerReport + 1: 2, 10000: 5} {
		if got := ReportShards(tenants); got != want {
			t.Errorf("%d tenants get %d reports, want %d", tenants, got, want)
		}
	}
	const tenants = 10000
	shards := ReportShards(tenants)
	counts := make([]int, shards)
	for n := range tenants {
		name := fmt.Sprintf("namespace-%d/tenant", n)
		shard := ReportShard(name, shards)
		if shard != ReportShard(name, shards) {
			t.Fatalf("tenant %q moves between reports", name)
		}
		counts[shard]++
	}
	for shard, n := range counts {
		if n < TenantsPerReport*8/10 || n > TenantsPerReport*12/10 {
			t.Errorf("report %d tells of %d tenants, far from %d", shard, n, TenantsPerReport)
		}
	}
	if got := ReportShard("a/b", 0); got != 0 {
		t.Errorf("without reports the shard is %d", got)
	}
}

func TestNamesFitKubernetes(t *testing.T) {
	t.Parallel()
	region := strings.Repeat("r", 40)
	one, two := ConfigMapName(region, "a/b"), ConfigMapName(region, "a/c")
	if len(one) > 253 || one == two || !strings.HasPrefix(one, region+"-tenant-") {
		t.Errorf("names %q and %q", one, two)
	}
	if got := ReportName("virginia-sync-0", 2); got != "virginia-sync-0-report-2" {
		t.Errorf("report name %q", got)
	}
}

func FuzzDecodeReport(f *testing.F) {
	raw, err := EncodeReport(testReport())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version":"1","tenants":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := DecodeReport(raw)
		if err != nil {
			return
		}
		once, err := EncodeReport(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeReport(once)
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		if twice, err := EncodeReport(again); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("encoding is not stable (error %v)", err)
		}
	})
}

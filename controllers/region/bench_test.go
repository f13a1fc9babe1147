package region

import (
	"strings"
	"testing"
)

// BenchmarkNoopReconcile measures a reconcile of a region that is as declared and
// has a tenant, against the real cache, with requests counted at the connection.
func BenchmarkNoopReconcile(b *testing.B) {
	w := newWorld(b)
	r := w.region("virginia")
	w.create(r)
	w.create(w.tenant("agency", r))
	w.reconcile(r)
	w.reconcile(r)
	request := w.request(r)
	w.wire.writes.Store(0)
	w.wire.reads.Store(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.controller.Reconcile(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
	perOp := func(n int64) float64 { return float64(n) / float64(b.N) }
	b.ReportMetric(perOp(w.wire.writes.Load()), "writes/op")
	b.ReportMetric(perOp(w.wire.reads.Load()), "reads/op")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "us/op")
}

// BenchmarkCreateRegion is what a new region costs in requests that write, beyond one
// for each object that it makes.
func BenchmarkCreateRegion(b *testing.B) {
	var extra int64
	for b.Loop() {
		w := newWorld(b)
		r := w.region("virginia")
		w.create(r)
		w.reconcile(r)
		extra += w.wire.writes.Load()
		for _, line := range w.snapshot() {
			if !strings.Contains(line, "MailboxRegion") {
				extra--
			}
		}
	}
	b.ReportMetric(float64(extra)/float64(b.N), "extra-writes/op")
}

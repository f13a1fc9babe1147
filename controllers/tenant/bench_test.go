package tenant

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// BenchmarkNoopReconcile is what a tenant with two regions costs while nothing
// changes. The figures are the requests that reach the API server, and the time.
func BenchmarkNoopReconcile(b *testing.B) {
	w := newWorld(b)
	w.everywhere = true
	virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
	w.start()
	tenant := w.tenant("agency", "agency.example", virginia, paris)
	w.create(tenant)
	w.enforce(virginia, tenant)
	w.enforce(paris, tenant)
	w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
	req := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(tenant)}
	pass := func() {
		if _, err := w.controller.Reconcile(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	pass()
	writes, reads := w.wire.writes.Load(), w.wire.reads.Load()
	for b.Loop() {
		pass()
	}
	b.ReportMetric(float64(w.wire.writes.Load()-writes)/float64(b.N), "writes/op")
	b.ReportMetric(float64(w.wire.reads.Load()-reads)/float64(b.N), "reads/op")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "us/op")
}

// BenchmarkCreateTenant is what a new tenant with two regions costs in requests that
// write, until it is ready.
func BenchmarkCreateTenant(b *testing.B) {
	const documents = 2
	var writes int64
	for b.Loop() {
		w := newWorld(b)
		virginia, paris := w.newRegion("virginia", "NAM"), w.newRegion("paris", "EUR")
		w.start()
		tenant := w.tenant("agency", "agency.example", virginia, paris)
		w.create(tenant)
		w.enforce(virginia, tenant)
		w.enforce(paris, tenant)
		w.await(tenant, v1alpha1.ConditionReady, v1alpha1.ReasonReady)
		writes += w.controller.writer.Writes() - documents
		w.stop()
	}
	b.ReportMetric(float64(writes)/float64(b.N), "extra-writes/op")
}

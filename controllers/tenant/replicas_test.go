package tenant

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

func TestReplicaThatWasJustStartedDoesNotSpeakAgainstTheOthers(t *testing.T) {
	w := newWorld(t)
	virginia := w.newRegion("virginia", "NAM")
	w.start()
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: virginia.Namespace, Name: tenantdoc.ReportName("virginia-sync-new", 0),
		Labels: map[string]string{
			apply.LabelManagedBy: apply.ManagedBy, tenantdoc.LabelContent: tenantdoc.ContentReport,
			tenantdoc.LabelRegion: virginia.Name, tenantdoc.LabelReplica: "virginia-sync-new",
		},
	}})
	tenant := w.sharing(virginia)
	w.create(tenant)
	w.enforce(virginia, tenant)
	w.await(tenant, v1alpha1.ConditionRegionsReady, v1alpha1.ReasonEnforced)
	w.calm()
	w.report(virginia, &tenantdoc.Report{Version: tenantdoc.FormatVersion, Replica: "virginia-sync-new"})
	w.await(tenant, v1alpha1.ConditionRegionsReady, v1alpha1.ReasonNotEnforcedYet)
	w.calm()
	w.remove(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: virginia.Namespace, Name: tenantdoc.ReportName("virginia-sync-new", 0)}})
	w.await(tenant, v1alpha1.ConditionRegionsReady, v1alpha1.ReasonEnforced)
}

// calm waits until nothing brings a tenant to the controller any more: what happens
// next is the doing of the event that a test makes next.
func (w *world) calm() {
	w.t.Helper()
	var before int64
	since := time.Now()
	w.eventually(func() string {
		if now := w.passes.Load(); now != before {
			before, since = now, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return "tenants keep coming to the controller"
		}
		return ""
	})
}

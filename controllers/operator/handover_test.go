package operator

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// acts counts the requests of one replica that change something but Leases and
// events.
type acts struct {
	next  http.RoundTripper
	count atomic.Int64
}

func (a *acts) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet && !strings.Contains(req.URL.Path, "/leases") && !strings.Contains(req.URL.Path, "/events") {
		a.count.Add(1)
	}
	return a.next.RoundTrip(req)
}

// replica starts an operator that takes part in the leader election, and counts what
// it does.
func replica(t *testing.T) (does *acts, stop func()) {
	t.Helper()
	o := options()
	o.LeaderElection = true
	o.Config = rest.CopyConfig(apiConfig)
	does = &acts{}
	o.Config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		does.next = next
		return does
	})
	return does, start(t, o)
}

func TestOfTwoReplicasOneActsUntilTheOtherTakesOver(t *testing.T) {
	handled := func(r *v1alpha1.MailboxRegion) func() bool {
		return func() bool {
			return api.Get(t.Context(), client.ObjectKeyFromObject(r), r) == nil && r.Status.ObservedGeneration == 1
		}
	}
	leader, stop := replica(t)
	first, _ := estate(t, "leads")
	eventually(t, "the leader handles a region", handled(first))
	standby, _ := replica(t)
	second, _ := estate(t, "stands-by")
	eventually(t, "the leader handles a region beside another replica", handled(second))
	if leader.count.Load() == 0 || standby.count.Load() != 0 {
		t.Errorf("the leader acted %d times, the replica that stands by %d times, want some and none", leader.count.Load(), standby.count.Load())
	}
	stop()
	before := leader.count.Load()
	third, _ := estate(t, "takes-over")
	eventually(t, "the other replica handles a region", handled(third))
	if standby.count.Load() == 0 || leader.count.Load() != before {
		t.Errorf("after the leader ended it acted %d times more, the other %d times, want none and some", leader.count.Load()-before, standby.count.Load())
	}
}

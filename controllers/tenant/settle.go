package tenant

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
	"github.com/bailiwick-dev/bailiwick/controllers/internal/apply"
)

// settling remembers until when the status of a tenant waits for its regions.
type settling struct {
	mu    sync.Mutex
	until map[types.UID]time.Time
}

// wait tells how long the status still waits; zero when it shall be written. It
// waits only after a write, and only while the one thing that it would add is that
// a region does not enforce yet what was just written.
func (s *settling) wait(f *Facts, d Decision, out apply.Outcome, status *v1alpha1.TenantStatus) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	uid, now := f.Tenant.UID, f.Now.Time
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if d.Paused || d.Deleting || len(out.Failures) > 0 || ready == nil || ready.Reason != v1alpha1.ReasonNotEnforcedYet {
		delete(s.until, uid)
		return 0
	}
	if out.Written > 0 {
		if s.until == nil {
			s.until = map[types.UID]time.Time{}
		}
		s.until[uid] = now.Add(settleFor)
	}
	until, ok := s.until[uid]
	if !ok || !now.Before(until) {
		delete(s.until, uid)
		return 0
	}
	return until.Sub(now)
}

func (s *settling) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, uid)
}

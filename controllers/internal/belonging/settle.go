package belonging

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// settleFor is how long a status that would only say "not served yet" waits for the
// tenant's documents, which are written in less: one status is better than two.
const settleFor = 2 * time.Second

// Settling remembers until when the status of an object waits.
type Settling struct {
	mu    sync.Mutex
	until map[types.UID]deadline
}

type deadline struct {
	generation int64
	at         time.Time
}

// Wait tells how long the status of an object that is not served as declared still
// waits; zero when it shall be written. Each generation waits once.
func (s *Settling) Wait(obj client.Object, now time.Time, pending bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !pending {
		delete(s.until, obj.GetUID())
		return 0
	}
	d, ok := s.until[obj.GetUID()]
	if !ok || d.generation != obj.GetGeneration() {
		d = deadline{generation: obj.GetGeneration(), at: now.Add(settleFor)}
		if s.until == nil {
			s.until = map[types.UID]deadline{}
		}
		s.until[obj.GetUID()] = d
	}
	return max(0, d.at.Sub(now))
}

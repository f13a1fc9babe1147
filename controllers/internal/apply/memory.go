package apply

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// memory remembers, by owner, at which resource version an object was found to
// hold which intent. While both stay the same there is nothing to compare.
type memory struct {
	mu     sync.Mutex
	owners map[types.UID]map[key]known
}

type known struct {
	resourceVersion string
	sum             uint64
}

func (m *memory) holds(owner types.UID, k key, have known) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return have.resourceVersion != "" && m.owners[owner][k] == have
}

func (m *memory) remember(owner types.UID, k key, have known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owners == nil {
		m.owners = map[types.UID]map[key]known{}
	}
	if m.owners[owner] == nil {
		m.owners[owner] = map[key]known{}
	}
	m.owners[owner][k] = have
}

func (m *memory) forget(owner types.UID, k key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.owners[owner], k)
}

func (m *memory) forgetOwner(owner types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.owners, owner)
}

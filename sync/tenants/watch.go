package tenants

// watchers are those who want to know when the document of a tenant changes.
type watchers struct {
	next   int
	byName map[string]map[int]chan struct{}
}

// Watch gives a channel that receives a value after the enforced document of a tenant
// ("namespace/name") changed, and a first one at once: what was looked up before the
// watch began may have changed meanwhile. Changes that nobody waits for are coalesced.
// Cancel releases it, and may be called more than once.
func (s *Set) Watch(tenant string) (changes <-chan struct{}, cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, c := s.watchers.next, make(chan struct{}, 1)
	s.watchers.next++
	if s.watchers.byName == nil {
		s.watchers.byName = map[string]map[int]chan struct{}{}
	}
	if s.watchers.byName[tenant] == nil {
		s.watchers.byName[tenant] = map[int]chan struct{}{}
	}
	s.watchers.byName[tenant][id] = c
	c <- struct{}{}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers.byName[tenant], id)
		if len(s.watchers.byName[tenant]) == 0 {
			delete(s.watchers.byName, tenant)
		}
	}
}

// tell tells those who watch a tenant. The caller holds the lock of the set.
func (w *watchers) tell(tenant string) {
	for _, c := range w.byName[tenant] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

package mail

import "sync"

// maxUnshared bounds how many principals a process remembers as having nothing shared with them.
const maxUnshared = 1 << 16

// unshared remembers with which principals nothing is shared, so that their requests need not look: nearly all of them
// are like that. Only the process that alone writes to the store can know it.
type unshared struct {
	mu sync.Mutex
	// changes counts the changes of offers, so that one that comes while another looks is not missed.
	changes uint64
	known   map[string]struct{}
}

// has tells whether nothing is shared, and how many changes there were.
func (u *unshared) has(principal string) (known bool, changes uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, known = u.known[principal]
	return known, u.changes
}

// add remembers that nothing was shared when there had been so many changes.
func (u *unshared) add(principal string, changes uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.changes != changes {
		return
	}
	if u.known == nil || len(u.known) >= maxUnshared {
		u.known = map[string]struct{}{}
	}
	u.known[principal] = struct{}{}
}

// changed forgets a principal whose offers may be others now.
func (u *unshared) changed(principal string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changes++
	delete(u.known, principal)
}

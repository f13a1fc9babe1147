package mail

import (
	"sync"
	"time"
)

// completedFor is how long a process takes it that an account which was complete still is. It is short, so that an account
// that was erased is soon made again, and long enough for all that a client asks when it is opened.
const completedFor = time.Second

// maxCompleted bounds how many accounts a process remembers as complete.
const maxCompleted = 1 << 14

// home is whom an account is complete for.
type home struct{ account, tenant, address string }

// completed remembers which accounts were complete a moment ago, so that not every request looks.
type completed struct {
	mu    sync.Mutex
	until map[home]time.Time
}

func (c *completed) has(h home, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.until[h]
	return ok && now.Before(until)
}

// add remembers an account. When there are too many, all are forgotten.
func (c *completed) add(h home, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil || len(c.until) >= maxCompleted {
		c.until = map[home]time.Time{}
	}
	c.until[h] = now.Add(completedFor)
}

package access

import (
	"crypto/sha256"
	"sync"

	"github.com/bailiwick-dev/bailiwick/sync/identity"
)

// Bounds of the tokens that a gate keeps: how many, and how large one may be. All of them take some 16 MB.
const (
	maxRecent      = 1 << 12
	maxRecentToken = 4 << 10
)

// recent keeps the tokens that were read and found good, by their hash: a client sends the same token with each request
// until it expires. Only the reading is taken from here: what a token says is judged anew each time.
type recent struct {
	mu     sync.Mutex
	tokens map[[sha256.Size]byte]*identity.Unverified
}

// parse reads a token, unless it is one that was read before, and returns the function that keeps it.
func (c *recent) parse(raw string) (token *identity.Unverified, keep func(), err error) {
	hash := sha256.Sum256([]byte(raw))
	c.mu.Lock()
	token, ok := c.tokens[hash]
	c.mu.Unlock()
	if ok {
		return token, func() {}, nil
	}
	token, err = identity.Parse(raw)
	return token, func() { c.add(hash, token, len(raw)) }, err
}

// add keeps a token. When there are too many, all are forgotten: they are read again as they are needed.
func (c *recent) add(hash [sha256.Size]byte, token *identity.Unverified, size int) {
	if size > maxRecentToken {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens == nil || len(c.tokens) >= maxRecent {
		c.tokens = map[[sha256.Size]byte]*identity.Unverified{}
	}
	c.tokens[hash] = token
}

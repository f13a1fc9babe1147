package identity

import (
	"crypto/sha256"
	"sync"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
)

// maxProven bounds how many tokens a source remembers: two megabytes of them.
const maxProven = 1 << 15

// proven remembers the tokens whose signatures the present keys of an issuer have verified, by their hash: a client
// sends the same token with each request until it expires. Nothing but the signature is taken from here. Keys that
// were fetched anew are another set, with which every signature is verified again.
type proven struct {
	mu   sync.Mutex
	keys *egress.KeySet
	seen map[[sha256.Size]byte]struct{}
}

// has tells whether the keys have verified a token.
func (p *proven) has(keys *egress.KeySet, token [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys != keys {
		return false
	}
	_, ok := p.seen[token]
	return ok
}

// add remembers that the keys have verified a token.
func (p *proven) add(keys *egress.KeySet, token [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys != keys || len(p.seen) >= maxProven {
		p.keys, p.seen = keys, map[[sha256.Size]byte]struct{}{}
	}
	p.seen[token] = struct{}{}
}

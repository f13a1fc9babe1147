// Package address hands out loopback addresses, one to each pod or Service, so that all of them can listen on the
// port they like on one machine.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// ErrExhausted says that every address of the range is in use.
var ErrExhausted = errors.New("no free address is left in the range")

// Pool gives each owner one address of a range. It is safe for concurrent use.
type Pool struct {
	mu     sync.Mutex
	prefix netip.Prefix
	first  netip.Addr
	next   netip.Addr
	byName map[string]netip.Addr
	taken  map[netip.Addr]string
}

// NewPool returns a pool over an IPv4 loopback range such as 127.66.0.0/16. The network address and the address
// after it are never handed out: the second one belongs to the node itself, see Pool.Node.
func NewPool(cidr string) (*Pool, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil, fmt.Errorf("address range %q: %w", cidr, err)
	}
	prefix = prefix.Masked()
	if !prefix.Addr().Is4() || !prefix.Addr().IsLoopback() || prefix.Bits() < 8 {
		return nil, fmt.Errorf("address range %q: must lie within 127.0.0.0/8", cidr)
	}
	if prefix.Bits() > 29 {
		return nil, fmt.Errorf("address range %q: has fewer than 8 addresses, use a prefix length of at most 29", cidr)
	}
	first := prefix.Addr().Next().Next()
	return &Pool{prefix: prefix, first: first, next: first, byName: map[string]netip.Addr{}, taken: map[netip.Addr]string{}}, nil
}

// Node is the address of the node itself: the first one after the network address.
func (p *Pool) Node() netip.Addr { return p.prefix.Addr().Next() }

// Take returns the address of owner and assigns one on the first call. Addresses go round, so that one that was
// just released is not given to the next owner while its connections linger. The error is ErrExhausted.
func (p *Pool) Take(owner string) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if addr, ok := p.byName[owner]; ok {
		return addr, nil
	}
	start := p.next
	for {
		addr := p.next
		p.advance()
		if _, used := p.taken[addr]; !used {
			p.assign(owner, addr)
			return addr, nil
		}
		if p.next == start {
			return netip.Addr{}, fmt.Errorf("%w %s", ErrExhausted, p.prefix)
		}
	}
}

// Prefer is Take, but gives the wanted address when it is free and in the range.
func (p *Pool) Prefer(owner, wanted string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(wanted)
	if err == nil && p.claim(owner, addr) {
		return addr, nil
	}
	return p.Take(owner)
}

func (p *Pool) claim(owner string, addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.byName[owner]; has {
		return false
	}
	if _, used := p.taken[addr]; used || !p.usable(addr) {
		return false
	}
	p.assign(owner, addr)
	return true
}

// Release gives the address of owner back. It does nothing when owner has none.
func (p *Pool) Release(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if addr, ok := p.byName[owner]; ok {
		delete(p.byName, owner)
		delete(p.taken, addr)
	}
}

func (p *Pool) assign(owner string, addr netip.Addr) {
	p.byName[owner] = addr
	p.taken[addr] = owner
}

func (p *Pool) advance() {
	p.next = p.next.Next()
	if !p.usable(p.next) {
		p.next = p.first
	}
}

// usable excludes the broadcast address of 127.0.0.0/8, to which a socket cannot connect.
func (p *Pool) usable(addr netip.Addr) bool {
	return p.prefix.Contains(addr) && !addr.Less(p.first) && addr != netip.AddrFrom4([4]byte{127, 255, 255, 255})
}

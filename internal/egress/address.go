package egress

import (
	"fmt"
	"net/netip"
	"syscall"
)

// addressRules judges addresses; see Policy for the meaning of its ranges.
type addressRules struct {
	private []netip.Prefix
	denied  []netip.Prefix
}

// reserved is a range that is no public destination.
type reserved struct {
	prefix netip.Prefix
	name   string
	always bool // refused even when a private range contains it
}

// reservedRanges follow the IANA special-purpose address registries (RFC 6890 and
// its updates), and the metadata services of the large clouds, of which Azure's wire
// server looks like a public address. The first range that contains an address
// names the refusal.
var reservedRanges = []reserved{
	{netip.MustParsePrefix("169.254.169.254/32"), "a cloud metadata service", true},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud metadata service", true},
	{netip.MustParsePrefix("100.100.100.200/32"), "a cloud metadata service", true},
	{netip.MustParsePrefix("192.0.0.192/32"), "a cloud metadata service", true},
	{netip.MustParsePrefix("fd00:ec2::254/128"), "a cloud metadata service", true},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified", true},
	{netip.MustParsePrefix("::/128"), "unspecified", true},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local", true},
	{netip.MustParsePrefix("fe80::/10"), "link-local", true},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast", true},
	{netip.MustParsePrefix("ff00::/8"), "multicast", true},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast", true},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback", false},
	{netip.MustParsePrefix("::1/128"), "loopback", false},
	{netip.MustParsePrefix("10.0.0.0/8"), "private", false},
	{netip.MustParsePrefix("172.16.0.0/12"), "private", false},
	{netip.MustParsePrefix("192.168.0.0/16"), "private", false},
	{netip.MustParsePrefix("fc00::/7"), "private", false},
	{netip.MustParsePrefix("fec0::/10"), "private", false},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT", false},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved", false},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation", false},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation", false},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation", false},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation", false},
	{netip.MustParsePrefix("3fff::/20"), "documentation", false},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking", false},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved", false},
	{netip.MustParsePrefix("2001::/32"), "tunnelled", false},
	{netip.MustParsePrefix("2002::/16"), "tunnelled", false},
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 embeds the IPv4 destination in its last 32 bits (RFC 6052 §2.1).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// control judges an address after resolution and before the connection; it is made
// for net.Dialer.
func (r addressRules) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse address %q: %w", address, err)
	}
	return r.check(ap.Addr())
}

// check returns an *Error of kind ErrAddressRefused when the address may not be
// dialled. The message names the range, not the address: a name with many
// addresses then always gives the same message.
func (r addressRules) check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		return r.check(netip.AddrFrom4([4]byte(b[12:])))
	}
	if p, ok := containing(r.denied, addr); ok {
		return refuse(p, "denied", "use a host outside the ranges of the cluster")
	}
	verdict, public := classify(addr)
	if public {
		return nil
	}
	if verdict.always {
		return refuse(verdict.prefix, verdict.name, "use a host with a public address")
	}
	if _, ok := containing(r.private, addr); ok {
		return nil
	}
	return refuse(verdict.prefix, verdict.name, "use a host with a public address, or list its range among the allowed private ranges")
}

func classify(addr netip.Addr) (reserved, bool) {
	for _, r := range reservedRanges {
		if r.prefix.Contains(addr) {
			return r, false
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return reserved{prefix: netip.MustParsePrefix("::/0"), name: "not globally routed"}, false
	}
	return reserved{}, true
}

func containing(prefixes []netip.Prefix, addr netip.Addr) (netip.Prefix, bool) {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func refuse(p netip.Prefix, name, remedy string) error {
	return &Error{Kind: ErrAddressRefused, Detail: fmt.Sprintf("the host is in %s (%s): %s", p, name, remedy)}
}

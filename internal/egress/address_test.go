package egress

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestAddressesAreJudgedByTheirRange(t *testing.T) {
	t.Parallel()
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	tests := map[string]struct {
		addr    string
		rules   addressRules
		refused string // part of the message; empty when allowed
	}{
		"public IPv4":                            {addr: "20.190.128.1"},
		"public IPv6":                            {addr: "2603:1030::1"},
		"loopback":                               {addr: "127.0.0.1", refused: "127.0.0.0/8 (loopback)"},
		"loopback IPv6":                          {addr: "::1", refused: "loopback"},
		"mapped loopback":                        {addr: "::ffff:127.0.0.1", refused: "127.0.0.0/8 (loopback)"},
		"loopback that is allowed":               {addr: "127.3.4.5", rules: addressRules{private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		"private":                                {addr: "10.1.2.3", refused: "10.0.0.0/8 (private)"},
		"private 172":                            {addr: "172.31.255.255", refused: "private"},
		"beside private 172":                     {addr: "172.32.0.1"},
		"private 192":                            {addr: "192.168.0.1", refused: "private"},
		"private that is allowed":                {addr: "10.1.2.3", rules: addressRules{private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}},
		"private beside the allowed":             {addr: "10.2.2.3", rules: addressRules{private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, refused: "allowed private ranges"},
		"unique local":                           {addr: "fd12::1", refused: "private"},
		"carrier-grade NAT":                      {addr: "100.64.0.1", refused: "carrier-grade NAT"},
		"link-local":                             {addr: "169.254.1.1", rules: addressRules{private: everything}, refused: "link-local"},
		"link-local IPv6 with a zone":            {addr: "fe80::1%eth0", rules: addressRules{private: everything}, refused: "link-local"},
		"metadata":                               {addr: "169.254.169.254", rules: addressRules{private: everything}, refused: "metadata"},
		"Azure wire server":                      {addr: "168.63.129.16", rules: addressRules{private: everything}, refused: "metadata"},
		"metadata IPv6":                          {addr: "fd00:ec2::254", rules: addressRules{private: everything}, refused: "metadata"},
		"unspecified":                            {addr: "0.0.0.0", rules: addressRules{private: everything}, refused: "unspecified"},
		"unspecified IPv6":                       {addr: "::", rules: addressRules{private: everything}, refused: "unspecified"},
		"multicast":                              {addr: "224.0.0.1", rules: addressRules{private: everything}, refused: "multicast"},
		"multicast IPv6":                         {addr: "ff02::1", rules: addressRules{private: everything}, refused: "multicast"},
		"broadcast":                              {addr: "255.255.255.255", rules: addressRules{private: everything}, refused: "broadcast"},
		"future use":                             {addr: "240.0.0.1", refused: "reserved"},
		"documentation":                          {addr: "203.0.113.9", refused: "documentation"},
		"6to4":                                   {addr: "2002:7f00:1::", refused: "tunnelled"},
		"Teredo":                                 {addr: "2001:0:1::", refused: "tunnelled"},
		"unallocated IPv6":                       {addr: "4000::1", refused: "not globally routed"},
		"IPv4-compatible IPv6":                   {addr: "::127.0.0.1", refused: "not globally routed"},
		"NAT64 of a public address":              {addr: "64:ff9b::14be:8001"},
		"NAT64 of a private address":             {addr: "64:ff9b::a00:1", refused: "10.0.0.0/8 (private)"},
		"NAT64 of a metadata address":            {addr: "64:ff9b::a9fe:a9fe", refused: "metadata"},
		"denied although private is allowed":     {addr: "10.96.0.1", rules: addressRules{private: everything, denied: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}, refused: "10.96.0.0/12 (denied)"},
		"denied although public":                 {addr: "20.1.2.3", rules: addressRules{denied: []netip.Prefix{netip.MustParsePrefix("20.0.0.0/8")}}, refused: "denied"},
		"denied and written as a mapped address": {addr: "::ffff:10.96.0.1", rules: addressRules{private: everything, denied: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}, refused: "denied"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.rules.check(netip.MustParseAddr(tc.addr))
			if tc.refused == "" {
				if err != nil {
					t.Fatalf("check(%s) = %v, want allowed", tc.addr, err)
				}
				return
			}
			if !errors.Is(err, ErrAddressRefused) || !strings.Contains(err.Error(), tc.refused) {
				t.Fatalf("check(%s) = %v, want ErrAddressRefused with %q", tc.addr, err, tc.refused)
			}
		})
	}
}

func FuzzNoReservedAddressPassesWithoutARange(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "::1", "fe80::1%lo", "::ffff:10.0.0.1", "64:ff9b::a00:1", "8.8.8.8", "2603::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return
		}
		if err := (addressRules{}).check(addr); err != nil {
			return
		}
		plain := addr.WithZone("").Unmap()
		if plain.IsLoopback() || plain.IsPrivate() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified() || !plain.IsGlobalUnicast() {
			t.Fatalf("check(%s) allows an address that is not public", s)
		}
	})
}

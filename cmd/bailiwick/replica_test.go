package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestKeysAreNeverFetchedFromTheAPIServer(t *testing.T) {
	t.Parallel()
	for host, want := range map[string][]netip.Prefix{
		"":            nil,
		"not-an-ip":   nil,
		"10.96.0.1":   {netip.MustParsePrefix("10.96.0.1/32")},
		"2001:db8::1": {netip.MustParsePrefix("2001:db8::1/128")},
	} {
		got := apiServerRange(func(name string) string {
			if name != "KUBERNETES_SERVICE_HOST" {
				t.Errorf("asked for the variable %q", name)
			}
			return host
		})
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("host %q (-want +got):\n%s", host, diff)
		}
	}
}

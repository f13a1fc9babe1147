package server

import (
	"net"
	"net/http"
	"testing"
)

func TestConnectionsOfAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	r := start(t, loaded(LoadLimits{ConnectionsPerAddress: 1}))
	if resp, _ := r.call(t, echoRequest); resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	other := r.newClient(t, true)
	if resp, err := other.Get(r.url + "/healthz"); err == nil {
		_ = resp.Body.Close()
		t.Error("a second connection was served")
	}
	if got := r.metric(t, "bailiwick_sync_limited_total", limitConnections); got < 1 {
		t.Errorf("%v refusals counted", got)
	}
	r.client.CloseIdleConnections()
	eventually(t, "a connection takes the place of the first", func() bool {
		resp, err := other.Get(r.url + "/healthz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func TestAnIPv6NetworkCountsAsOneClient(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1:443":              "192.0.2.1",
		"[::ffff:192.0.2.1]:443":     "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:443": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:443": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:443":         "fe80::/64",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := network(tcp); got != want {
			t.Errorf("%s counts as %q, want %q", address, got, want)
		}
	}
	if got := network(&net.UnixAddr{Name: "/socket"}); got != "/socket" {
		t.Errorf("a socket counts as %q", got)
	}
}

package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
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

func TestAConnectionHasABoundedNumberOfStreams(t *testing.T) {
	t.Parallel()
	r := start(t, loaded(LoadLimits{StreamsPerConnection: 7}))
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{RootCAs: r.pool, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the first frame is %v, want SETTINGS", frame)
	}
	if got, _ := settings.Value(http2.SettingMaxConcurrentStreams); got != 7 {
		t.Errorf("%d streams, want 7", got)
	}
}

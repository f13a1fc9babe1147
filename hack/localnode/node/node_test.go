package node

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/image"
)

func TestAddressOfTheAPIServerMustBeHTTPS(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]string{
		"https://127.0.0.1:6443": {"127.0.0.1", "6443"}, "https://[::1]:1": {"::1", "1"}, "https://api.example": {"api.example", "443"},
	} {
		host, port, err := apiServer(address)
		if diff := cmp.Diff(want, [2]string{host, port}); diff != "" || err != nil {
			t.Errorf("%s: %v -want +got\n%s", address, err, diff)
		}
	}
	for _, address := range []string{"", "http://127.0.0.1:8080", "127.0.0.1:6443", "https://", "https://%zz"} {
		if _, _, err := apiServer(address); err == nil {
			t.Errorf("%q gave no error", address)
		}
	}
}

func TestOnlyClientsWithACertificateAreServed(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddr("127.66.0.1")
	if _, err := serving("local", at, []byte("nonsense")); err == nil || !strings.Contains(err.Error(), "--client-ca") {
		t.Errorf("got %v", err)
	}
	if _, err := serving("local", at, nil); err == nil {
		t.Error("no authorities gave no error")
	}
	certificate, err := selfSigned("local", at)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.VerifyHostname("127.66.0.1"); err != nil {
		t.Error(err)
	}
}

// config is a configuration that fails only where a test breaks it.
func config(t *testing.T) Config {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}]\n" +
		"contexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{
		Kubeconfig: kubeconfig, Name: "local", Images: image.Catalog{}, DataDir: t.TempDir(), Loopback: "127.66.0.0/16", Services: "127.67.0.0/16",
		Rootless: true, Grace: time.Second, Log: slog.New(slog.DiscardHandler),
	}
}

func TestNodeThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	for want, breakIt := range map[string]func(*Config){
		"kubeconfig":          func(c *Config) { c.Kubeconfig = "/does/not/exist" },
		`"10.0.0.0/8"`:        func(c *Config) { c.Loopback = "10.0.0.0/8" },
		`"nonsense"`:          func(c *Config) { c.Services = "nonsense" },
		"not a directory":     func(c *Config) { c.DataDir = c.Kubeconfig },
		"/does/not/exist.crt": func(c *Config) { c.ClientCA = "/does/not/exist.crt" },
		"--client-ca":         func(*Config) {}, // the kubeconfig names no authorities
	} {
		c := config(t)
		breakIt(&c)
		if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestDataFolderHasOneNode(t *testing.T) {
	t.Parallel()
	c := config(t)
	unlock, err := lock(c.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "another node uses it") {
		t.Errorf("got %v", err)
	}
}

func TestQueueTriesAgainUntilItSucceeds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	q := newQueue("Thing", slog.New(slog.DiscardHandler), func(_ context.Context, key string) error {
		if calls++; calls == 3 {
			cancel()
			return nil
		}
		return os.ErrInvalid
	})
	q.queue.Add("n/thing")
	q.run(ctx)
	if calls != 3 {
		t.Errorf("called %d times", calls)
	}
}

package server

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// serial returns the serial number that a new connection is shown.
func (r *running) serial(t *testing.T) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestNewCertificateIsServedWhileConnectionsStayOpen(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	s, _ := r.open(t, "types=*&closeafter=no&ping=0")
	if got := r.serial(t); got != 1 {
		t.Fatalf("serial %d", got)
	}
	notAfter := time.Now().Add(2 * time.Hour)
	certPEM, keyPEM := newCertificate(t, 2, notAfter)
	writePair(t, r.dir, certPEM, keyPEM)
	eventually(t, "the new certificate is served", func() bool { return r.serial(t) == 2 })
	r.memory.change("ada", "Email", "1")
	wantChange(t, s.next(t), map[string]map[string]string{"ada": {"Email": "1"}})
	if resp, _ := r.call(t, echoRequest); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d on the old connection", resp.StatusCode)
	}
	if got := r.metric(t, "bailiwick_sync_tls_certificate_not_after_seconds"); got != float64(notAfter.Unix()) {
		t.Errorf("not after: %v", got)
	}
}

func TestBadCertificatesLeaveTheLastGoodOneInUse(t *testing.T) {
	t.Parallel()
	certPEM, keyPEM := newCertificate(t, 2, time.Now().Add(time.Hour))
	_, otherKey := newCertificate(t, 3, time.Now().Add(time.Hour))
	expired, expiredKey := newCertificate(t, 4, time.Now().Add(-time.Hour))
	future, futureKey := newCertificate(t, 5, time.Now().Add(48*time.Hour))
	for name, test := range map[string]struct {
		cert, key []byte
		reason    string
	}{
		"another key": {certPEM, otherKey, "private key does not match public key"},
		"expired":     {expired, expiredKey, "expired at"},
		"not yet":     {future, futureKey, "not valid before"},
		"garbage":     {[]byte("garbage"), keyPEM, "tls.crt"},
		"empty key":   {certPEM, nil, "tls.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			writePair(t, r.dir, test.cert, test.key)
			eventually(t, "the refusal is logged", func() bool { return strings.Contains(r.logs.String(), test.reason) })
			if got := r.serial(t); got != 1 {
				t.Errorf("serial %d is served", got)
			}
			if got := r.metric(t, "bailiwick_sync_tls_reloads_total", "refused"); got < 1 {
				t.Errorf("refusals counted: %v", got)
			}
			if resp, _ := r.do(t, http.MethodGet, "/readyz", ""); resp.StatusCode != http.StatusOK {
				t.Errorf("not ready: %d", resp.StatusCode)
			}
			good, goodKey := newCertificate(t, 9, time.Now().Add(time.Hour))
			writePair(t, r.dir, good, goodKey)
			eventually(t, "the next good certificate is served", func() bool { return r.serial(t) == 9 })
		})
	}
}

func TestVolumeOfKubernetesIsNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Kubernetes keeps files in a dated folder, to which ..data links, and swaps that
	// link; tls.crt and tls.key link through ..data.
	publish := func(name string, serial int64) {
		t.Helper()
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		certPEM, keyPEM := newCertificate(t, serial, time.Now().Add(time.Hour))
		writePair(t, folder, certPEM, keyPEM)
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..2026_1", 11)
	for _, file := range []string{certificateFile, keyFile} {
		if err := os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, func(o *Options) {
		certificates, err := NewCertificates(t.Context(), CertificateOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		o.Certificates = certificates
		go func() { _ = certificates.Watch(t.Context()) }()
	})
	if got := r.serial(t); got != 11 {
		t.Fatalf("serial %d", got)
	}
	publish("..2026_2", 12)
	if err := os.RemoveAll(filepath.Join(dir, "..2026_1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the swapped certificate is served", func() bool { return r.serial(t) == 12 })
}

func TestCertificateThatIsMissingAtFirstIsPickedUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logs := &logBuffer{}
	c, err := NewCertificates(t.Context(), CertificateOptions{Dir: dir, Hostname: "mail.example", Logger: slog.New(slog.NewTextHandler(logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("ready: %v", err)
	}
	if _, err := c.GetCertificate(nil); err == nil {
		t.Error("a certificate came from nowhere")
	}
	certPEM, keyPEM := newCertificate(t, 1, time.Now().Add(time.Hour))
	if err := os.WriteFile(filepath.Join(dir, certificateFile), certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Reload(t.Context())
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "tls.key") {
		t.Errorf("ready: %v", err)
	}
	writePair(t, dir, certPEM, keyPEM)
	c.Reload(t.Context())
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	if !strings.Contains(logs.String(), "certificate does not name this server") {
		t.Errorf("a certificate for another name is not told of: %s", logs)
	}
}

func TestUnchangedFilesAreNotReloaded(t *testing.T) {
	t.Parallel()
	r := start(t)
	for range 3 {
		r.options.Certificates.Reload(t.Context())
	}
	if got := r.metric(t, "bailiwick_sync_tls_reloads_total"); got != 1 {
		t.Errorf("reloads counted: %v", got)
	}
}

func TestCertificatesNeedTheirMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	for i, wantError := range []bool{false, true} {
		if _, err := NewCertificates(t.Context(), CertificateOptions{Dir: t.TempDir(), Metrics: registry}); (err != nil) != wantError {
			t.Errorf("registration %d: %v", i, err)
		}
	}
}

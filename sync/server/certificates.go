package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
)

// The files of a serving certificate, as in a Secret of type kubernetes.io/tls.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
)

// pollInterval is how often the files are looked at without a notification: some
// file systems give none.
const pollInterval = 10 * time.Second

// settleDelay lets a writer that replaces one file after the other finish.
const settleDelay = 50 * time.Millisecond

// CertificateOptions are what Certificates are made of.
type CertificateOptions struct {
	// Dir holds tls.crt and tls.key.
	Dir string
	// Hostname is the name that clients connect to; a certificate that does not
	// carry it is used, and logged.
	Hostname string
	// Logger is told of reloads; nil discards them.
	Logger *slog.Logger
	// Metrics receives the metrics of reloads; nil keeps them private.
	Metrics prometheus.Registerer
}

// Certificates gives the newest good certificate of a folder. It notices when the
// files change, also by the swap of the symbolic link "..data" with which Kubernetes
// updates volumes. A bad new certificate leaves the last good one in use.
type Certificates struct {
	options  CertificateOptions
	reloads  *prometheus.CounterVec
	notAfter prometheus.Gauge

	mu      sync.RWMutex
	current *tls.Certificate
	failure error
	seen    []byte
}

// NewCertificates makes a Certificates and tries to load for the first time. Files
// that are missing or bad are no error: they are reported by Ready, and Watch picks
// them up when they become good.
func NewCertificates(ctx context.Context, o CertificateOptions) (*Certificates, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	c := &Certificates{
		options: o,
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bailiwick_sync_tls_reloads_total",
			Help: "Changes of the certificate files, by result: loaded or refused.",
		}, []string{"result"}),
		notAfter: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bailiwick_sync_tls_certificate_not_after_seconds",
			Help: "When the certificate in use expires, as Unix time.",
		}),
	}
	for _, collector := range []prometheus.Collector{c.reloads, c.notAfter} {
		if err := o.Metrics.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	c.Reload(ctx)
	return c, nil
}

// GetCertificate returns the certificate in use, for tls.Config.
func (c *Certificates) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current == nil {
		return nil, errors.New("no certificate is loaded yet")
	}
	return c.current, nil
}

// Ready returns nil once a certificate is in use, or why there is none.
func (c *Certificates) Ready(context.Context) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current == nil {
		return c.failure
	}
	return nil
}

// Reload looks at the files and takes a changed certificate into use when it is good.
func (c *Certificates) Reload(ctx context.Context) {
	certPEM, keyPEM, err := c.read()
	content := bytes.Join([][]byte{certPEM, keyPEM}, []byte{0})
	if err != nil {
		content = []byte(err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Equal(content, c.seen) {
		return
	}
	c.seen = content
	var loaded *tls.Certificate
	if err == nil {
		loaded, err = parseCertificate(certPEM, keyPEM, time.Now())
	}
	if err != nil {
		c.failure = fmt.Errorf("certificate in %q: %w", c.options.Dir, err)
		c.reloads.WithLabelValues("refused").Inc()
		c.options.Logger.ErrorContext(ctx, "certificate refused", slog.Any("error", c.failure), slog.Bool("lastGoodInUse", c.current != nil))
		return
	}
	c.current, c.failure = loaded, nil
	c.reloads.WithLabelValues("loaded").Inc()
	c.notAfter.Set(float64(loaded.Leaf.NotAfter.Unix()))
	c.options.Logger.InfoContext(ctx, "certificate loaded", slog.Time("notAfter", loaded.Leaf.NotAfter), slog.String("serial", loaded.Leaf.SerialNumber.Text(16)))
	if err := loaded.Leaf.VerifyHostname(c.options.Hostname); c.options.Hostname != "" && err != nil {
		c.options.Logger.WarnContext(ctx, "certificate does not name this server", slog.Any("error", err))
	}
}

// Watch reloads when the files change, until the context ends.
func (c *Certificates) Watch(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch certificate: %w", err)
	}
	defer func() { _ = watcher.Close() }()
	// The folder is watched, not the files: they are replaced, not rewritten. When it
	// cannot be watched (it may not exist yet), polling has to do.
	watching := watcher.Add(c.options.Dir) == nil
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			time.Sleep(settleDelay)
		case err := <-watcher.Errors:
			c.options.Logger.WarnContext(ctx, "watch of the certificate failed, polling", slog.Any("error", err))
		case <-poll.C:
			watching = watching || watcher.Add(c.options.Dir) == nil
		}
		c.Reload(ctx)
	}
}

func (c *Certificates) read() (certPEM, keyPEM []byte, err error) {
	if certPEM, err = os.ReadFile(filepath.Join(c.options.Dir, certificateFile)); err != nil {
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	if keyPEM, err = os.ReadFile(filepath.Join(c.options.Dir, keyFile)); err != nil {
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	return certPEM, keyPEM, nil
}

// parseCertificate parses a certificate chain and its key and refuses what clients
// would refuse: a key that does not match, a time that is past or not yet come.
func parseCertificate(certPEM, keyPEM []byte, now time.Time) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certificateFile, keyFile, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", certificateFile, err)
		}
	}
	switch {
	case now.After(cert.Leaf.NotAfter):
		return nil, fmt.Errorf("%s: expired at %s", certificateFile, cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.Leaf.NotBefore):
		return nil, fmt.Errorf("%s: not valid before %s", certificateFile, cert.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return &cert, nil
}

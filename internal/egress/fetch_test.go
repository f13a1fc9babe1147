package egress

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func newServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// policyFor allows exactly the test server.
func policyFor(s *httptest.Server) Policy {
	return Policy{Hosts: []string{"127.0.0.1"}, PrivateRanges: loopback, CABundle: pemOf(s.Certificate().Raw)}
}

func newClient(t *testing.T, p Policy) *Client {
	t.Helper()
	c, err := New(p)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return c
}

func TestDocumentOfAnAllowedHostIsFetched(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.URL.Path+" "+r.Header.Get("User-Agent"))
	})
	got, err := newClient(t, policyFor(s)).Get(t.Context(), s.URL+"/doc")
	if err != nil || string(got) != "/doc bailiwick" {
		t.Fatalf("Get = %q, %v", got, err)
	}
}

func TestURLsOutsideThePolicyAreNeverDialled(t *testing.T) {
	t.Parallel()
	c := newClient(t, Policy{Hosts: []string{"login.example", "LOGIN2.example:8443", "[::ffff:127.0.0.1]"}})
	tests := map[string]struct {
		url  string
		want error
	}{
		"http":                    {url: "http://login.example/", want: ErrNotHTTPS},
		"file":                    {url: "file:///etc/passwd", want: ErrNotHTTPS},
		"no scheme":               {url: "login.example", want: ErrNotHTTPS},
		"no host":                 {url: "https:///x", want: ErrBadURL},
		"control characters":      {url: "https://login.example/\x00", want: ErrBadURL},
		"user":                    {url: "https://u:p@login.example/", want: ErrBadURL},
		"fragment":                {url: "https://login.example/#x", want: ErrBadURL},
		"other host":              {url: "https://evil.example/", want: ErrHostNotAllowed},
		"host as prefix":          {url: "https://login.example.evil.example/", want: ErrHostNotAllowed},
		"other port of a host":    {url: "https://login2.example/", want: ErrHostNotAllowed},
		"mapped address literal":  {url: "https://[::ffff:127.0.0.1]/", want: ErrAddressRefused},
		"allowed host as a user":  {url: "https://login.example@evil.example/", want: ErrBadURL},
		"trailing dot is another": {url: "https://login.example./", want: ErrHostNotAllowed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.Get(t.Context(), tc.url)
			if !errors.Is(err, tc.want) {
				t.Fatalf("Get(%q) = %v, want %v", tc.url, err, tc.want)
			}
			if strings.Contains(err.Error(), ":p@") {
				t.Fatalf("the error %q shows a password", err)
			}
		})
	}
}

func TestNameIsJudgedByTheAddressThatItResolvesTo(t *testing.T) {
	t.Parallel()
	hits := make(chan struct{}, 1)
	s := newServer(t, func(http.ResponseWriter, *http.Request) { hits <- struct{}{} })
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := policyFor(s)
	p.Hosts, p.PrivateRanges = []string{"localhost"}, nil
	_, err = newClient(t, p).Get(t.Context(), "https://localhost:"+port+"/")
	if !errors.Is(err, ErrAddressRefused) || !strings.Contains(err.Error(), "localhost") || !strings.Contains(err.Error(), "loopback") {
		t.Fatalf("Get = %v, want ErrAddressRefused that names the host and the range", err)
	}
	select {
	case <-hits:
		t.Fatal("the server was reached")
	default:
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	t.Parallel()
	other := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "other") })
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/final", http.StatusFound)
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/http":
			http.Redirect(w, r, "http://"+r.Host+"/final", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			_, _ = io.WriteString(w, "final")
		}
	})
	c := newClient(t, policyFor(s))
	if got, err := c.Get(t.Context(), s.URL+"/same"); err != nil || string(got) != "final" {
		t.Fatalf("redirect on the host: %q, %v", got, err)
	}
	for _, path := range []string{"/other", "/http", "/loop"} {
		if _, err := c.Get(t.Context(), s.URL+path); !errors.Is(err, ErrRedirect) {
			t.Errorf("Get(%s) = %v, want ErrRedirect", path, err)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			_, _ = w.Write(bytes.Repeat([]byte("x"), 101))
		case "/fits":
			_, _ = w.Write(bytes.Repeat([]byte("x"), 100))
		case "/header":
			w.Header().Set("X-Big", strings.Repeat("x", 2*maxHeaderBytes))
		case "/broken":
			w.Header().Set("Content-Length", "50")
			_, _ = io.WriteString(w, "short")
		default:
			http.Error(w, "secret of the server", http.StatusTeapot)
		}
	})
	p := policyFor(s)
	p.MaxBytes = 100
	c := newClient(t, p)
	tests := map[string]error{"/big": ErrTooLarge, "/fits": nil, "/header": ErrUnreachable, "/broken": ErrUnreachable, "/status": ErrStatus}
	for path, want := range tests {
		_, err := c.Get(t.Context(), s.URL+path)
		if !errors.Is(err, want) || (want == nil && err != nil) {
			t.Errorf("Get(%s) = %v, want %v", path, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error %q quotes the answer", err)
		}
	}
}

func TestSilentHostIsGivenUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	p := policyFor(s)
	p.Timeout = 50 * time.Millisecond
	_, err := newClient(t, p).Get(t.Context(), s.URL)
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "50ms") {
		t.Fatalf("Get = %v, want ErrUnreachable after 50ms", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, policyFor(s)).Get(ctx, s.URL); !errors.Is(err, context.Canceled) {
		t.Fatalf("Get = %v, want context.Canceled in the chain", err)
	}
}

func TestUnreachableHostGivesTheSameMessageEachTime(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(http.ResponseWriter, *http.Request) {})
	s.Close()
	c := newClient(t, policyFor(s))
	_, first := c.Get(t.Context(), s.URL)
	_, second := c.Get(t.Context(), s.URL)
	if !errors.Is(first, ErrUnreachable) || first.Error() != second.Error() || !strings.Contains(first.Error(), "refused") {
		t.Fatalf("errors differ or are not ErrUnreachable: %v / %v", first, second)
	}
}

func TestHostWithoutTLSIsUnreachable(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(plain.Close)
	c := newClient(t, Policy{Hosts: []string{"127.0.0.1"}, PrivateRanges: loopback})
	_, err := c.Get(t.Context(), "https://"+plain.Listener.Addr().String())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "TLS") {
		t.Fatalf("Get = %v, want ErrUnreachable that speaks of TLS", err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.StartTLS()
	t.Cleanup(s.Close)
	if _, err := newClient(t, policyFor(s)).Get(t.Context(), s.URL); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("Get = %v, want ErrUnreachable", err)
	}
}

func TestUntrustedCertificatesAreRefused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tests := map[string]struct {
		cert   tls.Certificate
		trust  bool
		remedy string
	}{
		"unknown authority": {cert: newCertificate(t, "127.0.0.1", now.Add(time.Hour)), remedy: "CA bundle"},
		"other name":        {cert: newCertificate(t, "127.9.9.9", now.Add(time.Hour)), trust: true, remedy: "another name"},
		"expired":           {cert: newCertificate(t, "127.0.0.1", now.Add(-time.Minute)), trust: true, remedy: "expired"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.TLS = &tls.Config{Certificates: []tls.Certificate{tc.cert}}
			s.StartTLS()
			t.Cleanup(s.Close)
			p := Policy{Hosts: []string{"127.0.0.1"}, PrivateRanges: loopback, SystemRoots: true}
			if tc.trust {
				p.CABundle = pemOf(tc.cert.Certificate[0])
			}
			_, err := newClient(t, p).Get(t.Context(), s.URL)
			if !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), tc.remedy) {
				t.Fatalf("Get = %v, want ErrUntrusted with %q", err, tc.remedy)
			}
		})
	}
}

func newCertificate(t *testing.T, address string, notAfter time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test"},
		NotBefore:             notAfter.Add(-48 * time.Hour),
		NotAfter:              notAfter,
		IPAddresses:           []net.IP{net.ParseIP(address)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestCABundleReplacesOrJoinsTheSystemRoots(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(http.ResponseWriter, *http.Request) {})
	p := policyFor(s)
	p.SystemRoots = true
	if _, err := newClient(t, p).Get(t.Context(), s.URL); err != nil {
		t.Fatalf("bundle beside the system's roots: %v", err)
	}
	p.CABundle = []byte("no certificate")
	if _, err := New(p); !errors.Is(err, ErrBadPolicy) {
		t.Fatalf("New with an empty bundle = %v, want ErrBadPolicy", err)
	}
}

func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	t.Parallel()
	transport, ok := newClient(t, Policy{}).http.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Fatalf("transport %#v uses a proxy", transport)
	}
}

func TestHostListKnowsPortsAndCase(t *testing.T) {
	t.Parallel()
	c := newClient(t, Policy{Hosts: []string{"Login.Example", "other.example:8443", "[::1]", "127.0.0.1"}})
	tests := map[string]bool{
		"login.example": true, "LOGIN.example:444": true, "other.example:8443": true, "other.example": false,
		"other.example:443": false, "[::1]:8443": true, "[::1]": true, "127.0.0.1:1": true, "127.0.0.2": false, "": false,
	}
	for host, want := range tests {
		if got := c.Allows(host); got != want {
			t.Errorf("Allows(%q) = %v, want %v", host, got, want)
		}
	}
}

func FuzzURLsAreEitherOnTheListOrRefused(f *testing.F) {
	for _, s := range []string{"https://login.example/x", "http://login.example", "https://login.example@evil", "https://[::1]", "//x", "https://login.example:0/"} {
		f.Add(s)
	}
	c, err := New(Policy{Hosts: []string{"login.example"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := c.check(raw)
		if err != nil {
			if own := (*Error)(nil); !errors.As(err, &own) {
				t.Fatalf("check(%q) = %v, want an *Error", raw, err)
			}
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Scheme != "https" || !strings.EqualFold(again.Hostname(), "login.example") {
			t.Fatalf("check(%q) lets %q through", raw, u)
		}
	})
}

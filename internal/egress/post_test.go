package egress

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func newPoster(t testing.TB, p PostPolicy) *Poster {
	t.Helper()
	poster, err := NewPoster(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(poster.Close)
	return poster
}

func TestPosterJudgesURLsWithoutRepeatingThem(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url         string
		kind        error
		development error
	}{
		"public":               {url: "https://push.example/secret"},
		"public with a port":   {url: "https://push.example:8443/secret?x=secret"},
		"public address":       {url: "https://20.190.128.1/secret"},
		"plain":                {url: "http://push.example/secret", kind: ErrNotHTTPS, development: ErrNotHTTPS},
		"other scheme":         {url: "ftp://push.example/secret", kind: ErrNotHTTPS, development: ErrNotHTTPS},
		"no scheme":            {url: "push.example/secret", kind: ErrBadURL, development: ErrBadURL},
		"no host":              {url: "https:///secret", kind: ErrBadURL, development: ErrBadURL},
		"opaque":               {url: "https:secret", kind: ErrBadURL, development: ErrBadURL},
		"user":                 {url: "https://me:secret@push.example/", kind: ErrBadURL, development: ErrBadURL},
		"fragment":             {url: "https://push.example/#secret", kind: ErrBadURL, development: ErrBadURL},
		"broken":               {url: "https://push.example/%zzsecret", kind: ErrBadURL, development: ErrBadURL},
		"private":              {url: "https://10.0.0.1/secret", kind: ErrAddressRefused, development: ErrAddressRefused},
		"metadata":             {url: "https://169.254.169.254/secret", kind: ErrAddressRefused, development: ErrAddressRefused},
		"mapped":               {url: "https://[::ffff:127.0.0.1]/secret", kind: ErrAddressRefused, development: ErrAddressRefused},
		"denied":               {url: "https://20.0.0.1/secret", kind: ErrAddressRefused, development: ErrAddressRefused},
		"loopback":             {url: "https://127.0.0.1:1/secret", kind: ErrAddressRefused},
		"loopback IPv6":        {url: "https://[::1]:1/secret", kind: ErrAddressRefused},
		"loopback by name":     {url: "https://LocalHost:1/secret", kind: ErrAddressRefused},
		"loopback below name":  {url: "https://a.localhost./secret", kind: ErrAddressRefused},
		"loopback in plain":    {url: "http://127.0.0.1:1/secret", kind: ErrNotHTTPS},
		"private in plain":     {url: "http://10.0.0.1/secret", kind: ErrNotHTTPS, development: ErrNotHTTPS},
		"unspecified in plain": {url: "http://0.0.0.0/secret", kind: ErrNotHTTPS, development: ErrNotHTTPS},
	}
	denied := []netip.Prefix{netip.MustParsePrefix("20.0.0.0/24")}
	plain, development := newPoster(t, PostPolicy{DeniedRanges: denied}), newPoster(t, PostPolicy{DeniedRanges: denied, Loopback: true})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for poster, want := range map[*Poster]error{plain: tc.kind, development: tc.development} {
				err := poster.Check(tc.url)
				if !errors.Is(err, want) {
					t.Errorf("Check (loopback allowed: %v) = %v, want %v", poster.loopback, err, want)
				}
				if err != nil && strings.Contains(err.Error(), "secret") {
					t.Errorf("Check repeats the URL: %v", err)
				}
			}
		})
	}
}

func TestPosterGivesStatusAndHeadersAndFollowsNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{201, 204, 301, 307, 404, 429, 503} {
		var body []byte
		var header http.Header
		requests := 0
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			body, _ = io.ReadAll(r.Body)
			header = r.Header.Clone()
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = w.Write(make([]byte, 10*maxIgnored))
		})
		poster := newPoster(t, PostPolicy{CABundle: pemOf(s.Certificate().Raw), Loopback: true})
		got, answer, err := poster.Post(t.Context(), s.URL+"/x", http.Header{"Ttl": {"5"}}, []byte("hello"))
		if err != nil || got != status || answer.Get("Retry-After") != "7" {
			t.Errorf("Post = %d, %v, %v, want %d", got, answer, err, status)
		}
		if string(body) != "hello" || header.Get("TTL") != "5" || requests != 1 {
			t.Errorf("status %d: the service got %q %v in %d requests", status, body, header, requests)
		}
	}
}

func TestPosterSendsNothingToLoopbackUnlessAllowed(t *testing.T) {
	t.Parallel()
	reached := false
	s := newServer(t, func(http.ResponseWriter, *http.Request) { reached = true })
	poster := newPoster(t, PostPolicy{CABundle: pemOf(s.Certificate().Raw)})
	// The check of the form is passed by: what counts is the address that is dialled.
	dial := poster.http.Transport.(*http.Transport).DialContext //nolint:forcetypeassert // made by NewPoster
	if conn, err := dial(t.Context(), "tcp", s.Listener.Addr().String()); !errors.Is(err, ErrAddressRefused) {
		t.Errorf("dial = %v, %v, want ErrAddressRefused", conn, err)
	}
	if _, _, err := poster.Post(t.Context(), s.URL, nil, nil); !errors.Is(err, ErrAddressRefused) || reached {
		t.Errorf("Post = %v, reached %v, want ErrAddressRefused", err, reached)
	}
}

func TestPosterSaysWhyNoAnswerCame(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release); silent.Close() })
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	tests := map[string]struct {
		url  string
		kind error
	}{
		"refused":   {url: "http://127.0.0.1:1", kind: ErrUnreachable},
		"silent":    {url: silent.URL, kind: ErrUnreachable},
		"untrusted": {url: untrusted.URL, kind: ErrUntrusted},
	}
	for name, tc := range tests {
		poster := newPoster(t, PostPolicy{Loopback: true, Timeout: 200 * time.Millisecond})
		if name == "untrusted" {
			poster = newPoster(t, PostPolicy{Loopback: true, Timeout: time.Minute})
		}
		if _, _, err := poster.Post(context.Background(), tc.url, nil, nil); !errors.Is(err, tc.kind) {
			t.Errorf("%s: Post = %v, want %v", name, err, tc.kind)
		}
	}
}

func TestPosterNeedsCertificatesInItsBundle(t *testing.T) {
	t.Parallel()
	if _, err := NewPoster(PostPolicy{CABundle: []byte("none")}); !errors.Is(err, ErrBadPolicy) {
		t.Fatalf("NewPoster = %v, want ErrBadPolicy", err)
	}
}

func FuzzPosterRefusesOrSendsOverHTTPSToHosts(f *testing.F) {
	for _, s := range []string{"https://push.example/x", "http://localhost", "https://[::1]", "https://a@b", "//x", "https://127.1/"} {
		f.Add(s)
	}
	poster := newPoster(f, PostPolicy{})
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := poster.check(raw)
		if err != nil {
			if own := (*Error)(nil); !errors.As(err, &own) {
				t.Fatalf("check(%q) = %v, want an *Error", raw, err)
			}
			return
		}
		if u.Scheme != "https" || u.Hostname() == "" || isLoopback(u.Hostname()) {
			t.Fatalf("check(%q) lets %q through", raw, u)
		}
	})
}

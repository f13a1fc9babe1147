package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

const echoRequest = `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"hello":true},"c"]]}`

func TestSessionIsServedAtBothItsAddresses(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{"/.well-known/jmap", "/jmap/session"} {
		resp, body := r.do(t, http.MethodGet, path, "")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d, %q", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-cache, no-store, must-revalidate" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		session := jmap.Session{}
		if err := json.Unmarshal(body, &session); err != nil {
			t.Fatal(err)
		}
		if session.APIURL != r.url+"/jmap/api" || session.Username != "ada@agency.example" || session.State == "" {
			t.Errorf("%s: session %s", path, body)
		}
	}
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if want := map[string]int{"ada": 2, "shared": 2}; !maps.Equal(r.memory.provision, want) {
		t.Errorf("mailboxes were made complete %v times, want once a request", r.memory.provision)
	}
}

func TestEveryAnswerCarriesSecurityHeaders(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{"/jmap/session", "/nowhere", "/healthz", "//double", "/jmap/upload/ada"} {
		resp, _ := r.do(t, http.MethodGet, path, "")
		want := map[string]string{
			"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'; sandbox",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"Strict-Transport-Security":    "max-age=31536000",
			"X-Content-Type-Options":       "nosniff",
		}
		for name, value := range want {
			if got := resp.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: Cache-Control %q", path, resp.Header.Get("Cache-Control"))
		}
	}
}

func TestUnknownResourcesAndMethodsAreProblems(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/jmap", 404, ""},
		{"POST", "/jmap/download/ada", 404, ""},
		{"GET", "/jmap/api", 405, "POST"},
		{"POST", "/jmap/session", 405, "GET, HEAD"},
		{"DELETE", "/.well-known/jmap", 405, "GET, HEAD"},
		{"GET", "/jmap/upload/ada/", 405, "POST"},
		{"PUT", "/jmap/download/ada/B1/name", 405, "GET, HEAD"},
		{"POST", "/jmap/eventsource", 405, "GET, HEAD"},
		{"BREW", "/jmap/api", 405, "POST"},
	} {
		resp, body := r.do(t, test.method, test.path, "")
		wantProblem(t, resp, body, test.status, "", "")
		if got := resp.Header.Get("Allow"); got != test.allow {
			t.Errorf("%s %s: Allow %q, want %q", test.method, test.path, got, test.allow)
		}
	}
	if got := r.metric(t, "bailiwick_sync_http_requests_total", "api", "other", "405"); got != 1 {
		t.Errorf("requests of an unknown HTTP method counted: %v", got)
	}
}

func TestRefusalsOfTheGateReachTheClient(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.gate.refuse("blocked", &jmap.Refusal{Problem: jmap.Problem{Type: "urn:x", Detail: "blocked"}})
	resp, body := r.do(t, http.MethodGet, "/jmap/session", "", "Authorization", "")
	wantProblem(t, resp, body, http.StatusUnauthorized, "", "")
	if got := resp.Header.Get("WWW-Authenticate"); got != `Bearer resource_metadata="x"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
	for _, path := range []string{"/jmap/session", "/jmap/download/ada/B1/n", "/jmap/eventsource"} {
		resp, body = r.do(t, http.MethodGet, path, "", "Authorization", "Bearer blocked")
		wantProblem(t, resp, body, http.StatusForbidden, "urn:x", "")
	}
	for _, path := range []string{"/jmap/api", "/jmap/upload/ada/"} {
		resp, body = r.do(t, http.MethodPost, path, "", "Authorization", "Bearer blocked")
		wantProblem(t, resp, body, http.StatusForbidden, "urn:x", "")
	}
}

func TestMailboxOfAnotherRegionIsRedirected(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.gate.refuse("abroad", &jmap.Refusal{Problem: jmap.Problem{Title: "elsewhere", Detail: "the mailbox is in EUR"}, HomeURL: "https://paris.example"})
	for _, path := range []string{"/.well-known/jmap", "/jmap/session"} {
		resp, body := r.do(t, http.MethodGet, path, "", "Authorization", "Bearer abroad")
		wantProblem(t, resp, body, http.StatusTemporaryRedirect, "", "")
		if got := resp.Header.Get("Location"); got != "https://paris.example"+path {
			t.Errorf("Location %q", got)
		}
	}
	for path, method := range map[string]string{
		"/jmap/api": "POST", "/jmap/upload/abroad/": "POST", "/jmap/download/abroad/B1/n": "GET", "/jmap/eventsource?types=*&closeafter=no&ping=0": "GET",
	} {
		resp, body := r.do(t, method, path, echoRequest, "Authorization", "Bearer abroad", "Content-Type", "application/json")
		wantProblem(t, resp, body, http.StatusMisdirectedRequest, "", "")
		if resp.Header.Get("Location") != "" {
			t.Errorf("%s: Location %q", path, resp.Header.Get("Location"))
		}
	}
}

func TestMailboxThatCannotBeMadeCompleteIsNotServed(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.memory.fail(errors.New("store closed"))
	resp, body := r.do(t, http.MethodGet, "/jmap/session", "")
	wantProblem(t, resp, body, http.StatusServiceUnavailable, "", "")
	if resp.Header.Get("Retry-After") == "" || bytes.Contains(body, []byte("store closed")) {
		t.Errorf("Retry-After %q, body %s", resp.Header.Get("Retry-After"), body)
	}
}

func TestMailboxOfAnotherTenantIsForbidden(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.memory.fail(fmt.Errorf("provision: %w", jmap.ErrForeignAccount))
	resp, body := r.do(t, http.MethodGet, "/jmap/session", "")
	wantProblem(t, resp, body, http.StatusForbidden, "", "")
	if resp.Header.Get("Retry-After") != "" {
		t.Errorf("the client is told to try again after %s s", resp.Header.Get("Retry-After"))
	}
}

func TestAPIAnswers(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, contentType := range []string{"application/json", "application/json; charset=UTF-8", "APPLICATION/JSON"} {
		resp, body := r.call(t, echoRequest, "Content-Type", contentType)
		if resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`["Core/echo",{"hello":true},"c"]`)) {
			t.Errorf("%s: status %d, body %s", contentType, resp.StatusCode, body)
		}
	}
	if got := r.metric(t, "bailiwick_sync_method_calls_total", "Core/echo", "ok"); got != 3 {
		t.Errorf("method calls counted: %v", got)
	}
	if got := r.metric(t, "bailiwick_sync_http_requests_total", "api", "POST", "200"); got != 3 {
		t.Errorf("requests counted: %v", got)
	}
}

func TestRequestLevelErrors(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxSizeRequest = 1000
		o.Limits.MaxCallsInRequest = 1
	})
	large := `{"using":[],"methodCalls":[],"x":"` + strings.Repeat("x", 1000) + `"}`
	for name, test := range map[string]struct {
		body        string
		headers     []string
		status      int
		kind, limit string
	}{
		"not JSON":           {`{`, nil, 400, jmap.ProblemNotJSON, ""},
		"no body":            {``, nil, 400, jmap.ProblemNotJSON, ""},
		"not I-JSON":         {`{"using":[],"using":[],"methodCalls":[]}`, nil, 400, jmap.ProblemNotJSON, ""},
		"not a request":      {`{"using":[]}`, nil, 400, jmap.ProblemNotRequest, ""},
		"unknown capability": {`{"using":["urn:x"],"methodCalls":[]}`, nil, 400, jmap.ProblemUnknownCapability, ""},
		"too many calls":     {`{"using":[],"methodCalls":[["a",{},"1"],["b",{},"2"]]}`, nil, 400, jmap.ProblemLimit, "maxCallsInRequest"},
		"too large":          {large, nil, 400, jmap.ProblemLimit, "maxSizeRequest"},
		"no content type":    {echoRequest, []string{"Content-Type", ""}, 415, jmap.ProblemNotJSON, ""},
		"wrong content type": {echoRequest, []string{"Content-Type", "text/plain"}, 415, jmap.ProblemNotJSON, ""},
		"bad content type":   {echoRequest, []string{"Content-Type", ";"}, 415, jmap.ProblemNotJSON, ""},
		"wrong charset":      {echoRequest, []string{"Content-Type", "application/json; charset=latin1"}, 415, jmap.ProblemNotJSON, ""},
		"compressed":         {echoRequest, []string{"Content-Encoding", "gzip"}, 415, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := r.call(t, test.body, test.headers...)
			wantProblem(t, resp, body, test.status, test.kind, test.limit)
		})
	}
}

func TestRequestOfUnknownLengthIsLimited(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxSizeRequest = 1000
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+jmap.PathAPI, io.MultiReader(strings.NewReader(strings.Repeat(" ", 1001))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, resp, body, http.StatusBadRequest, jmap.ProblemLimit, "maxSizeRequest")
}

// blocking is a capability with a method that waits.
func blocking(entered chan<- struct{}, proceed <-chan struct{}) jmap.Capability {
	return jmap.Capability{URI: "urn:test", Methods: map[string]jmap.Method{
		"Test/wait": func(ctx context.Context, _ *jmap.Call) (any, error) {
			entered <- struct{}{}
			select {
			case <-proceed:
				return struct{}{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		"Test/panic": func(context.Context, *jmap.Call) (any, error) { panic("ada@agency.example") },
	}}
}

const waitRequest = `{"using":["urn:test"],"methodCalls":[["Test/wait",{},"c"]]}`

func TestConcurrentRequestsOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	entered, proceed := make(chan struct{}), make(chan struct{})
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxConcurrentRequests = 1
		o.Capabilities = []jmap.Capability{blocking(entered, proceed)}
	})
	finished := make(chan int, 1)
	go func() {
		resp, _ := r.call(t, waitRequest)
		finished <- resp.StatusCode
	}()
	<-entered
	resp, body := r.call(t, echoRequest)
	wantProblem(t, resp, body, http.StatusTooManyRequests, jmap.ProblemLimit, "maxConcurrentRequests")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if resp, _ := r.call(t, echoRequest, "Authorization", "Bearer bob"); resp.StatusCode != http.StatusOK {
		t.Errorf("another account is limited too: %d", resp.StatusCode)
	}
	close(proceed)
	if status := <-finished; status != http.StatusOK {
		t.Errorf("the first request got %d", status)
	}
	if resp, _ := r.call(t, echoRequest); resp.StatusCode != http.StatusOK {
		t.Errorf("after the first request finished: %d", resp.StatusCode)
	}
}

func TestMethodThatPanicsDoesNotEndTheServer(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) { o.Capabilities = []jmap.Capability{blocking(nil, nil)} })
	resp, body := r.call(t, `{"using":["urn:test","urn:ietf:params:jmap:core"],"methodCalls":[["Test/panic",{},"a"],["Core/echo",{},"b"]]}`)
	if resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"serverFail"`)) || !bytes.Contains(body, []byte(`["Core/echo",{},"b"]`)) {
		t.Errorf("status %d, body %s", resp.StatusCode, body)
	}
	if logs := r.logs.String(); !strings.Contains(logs, "method failed") || !strings.Contains(logs, "stack=") {
		t.Errorf("the panic was not logged: %s", logs)
	}
	if got := r.metric(t, "bailiwick_sync_method_calls_total", "Test/panic", "serverFail"); got != 1 {
		t.Errorf("failed calls counted: %v", got)
	}
}

func TestHandlerThatPanicsAnswersWithAProblem(t *testing.T) {
	t.Parallel()
	r := start(t)
	res := resource{name: "test", handlers: map[string]http.HandlerFunc{"GET": func(http.ResponseWriter, *http.Request) { panic("ada@agency.example") }}}
	w := httptest.NewRecorder()
	r.observed(res).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	wantProblem(t, w.Result(), w.Body.Bytes(), http.StatusInternalServerError, "", "")

	begun := resource{name: "test", handlers: map[string]http.HandlerFunc{"GET": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("x"))
		panic("ada@agency.example")
	}}}
	for name, res := range map[string]resource{"answer has begun": begun, "handler aborts": {name: "test", handlers: map[string]http.HandlerFunc{
		"GET": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}}} {
		func() {
			defer func() {
				if value := recover(); value != http.ErrAbortHandler { //nolint:errorlint // panic values are compared
					t.Errorf("%s: panic %v", name, value)
				}
			}()
			r.observed(res).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}()
	}
	if strings.Contains(r.logs.String(), "ada@") {
		t.Errorf("the log holds what was panicked with: %s", r.logs)
	}
}

func TestLogsHoldNoTokensAddressesOrContent(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) { o.Capabilities = []jmap.Capability{blocking(nil, nil)} })
	r.call(t, `{"using":["urn:test"],"methodCalls":[["Test/panic",{"subject":"merger"},"a"]]}`, "Authorization", "Bearer secrettoken")
	r.do(t, http.MethodGet, "/jmap/session?x=merger", "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(conn)
	_ = conn.Close()
	eventually(t, "the failed handshake is logged", func() bool { return strings.Contains(r.logs.String(), "TLS handshake error") })
	for _, secret := range []string{"secrettoken", "ada@", "merger", conn.LocalAddr().String()} {
		if strings.Contains(r.logs.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, r.logs)
		}
	}
}

func TestHTTP2AndHTTP1AreServed(t *testing.T) {
	t.Parallel()
	r := start(t)
	resp, _ := r.call(t, echoRequest)
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol %s", resp.Proto)
	}
	r.client = r.newClient(t, false)
	r.client.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
	resp, _ = r.call(t, echoRequest)
	if resp.ProtoMajor != 1 || resp.StatusCode != http.StatusOK {
		t.Errorf("protocol %s, status %d", resp.Proto, resp.StatusCode)
	}
}

func TestTLSVersionsBelowTheMinimumAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		minimum, client uint16
		accepted        bool
	}{
		{0, tls.VersionTLS11, false},
		{0, tls.VersionTLS12, true},
		{tls.VersionTLS13, tls.VersionTLS12, false},
		{tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		r := start(t, func(o *Options) { o.MinimumTLS = test.minimum })
		conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{RootCAs: r.pool, MinVersion: tls.VersionTLS10, MaxVersion: test.client})
		if (err == nil) != test.accepted {
			t.Errorf("minimum %x, client %x: error %v", test.minimum, test.client, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func TestProtectedResourceMetadata(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.AuthorizationServers = func() []string { return []string{"https://b.example", "https://a.example", "https://b.example"} }
	})
	resp, body := r.do(t, http.MethodGet, "/.well-known/oauth-protected-resource", "", "Authorization", "")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	want := `{"resource":"` + r.url + `","authorization_servers":["https://a.example","https://b.example"],"bearer_methods_supported":["header"],"resource_name":"Bailiwick mail sync"}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	missing := errors.New("documents were not read yet")
	r := start(t, func(o *Options) {
		o.Checks = []Check{{Name: "documents", Ready: func(context.Context) error { return missing }}}
	})
	resp, body := r.do(t, http.MethodGet, "/readyz", "", "Authorization", "")
	problem := wantProblem(t, resp, body, http.StatusServiceUnavailable, "", "")
	if diff := cmp.Diff(map[string]any{"documents": "documents were not read yet"}, problem["checks"]); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	missing = nil
	for _, path := range []string{"/readyz", "/healthz"} {
		if resp, body := r.do(t, http.MethodGet, path, "", "Authorization", ""); resp.StatusCode != http.StatusOK || string(body) != "ok\n" {
			t.Errorf("%s: status %d, body %q", path, resp.StatusCode, body)
		}
	}
}

func TestShutdownDrainsRunningRequests(t *testing.T) {
	t.Parallel()
	entered, proceed := make(chan struct{}), make(chan struct{})
	r := start(t, func(o *Options) { o.Capabilities = []jmap.Capability{blocking(entered, proceed)} })
	finished := make(chan int, 1)
	go func() {
		resp, _ := r.call(t, waitRequest)
		finished <- resp.StatusCode
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "https://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(proceed)
	if status := <-finished; status != http.StatusOK {
		t.Errorf("the running request got %d", status)
	}
	if err := <-stopped; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownDeclaresItselfNotReadyFirst(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) { o.DrainDelay = 2 * time.Second })
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	eventually(t, "the server is not ready and answers still", func() bool {
		resp, _ := r.do(t, http.MethodGet, "/readyz", "")
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	if resp, _ := r.call(t, echoRequest); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d while draining", resp.StatusCode)
	}
	if err := <-stopped; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	entered, proceed := make(chan struct{}), make(chan struct{})
	r := start(t, func(o *Options) {
		o.Capabilities = []jmap.Capability{blocking(entered, proceed)}
		o.ShutdownTimeout = 50 * time.Millisecond
	})
	failed := make(chan error, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPost, r.url+jmap.PathAPI, strings.NewReader(waitRequest))
		if err == nil {
			req.Header.Set("Authorization", "Bearer ada")
			req.Header.Set("Content-Type", "application/json")
			var resp *http.Response
			if resp, err = r.client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		failed <- err
	}()
	<-entered
	err := r.stop()
	r.stop = func() error { return nil }
	if err == nil || !strings.Contains(err.Error(), "requests still run") {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	t.Parallel()
	r := start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	o := r.options
	o.Metrics = nil
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), listener); err == nil {
		t.Error("a closed listener was served")
	}
	o.Certificates = nil
	if s, err = New(o); err != nil {
		t.Fatal(err)
	}
	if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), listener); err == nil {
		t.Error("a server without certificates serves")
	}
}

func TestServerThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	m := newMemory()
	good := Options{BaseURL: "https://mail.example", Gate: &gate{}, Blobs: m, States: m, Accounts: m}
	if _, err := New(good); err != nil {
		t.Fatalf("good options: %v", err)
	}
	taken := prometheus.NewRegistry()
	if _, err := newMetrics(taken); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"http":           func(o *Options) { o.BaseURL = "http://mail.example" },
		"path":           func(o *Options) { o.BaseURL = "https://mail.example/" },
		"no host":        func(o *Options) { o.BaseURL = "https://" },
		"empty":          func(o *Options) { o.BaseURL = "" },
		"unparsable":     func(o *Options) { o.BaseURL = "https://%" },
		"no gate":        func(o *Options) { o.Gate = nil },
		"no blobs":       func(o *Options) { o.Blobs = nil },
		"capability":     func(o *Options) { o.Capabilities = []jmap.Capability{{}} },
		"metrics, again": func(o *Options) { o.Metrics = taken },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

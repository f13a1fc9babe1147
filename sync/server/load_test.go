package server

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/server/slots"
)

// loaded changes the load limits. Refusals are not held back for long.
func loaded(l LoadLimits) func(*Options) {
	l.RefusalDelay = time.Nanosecond
	return func(o *Options) { o.Load = l }
}

var number = regexp.MustCompile(`\d+ seconds?`)

// wantLimit checks the whole answer to a request beyond a limit, apart from how long to wait.
func wantLimit(t *testing.T, resp *http.Response, body []byte, limit, detail string) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(number.ReplaceAll(body, []byte("a while")), &got); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	want := map[string]any{"type": "urn:ietf:params:jmap:error:limit", "status": float64(429), "limit": limit, "detail": detail}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problem (-want +got):\n%s", diff)
	}
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Content-Type") != jmap.ProblemContentType {
		t.Errorf("status %d, Content-Type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || wait < 1 {
		t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
	}
}

const busy = "the server has too much to do for the tenant now: try again after a while"

func TestRatesAreLimited(t *testing.T) {
	t.Parallel()
	once := Rate{PerSecond: 1e-6, Burst: 1}
	api := func(t *testing.T, r *running, who string) (*http.Response, []byte) {
		t.Helper()
		return r.call(t, echoRequest, "Authorization", "Bearer "+who)
	}
	upload := func(t *testing.T, r *running, who string) (*http.Response, []byte) {
		t.Helper()
		return r.do(t, http.MethodPost, "/jmap/upload/"+who+"/", "content", "Authorization", "Bearer "+who)
	}
	for name, tc := range map[string]struct {
		limits        LoadLimits
		send          func(t *testing.T, r *running, who string) (*http.Response, []byte)
		limit, detail string
		others        int
	}{
		"requests of an account": {LoadLimits{AccountRequests: once}, api, "requestRate", "the account sends more API requests than the server takes: try again after a while", 200},
		"requests of a tenant":   {LoadLimits{TenantRequests: once}, api, "requestRate", "the tenant sends more API requests than the server takes: try again after a while", 429},
		"uploads of an account":  {LoadLimits{AccountUploads: once}, upload, "uploadRate", "the account sends more octets of uploads than the server takes: try again after a while", 200},
		"uploads of a tenant":    {LoadLimits{TenantUploads: once}, upload, "uploadRate", "the tenant sends more octets of uploads than the server takes: try again after a while", 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, loaded(tc.limits))
			if resp, body := tc.send(t, r, "ada"); resp.StatusCode != http.StatusOK {
				t.Fatalf("within the rate: %d, %s", resp.StatusCode, body)
			}
			resp, body := tc.send(t, r, "ada")
			wantLimit(t, resp, body, tc.limit, tc.detail)
			if got := r.metric(t, "bailiwick_sync_limited_total", tc.limit); got != 1 {
				t.Errorf("%v refusals counted", got)
			}
			if resp, body := tc.send(t, r, "bob"); resp.StatusCode != tc.others {
				t.Errorf("another account: %d, want %d: %s", resp.StatusCode, tc.others, body)
			}
		})
	}
}

func TestRequestsOverAWebSocketCountTowardsTheRate(t *testing.T) {
	t.Parallel()
	r := start(t, loaded(LoadLimits{AccountRequests: Rate{PerSecond: 1e-6, Burst: 1}}), held(nil, nil))
	p := r.dial(t)
	p.write(t, request("first", "Core/echo"))
	wantMessage(t, p.next(t), echoed("first"))
	p.write(t, request("second", "Core/echo"))
	wantMessage(t, p.next(t), `{"@type":"RequestError","requestId":"second","type":"urn:ietf:params:jmap:error:limit","limit":"requestRate","status":429}`)
}

func TestWorkThatCannotWaitIsRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]slots.Options{
		"the queue is full": {Slots: 1, Queue: 1, Patience: time.Hour},
		"it waits too long": {Slots: 1, Patience: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entered, proceed := make(chan struct{}), make(chan struct{})
			r := start(t, loaded(LoadLimits{Slots: o}), func(o *Options) { o.Capabilities = []jmap.Capability{blocking(entered, proceed)} })
			statuses := make(chan int, 2)
			begin := func(body string) {
				resp, _ := r.call(t, body)
				statuses <- resp.StatusCode
			}
			running := 1
			go begin(waitRequest)
			<-entered
			if o.Queue > 0 {
				running++
				go begin(echoRequest)
				eventually(t, "the second request waits", func() bool { return r.metric(t, "bailiwick_sync_requests_waiting") == 1 })
			}
			resp, body := r.call(t, echoRequest)
			wantLimit(t, resp, body, "maxConcurrentRequests", busy)
			resp, body = r.do(t, http.MethodPost, "/jmap/upload/ada/", "content")
			wantLimit(t, resp, body, "maxConcurrentUpload", busy)
			p := r.dial(t)
			p.write(t, request("over", "Core/echo"))
			wantMessage(t, p.next(t), `{"@type":"RequestError","requestId":"over","type":"urn:ietf:params:jmap:error:limit","limit":"maxConcurrentRequests","status":429}`)
			close(proceed)
			for range running {
				if status := <-statuses; status != http.StatusOK {
					t.Errorf("what was accepted got %d", status)
				}
			}
		})
	}
}

func TestWhatWaitsForItsClientHoldsNoSlot(t *testing.T) {
	t.Parallel()
	// send begins a request of bob and leaves it.
	send := func(t *testing.T, r *running, method, path string, body io.Reader) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer bob")
		req.Header.Set("Content-Type", "application/json")
		resp, err := r.client.Do(req)
		if err == nil {
			t.Cleanup(func() { _ = resp.Body.Close() })
		}
	}
	slow := func(method, path string) func(*testing.T, *running) {
		return func(t *testing.T, r *running) {
			reader, writer := io.Pipe()
			finished := make(chan struct{})
			go func() {
				defer close(finished)
				send(t, r, method, path, reader)
			}()
			if _, err := writer.Write([]byte("{")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = writer.Close()
				<-finished
			})
		}
	}
	for name, begin := range map[string]func(*testing.T, *running){
		"a slow request": slow(http.MethodPost, jmap.PathAPI),
		"a slow upload":  slow(http.MethodPost, "/jmap/upload/bob/"),
		"an answer that is not read": func(t *testing.T, r *running) {
			send(t, r, http.MethodPost, jmap.PathAPI, strings.NewReader(`{"using":["urn:test"],"methodCalls":[["Test/large",{},"c"]]}`))
		},
		"an event stream": func(t *testing.T, r *running) { r.open(t, "types=*&closeafter=no&ping=0") },
		"a WebSocket": func(t *testing.T, r *running) {
			p := r.dial(t)
			p.write(t, request("first", "Core/echo"))
			wantMessage(t, p.next(t), echoed("first"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, loaded(LoadLimits{Slots: slots.Options{Slots: 1}}), held(make(chan struct{}), nil))
			begin(t, r)
			if resp, body := r.call(t, echoRequest); resp.StatusCode != http.StatusOK {
				t.Errorf("the request of another got %d: %s", resp.StatusCode, body)
			}
			if resp, body := r.do(t, http.MethodPost, "/jmap/upload/ada/", "content"); resp.StatusCode != http.StatusOK {
				t.Errorf("the upload of another got %d: %s", resp.StatusCode, body)
			}
		})
	}
}

func TestConcurrentDownloadsOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	r := start(t, loaded(LoadLimits{Downloads: 1}))
	id, _, err := r.memory.Put(t.Context(), "ada", "", strings.NewReader(strings.Repeat("x", 32<<20)))
	if err != nil {
		t.Fatal(err)
	}
	path := "/jmap/download/ada/" + id + "/file"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	first, err := r.client.Do(req) // its body is left unread
	if err != nil {
		t.Fatal(err)
	}
	resp, body := r.do(t, http.MethodGet, path, "")
	wantLimit(t, resp, body, "maxConcurrentDownload", "1 downloads of this account run already: wait for one to finish")
	_ = first.Body.Close()
	eventually(t, "another download runs", func() bool {
		resp, _ := r.do(t, http.MethodHead, path, "")
		return resp.StatusCode == http.StatusOK
	})
}

func TestRefusalsAreHeldBackUntilTheServerDrains(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Load = LoadLimits{AccountRequests: Rate{PerSecond: 1e-6, Burst: 1}, RefusalDelay: time.Hour}
	})
	r.call(t, echoRequest)
	answered := make(chan int, 1)
	go func() {
		resp, _ := r.call(t, echoRequest)
		answered <- resp.StatusCode
	}()
	eventually(t, "the request is refused", func() bool { return r.metric(t, "bailiwick_sync_limited_total") == 1 })
	select {
	case status := <-answered:
		t.Errorf("answered at once with %d", status)
	default:
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if status := <-answered; status != http.StatusTooManyRequests {
		t.Errorf("status %d", status)
	}
}

package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// event is one block of an event stream.
type event struct{ name, id, data string }

// source is an open event stream.
type source struct {
	body   io.ReadCloser
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

// open connects to the event source and reads its opening block, which sets the id.
func (r *running) open(t *testing.T, query string, headers ...string) (*source, event) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+jmap.PathEventSource+"?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Fatalf("status %d, Content-Type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	s := &source{body: resp.Body, lines: bufio.NewScanner(resp.Body), cancel: cancel}
	t.Cleanup(func() {
		cancel()
		_ = resp.Body.Close()
	})
	if block, ok := s.block(); !ok || !strings.HasPrefix(block[0], "retry: ") {
		t.Fatalf("the stream begins with %q", block)
	}
	return s, s.next(t)
}

func (s *source) block() ([]string, bool) {
	var lines []string
	for s.lines.Scan() {
		if s.lines.Text() == "" {
			return lines, true
		}
		lines = append(lines, s.lines.Text())
	}
	return lines, false
}

func (s *source) next(t *testing.T) event {
	t.Helper()
	block, ok := s.block()
	if !ok {
		t.Fatalf("the stream ended: %v", s.lines.Err())
	}
	e := event{}
	for _, line := range block {
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		}
	}
	return e
}

// ended waits for the end of the stream.
func (s *source) ended(t *testing.T) {
	t.Helper()
	if block, ok := s.block(); ok {
		t.Errorf("another event: %q", block)
	}
}

func wantChange(t *testing.T, e event, want map[string]map[string]string) {
	t.Helper()
	change := stateChange{}
	if err := json.Unmarshal([]byte(e.data), &change); err != nil {
		t.Fatalf("event %+v: %v", e, err)
	}
	if e.name != "state" || e.id == "" || change.Type != "StateChange" {
		t.Errorf("event %+v", e)
	}
	if diff := cmp.Diff(accountStates(want), change.Changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}

// quick lets tests see pings within a second.
func quick(o *Options) {
	o.Push = PushLimits{MinPing: time.Second, MaxPing: 2 * time.Second, MinGap: time.Millisecond, Recheck: time.Hour, MaxStreams: 2}
}

func TestStateEventsTellWhatChanged(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/2": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, quick)
			r.client = r.newClient(t, http2)
			s, first := r.open(t, "types=*&closeafter=no&ping=0")
			if first.name != "" || first.data != "" || first.id == "" {
				t.Errorf("the first block is %+v, want an id alone", first)
			}
			r.memory.change("ada", "Email", "1")
			e := s.next(t)
			wantChange(t, e, map[string]map[string]string{"ada": {"Email": "1"}})
			r.memory.change("shared", "Mailbox", "7")
			wantChange(t, s.next(t), map[string]map[string]string{"shared": {"Mailbox": "7"}})
			if e.id == first.id {
				t.Error("the event id stays the same")
			}
			eventually(t, "the stream is counted", func() bool { return r.metric(t, "bailiwick_sync_push_streams") == 1 })
			s.cancel()
			eventually(t, "the stream is no longer counted", func() bool { return r.metric(t, "bailiwick_sync_push_streams") == 0 })
			if got := r.metric(t, "bailiwick_sync_push_events_total", "state"); got != 2 {
				t.Errorf("state events counted: %v", got)
			}
		})
	}
}

func TestOnlyAskedTypesArePushed(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	s, _ := r.open(t, "types=Mailbox,CalendarEvent&closeafter=no&ping=0")
	r.memory.change("ada", "Email", "1")
	r.memory.change("ada", "Mailbox", "2")
	wantChange(t, s.next(t), map[string]map[string]string{"ada": {"Mailbox": "2"}})
}

func TestStreamClosesAfterAStateEvent(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	s, _ := r.open(t, "types=Email&closeafter=state&ping=0")
	r.memory.change("ada", "Mailbox", "1")
	r.memory.change("ada", "Email", "1")
	wantChange(t, s.next(t), map[string]map[string]string{"ada": {"Email": "1"}})
	s.ended(t)
}

func TestPingsTellTheirIntervalAndSetNoID(t *testing.T) {
	t.Parallel()
	for wish, data := range map[string]string{"1": `{"interval":1}`, "2": `{"interval":2}`, "3000": `{"interval":2}`} {
		t.Run(wish, func(t *testing.T) {
			t.Parallel()
			r := start(t, quick)
			s, _ := r.open(t, "types=*&closeafter=no&ping="+wish)
			if diff := cmp.Diff(event{name: "ping", data: data}, s.next(t), cmp.AllowUnexported(event{})); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStreamOutlivesTheDeadlinesOfBodies(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/2": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, quick, func(o *Options) { o.Progress = 100 * time.Millisecond })
			r.client = r.newClient(t, http2)
			s, _ := r.open(t, "types=*&closeafter=no&ping=1")
			for range 2 {
				if e := s.next(t); e.name != "ping" {
					t.Errorf("event %+v", e)
				}
			}
		})
	}
}

func TestClientThatComesBackIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	s, first := r.open(t, "types=*&closeafter=no&ping=0")
	s.cancel()
	eventually(t, "the stream ended", func() bool { return r.metric(t, "bailiwick_sync_push_streams") == 0 })
	r.memory.change("ada", "Email", "5")
	r.memory.change("ada", "Mailbox", "6")

	again, e := r.open(t, "types=Email&closeafter=no&ping=0", "Last-Event-ID", first.id)
	wantChange(t, e, map[string]map[string]string{"ada": {"Email": "5"}})
	again.cancel()

	_, unchanged := r.open(t, "types=*&closeafter=no&ping=0", "Last-Event-ID", e.id)
	if diff := cmp.Diff(event{id: e.id}, unchanged, cmp.AllowUnexported(event{})); diff != "" {
		t.Errorf("nothing was missed (-want +got):\n%s", diff)
	}
}

func TestMissedChangesCloseAStreamThatClosesAfterState(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	s, e := r.open(t, "types=*&closeafter=state&ping=0", "Last-Event-ID", encodeEventID(accountStates{"ada": {"Email": "-1", "Mailbox": "0"}, "shared": {"Email": "0", "Mailbox": "0"}}))
	wantChange(t, e, map[string]map[string]string{"ada": {"Email": "0"}})
	s.ended(t)
}

func TestEventIDThatCannotBeReadMeansThatAllWasMissed(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	for _, id := range []string{"!", "bm90SlNPTg", strings.Repeat("A", maxEventID+4)} {
		s, e := r.open(t, "types=Email&closeafter=no&ping=0", "Last-Event-ID", id)
		wantChange(t, e, map[string]map[string]string{"ada": {"Email": "0"}, "shared": {"Email": "0"}})
		s.cancel()
		eventually(t, "the stream ended", func() bool { return r.metric(t, "bailiwick_sync_push_streams") == 0 })
	}
}

func TestBadStreamQueriesAreProblems(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, query := range []string{
		"", "types=*", "closeafter=no&ping=0", "types=*&ping=0", "types=*&closeafter=never&ping=0",
		"types=*&closeafter=no", "types=*&closeafter=no&ping=-1", "types=*&closeafter=no&ping=1.5", "types=*&closeafter=no&ping=x", "types=%zz",
	} {
		resp, body := r.do(t, http.MethodGet, "/jmap/eventsource?"+query, "")
		wantProblem(t, resp, body, http.StatusBadRequest, "", "")
	}
	if resp, body := r.do(t, http.MethodHead, "/jmap/eventsource?types=*&closeafter=no&ping=0", ""); resp.StatusCode != http.StatusOK || len(body) != 0 {
		t.Errorf("HEAD: status %d, body %q", resp.StatusCode, body)
	}
}

func TestStreamsOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	first, _ := r.open(t, "types=*&closeafter=no&ping=0")
	r.open(t, "types=*&closeafter=no&ping=0")
	resp, body := r.do(t, http.MethodGet, "/jmap/eventsource?types=*&closeafter=no&ping=0", "")
	wantProblem(t, resp, body, http.StatusTooManyRequests, "", "")
	first.cancel()
	eventually(t, "a stream ended", func() bool { return r.metric(t, "bailiwick_sync_push_streams") == 1 })
	r.open(t, "types=*&closeafter=no&ping=0")
}

func TestStreamEndsWhenTheTokenExpires(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	r.gate.mu.Lock()
	r.gate.expires = time.Now().Add(time.Second)
	r.gate.mu.Unlock()
	s, _ := r.open(t, "types=*&closeafter=no&ping=0")
	s.ended(t)
}

func TestStreamEndsWhenTheCredentialsAreNoLongerAccepted(t *testing.T) {
	t.Parallel()
	r := start(t, quick, func(o *Options) { o.Push.Recheck = 20 * time.Millisecond })
	s, _ := r.open(t, "types=*&closeafter=no&ping=0")
	r.memory.change("ada", "Email", "1")
	wantChange(t, s.next(t), map[string]map[string]string{"ada": {"Email": "1"}})
	r.gate.refuse("ada", &jmap.Refusal{Status: http.StatusForbidden})
	s.ended(t)
}

func TestStreamEndsWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	s, _ := r.open(t, "types=*&closeafter=no&ping=0")
	r.memory.fail(errors.New("store closed"))
	r.memory.change("ada", "Email", "1")
	s.ended(t)
}

func TestStreamThatCannotBeginIsAProblem(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) { o.States = failingStates{} })
	resp, body := r.do(t, http.MethodGet, "/jmap/eventsource?types=*&closeafter=no&ping=0", "")
	wantProblem(t, resp, body, http.StatusInternalServerError, "", "")
}

type failingStates struct{}

func (failingStates) States(context.Context, string) (map[string]string, error) {
	return nil, errors.New("store closed")
}

func (failingStates) Subscribe(string) (<-chan struct{}, func()) {
	closed := make(chan struct{})
	close(closed)
	return closed, func() {}
}

func TestShutdownEndsStreams(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	s, _ := r.open(t, "types=*&closeafter=no&ping=0")
	if err := r.stop(); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	s.ended(t)
}

func FuzzDecodeEventID(f *testing.F) {
	f.Add(encodeEventID(accountStates{"a": {"Email": "1"}}))
	f.Add("!")
	f.Fuzz(func(t *testing.T, id string) {
		known, present := decodeEventID(id)
		if present != (id != "") {
			t.Errorf("id %q: present %v", id, present)
		}
		difference(known, accountStates{"a": {"Email": "1"}})
	})
}

func FuzzAccepted(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0")
	f.Add("zstd, gzip")
	f.Fuzz(func(t *testing.T, header string) {
		c := accepted([]string{header})
		if c != identity && !strings.Contains(strings.ToLower(header), string(c)) && !strings.Contains(header, "*") {
			t.Errorf("%q accepts %s", header, c)
		}
	})
}

// TestDefaultPingsAreWithinTheStandard has the bounds of RFC 8620 §7.3.
func TestDefaultPingsAreWithinTheStandard(t *testing.T) {
	t.Parallel()
	limits := DefaultPushLimits()
	if limits.MinPing > 30*time.Second || limits.MaxPing < 300*time.Second {
		t.Errorf("pings from %s to %s", limits.MinPing, limits.MaxPing)
	}
	s := &Server{options: Options{Push: limits}}
	for wish, want := range map[string]time.Duration{"0": 0, "1": limits.MinPing, "30": 30 * time.Second, "300": 300 * time.Second, "2000000000": limits.MaxPing} {
		query, problem := s.parseStreamQuery(httptest.NewRequest(http.MethodGet, "/?types=*&closeafter=no&ping="+wish, http.NoBody))
		if problem != nil || query.ping != want {
			t.Errorf("ping=%s: %s, %v, want %s", wish, query.ping, problem, want)
		}
	}
}

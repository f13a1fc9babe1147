package push

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/internal/egress"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[chan time.Time]time.Time
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), timers: map[chan time.Time]time.Time{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) After(d time.Duration) (fires <-chan time.Time, stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := make(chan time.Time, 1)
	if d <= 0 {
		timer <- c.now
		return timer, func() {}
	}
	c.timers[timer] = c.now.Add(d)
	return timer, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, timer)
	}
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for timer, at := range c.timers {
		if !c.now.Before(at) {
			timer <- c.now
			delete(c.timers, timer)
		}
	}
}

// mailboxes are accounts with states, which tell of changes through the engine.
type mailboxes struct {
	engine *pebble.Engine
	mu     sync.Mutex
	states states
	reads  int
}

func (m *mailboxes) States(_ context.Context, account string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	return maps.Clone(m.states[account]), nil
}

func (m *mailboxes) Subscribe(account string) (changes <-chan struct{}, cancel func()) {
	return m.engine.Hints().Listen(account)
}

func (m *mailboxes) set(tb testing.TB, account string, types map[string]string) {
	tb.Helper()
	m.mu.Lock()
	if m.states[account] == nil {
		m.states[account] = map[string]string{}
	}
	maps.Copy(m.states[account], types)
	m.mu.Unlock()
	if err := m.engine.Hints().Publish(tb.Context(), account); err != nil {
		tb.Fatal(err)
	}
}

// standing gives each holder its account and further ones, unless it is turned off.
type standing struct {
	mu     sync.Mutex
	denied map[string]bool
	shared []string
}

func (s *standing) Accounts(h Holder) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied[h.Tenant] {
		return nil
	}
	return append([]string{h.Account}, s.shared...)
}

func (s *standing) deny(tenant string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[tenant] = denied
}

func (s *standing) share(accounts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared = accounts
}

// received is a message that a push service got.
type received struct {
	path   string
	header http.Header
	body   []byte
}

// office is a push service. It accepts everything unless it was told otherwise.
type office struct {
	*httptest.Server

	mu      sync.Mutex
	got     []received
	answers []http.HandlerFunc
}

func newOffice(tb testing.TB) *office {
	tb.Helper()
	o := &office{}
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(o.serve))
	o.Config.ErrorLog = log.New(io.Discard, "", 0)
	o.EnableHTTP2 = true
	o.StartTLS()
	tb.Cleanup(o.Close)
	return o
}

func (o *office) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	o.got = append(o.got, received{path: r.URL.RequestURI(), header: r.Header.Clone(), body: body})
	answer := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }
	if len(o.answers) > 0 {
		answer, o.answers = o.answers[0], o.answers[1:]
	}
	o.mu.Unlock()
	answer(w, r)
}

// answer says how the next messages are answered.
func (o *office) answer(answers ...http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers = answers
}

// status answers with a status and, when it is not empty, Retry-After.
func status(code int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
	}
}

// take returns what came since the last call.
func (o *office) take() []received {
	o.mu.Lock()
	defer o.mu.Unlock()
	got := o.got
	o.got = nil
	return got
}

func (o *office) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got)
}

// bench is a service with all that it needs.
type bench struct {
	tb       testing.TB
	service  *Service
	engine   *pebble.Engine
	mail     *mailboxes
	standing *standing
	office   *office
	clock    *fakeClock
	registry *prometheus.Registry
	logs     *logBuffer
	call     *jmap.Call
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	engine, err := pebble.Open(tb.Context(), tb.TempDir(), pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		tb.Fatalf("open store: %v", err)
	}
	tb.Cleanup(func() { engine.Close() })
	limits := jmap.DefaultLimits()
	b := &bench{
		tb: tb, engine: engine, clock: newClock(), office: newOffice(tb), logs: &logBuffer{},
		mail:     &mailboxes{engine: engine, states: states{}},
		standing: &standing{denied: map[string]bool{}},
		call: &jmap.Call{
			Principal:  &jmap.Principal{Tenant: "agency/agency", AccountID: "a1", Address: "ann@agency.us", ClientID: "phone"},
			CreatedIDs: map[string]string{}, Limits: &limits,
		},
	}
	b.mail.set(tb, "a1", map[string]string{"Email": "1", "Mailbox": "1", "EmailDelivery": "1"})
	b.service = b.start("one")
	return b
}

// start makes one more service on the same store, as another replica or after a restart.
func (b *bench) start(owner string, with ...func(*Options)) *Service {
	b.tb.Helper()
	poster, err := egress.NewPoster(egress.PostPolicy{
		Loopback: true, Timeout: time.Minute,
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.office.Certificate().Raw}),
	})
	if err != nil {
		b.tb.Fatal(err)
	}
	b.tb.Cleanup(poster.Close)
	b.registry = prometheus.NewRegistry()
	o := Options{
		Engine: b.engine, States: b.mail, Standing: b.standing, Endpoints: poster, Contact: "https://region.example",
		Owner: owner, Clock: b.clock, Metrics: b.registry,
		Logger: slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, change := range with {
		change(&o)
	}
	s, err := New(b.tb.Context(), o)
	if err != nil {
		b.tb.Fatalf("New: %v", err)
	}
	return s
}

// logBuffer holds the logs of all services of a bench.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// try calls a method with JSON and returns its result as JSON decodes it.
func (b *bench) try(method, args string) (map[string]any, error) {
	b.tb.Helper()
	call := *b.call
	call.Args = json.RawMessage(args)
	result, err := b.service.Methods()["PushSubscription/"+method](b.tb.Context(), &call)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(result)
	if err != nil {
		b.tb.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		b.tb.Fatal(err)
	}
	return out, nil
}

func (b *bench) do(method, args string) map[string]any {
	b.tb.Helper()
	out, err := b.try(method, args)
	if err != nil {
		b.tb.Fatalf("PushSubscription/%s %s: %v", method, args, err)
	}
	return out
}

// endpoint is a URL of the push service that is a secret of the device.
func (b *bench) endpoint(device string) string { return b.office.URL + "/secret/" + device }

// create makes a subscription of a device; more are further properties.
func (b *bench) create(device, more string) string {
	b.tb.Helper()
	out := b.do("set", `{"create":{"k":{"deviceClientId":"`+device+`","url":"`+b.endpoint(device)+`"`+more+`}}}`)
	created, ok := out["created"].(map[string]any)
	if !ok {
		b.tb.Fatalf("create: %v", out)
	}
	return created["k"].(map[string]any)["id"].(string)
}

// look has a service look at a subscription once.
func (b *bench) look(s *Service, id string) (wait time.Duration, over bool) {
	b.tb.Helper()
	ctx, cancel := context.WithCancel(b.tb.Context())
	w := newWorker(s, place{b.call.Principal.AccountID, id})
	defer func() { cancel(); w.forwarders.Wait() }()
	wait, over, err := w.look(ctx)
	if err != nil {
		b.tb.Fatalf("look: %v", err)
	}
	return wait, over
}

// verified makes a subscription, takes its verification code from the push service and
// gives it back.
func (b *bench) verified(device, more string) string {
	b.tb.Helper()
	id := b.create(device, more)
	b.look(b.service, id)
	b.verify(id, b.code(nil))
	return id
}

// code takes the verification code from the one message that came.
func (b *bench) code(device *browser) string {
	b.tb.Helper()
	got := b.office.take()
	if len(got) != 1 {
		b.tb.Fatalf("%d messages came, want a verification alone", len(got))
	}
	m := b.decode(got[0], device)
	if m["@type"] != "PushVerification" {
		b.tb.Fatalf("message %v, want a verification", m)
	}
	return m["verificationCode"].(string)
}

func (b *bench) decode(r received, device *browser) map[string]any {
	b.tb.Helper()
	body := r.body
	if device != nil {
		var err error
		if body, err = device.open(body); err != nil {
			b.tb.Fatalf("decrypt: %v", err)
		}
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		b.tb.Fatalf("message %q: %v", body, err)
	}
	return m
}

func (b *bench) verify(id, code string) {
	b.tb.Helper()
	out := b.do("set", `{"update":{"`+id+`":{"verificationCode":"`+code+`"}}}`)
	if updated, ok := out["updated"].(map[string]any); !ok || len(updated) != 1 {
		b.tb.Fatalf("verify: %v", out)
	}
}

// changes are the state changes that came since the last call.
func (b *bench) changes() []any {
	b.tb.Helper()
	var all []any
	for _, r := range b.office.take() {
		m := b.decode(r, nil)
		if m["@type"] != "StateChange" {
			b.tb.Fatalf("message %v, want a state change", m)
		}
		all = append(all, m["changed"])
	}
	return all
}

// keys counts what the store holds of push, other than keys and counts of creations.
func (b *bench) records() int {
	b.tb.Helper()
	n := 0
	for _, r := range []store.Range{indexKey().Range(), records("a1").all().Range(), store.NewKey("a1").String("pushed").Range()} {
		for _, err := range b.engine.Scan(b.tb.Context(), r, store.ScanOptions{}) {
			if err != nil {
				b.tb.Fatal(err)
			}
			n++
		}
	}
	return n
}

// run runs a service until stop is called.
func (b *bench) run(s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(b.tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.tb.Errorf("Run: %v", err)
		}
	})
}

// until moves the clock until a condition holds.
func (b *bench) until(what string, condition func() bool) {
	b.tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !condition() {
		select {
		case <-tick.C:
			b.clock.advance(100 * time.Millisecond)
		case <-deadline:
			b.tb.Fatalf("%s did not happen; logs:\n%s", what, b.logs)
		}
	}
}

// checkLogs makes sure that no secret was logged.
func (b *bench) checkLogs() {
	b.tb.Helper()
	for _, secret := range []string{"secret", "127.0.0.1", "agency.us"} {
		if strings.Contains(b.logs.String(), secret) {
			b.tb.Errorf("the log has %q:\n%s", secret, b.logs)
		}
	}
}

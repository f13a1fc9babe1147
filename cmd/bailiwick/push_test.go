package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// pushService keeps the messages that it is sent.
type pushService struct {
	*httptest.Server

	mu       sync.Mutex
	messages []map[string]any
}

func newPushService(t *testing.T) *pushService {
	t.Helper()
	s := &pushService{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		message := map[string]any{}
		if err := json.Unmarshal(body, &message); err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid t=") {
			t.Errorf("message %q with %v", body, r.Header)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.messages = append(s.messages, message)
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(s.Close)
	return s
}

// take returns the messages of a type that came since the last call.
func (s *pushService) take(kind string) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken, rest []map[string]any
	for _, message := range s.messages {
		if message["@type"] == kind {
			taken = append(taken, message)
			continue
		}
		rest = append(rest, message)
	}
	s.messages = rest
	return taken
}

// await returns the first message of a type.
func (s *pushService) await(t *testing.T, kind string) map[string]any {
	t.Helper()
	var got []map[string]any
	eventually(t, "a "+kind+" is pushed", func() bool {
		got = s.take(kind)
		return len(got) > 0
	})
	return got[0]
}

// core makes a call of JMAP Core, which has no account.
func (u *user) core(t *testing.T, method, args string) map[string]any {
	t.Helper()
	answer := u.send(t, fmt.Sprintf(`{%s,"methodCalls":[[%q,%s,"c"]]}`, usingMail, method, args))[0]
	if answer[0] != method {
		t.Fatalf("%s: %v", method, answer)
	}
	return as[map[string]any](t, answer[1])
}

func TestADeviceThatIsNotConnectedIsToldOfChanges(t *testing.T) {
	t.Parallel()
	r, service := newRegion(t), newPushService(t)
	r.flags.pushToLoopback = true
	r.write(t, r.sharing(1, "ann", "ben"))
	r.start(t)
	u := r.user(t, "ann")
	_, body := r.do(t, http.MethodGet, sessionPath, u.token, "")
	capabilities := as[map[string]any](t, decodeObject(t, body)["capabilities"])
	vapid := as[map[string]any](t, capabilities["urn:ietf:params:jmap:webpush-vapid"])
	if key := fmt.Sprint(vapid["applicationServerKey"]); len(key) != 87 {
		t.Errorf("applicationServerKey %q, want a point of P-256", key)
	}
	out := u.core(t, "PushSubscription/set", `{"create":{"k":{"deviceClientId":"d","url":"`+service.URL+`/token","types":["Mailbox"]}}}`)
	id := fmt.Sprint(as[map[string]any](t, as[map[string]any](t, out["created"])["k"])["id"])
	code := fmt.Sprint(service.await(t, "PushVerification")["verificationCode"])
	if out := u.core(t, "PushSubscription/set", `{"update":{"`+id+`":{"verificationCode":"`+code+`"}}}`); out["updated"] == nil {
		t.Fatalf("verify: %v", out)
	}
	state := u.one(t, "Mailbox/set", `"create":{"m":{"name":"Project"}}`)["newState"]
	want := map[string]any{u.account: map[string]any{"Mailbox": state}}
	if got := service.await(t, "StateChange")["changed"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", got, want)
	}
	// A region that starts anew goes on where it was.
	r.stop(t)
	r.start(t)
	state = u.one(t, "Mailbox/set", `"create":{"m":{"name":"Another"}}`)["newState"]
	want = map[string]any{u.account: map[string]any{"Mailbox": state}}
	if got := service.await(t, "StateChange")["changed"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %v after the restart, want %v", got, want)
	}
	// So is a member of a shared mailbox.
	help := tenantdoc.SharedAccountID("agency/agency", helpAddress)
	state = r.user(t, "ben").in(t, help).one(t, "Mailbox/set", `"create":{"m":{"name":"Shared"}}`)["newState"]
	want = map[string]any{help: map[string]any{"Mailbox": state}}
	if got := service.await(t, "StateChange")["changed"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %v of the shared mailbox, want %v", got, want)
	}
	if !strings.Contains(r.metrics(t), `bailiwick_sync_push_messages_total{outcome="accepted",type="StateChange"} 2`) {
		t.Error("the message is not counted")
	}
	if logs := r.logs.String(); !strings.Contains(logs, "--development-push-to-loopback") || strings.Contains(logs, service.URL) || strings.Contains(logs, code) {
		t.Errorf("logs without the warning, or with a URL or code:\n%s", logs)
	}
}

func TestPushToThisMachineIsRefusedOutsideDevelopment(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	u := r.user(t, "ann")
	for _, url := range []string{"https://127.0.0.1:8443/x", "https://localhost/x", "http://127.0.0.1/x"} {
		out := u.core(t, "PushSubscription/set", `{"create":{"k":{"deviceClientId":"d","url":"`+url+`"}}}`)
		refused, ok := out["notCreated"].(map[string]any)
		if !ok || fmt.Sprint(as[map[string]any](t, refused["k"])["properties"]) != "[url]" {
			t.Errorf("%s: %v, want invalidProperties", url, out)
		}
	}
}

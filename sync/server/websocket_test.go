package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// peer is the client's side of a WebSocket.
type peer struct{ *websocket.Conn }

// dial connects as account "ada".
func (r *running) dial(t *testing.T) peer {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), "wss"+strings.TrimPrefix(r.url, "https")+jmap.PathWebSocket, &websocket.DialOptions{
		HTTPClient: r.newClient(t, false), HTTPHeader: http.Header{"Authorization": {"Bearer ada"}}, Subprotocols: []string{"other", "jmap"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || conn.Subprotocol() != "jmap" {
		t.Errorf("status %d, subprotocol %q", resp.StatusCode, conn.Subprotocol())
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return peer{conn}
}

func (p peer) write(t *testing.T, message string) {
	t.Helper()
	if err := p.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

func (p peer) next(t *testing.T) map[string]any {
	t.Helper()
	kind, raw, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	message := map[string]any{}
	if err := json.Unmarshal(raw, &message); err != nil || kind != websocket.MessageText {
		t.Fatalf("message %v %q: %v", kind, raw, err)
	}
	return message
}

// wantClose reads until the server closes.
func (p peer) wantClose(t *testing.T, code websocket.StatusCode) {
	t.Helper()
	for {
		if _, _, err := p.Read(t.Context()); err != nil {
			if websocket.CloseStatus(err) != code {
				t.Errorf("ended with %v, want %d", err, int(code))
			}
			return
		}
	}
}

func request(id, name string) string {
	return fmt.Sprintf(`{"@type":"Request","id":%q,"using":["urn:ietf:params:jmap:core","urn:test"],"methodCalls":[[%q,{"hello":true},"c"]]}`, id, name)
}

func wantMessage(t *testing.T, got map[string]any, want string) {
	t.Helper()
	wanted := map[string]any{}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	delete(got, "sessionState")
	delete(got, "detail")
	delete(got, "pushState")
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func echoed(id string) string {
	return fmt.Sprintf(`{"@type":"Response","requestId":%q,"methodResponses":[["Core/echo",{"hello":true},"c"]]}`, id)
}

// held offers a method that waits until it is let go or given up.
func held(running chan<- struct{}, release <-chan struct{}) func(*Options) {
	return func(o *Options) {
		o.Capabilities = []jmap.Capability{{URI: "urn:test", Methods: map[string]jmap.Method{
			"Test/wait": func(ctx context.Context, _ *jmap.Call) (any, error) {
				running <- struct{}{}
				select {
				case <-release:
					return map[string]bool{"waited": true}, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			},
			"Test/large": func(context.Context, *jmap.Call) (any, error) { return strings.Repeat("x", 16<<20), nil },
		}}}
	}
}

func TestSessionTellsWhereTheWebSocketIs(t *testing.T) {
	t.Parallel()
	r := start(t)
	resp, body := r.do(t, http.MethodGet, jmap.PathSession, "")
	session := jmap.Session{}
	if err := json.Unmarshal(body, &session); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"url": "wss" + strings.TrimPrefix(r.url, "https") + "/jmap/ws", "supportsPush": true}
	if diff := cmp.Diff(any(want), session.Capabilities[jmap.WebSocketCapability]); diff != "" {
		t.Errorf("capability (-want +got):\n%s", diff)
	}
	if _, ok := session.Accounts["ada"].AccountCapabilities[jmap.WebSocketCapability]; ok {
		t.Error("the WebSocket is a capability of an account")
	}
	if _, ok := session.PrimaryAccounts[jmap.WebSocketCapability]; ok || resp.ProtoMajor != 2 {
		t.Errorf("primary account of the WebSocket: %v, HTTP/%d", ok, resp.ProtoMajor)
	}
}

func TestRequestsAndErrorsOverAWebSocketRepeatTheirID(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxSizeRequest = 1000
		o.Limits.MaxCallsInRequest = 1
	})
	p := r.dial(t)
	core := `"using":["urn:ietf:params:jmap:core"]`
	refused := func(kind, extra string) string {
		return `{"@type":"RequestError","status":400,"type":"urn:ietf:params:jmap:error:` + kind + `"` + extra + `}`
	}
	for _, tc := range []struct{ name, message, want string }{
		{"a request", request("R1", "Core/echo"), echoed("R1")},
		{"the WebSocket's own capability", `{"@type":"Request","id":"R2","using":["urn:ietf:params:jmap:websocket"],"methodCalls":[]}`, `{"@type":"Response","requestId":"R2","methodResponses":[]}`},
		{"no id", `{"@type":"Request",` + core + `,"methodCalls":[]}`, `{"@type":"Response","methodResponses":[]}`},
		{"no JSON", "The quick brown fox\n jumps over the lazy dog.", refused("notJSON", "")},
		{"JSON cut off", `{"@type":"Request","id":"R3"`, refused("notJSON", `,"requestId":"R3"`)},
		{"no type", `{"id":"R4",` + core + `,"methodCalls":[]}`, refused("notRequest", `,"requestId":"R4"`)},
		{"a type of the server", `{"id":"R5","@type":"Response"}`, refused("notRequest", `,"requestId":"R5"`)},
		{"no Request", `{"id":"R6","@type":"Request"}`, refused("notRequest", `,"requestId":"R6"`)},
		{"unknown capability", `{"id":"R7","@type":"Request","using":["urn:x"],"methodCalls":[]}`, refused("unknownCapability", `,"requestId":"R7"`)},
		{"too many calls", `{"id":"R8","@type":"Request",` + core + `,"methodCalls":[["Core/echo",{},"1"],["Core/echo",{},"2"]]}`, refused("limit", `,"limit":"maxCallsInRequest","requestId":"R8"`)},
		{"too large", `{"id":"R9","@type":"Request","x":"` + strings.Repeat("x", 1000) + `"}`, refused("limit", `,"limit":"maxSizeRequest","requestId":"R9"`)},
		{"too large, id at the end", `{"x":"` + strings.Repeat("x", 1000) + `","id":"R9"}`, refused("limit", `,"limit":"maxSizeRequest"`)},
		{"bad push order", `{"id":"R10","@type":"WebSocketPushEnable","dataTypes":7}`, refused("notRequest", `,"requestId":"R10"`)},
		{"unknown method", `{"@type":"Request","id":"R11",` + core + `,"methodCalls":[["Test/none",{},"c"]]}`, `{"@type":"Response","requestId":"R11","methodResponses":[["error",{"type":"unknownMethod"},"c"]]}`},
	} {
		if tc.name == "a request" {
			tc.message = strings.Replace(tc.message, `,"urn:test"`, "", 1)
		}
		p.write(t, tc.message)
		t.Log(tc.name)
		got := p.next(t)
		if detail, _ := got["detail"].(string); got["@type"] == "RequestError" && detail == "" {
			t.Errorf("%v has no detail", got)
		}
		wantMessage(t, got, tc.want)
	}
	for label, want := range map[string]float64{"Request": 6, "Response": 4, "RequestError": 10} {
		eventually(t, label+" are counted", func() bool { return r.metric(t, "bailiwick_sync_websocket_messages_total", label) == want })
	}
}

func TestFragmentsOfAMessageAreJoined(t *testing.T) {
	t.Parallel()
	p := start(t, held(nil, nil)).dial(t)
	w, err := p.Writer(t.Context(), websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitAfterSeq(request("ü", "Core/echo"), "") {
		for i := range len(part) {
			if _, err := io.WriteString(w, part[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, p.next(t), echoed("ü"))
}

func TestRequestsOverAWebSocketRunBesideEachOther(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}, 2), make(chan struct{})
	r := start(t, held(running, release), func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxConcurrentRequests = 2
	})
	p := r.dial(t)
	p.write(t, request("slow", "Test/wait"))
	<-running
	for i := range 3 {
		id := fmt.Sprint("quick", i)
		p.write(t, request(id, "Core/echo"))
		wantMessage(t, p.next(t), echoed(id))
	}
	over := r.dial(t)
	over.write(t, request("slow too", "Test/wait"))
	<-running
	limit := `{"@type":"RequestError","requestId":"third","type":"urn:ietf:params:jmap:error:limit","limit":"maxConcurrentRequests","status":429}`
	p.write(t, request("third", "Core/echo"))
	wantMessage(t, p.next(t), limit)
	resp, body := r.call(t, `{"using":[],"methodCalls":[]}`)
	wantProblem(t, resp, body, http.StatusTooManyRequests, jmap.ProblemLimit, "maxConcurrentRequests")
	close(release)
	wantMessage(t, p.next(t), `{"@type":"Response","requestId":"slow","methodResponses":[["Test/wait",{"waited":true},"c"]]}`)
	wantMessage(t, over.next(t), `{"@type":"Response","requestId":"slow too","methodResponses":[["Test/wait",{"waited":true},"c"]]}`)
}

func TestWebSocketsBeginWithTheRightHandshakeOnly(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	r.gate.refuse("elsewhere", &jmap.Refusal{Status: http.StatusMisdirectedRequest, HomeURL: "https://paris.example", Problem: jmap.Problem{Detail: "elsewhere"}})
	r.gate.refuse("suspended", &jmap.Refusal{Status: http.StatusForbidden, Problem: jmap.Problem{Detail: "suspended"}})
	good := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol", "jmap"}
	for name, tc := range map[string]struct {
		status  int
		headers []string
	}{
		"no token":        {http.StatusUnauthorized, []string{"Authorization", ""}},
		"elsewhere":       {http.StatusMisdirectedRequest, []string{"Authorization", "Bearer elsewhere"}},
		"suspended":       {http.StatusForbidden, []string{"Authorization", "Bearer suspended"}},
		"no upgrade":      {http.StatusUpgradeRequired, []string{"Connection", "", "Upgrade", ""}},
		"other upgrade":   {http.StatusUpgradeRequired, []string{"Upgrade", "h2c"}},
		"old version":     {http.StatusUpgradeRequired, []string{"Sec-WebSocket-Version", "8"}},
		"no key":          {http.StatusBadRequest, []string{"Sec-WebSocket-Key", ""}},
		"short key":       {http.StatusBadRequest, []string{"Sec-WebSocket-Key", "AAAA"}},
		"no protocol":     {http.StatusBadRequest, []string{"Sec-WebSocket-Protocol", ""}},
		"other protocol":  {http.StatusBadRequest, []string{"Sec-WebSocket-Protocol", "mqtt, jmapx"}},
		"another origin":  {http.StatusForbidden, []string{"Origin", "https://evil.example"}},
		"no origin":       {http.StatusForbidden, []string{"Origin", "null"}},
		"malformed":       {http.StatusForbidden, []string{"Origin", "https://%zz"}},
		"HTTP/2":          {http.StatusUpgradeRequired, []string{"Connection", "", "Upgrade", ""}},
		"too many":        {http.StatusTooManyRequests, nil},
		"POST":            {http.StatusMethodNotAllowed, nil},
		"HEAD (no body)":  {http.StatusUpgradeRequired, nil},
		"its own, refuse": {http.StatusTooManyRequests, []string{"Origin", r.url}},
	} {
		t.Run(name, func(t *testing.T) {
			method := http.MethodGet
			switch name {
			case "too many", "its own, refuse":
				first, second := r.dial(t), r.dial(t)
				defer eventually(t, "both are closed", func() bool { return r.metric(t, "bailiwick_sync_websocket_connections") == 0 })
				defer first.CloseNow()
				defer second.CloseNow()
			case "POST":
				method = http.MethodPost
			case "HEAD (no body)":
				method = http.MethodHead
			}
			all := *r
			all.client = r.newClient(t, name == "HTTP/2")
			resp, body := all.do(t, method, jmap.PathWebSocket, "", append(append([]string{}, good...), tc.headers...)...)
			if method == http.MethodHead {
				if resp.StatusCode != tc.status {
					t.Errorf("status %d", resp.StatusCode)
				}
				return
			}
			problem := wantProblem(t, resp, body, tc.status, "", "")
			if tc.status == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") == "" {
				t.Error("no challenge")
			}
			if name == "old version" && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Error("the version is not told")
			}
			if name == "HTTP/2" && (resp.ProtoMajor != 2 || !strings.Contains(problem["detail"].(string), "HTTP/1.1")) {
				t.Errorf("HTTP/%d: %s", resp.ProtoMajor, body)
			}
		})
	}
	r.dial(t)
}

func TestBrokenMessagesEndTheWebSocketWithTheirCode(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *Options) {
		o.Limits = jmap.DefaultLimits()
		o.Limits.MaxSizeRequest = 1000
	})
	for name, tc := range map[string]struct {
		kind    websocket.MessageType
		message string
		code    websocket.StatusCode
	}{
		"binary":        {websocket.MessageBinary, "{}", websocket.StatusUnsupportedData},
		"not UTF-8":     {websocket.MessageText, "{\"id\":\"\xff\"}", websocket.StatusInvalidFramePayloadData},
		"far too large": {websocket.MessageText, strings.Repeat("x", 2002), websocket.StatusMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := r.dial(t)
			if err := p.Write(t.Context(), tc.kind, []byte(tc.message)); err != nil {
				t.Fatal(err)
			}
			p.wantClose(t, tc.code)
		})
	}
}

func TestPushesTellWhatTheClientAskedFor(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	p := r.dial(t)
	// The answer to a request shows that what was sent before it has been read.
	sync := func() {
		t.Helper()
		p.write(t, strings.Replace(request("s", "Core/echo"), `,"urn:test"`, "", 1))
		wantMessage(t, p.next(t), echoed("s"))
	}
	r.memory.change("ada", "Email", "1")
	sync()
	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":["Mailbox"]}`)
	eventually(t, "changes are watched", func() bool { return r.memory.watched("ada") == 1 })
	sync()
	r.memory.change("ada", "Email", "2")
	r.memory.change("ada", "Mailbox", "2")
	wantMessage(t, p.next(t), `{"@type":"StateChange","changed":{"ada":{"Mailbox":"2"}}}`)

	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":null}`)
	sync()
	r.memory.change("shared", "Email", "3")
	wantMessage(t, p.next(t), `{"@type":"StateChange","changed":{"shared":{"Email":"3"}}}`)

	p.write(t, `{"@type":"WebSocketPushDisable"}`)
	p.write(t, `{"@type":"WebSocketPushDisable"}`)
	sync()
	r.memory.change("ada", "Email", "4")
	sync()
	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":[]}`)
	sync()
	r.memory.change("ada", "Email", "5")
	sync()
	if got := r.metric(t, "bailiwick_sync_websocket_messages_total", "StateChange"); got != 2 {
		t.Errorf("%v pushes, want 2", got)
	}
}

func TestClientThatComesBackOverAWebSocketIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	p := r.dial(t)
	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":null,"pushState":"unreadable"}`)
	first := p.next(t)
	state, _ := first["pushState"].(string)
	if state == "" {
		t.Fatalf("no pushState: %v", first)
	}
	wantMessage(t, first, `{"@type":"StateChange","changed":{"ada":{"Email":"0","Mailbox":"0"},"shared":{"Email":"0","Mailbox":"0"}}}`)
	if err := p.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
	eventually(t, "it is gone", func() bool { return r.metric(t, "bailiwick_sync_websocket_connections") == 0 })
	r.memory.change("ada", "Email", "7")
	r.memory.change("ada", "Mailbox", "8")

	p = r.dial(t)
	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":["Email"],"pushState":"`+state+`"}`)
	missed := p.next(t)
	state, _ = missed["pushState"].(string)
	wantMessage(t, missed, `{"@type":"StateChange","changed":{"ada":{"Email":"7"}}}`)

	// Nothing was missed: what comes first is the answer.
	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":null,"pushState":"`+state+`"}`)
	p.write(t, `{"@type":"Request","id":"s","using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"hello":true},"c"]]}`)
	wantMessage(t, p.next(t), echoed("s"))
}

func TestWebSocketEndsWithTheCredentials(t *testing.T) {
	t.Parallel()
	often := func(o *Options) { o.Push.Recheck = 10 * time.Millisecond }
	for name, tc := range map[string]struct {
		change func(*running)
		code   websocket.StatusCode
	}{
		"suspended":   {func(r *running) { r.gate.refuse("ada", &jmap.Refusal{Status: http.StatusForbidden}) }, websocket.StatusPolicyViolation},
		"moved":       {func(r *running) { r.gate.refuse("ada", &jmap.Refusal{Status: 421, HomeURL: "https://paris.example"}) }, websocket.StatusPolicyViolation},
		"unreachable": {func(r *running) { r.gate.refuse("ada", &jmap.Refusal{Status: http.StatusServiceUnavailable}) }, websocket.StatusTryAgainLater},
		"other rights": {func(r *running) {
			r.gate.mu.Lock()
			defer r.gate.mu.Unlock()
			r.gate.expires = r.gate.expires.Add(time.Second)
		}, websocket.StatusPolicyViolation},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, quick, often)
			p := r.dial(t)
			tc.change(r)
			p.wantClose(t, tc.code)
		})
	}
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		r := start(t, quick)
		r.gate.mu.Lock()
		r.gate.expires = time.Now().Add(500 * time.Millisecond)
		r.gate.mu.Unlock()
		r.dial(t).wantClose(t, websocket.StatusPolicyViolation)
	})
}

func TestWebSocketEndsWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	r := start(t, quick)
	p := r.dial(t)
	r.memory.fail(errors.New("store closed"))
	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":null}`)
	p.wantClose(t, websocket.StatusInternalError)
}

func TestShutdownAnswersWhatRunsAndClosesWebSockets(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}, 1), make(chan struct{})
	r := start(t, held(running, release))
	p := r.dial(t)
	p.write(t, request("last", "Test/wait"))
	<-running
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	<-r.draining
	close(release)
	wantMessage(t, p.next(t), `{"@type":"Response","requestId":"last","methodResponses":[["Test/wait",{"waited":true},"c"]]}`)
	p.wantClose(t, websocket.StatusGoingAway)
	if err := <-stopped; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestRequestOfAClientThatLeavesIsGivenUp(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 1)
	r := start(t, held(running, nil))
	p := r.dial(t)
	p.write(t, request("lost", "Test/wait"))
	<-running
	_ = p.CloseNow()
	eventually(t, "it is gone", func() bool { return r.metric(t, "bailiwick_sync_websocket_connections") == 0 })
}

func TestClientThatIsGoneOrDoesNotReadIsDropped(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"no pongs":        func(o *Options) { o.Push.KeepAlive = 50 * time.Millisecond },
		"nothing is read": func(o *Options) { o.Progress = 200 * time.Millisecond },
		"half a message":  func(o *Options) { o.Progress = 200 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, quick, held(nil, nil), change)
			p := r.dial(t) // the client reads, and answers pings, only when it is told to
			eventually(t, "it is there", func() bool { return r.metric(t, "bailiwick_sync_websocket_connections") <= 1 })
			switch name {
			case "nothing is read":
				p.write(t, request("large", "Test/large"))
			case "half a message":
				w, err := p.Writer(t.Context(), websocket.MessageText)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(w, `{"@type":"`+strings.Repeat("x", 8<<10)); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "it is dropped", func() bool {
				return strings.Contains(r.logs.String(), "WebSocket ended") && r.metric(t, "bailiwick_sync_websocket_connections") == 0
			})
		})
	}
}

func TestClientThatAnswersPingsStays(t *testing.T) {
	t.Parallel()
	r := start(t, quick, func(o *Options) { o.Push.KeepAlive = 2 * time.Second })
	pings := make(chan struct{}, 64)
	conn, _, err := websocket.Dial(t.Context(), r.url+jmap.PathWebSocket, &websocket.DialOptions{
		HTTPClient: r.newClient(t, false), HTTPHeader: http.Header{"Authorization": {"Bearer ada"}}, Subprotocols: []string{"jmap"},
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case pings <- struct{}{}:
			default:
			}
			return true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := conn.CloseRead(t.Context())
	// Two pings without an answer end a connection: a third one shows that it stays.
	for range 3 {
		select {
		case <-pings:
		case <-ctx.Done():
			t.Fatal("the server dropped a client that answers pings")
		}
	}
	_ = conn.CloseNow()
}

// strictFIPS is set when the test binary runs in strict FIPS mode.
const strictFIPS = "BAILIWICK_TEST_STRICT_FIPS"

func TestWebSocketOpensInStrictFIPSMode(t *testing.T) {
	t.Parallel()
	if os.Getenv(strictFIPS) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWebSocketOpensInStrictFIPSMode$", "-test.v")
		cmd.Env = append(os.Environ(), strictFIPS+"=1", "GODEBUG=fips140=only")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "HTTP/1.1 101") {
			t.Fatalf("in strict mode: %v\n%s", err, out)
		}
		return
	}
	r := start(t)
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: r.pool, NextProtos: []string{"http/1.1"}}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The client of the library hashes with SHA-1 too, so that the handshake is spelled out.
	if _, err := io.WriteString(conn, "GET "+jmap.PathWebSocket+" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ada\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: jmap\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%s, %v", resp.Status, resp.Header)
	}
	t.Log(resp.Proto + " " + resp.Status)
}

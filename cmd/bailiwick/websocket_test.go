package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// handshake opens a WebSocket with a token, or returns the answer that refuses it.
func (r *region) handshake(t *testing.T, token string) (*websocket.Conn, *http.Response, []byte) {
	t.Helper()
	transport, ok := r.client.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("transport is a %T", r.client.Transport)
	}
	// WebSockets are opened over HTTP/1.1, which a client has to ask for.
	plain := &http.Transport{TLSClientConfig: transport.TLSClientConfig.Clone()}
	plain.TLSClientConfig.NextProtos = []string{"http/1.1"}
	t.Cleanup(plain.CloseIdleConnections)
	conn, resp, err := websocket.Dial(t.Context(), r.flags.url+jmap.PathWebSocket, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: plain}, Subprotocols: []string{"jmap"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
		return conn, resp, nil
	}
	if resp == nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return nil, resp, body
}

func TestAMailboxIsReadAndWatchedOverAWebSocket(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	conn, _, refusal := r.handshake(t, r.token(t, nil))
	if conn == nil {
		t.Fatalf("refused: %s", refusal)
	}
	client, account := r.jmapClient(t)
	for _, message := range []string{
		`{"@type":"WebSocketPushEnable","dataTypes":["Mailbox"]}`,
		`{"@type":"Request","id":"R1","using":["urn:ietf:params:jmap:core","urn:ietf:params:jmap:mail"],"methodCalls":[["Mailbox/set",{"accountId":"` + string(account) + `","create":{"k":{"name":"Project"}}},"c"]]}`,
	} {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	// The response and the push come in either order.
	seen := map[string]string{}
	for len(seen) < 2 {
		_, raw, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		message := struct {
			Type string `json:"@type"`
		}{}
		if err := json.Unmarshal(raw, &message); err != nil {
			t.Fatal(err)
		}
		seen[message.Type] = string(raw)
	}
	if !strings.Contains(seen["Response"], `"created":{"k":{"id":`) || !strings.Contains(seen["Response"], `"requestId":"R1"`) {
		t.Errorf("response %s", seen["Response"])
	}
	if !strings.Contains(seen["StateChange"], `"`+string(account)+`":{"Mailbox":`) || !strings.Contains(seen["StateChange"], `"pushState":`) {
		t.Errorf("push %s", seen["StateChange"])
	}
	if boxes := mailboxes(t, client, account); len(boxes) != 7 {
		t.Errorf("%d folders over HTTP, want the six of each mailbox and the new one", len(boxes))
	}
}

func TestTheGateStandsInFrontOfWebSocketsToo(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	token := r.token(t, nil)
	if conn, resp, body := r.handshake(t, r.token(t, map[string]any{"xms_pdl": "EUR"})); conn != nil || resp.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(string(body), "https://paris.example") {
		t.Errorf("mailbox of another region: %s %s", resp.Status, body)
	}
	if conn, resp, body := r.handshake(t, "a.b.c"); conn != nil || resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("forged token: %s %s", resp.Status, body)
	}
	suspended := r.document()
	suspended.Generation, suspended.Suspended = 2, true
	r.write(t, suspended)
	eventually(t, "the tenant is suspended", func() bool {
		resp, _ := r.do(t, http.MethodGet, sessionPath, token, "")
		return resp.StatusCode == http.StatusForbidden
	})
	if conn, resp, body := r.handshake(t, token); conn != nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "tenant-suspended") {
		t.Errorf("suspended tenant: %s %s", resp.Status, body)
	}
}

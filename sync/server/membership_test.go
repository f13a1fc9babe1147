package server

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// watched lets a test tell that tenants changed, and never judge open streams by the
// clock.
func watched(changes chan struct{}) func(*Options) {
	return func(o *Options) {
		o.Push.Recheck = time.Hour
		o.Watch = func(string) (<-chan struct{}, func()) { return changes, func() {} }
	}
}

func TestEndOfAMembershipEndsStreamsAtOnce(t *testing.T) {
	t.Parallel()
	changes := make(chan struct{}, 1) // a stream that ended takes none
	r := start(t, quick, watched(changes))
	s, _ := r.open(t, "types=*&closeafter=no&ping=0")
	r.memory.change("shared", "Email", "1")
	wantChange(t, s.next(t), map[string]map[string]string{"shared": {"Email": "1"}})
	changes <- struct{}{} // something else changed
	r.memory.change("shared", "Email", "2")
	wantChange(t, s.next(t), map[string]map[string]string{"shared": {"Email": "2"}})
	r.gate.leave()
	changes <- struct{}{}
	s.ended(t)
}

func TestEndOfAMembershipEndsWebSocketsAtOnce(t *testing.T) {
	t.Parallel()
	changes := make(chan struct{}, 1) // a stream that ended takes none
	r := start(t, quick, watched(changes))
	p := r.dial(t)
	changes <- struct{}{} // something else changed
	p.write(t, `{"@type":"Request","id":"R1","using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"hello":true},"c"]]}`)
	wantMessage(t, p.next(t), echoed("R1"))
	r.gate.leave()
	changes <- struct{}{}
	p.wantClose(t, websocket.StatusPolicyViolation)
}

func TestSharedAccountLeavesTheSessionWithItsMember(t *testing.T) {
	t.Parallel()
	r := start(t)
	accounts := func() map[string]jmap.SessionAccount {
		_, body := r.do(t, http.MethodGet, jmap.PathSession, "")
		session := jmap.Session{}
		if err := json.Unmarshal(body, &session); err != nil {
			t.Fatal(err)
		}
		return session.Accounts
	}
	if got, ok := accounts()["shared"]; !ok || got.Name != "Team" || got.IsPersonal {
		t.Fatalf("shared account %+v, %v", got, ok)
	}
	r.gate.leave()
	if _, ok := accounts()["shared"]; ok {
		t.Error("the shared account is still in the session")
	}
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// shelf shares accounts with everybody.
type shelf struct {
	*memory

	mu       sync.Mutex
	accounts []jmap.SharedAccount
	broken   error
}

func (s *shelf) put(accounts ...jmap.SharedAccount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = accounts
}

func (s *shelf) breakDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = errors.New("broken")
}

func (s *shelf) SharedWith(context.Context, *jmap.Principal) ([]jmap.SharedAccount, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts, s.broken
}

func (s *shelf) BlobsFor(p *jmap.Principal) jmap.Blobs {
	if p.Partial("friend") {
		return s.memory
	}
	return newMemory()
}

func (s *shelf) StatesFor(ctx context.Context, p *jmap.Principal, account string) (map[string]string, error) {
	states, err := s.States(ctx, account)
	if p.Partial(account) {
		delete(states, "Mailbox")
	}
	return states, err
}

// countingGate counts how often it is asked.
type countingGate struct {
	jmap.Gate

	asked atomic.Int64
}

func (g *countingGate) Admit(r *http.Request) (*jmap.Principal, *jmap.Refusal) {
	g.asked.Add(1)
	return g.Gate.Admit(r)
}

func startShared(t *testing.T) (*running, *shelf, *countingGate) {
	t.Helper()
	s, g := &shelf{}, &countingGate{}
	r := start(t, func(o *Options) {
		s.memory, _ = o.Blobs.(*memory)
		g.Gate = o.Gate
		o.Shares, o.Gate = s, g
		o.Push = DefaultPushLimits()
		o.Push.Recheck = 5 * time.Millisecond
		o.Push.MinGap = time.Millisecond
	})
	return r, s, g
}

var friend = jmap.SharedAccount{AccountID: "friend", Name: "Friend", Partial: true}

func TestSharedAccountsComeAndGoWithTheNextRequest(t *testing.T) {
	t.Parallel()
	r, s, _ := startShared(t)
	accounts := func() string {
		_, body := r.do(t, http.MethodGet, jmap.PathSession, "")
		var session jmap.Session
		if err := json.Unmarshal(body, &session); err != nil {
			t.Fatal(err)
		}
		return strings.Join(slices.Sorted(maps.Keys(session.Accounts)), " ")
	}
	check := func(what, want string) {
		t.Helper()
		if got := accounts(); got != want {
			t.Errorf("%s: accounts %q, want %q", what, got, want)
		}
	}
	check("before", "ada shared")
	s.put(friend, jmap.SharedAccount{AccountID: "shared", Partial: true}, jmap.SharedAccount{AccountID: "ada", Partial: true})
	check("shared", "ada friend shared")
	resp, body := r.do(t, http.MethodPost, jmap.PathUpload+"friend/", "hello")
	var up uploaded
	if err := json.Unmarshal(body, &up); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("upload: %d %s", resp.StatusCode, body)
	}
	path := jmap.PathDownload + "friend/" + up.BlobID + "/x"
	if resp, body := r.do(t, http.MethodGet, path, ""); resp.StatusCode != http.StatusOK || string(body) != "hello" {
		t.Errorf("download: %d %s", resp.StatusCode, body)
	}
	s.put(jmap.SharedAccount{AccountID: "friend", Partial: true, ReadOnly: true, Unsubscribed: true})
	check("unsubscribed", "ada shared")
	if resp, _ := r.do(t, http.MethodPost, jmap.PathUpload+"friend/", "hello"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("upload to what may be read only: %d", resp.StatusCode)
	}
	s.put()
	check("revoked", "ada shared")
	if resp, _ := r.do(t, http.MethodGet, path, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("download of what is revoked: %d", resp.StatusCode)
	}
	s.breakDown()
	if resp, _ := r.do(t, http.MethodGet, jmap.PathSession, ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without the store: %d", resp.StatusCode)
	}
}

func TestOpenStreamsFollowWhatIsShared(t *testing.T) {
	t.Parallel()
	r, s, _ := startShared(t)
	stream, _ := r.open(t, "types=*&closeafter=no&ping=0")
	changed := func(what string, want accountStates) {
		t.Helper()
		var got stateChange
		if err := json.Unmarshal([]byte(stream.next(t).data), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Changed); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	s.put(friend)
	r.memory.change("ada", "ShareNotification", "1")
	changed("shared", accountStates{"ada": {"ShareNotification": "1"}, "friend": {"Email": "0"}})
	r.memory.change("friend", "Email", "5")
	changed("a change in it", accountStates{"friend": {"Email": "5"}})
	r.memory.change("friend", "Mailbox", "6")
	r.memory.change("friend", "Email", "7")
	changed("only what is told of it", accountStates{"friend": {"Email": "7"}})
	s.put()
	r.memory.change("friend", "Email", "8")
	r.memory.change("ada", "Email", "9")
	changed("revoked", accountStates{"ada": {"Email": "9"}})
}

func TestWebSocketStaysOpenWhenSharesChange(t *testing.T) {
	t.Parallel()
	r, s, gate := startShared(t)
	s.put(friend)
	p := r.dial(t)
	rechecked := func() {
		t.Helper()
		since := gate.asked.Load()
		eventually(t, "the credentials are verified again", func() bool { return gate.asked.Load() > since+2 })
	}
	rechecked()
	p.write(t, `{"@type":"WebSocketPushEnable","dataTypes":null}`)
	p.write(t, `{"@type":"Request","id":"1","using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"hello":true},"c"]]}`)
	first := p.next(t)
	wantMessage(t, first, echoed("1"))
	s.put()
	rechecked()
	p.write(t, `{"@type":"Request","id":"2","using":["urn:ietf:params:jmap:core"],"methodCalls":[["Blob/copy",{"fromAccountId":"friend","accountId":"ada","blobIds":[]},"c"]]}`)
	wantMessage(t, p.next(t), `{"@type":"Response","requestId":"2","methodResponses":[["error",{"type":"fromAccountNotFound"},"c"]]}`)
	s.put(friend)
	p.write(t, `{"@type":"Request","id":"3","using":["urn:ietf:params:jmap:core"],"methodCalls":[["Blob/copy",{"fromAccountId":"friend","accountId":"ada","blobIds":[]},"c"]]}`)
	wantMessage(t, p.next(t), `{"@type":"Response","requestId":"3","methodResponses":[["Blob/copy",{"fromAccountId":"friend","accountId":"ada","copied":null,"notCopied":null},"c"]]}`)
	r.memory.change("ada", "Email", "4")
	wantMessage(t, p.next(t), `{"@type":"StateChange","changed":{"ada":{"Email":"4"}}}`)
	s.breakDown()
	p.write(t, `{"@type":"Request","id":"4","using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{},"c"]]}`)
	if got := p.next(t); got["@type"] != "RequestError" || got["status"] != float64(http.StatusServiceUnavailable) {
		t.Errorf("without the store: %v", got)
	}
}

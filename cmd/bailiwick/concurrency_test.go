package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// pushed is the last state that an event stream told, and how many events there were.
type pushed struct {
	state  atomic.Value
	events atomic.Int64
}

// listen opens an event stream and follows it until the context ends.
func (u *user) listen(ctx context.Context, t *testing.T, streams *sync.WaitGroup) *pushed {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.region.flags.url+"/jmap/eventsource?types=Email&closeafter=no&ping=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
	resp, err := u.region.client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("event stream: %v, %v", resp, err)
	}
	p := &pushed{}
	p.state.Store("")
	streams.Go(func() {
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				_, state, _ := strings.Cut(data, `"Email":"`)
				p.state.Store(strings.TrimSuffix(state, `"}}}`))
				p.events.Add(1)
			}
		}
	})
	return p
}

func TestWritersOfOneAccountDoNotLoseEachOthersChanges(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	u := r.user(t, "user")
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var streams, writers sync.WaitGroup
	listeners := make([]*pushed, 8)
	for i := range listeners {
		listeners[i] = u.listen(ctx, t, &streams)
	}
	shared := fmt.Sprint(u.add(t, "inbox", strings.NewReader(letter))["id"])
	const writersCount, rounds = 8, 20
	var mismatches atomic.Int64
	for writer := range writersCount {
		writers.Go(func() {
			for n := range rounds {
				keyword := fmt.Sprintf("k%d-%d", writer, n)
				if id := u.deliver(fmt.Sprintf("Subject: %s\r\n\r\nx", keyword)); id == "" {
					t.Errorf("writer %d: letter %d was not delivered", writer, n)
				}
				if err := u.mark(shared, keyword, &mismatches); err != nil {
					t.Errorf("writer %d: %v", writer, err)
				}
			}
		})
	}
	writers.Wait()
	email := as[map[string]any](t, as[[]any](t, u.one(t, "Email/get", fmt.Sprintf(`"ids":[%q],"properties":["keywords"]`, shared))["list"])[0])
	if got := len(as[map[string]any](t, email["keywords"])); got != writersCount*rounds {
		t.Errorf("%d keywords, want %d: changes were lost (%d states did not match)", got, writersCount*rounds, mismatches.Load())
	}
	inbox := as[map[string]any](t, as[[]any](t, u.one(t, "Mailbox/get", fmt.Sprintf(`"ids":[%q]`, u.boxes["inbox"]))["list"])[0])
	if inbox["totalEmails"] != float64(writersCount*rounds+1) || inbox["totalThreads"] != inbox["totalEmails"] {
		t.Errorf("the inbox counts %v emails in %v threads", inbox["totalEmails"], inbox["totalThreads"])
	}
	state := fmt.Sprint(u.one(t, "Email/get", `"ids":[]`)["state"])
	for i, l := range listeners {
		eventually(t, fmt.Sprintf("listener %d knows the last state", i), func() bool { return l.state.Load() == state })
		if got := l.events.Load(); got > writersCount*rounds {
			t.Errorf("listener %d got %d events for %d changes: they are not joined", i, got, 2*writersCount*rounds)
		}
	}
	hangUp()
	streams.Wait()
	eventually(t, "the server forgot the streams", func() bool { return strings.Contains(r.metrics(t), "bailiwick_sync_push_streams 0\n") })
}

// mark sets a keyword if nothing changed in between, and tries again when something did.
func (u *user) mark(id, keyword string, mismatches *atomic.Int64) error {
	for range 1000 {
		read, ok := u.attempt("/jmap/api", "application/json", fmt.Sprintf(`{%s,"methodCalls":[["Email/get",{"accountId":%q,"ids":[]},"0"]]}`, usingMail, u.account))
		if !ok {
			return errors.New("the state was not told")
		}
		_, state, _ := strings.Cut(fmt.Sprint(read["methodResponses"]), " state:")
		out, ok := u.attempt("/jmap/api", "application/json", fmt.Sprintf(`{%s,"methodCalls":[["Email/set",{"accountId":%q,"ifInState":%q,"update":{%q:{"keywords/%s":true}}},"0"]]}`,
			usingMail, u.account, state[:strings.IndexAny(state, "] ")], id, keyword))
		switch text := fmt.Sprint(out["methodResponses"]); {
		case !ok || strings.Contains(text, "notUpdated:map"):
			return fmt.Errorf("the keyword was not set: %v", out)
		case strings.Contains(text, "stateMismatch"):
			mismatches.Add(1)
		default:
			return nil
		}
	}
	return errors.New("the state never matched")
}

func TestStreamsDoNotOutliveTheirClients(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	u := r.user(t, "user")
	for range 5 {
		ctx, hangUp := context.WithCancel(t.Context())
		var streams sync.WaitGroup
		for range 32 {
			u.listen(ctx, t, &streams)
		}
		if resp, body := r.do(t, http.MethodGet, "/jmap/eventsource?types=*&closeafter=no&ping=0", u.token, ""); resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("stream beyond the limit: status %d: %s", resp.StatusCode, body)
		}
		hangUp()
		streams.Wait()
		eventually(t, "the server forgot the streams", func() bool { return strings.Contains(r.metrics(t), "bailiwick_sync_push_streams 0\n") })
	}
}

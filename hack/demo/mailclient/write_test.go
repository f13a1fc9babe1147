package mailclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
)

// office is a server with one account, which answers each method with a text that was
// set for it and keeps what was asked. Its event stream tells what is sent to it.
type office struct {
	base    string
	answers map[string]string
	events  chan string

	mu    sync.Mutex
	asked []string
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/jmap":
		fmt.Fprintf(w, `{"capabilities":{"urn:ietf:params:jmap:core":{},"urn:ietf:params:jmap:mail":{},"urn:ietf:params:jmap:submission":{}},
			"accounts":{"a":{"name":"ada@x","isPersonal":true},"s":{"name":"Desk"}},"primaryAccounts":{"urn:ietf:params:jmap:mail":"a"},
			"apiUrl":"%[1]s/api","eventSourceUrl":"%[1]s/events?types={types}&closeafter={closeafter}&ping={ping}"}`, o.base)
	case "/events":
		o.stream(w, r)
	case "/api":
		var request struct {
			Calls [][]json.RawMessage `json:"methodCalls"`
		}
		var method string
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || json.Unmarshal(request.Calls[0][0], &method) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		o.mu.Lock()
		o.asked = append(o.asked, method+" "+string(request.Calls[0][1]))
		o.mu.Unlock()
		fmt.Fprintf(w, `{"methodResponses":[[%q,%s,"0"]],"sessionState":"0"}`, method, o.answers[method])
	}
}

func (o *office) stream(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("types") != "EmailDelivery" || o.events == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case data, ok := <-o.events:
			if !ok {
				return
			}
			fmt.Fprintf(w, "event: state\ndata: %s\n\n", data)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

const (
	boxes      = `{"list":[{"id":"d","role":"drafts","name":"Drafts"},{"id":"s","role":"sent","name":"Sent"}]}`
	identities = `{"list":[{"id":"i","name":"Ada","email":"ada@x"}]}`
)

func enter(t *testing.T, o *office) *mailclient.Account {
	t.Helper()
	account, err := mailclient.Open(listen(t, o, &o.base), o.base, token)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func TestLetterIsWrittenSubmittedAndFiledAsSent(t *testing.T) {
	t.Parallel()
	o := &office{answers: map[string]string{
		"Identity/get": identities, "Mailbox/get": boxes, "Email/set": `{"created":{"m":{"id":"e"}}}`,
		"EmailSubmission/set": `{"created":{"s":{"id":"u"}}}`, "EmailSubmission/get": `{"list":[{"id":"u","deliveryStatus":{"ben@x":{"delivered":"yes"}}}]}`,
	}}
	account := enter(t, o)
	sent, err := account.Send(t.Context(), "ben@x", "Hi", "text")
	if diff := cmp.Diff(mailclient.Sent{Message: "e", Submission: "u"}, sent); diff != "" || err != nil {
		t.Fatalf("%v, %s", err, diff)
	}
	submitted := o.asked[len(o.asked)-1]
	for _, want := range []string{`"emailId":"e"`, `"identityId":"i"`, `"mailboxIds/d":null`, `"mailboxIds/s":true`, `"keywords/$draft":null`} {
		if !strings.Contains(submitted, want) {
			t.Errorf("no %s in %s", want, submitted)
		}
	}
	delivered, err := account.Delivery(t.Context(), sent.Submission)
	if diff := cmp.Diff(map[string]string{"ben@x": "yes"}, delivered); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
}

func TestRefusalsAreToldWithTheirType(t *testing.T) {
	t.Parallel()
	const no = `{"type":"forbidden","description":"not you"}`
	send := func(ctx context.Context, a *mailclient.Account) error {
		_, err := a.Send(ctx, "ben@x", "Hi", "text")
		return err
	}
	cases := map[string]struct {
		answers map[string]string
		act     func(context.Context, *mailclient.Account) error
		want    string
	}{
		"no identity": {map[string]string{"Identity/get": `{"list":[]}`}, send, "identities: none"},
		"no drafts":   {map[string]string{"Identity/get": identities, "Mailbox/get": `{"list":[]}`}, send, "mailboxes: no drafts or sent"},
		"draft": {
			map[string]string{"Identity/get": identities, "Mailbox/get": boxes, "Email/set": `{"notCreated":{"m":` + no + `}}`},
			send, "write message: forbidden: not you",
		},
		"submission": {
			map[string]string{
				"Identity/get": identities, "Mailbox/get": boxes, "Email/set": `{"created":{"m":{"id":"e"}}}`,
				"EmailSubmission/set": `{"notCreated":{"s":{"type":"forbiddenFrom"}}}`,
			},
			send, "submit message: forbiddenFrom",
		},
		"create": {map[string]string{"Mailbox/set": `{"notCreated":{"m":` + no + `}}`}, func(ctx context.Context, a *mailclient.Account) error {
			_, err := a.CreateMailbox(ctx, "x")
			return err
		}, `create mailbox "x": forbidden: not you`},
		"rename": {map[string]string{"Mailbox/set": `{"notUpdated":{"b":` + no + `}}`}, func(ctx context.Context, a *mailclient.Account) error {
			return a.RenameMailbox(ctx, "b", "x")
		}, `rename mailbox "b": forbidden: not you`},
		"destroy": {map[string]string{"Mailbox/set": `{}`}, func(ctx context.Context, a *mailclient.Account) error {
			return a.DestroyMailbox(ctx, "b")
		}, `destroy mailbox "b": no answer`},
		"discard": {map[string]string{"Email/set": `{"notDestroyed":{"e":` + no + `}}`}, func(ctx context.Context, a *mailclient.Account) error {
			return a.Discard(ctx, "e")
		}, `destroy message "e": forbidden: not you`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.act(t.Context(), enter(t, &office{answers: c.answers})); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestMessageIsFoundReadAndDiscarded(t *testing.T) {
	t.Parallel()
	account := enter(t, &office{answers: map[string]string{
		"Email/query": `{"ids":["e"]}`, "Email/set": `{"destroyed":["e"]}`,
		"Email/get": `{"list":[{"id":"e","subject":"Hi","from":[{"email":"ada@x"}],"to":[{"email":"ben@x"}],
			"textBody":[{"partId":"1"}],"bodyValues":{"1":{"value":"text"}}}]}`,
	}})
	ids, err := account.Search(t.Context(), "words")
	if err != nil || !slices.Equal(ids, []string{"e"}) {
		t.Fatalf("%v, %v", ids, err)
	}
	letter, err := account.Read(t.Context(), "e")
	if diff := cmp.Diff(mailclient.Letter{From: "ada@x", To: "ben@x", Subject: "Hi", Text: "text"}, letter); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	if err := account.Discard(t.Context(), "e"); err != nil {
		t.Error(err)
	}
}

func TestMailboxesAreMadeNamedAndDestroyed(t *testing.T) {
	t.Parallel()
	account := enter(t, &office{answers: map[string]string{
		"Mailbox/set": `{"created":{"m":{"id":"b"}},"updated":{"b":null},"destroyed":["b"]}`, "Mailbox/get": boxes,
	}})
	id, err := account.CreateMailbox(t.Context(), "x")
	if err := errors.Join(err, account.RenameMailbox(t.Context(), id, "y"), account.DestroyMailbox(t.Context(), id)); err != nil || id != "b" {
		t.Errorf("%q, %v", id, err)
	}
	names, err := account.Mailboxes(t.Context())
	if diff := cmp.Diff(map[string]string{"d": "Drafts", "s": "Sent"}, names); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	if account.Name() != "ada@x" {
		t.Errorf("account %q", account.Name())
	}
}

func TestDeliveryToTheAccountIsAwaited(t *testing.T) {
	t.Parallel()
	o := &office{events: make(chan string)}
	err := enter(t, o).AwaitDelivery(t.Context(), func(context.Context) error {
		// Only the last one is a delivery to the account.
		for _, changed := range []string{`{"s":{"EmailDelivery":"1"}}`, `{"a":{"Email":"1"}}`, `{"a":{"EmailDelivery":"1"}}`} {
			o.events <- `{"@type":"StateChange","changed":` + changed + `}`
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestEventStreamThatEndsOrIsRefusedIsAnError(t *testing.T) {
	t.Parallel()
	ends := &office{events: make(chan string)}
	err := enter(t, ends).AwaitDelivery(t.Context(), func(context.Context) error {
		close(ends.events)
		return nil
	})
	if err == nil || err.Error() != "event stream: it ended" {
		t.Errorf("got %v", err)
	}
	err = enter(t, &office{}).AwaitDelivery(t.Context(), func(context.Context) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "response code: 400") {
		t.Errorf("got %v", err)
	}
}

func TestFailedActIsToldAndEndsTheEventStream(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	err := enter(t, &office{events: make(chan string)}).AwaitDelivery(t.Context(), func(context.Context) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

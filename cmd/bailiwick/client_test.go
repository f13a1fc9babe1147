package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	gojmap "git.sr.ht/~rockorager/go-jmap"
	"git.sr.ht/~rockorager/go-jmap/core/push"
	jmapmail "git.sr.ht/~rockorager/go-jmap/mail"
	"git.sr.ht/~rockorager/go-jmap/mail/email"
	"git.sr.ht/~rockorager/go-jmap/mail/mailbox"
	"github.com/google/go-cmp/cmp"
)

const letter = "From: Ada <ada@agency.example>\r\nTo: user@agency.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
	"Message-ID: <1@agency.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n\r\nHello from Virginia.\r\n"

// bearer adds a token to each request.
type bearer struct {
	http.RoundTripper

	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

// client is an independent JMAP client, signed in.
func (r *region) jmapClient(t *testing.T) (client *gojmap.Client, account gojmap.ID) {
	t.Helper()
	client = &gojmap.Client{
		SessionEndpoint: r.flags.url + sessionPath,
		HttpClient:      &http.Client{Transport: bearer{RoundTripper: r.client.Transport, token: r.token(t, nil)}},
	}
	if err := client.Authenticate(); err != nil {
		t.Fatal(err)
	}
	return client, client.Session.PrimaryAccounts[jmapmail.URI]
}

// invoke sends method calls and returns the arguments of their responses.
func invoke(t *testing.T, client *gojmap.Client, calls ...gojmap.Method) []any {
	t.Helper()
	req := &gojmap.Request{}
	for _, call := range calls {
		req.Invoke(call)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answers := make([]any, 0, len(resp.Responses))
	for _, answer := range resp.Responses {
		if failure, failed := answer.Args.(*gojmap.MethodError); failed {
			t.Fatalf("%s: %s %v", answer.Name, failure.Type, failure.Description)
		}
		answers = append(answers, answer.Args)
	}
	return answers
}

func as[T any](t *testing.T, answer any) T {
	t.Helper()
	typed, ok := answer.(T)
	if !ok {
		t.Fatalf("answer is a %T", answer)
	}
	return typed
}

func TestIndependentClientReadsAndWritesAMailbox(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	client, account := r.jmapClient(t)
	events := make(chan *gojmap.StateChange, 16)
	source := &push.EventSource{Client: client, Handler: func(c *gojmap.StateChange) { events <- c }}
	listening := make(chan error, 1)
	go func() { listening <- source.Listen() }()
	eventually(t, "the client listens", func() bool { return strings.Contains(r.metrics(t), "bailiwick_sync_push_streams 1") })

	boxes := mailboxes(t, client, account)
	roles := map[mailbox.Role]bool{}
	for _, box := range boxes {
		roles[box.Role] = true
	}
	want := map[mailbox.Role]bool{"inbox": true, "drafts": true, "sent": true, "archive": true, "junk": true, "trash": true}
	if diff := cmp.Diff(want, roles); diff != "" {
		t.Errorf("a new mailbox has other folders (-want +got):\n%s", diff)
	}
	project := as[*mailbox.SetResponse](t, invoke(t, client, &mailbox.Set{
		Account: account, Create: map[gojmap.ID]*mailbox.Mailbox{"k": {Name: "Project"}},
	})[0]).Created["k"]
	if project == nil {
		t.Fatal("the folder was not created")
	}

	upload, err := client.Upload(account, strings.NewReader(letter))
	if err != nil {
		t.Fatal(err)
	}
	imported := as[*email.ImportResponse](t, invoke(t, client, &email.Import{Account: account, Emails: map[string]*email.EmailImport{
		"m": {BlobID: upload.ID, MailboxIDs: map[gojmap.ID]bool{project.ID: true}},
	}})[0])
	if imported.Created["m"] == nil {
		t.Fatalf("the letter was not imported: %+v", imported.NotCreated)
	}
	if change := <-events; change.Changed[account] == nil {
		t.Errorf("the event is about %v", change.Changed)
	}
	got := findLetter(t, client, account, project.ID)
	if got.ID != imported.Created["m"].ID || got.Subject != "Grüße" || got.From[0].Email != "ada@agency.example" || got.Preview != "Hello from Virginia." {
		t.Errorf("letter %+v", got)
	}
	changeLetter(t, client, account, got, project.ID, imported.NewState)

	blob, err := client.Download(account, got.BlobID)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if content, err := io.ReadAll(blob); err != nil || string(content) != letter {
		t.Errorf("the letter came back as %q, %v", content, err)
	}

	r.stop(t)
	<-listening
	source.Close()
	r.start(t)
	client, account = r.jmapClient(t)
	if again := findLetter(t, client, account, project.ID); again.ID != got.ID || !again.Keywords["$seen"] {
		t.Errorf("after a restart the letter is %+v", again)
	}
}

func mailboxes(t *testing.T, client *gojmap.Client, account gojmap.ID) []*mailbox.Mailbox {
	t.Helper()
	return as[*mailbox.GetResponse](t, invoke(t, client, &mailbox.Get{Account: account})[0]).List
}

// findLetter opens a folder in one request: a query, and what it found.
func findLetter(t *testing.T, client *gojmap.Client, account, box gojmap.ID) *email.Email {
	t.Helper()
	answers := invoke(t, client,
		&email.Query{Account: account, Filter: &email.FilterCondition{InMailbox: box}, Sort: []*email.SortComparator{{Property: "receivedAt"}}, CalculateTotal: true, Limit: 10},
		&email.Get{
			Account: account, ReferenceIDs: &gojmap.ResultReference{ResultOf: "0", Name: "Email/query", Path: "/ids"},
			Properties: []string{"blobId", "threadId", "subject", "from", "preview", "keywords", "mailboxIds"},
		})
	found := as[*email.GetResponse](t, answers[1])
	if total := as[*email.QueryResponse](t, answers[0]).Total; total != 1 || len(found.List) != 1 {
		t.Fatalf("%d letters in the folder, %d read", total, len(found.List))
	}
	return found.List[0]
}

// changeLetter marks a letter as read and sees that counts and changes tell of it.
func changeLetter(t *testing.T, client *gojmap.Client, account gojmap.ID, letter *email.Email, box gojmap.ID, since string) {
	t.Helper()
	set := as[*email.SetResponse](t, invoke(t, client, &email.Set{
		Account: account, Update: map[gojmap.ID]gojmap.Patch{letter.ID: {"keywords/$seen": true}},
	})[0])
	if _, updated := set.Updated[letter.ID]; !updated {
		t.Fatalf("the letter was not changed: %+v", set.NotUpdated)
	}
	changes := as[*email.ChangesResponse](t, invoke(t, client, &email.Changes{Account: account, SinceState: since})[0])
	if diff := cmp.Diff([]gojmap.ID{letter.ID}, changes.Updated); diff != "" || changes.NewState != set.NewState {
		t.Errorf("changes %+v (-want +got):\n%s", changes, diff)
	}
	for _, have := range mailboxes(t, client, account) {
		if have.ID == box && (have.TotalEmails != 1 || have.UnreadEmails != 0) {
			t.Errorf("the folder counts %d letters, %d unread", have.TotalEmails, have.UnreadEmails)
		}
	}
}

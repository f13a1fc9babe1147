package mailclient_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/hack/demo/mailclient"
	"github.com/bailiwick-dev/bailiwick/hack/demo/mbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "the-token"

// server is the least JMAP server that the client can talk to. It keeps blobs in
// memory, and imported messages by the order of their import.
type server struct {
	mu       sync.Mutex
	base     string
	blobs    []string
	imported []string
	refuse   string // type of the SetError for each import
	broken   string // method that answers with an error
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/jmap":
		http.Redirect(w, r, s.base+"/session", http.StatusTemporaryRedirect)
	case "/session":
		fmt.Fprintf(w, `{"capabilities":{"urn:ietf:params:jmap:core":{},"urn:ietf:params:jmap:mail":{}},"accounts":{"a":{"name":"ada"}},
			"primaryAccounts":{"urn:ietf:params:jmap:mail":"a"},"username":"ada","apiUrl":"%[1]s/api","downloadUrl":"%[1]s/d","uploadUrl":"%[1]s/upload/{accountId}","eventSourceUrl":"%[1]s/e","state":"0"}`, s.base)
	case "/upload/a":
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.blobs = append(s.blobs, string(raw))
		fmt.Fprintf(w, `{"accountId":"a","blobId":"%d","type":"message/rfc822","size":%d}`, len(s.blobs)-1, len(raw))
	case "/api":
		s.api(w, r)
	}
}

func (s *server) api(w http.ResponseWriter, r *http.Request) {
	var request struct {
		MethodCalls [][]json.RawMessage `json:"methodCalls"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var method string
	_ = json.Unmarshal(request.MethodCalls[0][0], &method)
	name, answer := method, s.answer(method, request.MethodCalls[0][1])
	if method == s.broken {
		name, answer = "error", map[string]any{"type": "serverFail"}
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, `{"methodResponses":[[%q,%s,"0"]],"sessionState":"0"}`, name, raw)
}

func (s *server) answer(method string, raw json.RawMessage) map[string]any {
	var args struct {
		Emails map[string]struct {
			BlobID string `json:"blobId"`
		} `json:"emails"`
		IDs []string `json:"ids"`
	}
	_ = json.Unmarshal(raw, &args)
	answer := map[string]any{"accountId": "a"}
	switch method {
	case "Mailbox/get":
		answer["list"] = []any{map[string]any{"id": "t", "role": "trash"}, map[string]any{"id": "i", "role": "inbox"}}
	case "Email/import":
		created, refused := map[string]any{}, map[string]any{}
		for id, message := range args.Emails {
			if s.refuse != "" {
				refused[id] = map[string]any{"type": s.refuse, "description": "told you"}
				continue
			}
			s.imported = append(s.imported, message.BlobID)
			created[id] = map[string]any{"id": "m" + message.BlobID}
		}
		answer["created"], answer["notCreated"] = created, refused
	case "Email/query":
		ids := []string{}
		for _, blob := range s.imported {
			ids = append(ids, "m"+blob)
		}
		answer["ids"], answer["total"] = ids, len(ids)
	case "Email/get":
		list := []any{}
		for _, id := range args.IDs {
			list = append(list, map[string]any{"id": id, "subject": "subject of " + id})
		}
		answer["list"] = list
	}
	return answer
}

// open opens a session with the server.
func open(t *testing.T, s *server, token string) (*mailclient.Account, error) {
	t.Helper()
	return mailclient.Open(listen(t, s, &s.base), s.base, token)
}

// listen starts a server under a name that only the routes know, and sets its base URL.
func listen(t *testing.T, handler http.Handler, base *string) *http.Client {
	t.Helper()
	listening := httptest.NewTLSServer(handler)
	t.Cleanup(listening.Close)
	address, err := url.Parse(listening.URL)
	if err != nil {
		t.Fatal(err)
	}
	*base = "https://example.com" // a name of httptest's certificate
	roots := x509.NewCertPool()
	roots.AddCert(listening.Certificate())
	plain := mailclient.NewHTTP(roots, mailclient.Routes{"example.com:443": address.Host})
	t.Cleanup(plain.CloseIdleConnections)
	return plain
}

func file(t *testing.T, messages int) io.Reader {
	t.Helper()
	var out bytes.Buffer
	for i := range messages {
		message := mbox.Message{Sender: "a@x", Received: time.Unix(0, 0), Raw: fmt.Appendf(nil, "Subject: %d\r\n\r\n", i)}
		if err := mbox.Write(&out, message); err != nil {
			t.Fatal(err)
		}
	}
	return &out
}

func TestImportedMessagesAreListed(t *testing.T) {
	t.Parallel()
	s := &server{}
	account, err := open(t, s, token)
	if err != nil {
		t.Fatal(err)
	}
	const messages = 120 // more than two batches
	if count, err := account.Import(t.Context(), file(t, messages)); err != nil || count != messages {
		t.Fatalf("imported %d, %v", count, err)
	}
	subjects, total, err := account.Subjects(t.Context(), 500)
	if err != nil || total != messages || len(subjects) != messages {
		t.Fatalf("%d of %d subjects, %v", len(subjects), total, err)
	}
	if diff := cmp.Diff("Subject: 7\r\n\r\n", s.blobs[7]); diff != "" {
		t.Error(diff)
	}
	if account.ID() != "a" || account.APIURL() != s.base+"/api" {
		t.Errorf("account %q at %q", account.ID(), account.APIURL())
	}
}

func TestEmptyMailboxHasNoSubjects(t *testing.T) {
	t.Parallel()
	account, err := open(t, &server{}, token)
	if err != nil {
		t.Fatal(err)
	}
	if subjects, total, err := account.Subjects(t.Context(), 5); err != nil || total != 0 || subjects != nil {
		t.Errorf("got %v, %d, %v", subjects, total, err)
	}
}

func TestAMessageThatIsThereAlreadyIsFine(t *testing.T) {
	t.Parallel()
	account, err := open(t, &server{refuse: "alreadyExists"}, token)
	if err != nil {
		t.Fatal(err)
	}
	if count, err := account.Import(t.Context(), file(t, 1)); err != nil || count != 1 {
		t.Errorf("imported %d, %v", count, err)
	}
}

func TestFailuresNameTheMethod(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		server *server
		want   string
	}{
		"no inbox":       {&server{broken: "Mailbox/get"}, "Mailbox/get: "},
		"import fails":   {&server{broken: "Email/import"}, "Email/import: "},
		"import refused": {&server{refuse: "invalidEmail"}, "invalidEmail: told you"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account, err := open(t, c.server, token)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := account.Import(t.Context(), file(t, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestWrongTokenOpensNothing(t *testing.T) {
	t.Parallel()
	if _, err := open(t, &server{}, "stolen"); err == nil || !strings.Contains(err.Error(), "open session") {
		t.Errorf("got %v", err)
	}
}

func TestDamagedFileEndsTheImport(t *testing.T) {
	t.Parallel()
	account, err := open(t, &server{}, token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := account.Import(t.Context(), strings.NewReader("no mbox")); err == nil || !strings.Contains(err.Error(), "mbox message 1") {
		t.Errorf("got %v", err)
	}
}

func TestHostsWithoutARouteAreNotDialled(t *testing.T) {
	t.Parallel()
	client := mailclient.NewHTTP(nil, nil)
	if _, err := client.Get("https://paris.example/"); err == nil || !strings.Contains(err.Error(), "no region of the demonstration") {
		t.Errorf("got %v", err)
	}
}

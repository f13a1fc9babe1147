// Package mailclient is the mail client of the demonstration: it opens a JMAP session
// with a bearer token, imports mbox files, reads, writes, searches and arranges mail, and
// listens for more. The protocol is the work of an independent library,
// git.sr.ht/~rockorager/go-jmap.
package mailclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"git.sr.ht/~rockorager/go-jmap"
	"git.sr.ht/~rockorager/go-jmap/mail"
	"git.sr.ht/~rockorager/go-jmap/mail/email"
	"git.sr.ht/~rockorager/go-jmap/mail/mailbox"

	"github.com/bailiwick-dev/bailiwick/hack/demo/mbox"
)

const (
	requestTimeout = 30 * time.Second
	// maxMessage bounds a message of an imported file, in bytes.
	maxMessage = 50 << 20
	// importBatch is how many messages one Email/import call carries, well below any
	// server's maxObjectsInSet.
	importBatch = 50
)

// Routes says where a "host:port" of a URL really listens, as curl's --connect-to does.
type Routes map[string]string

// NewHTTP returns an HTTP client that trusts the roots, dials by the routes and keeps
// no idle connection. Hosts without a route are not dialled: the demonstration never
// leaves the machine.
func NewHTTP(roots *x509.CertPool, routes Routes) *http.Client {
	dialer := &net.Dialer{Timeout: requestTimeout}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			target, ok := routes[address]
			if !ok {
				return nil, fmt.Errorf("dial %q: no region of the demonstration listens there", address)
			}
			return dialer.DialContext(ctx, network, target)
		},
	}
	return &http.Client{Transport: transport, Timeout: requestTimeout}
}

// bearer adds the access token to each request (RFC 6750 section 2.1).
type bearer struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// Account is an open session of one user.
type Account struct {
	client *jmap.Client
	id     jmap.ID
	plain  *http.Client
}

// Open reads the session resource (RFC 8620 section 2) below the base URL of a region
// and follows the redirect to the region where the mailbox lives.
func Open(plain *http.Client, base, token string) (*Account, error) {
	authorized := *plain
	authorized.Transport = bearer{token: token, next: plain.Transport}
	client := &jmap.Client{HttpClient: &authorized, SessionEndpoint: base + "/.well-known/jmap"}
	if err := client.Authenticate(); err != nil {
		return nil, fmt.Errorf("open session at %q: %w", base, err)
	}
	id, ok := client.Session.PrimaryAccounts[mail.URI]
	if !ok {
		return nil, fmt.Errorf("open session at %q: no mail account", base)
	}
	return &Account{client: client, id: id, plain: plain}, nil
}

// APIURL returns where the session sends API requests: a URL of the mailbox's region.
func (a *Account) APIURL() string { return a.client.Session.APIURL }

// ID returns the account identifier.
func (a *Account) ID() string { return string(a.id) }

// Name returns the name of the account.
func (a *Account) Name() string { return a.client.Session.Accounts[a.id].Name }

// Shared returns the accounts of the session that are shared with the user: their
// identifiers by name.
func (a *Account) Shared() map[string]string {
	shared := map[string]string{}
	for id, account := range a.client.Session.Accounts {
		if !account.IsPersonal {
			shared[account.Name] = string(id)
		}
	}
	return shared
}

// Use returns the session with another of its accounts in place of the user's own.
func (a *Account) Use(id string) *Account {
	other := *a
	other.id = jmap.ID(id)
	return &other
}

// Close drops the connections of the account's HTTP client.
func (a *Account) Close() { a.plain.CloseIdleConnections() }

// Import uploads the messages of an mbox file and imports them into the inbox. It
// returns how many there were.
func (a *Account) Import(ctx context.Context, file io.Reader) (int, error) {
	inbox, err := a.inbox(ctx)
	if err != nil {
		return 0, err
	}
	reader, count := mbox.NewReader(file, maxMessage), 0
	for batch := map[string]*email.EmailImport{}; ; {
		message, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return count, a.importBatch(ctx, batch)
		}
		if err != nil {
			return count, err
		}
		upload, err := a.client.UploadWithContext(ctx, a.id, bytes.NewReader(message.Raw))
		if err != nil {
			return count, fmt.Errorf("upload message %d: %w", count+1, err)
		}
		batch[strconv.Itoa(count)] = &email.EmailImport{
			BlobID: upload.ID, MailboxIDs: map[jmap.ID]bool{inbox: true}, ReceivedAt: &message.Received,
		}
		count++
		if len(batch) < importBatch {
			continue
		}
		if err := a.importBatch(ctx, batch); err != nil {
			return count, err
		}
		clear(batch)
	}
}

func (a *Account) importBatch(ctx context.Context, batch map[string]*email.EmailImport) error {
	if len(batch) == 0 {
		return nil
	}
	answer, err := call[email.ImportResponse](ctx, a, &email.Import{Account: a.id, Emails: batch})
	if err != nil {
		return err
	}
	for id, refused := range answer.NotCreated {
		if refused.Type == "alreadyExists" { // RFC 8621 section 4.8: imported before
			continue
		}
		return refusal(fmt.Sprintf("import message %q", id), refused)
	}
	return nil
}

// inbox returns the mailbox with the role "inbox".
func (a *Account) inbox(ctx context.Context) (jmap.ID, error) {
	ids, err := a.roles(ctx)
	if err != nil {
		return "", err
	}
	id, ok := ids[mailbox.RoleInbox]
	if !ok {
		return "", errors.New("mailboxes: no inbox")
	}
	return id, nil
}

// Subjects returns the subjects of the newest messages and how many messages there are.
func (a *Account) Subjects(ctx context.Context, limit uint64) ([]string, int, error) {
	found, err := call[email.QueryResponse](ctx, a, &email.Query{
		Account: a.id, Limit: limit, CalculateTotal: true,
		Sort: []*email.SortComparator{{Property: "receivedAt", IsAscending: false}},
	})
	if err != nil {
		return nil, 0, err
	}
	if len(found.IDs) == 0 {
		return nil, 0, nil
	}
	answer, err := call[email.GetResponse](ctx, a, &email.Get{Account: a.id, IDs: found.IDs, Properties: []string{"subject"}})
	if err != nil {
		return nil, 0, err
	}
	byID := make(map[jmap.ID]string, len(answer.List))
	for _, message := range answer.List {
		byID[message.ID] = message.Subject
	}
	subjects := make([]string, 0, len(found.IDs))
	for _, id := range found.IDs {
		subjects = append(subjects, byID[id])
	}
	return subjects, int(found.Total), nil //nolint:gosec // a mailbox holds fewer messages than an int counts
}

// call invokes one method and returns its response, or the error response as an error.
func call[T any](ctx context.Context, a *Account, method jmap.Method) (*T, error) {
	request := &jmap.Request{Context: ctx}
	request.Invoke(method)
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method.Name(), err)
	}
	for _, invocation := range response.Responses {
		switch answer := invocation.Args.(type) {
		case *T:
			return answer, nil
		case *jmap.MethodError:
			return nil, fmt.Errorf("%s: %w", method.Name(), answer)
		}
	}
	return nil, fmt.Errorf("%s: no response", method.Name())
}

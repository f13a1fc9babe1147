package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// endpoint is a JMAP server with an account, ours or a peer's.
type endpoint struct {
	api, account, token string
	client              *http.Client
	tls                 *tls.Config // nil without TLS
	// received counts the octets that came over the wire.
	received *atomic.Int64
	using    []string
}

// counted is a connection whose received octets are counted.
type counted struct {
	net.Conn

	received *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

func newEndpoint(tb testing.TB, api, account, token string, config *tls.Config) *endpoint {
	tb.Helper()
	e := &endpoint{
		api: api, account: account, token: token, tls: config, received: &atomic.Int64{},
		using: []string{"urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"},
	}
	dialer := &net.Dialer{}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: config != nil, DisableCompression: true, MaxIdleConnsPerHost: 128,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return counted{conn, e.received}, nil
		},
	}
	tb.Cleanup(transport.CloseIdleConnections)
	e.client = &http.Client{Transport: transport}
	return e
}

type object = map[string]any

// call is one method call.
type call struct {
	method string
	args   object
}

// answer is one method response.
type answer struct {
	Name string
	Args json.RawMessage
}

// UnmarshalJSON reads a response as RFC 8620 section 3.4 writes it.
func (a *answer) UnmarshalJSON(raw []byte) error {
	var id string
	return json.Unmarshal(raw, &[]any{&a.Name, &a.Args, &id})
}

// do sends method calls in one request, compressed answers accepted, and returns the answers.
func (e *endpoint) do(calls ...call) ([]answer, error) {
	raw, err := e.prepare(calls...)
	if err != nil {
		return nil, err
	}
	return e.send(raw)
}

// prepare encodes a request.
func (e *endpoint) prepare(calls ...call) ([]byte, error) {
	list := make([]any, len(calls))
	for i, c := range calls {
		args := object{"accountId": e.account}
		maps.Copy(args, c.args)
		list[i] = []any{c.method, args, fmt.Sprint("c", i)}
	}
	return json.Marshal(object{"using": e.using, "methodCalls": list})
}

// send sends a request that was encoded before.
func (e *endpoint) send(raw []byte) ([]answer, error) {
	body, err := e.request(http.MethodPost, e.api, "application/json", bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return answersOf(body)
}

// answersOf decodes an answer; an error of a method is one.
func answersOf(body []byte) ([]answer, error) {
	var response struct {
		MethodResponses []answer `json:"methodResponses"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return nil, fmt.Errorf("%s: %w", body, err)
	}
	for _, a := range response.MethodResponses {
		if a.Name == "error" {
			return nil, fmt.Errorf("method error: %s", a.Args)
		}
	}
	return response.MethodResponses, nil
}

func (e *endpoint) request(method, url, contentType string, body io.Reader) ([]byte, error) {
	req, err := e.newRequest(method, url, contentType, body)
	if err != nil {
		return nil, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := read(resp)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: status %d: %s", method, url, resp.StatusCode, content)
	}
	return content, err
}

func (e *endpoint) newRequest(method, url, contentType string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept-Encoding", "gzip, zstd")
	return req, nil
}

// unzstd decompresses whole answers; with no reader of its own it cannot fail to be made.
var unzstd, _ = zstd.NewReader(nil)

// read reads an answer in whichever coding the server chose.
func read(resp *http.Response) ([]byte, error) {
	reader := io.Reader(resp.Body)
	var err error
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if reader, err = gzip.NewReader(resp.Body); err != nil {
			return nil, err
		}
	}
	content, err := io.ReadAll(reader)
	if err == nil && resp.Header.Get("Content-Encoding") == "zstd" {
		content, err = unzstd.DecodeAll(content, nil)
	}
	return content, err
}

// must makes calls that have to succeed.
func (e *endpoint) must(tb testing.TB, calls ...call) []answer {
	tb.Helper()
	answers, err := e.do(calls...)
	if err != nil {
		tb.Fatal(err)
	}
	return answers
}

func decode[T any](tb testing.TB, a answer) T {
	tb.Helper()
	var out T
	if err := json.Unmarshal(a.Args, &out); err != nil {
		tb.Fatalf("%s: %v", a.Args, err)
	}
	return out
}

// quantile is the q-th smallest share of the samples.
func quantile(samples []time.Duration, q float64) time.Duration {
	slices.Sort(samples)
	return samples[min(int(q*float64(len(samples))), len(samples)-1)]
}

// timed runs an action n times and returns how long each took.
func timed(tb testing.TB, n int, action func() error) []time.Duration {
	tb.Helper()
	samples := make([]time.Duration, n)
	for i := range samples {
		begin := time.Now()
		if err := action(); err != nil {
			tb.Fatal(err)
		}
		samples[i] = time.Since(begin)
	}
	return samples
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// rowProperties are what a list of messages shows.
var rowProperties = []string{"id", "threadId", "mailboxIds", "keywords", "receivedAt", "hasAttachment", "from", "subject", "preview", "size"}

// inbox is the id of the account's inbox.
func (e *endpoint) inbox(tb testing.TB) string {
	tb.Helper()
	boxes := decode[struct{ List []struct{ ID, Role string } }](tb, e.must(tb, call{"Mailbox/get", object{"ids": nil}})[0])
	for _, box := range boxes.List {
		if box.Role == "inbox" {
			return box.ID
		}
	}
	tb.Fatal("the account has no inbox")
	return ""
}

// withoutPreview are rowProperties but for the preview.
var withoutPreview = slices.DeleteFunc(slices.Clone(rowProperties), func(name string) bool { return name == "preview" })

// newest asks for a page of an inbox, newest first, and its rows, in one request.
func newest(inbox string, position, limit int) []call {
	return page(inbox, position, limit, rowProperties)
}

// page is newest with some properties of the rows.
func page(inbox string, position, limit int, properties []string) []call {
	return []call{
		{"Email/query", object{
			"filter": object{"inMailbox": inbox}, "sort": []object{{"property": "receivedAt", "isAscending": false}},
			"position": position, "limit": limit,
		}},
		{"Email/get", object{"#ids": object{"resultOf": "c0", "name": "Email/query", "path": "/ids"}, "properties": properties}},
	}
}

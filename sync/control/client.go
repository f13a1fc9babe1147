package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/bailiwick-dev/bailiwick/sync/mail"
)

// ErrRefused says that the server did not do what it was asked for, and why.
var ErrRefused = errors.New("refused")

// maxAnswer bounds an answer that is no stream.
const maxAnswer = 1 << 20

// Client asks the server behind a socket.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client. Close must be called.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Close releases the client.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Export writes an archive of an account.
func (c *Client) Export(ctx context.Context, account string, to io.Writer) error {
	return c.stream(ctx, "/export?"+url.Values{"account": {account}}.Encode(), to)
}

// Backup writes a backup of the store.
func (c *Client) Backup(ctx context.Context, to io.Writer) error { return c.stream(ctx, "/backup", to) }

// Import makes an account from an archive.
func (c *Client) Import(ctx context.Context, from io.Reader, o Import) (*mail.Imported, error) {
	out := &mail.Imported{}
	return out, c.post(ctx, "/import?"+url.Values{"home": {strconv.FormatBool(o.Home)}, "send": {strconv.FormatBool(o.Send)}}.Encode(), from, out)
}

// DiscardImport removes what an import that did not end left behind.
func (c *Client) DiscardImport(ctx context.Context, account string) error {
	return c.post(ctx, "/discard?"+url.Values{"account": {account}}.Encode(), http.NoBody, &struct{}{})
}

func (c *Client) stream(ctx context.Context, path string, to io.Writer) (err error) {
	resp, err := c.do(ctx, http.MethodGet, path, http.NoBody)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if _, err := io.Copy(to, resp.Body); err != nil {
		return fmt.Errorf("what was written is not complete: %w", err)
	}
	switch reason, err := strconv.Unquote(resp.Trailer.Get(trailerError)); {
	case err == nil:
		return fmt.Errorf("what was written is not complete: %w: %s", ErrRefused, reason)
	case resp.Trailer.Get(trailerComplete) != "true":
		return errors.New("what was written is not complete: the server ended")
	}
	return nil
}

func (c *Client) post(ctx context.Context, path string, body io.Reader, into any) (err error) {
	resp, err := c.do(ctx, http.MethodPost, path, io.NopCloser(body))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (resp *http.Response, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err = c.http.Do(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return nil, fmt.Errorf("--control-socket: %q does not answer: give the path that the server was started with, as its user: %w", c.path, op.Err)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	answer := resp.Body
	defer func() { err = errors.Join(err, answer.Close()) }()
	var r refusal
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(&r); err != nil {
		return nil, fmt.Errorf("%w: status %d", ErrRefused, resp.StatusCode)
	}
	return nil, fmt.Errorf("%w: %s", ErrRefused, r.Error)
}

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// ErrRefused says that the server did not do what it was asked for, and why.
var ErrRefused = errors.New("refused")

// maxAnswer bounds a refusal.
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

// Backup writes a backup of the store. What was written before an error is not complete.
func (c *Client) Backup(ctx context.Context, to io.Writer) (err error) {
	resp, err := c.get(ctx, "/backup")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return refused(resp)
	}
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

func (c *Client) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://control"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return nil, fmt.Errorf("--control-socket: %q does not answer: give the path that the server was started with, as its user: %w", c.path, op.Err)
	}
	return resp, err
}

// refused returns why the server did not do what it was asked for.
func refused(resp *http.Response) error {
	var r refusal
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&r); err != nil {
		return fmt.Errorf("%w: status %d", ErrRefused, resp.StatusCode)
	}
	return fmt.Errorf("%w: %s", ErrRefused, r.Error)
}

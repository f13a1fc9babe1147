package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// Get fetches a document with one GET request. The content type of the answer does
// not matter. Every error is an *Error, or wraps one.
func (c *Client) Get(ctx context.Context, rawURL string) ([]byte, error) {
	u, err := c.check(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, &Error{Kind: ErrBadURL, Detail: fmt.Sprintf("%q: write it as https://host/path", rawURL), cause: err}
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json;q=0.9, */*;q=0.1")
	req.Header.Set("User-Agent", "bailiwick")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, explain(u, c.timeout, err)
	}
	body, err := c.read(u, resp)
	if closeErr := resp.Body.Close(); err == nil && closeErr != nil {
		return nil, explain(u, c.timeout, closeErr)
	}
	return body, err
}

// check parses a URL and holds it against the policy.
func (c *Client) check(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil, u.Scheme == "https" && u.Hostname() == "":
		return nil, &Error{Kind: ErrBadURL, Detail: fmt.Sprintf("%q: write it as https://host/path", rawURL), cause: err}
	case u.User != nil || u.Fragment != "":
		return nil, &Error{Kind: ErrBadURL, Detail: fmt.Sprintf("%q carries a user or a fragment: remove it", u.Redacted())}
	case u.Scheme != "https":
		return nil, &Error{Kind: ErrNotHTTPS, Detail: fmt.Sprintf("%q: use https", rawURL)}
	case !c.Allows(u.Host):
		return nil, &Error{Kind: ErrHostNotAllowed, Detail: fmt.Sprintf("%q of %q: use a host that the cloud allows, or have its administrator add it", u.Hostname(), rawURL)}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Is4In6() {
		return nil, &Error{Kind: ErrAddressRefused, Detail: fmt.Sprintf("%q is an IPv4-mapped address: use a host name", u.Hostname())}
	}
	return u, nil
}

func (c *Client) read(u *url.URL, resp *http.Response) ([]byte, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, &Error{Kind: ErrStatus, Detail: fmt.Sprintf("%q answers %d: check that the URL is right and that the service is up", u, resp.StatusCode)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.maxBytes+1))
	if err != nil {
		return nil, explain(u, c.timeout, err)
	}
	if int64(len(body)) > c.maxBytes {
		return nil, &Error{Kind: ErrTooLarge, Detail: fmt.Sprintf("%q answers more than %d bytes: check that the URL is right", u, c.maxBytes)}
	}
	return body, nil
}

// explain gives a transport's error its kind, with a text that stays the same from
// one attempt to the next.
func explain(u *url.URL, timeout time.Duration, err error) error {
	if own := (*Error)(nil); errors.As(err, &own) {
		return &Error{Kind: own.Kind, Detail: fmt.Sprintf("%q: %s", u.Host, own.Detail), cause: own.cause}
	}
	if reason := distrust(err); reason != "" {
		return &Error{Kind: ErrUntrusted, Detail: fmt.Sprintf("%q: %s", u.Host, reason), cause: err}
	}
	return &Error{Kind: ErrUnreachable, Detail: fmt.Sprintf("%q: %s", u.Host, silence(timeout, err)), cause: err}
}

// distrust says why a certificate was refused; empty when that was not the problem.
func distrust(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority: put that authority in the CA bundle"
	case errors.As(err, &name):
		return "its certificate is for another name: have it reissued for this host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet: have it renewed"
	case errors.As(err, &invalid):
		return "its certificate is invalid: have it reissued"
	default:
		return ""
	}
}

func silence(timeout time.Duration, err error) string {
	var (
		dns    *net.DNSError
		record tls.RecordHeaderError
		alert  tls.AlertError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "its name does not resolve: check the name and the cluster's DNS"
	case errors.As(err, &dns):
		return "its name cannot be resolved now: check the cluster's DNS"
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return fmt.Sprintf("no answer within %s: check the network and the network policies", timeout.Round(time.Millisecond))
	case errors.Is(err, context.Canceled):
		return "the fetch was cancelled"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused: check that the service is up and the port is right"
	case errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS on this port: check the port"
	case errors.As(err, &alert):
		return "the TLS handshake failed: it must offer TLS 1.2 or later"
	default:
		return "the connection failed: check the network and the service"
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

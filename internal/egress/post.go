package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	// maxIgnored is how much of an answer that nobody reads is read over, so that the
	// connection can be used again.
	maxIgnored = 4 << 10
	// idleConnections bounds the connections that wait for the next message.
	idleConnections = 256
	idlePerHost     = 16
	idleTime        = 90 * time.Second
)

// PostPolicy says where a Poster may send.
type PostPolicy struct {
	// DeniedRanges are ranges that are refused whatever else is allowed.
	DeniedRanges []netip.Prefix
	// CABundle holds PEM certificates that are trusted beside the system's.
	CABundle []byte
	// Loopback allows loopback addresses too, also over plain http. It is for
	// development.
	Loopback bool
	// Timeout bounds one message; 10 seconds when zero.
	Timeout time.Duration
}

// Poster sends messages to any public host that a user names. Nothing of an answer
// counts but its status and its headers, and no redirect is followed. Connections are
// used again: each one leads to the address that was judged when it was made. It must
// be closed, and it is safe for concurrent use.
type Poster struct {
	addresses addressRules
	loopback  bool
	timeout   time.Duration
	http      *http.Client
}

var loopbackRanges = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// NewPoster makes a poster for a policy. It fails with ErrBadPolicy when the CA bundle
// holds no certificate.
func NewPoster(p PostPolicy) (*Poster, error) {
	roots, err := rootsOf(p.CABundle, true)
	if err != nil {
		return nil, err
	}
	poster := &Poster{addresses: addressRules{denied: p.DeniedRanges}, loopback: p.Loopback, timeout: p.Timeout}
	if p.Loopback {
		poster.addresses.private = loopbackRanges
	}
	if poster.timeout <= 0 {
		poster.timeout = defaultTimeout
	}
	dialer := &net.Dialer{Control: poster.addresses.control}
	poster.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // an environment must not move the message elsewhere
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConns:           idleConnections,
			MaxIdleConnsPerHost:    idlePerHost,
			IdleConnTimeout:        idleTime,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
	}
	return poster, nil
}

// Close ends the connections that wait for the next message.
func (p *Poster) Close() { p.http.CloseIdleConnections() }

// Check tells whether a URL can be sent to as far as it can be told without asking
// anybody: its form, its scheme, and its host where that is an address. Every error is
// an *Error, and none repeats the URL.
func (p *Poster) Check(rawURL string) error {
	_, err := p.check(rawURL)
	return err
}

func (p *Poster) check(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, &Error{Kind: ErrBadURL, Detail: "write it as https://host/path"}
	case u.User != nil || u.Fragment != "":
		return nil, &Error{Kind: ErrBadURL, Detail: "it carries a user or a fragment: remove it"}
	case u.Scheme != "https" && (u.Scheme != "http" || !p.loopback || !isLoopback(u.Hostname())):
		return nil, &Error{Kind: ErrNotHTTPS, Detail: "use https"}
	}
	return u, p.checkHost(u.Hostname())
}

// checkHost refuses a host that is, or can only be, an address that is not dialled.
func (p *Poster) checkHost(host string) error {
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && addr.Is4In6():
		return &Error{Kind: ErrAddressRefused, Detail: "the host is an IPv4-mapped address: use a host name"}
	case err == nil:
		return p.addresses.check(addr)
	case !p.loopback && isLoopback(host):
		return &Error{Kind: ErrAddressRefused, Detail: "the host is this machine (loopback): use a host with a public address"}
	}
	return nil
}

// isLoopback tells of a host's name alone whether it is this machine (RFC 6761 §6.3).
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Post sends one message and gives the status and the headers of the answer, whatever
// they are. Every error is an *Error: no answer came then.
func (p *Poster) Post(ctx context.Context, rawURL string, header http.Header, body []byte) (status int, answer http.Header, err error) {
	u, err := p.check(rawURL)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, &Error{Kind: ErrBadURL, Detail: "write it as https://host/path", cause: err}
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "bailiwick")
	resp, err := p.http.Do(req)
	if err != nil {
		return 0, nil, explain(u, p.timeout, err)
	}
	// What the answer holds does not matter, and neither does whether it ends well.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxIgnored))
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header, nil
}

// Package egress fetches documents from hosts that a user names, without letting
// the user choose where the process may connect to. Every URL is https, its host is
// on a list that an administrator wrote, and the address is judged after the name
// was resolved, at the moment of the connection, so that neither a name that
// resolves to a private address nor one that changes its mind can reach into the
// cluster, the node or a cloud's metadata service.
package egress

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	defaultTimeout  = 10 * time.Second
	defaultMaxBytes = 1 << 20
	maxHeaderBytes  = 64 << 10
	maxRedirects    = 3
)

// Policy says what a Client may fetch.
type Policy struct {
	// Hosts are the hosts that may be fetched from. An entry without a port allows
	// every port of the host, an entry with one only that port. Case does not
	// matter. Entries are exact: there are no wildcards.
	Hosts []string
	// PrivateRanges are the non-public ranges in which a host may resolve, for
	// example the network of a cloud's own AD FS. Link-local, multicast,
	// unspecified, IPv4-mapped and metadata addresses stay refused even when a
	// range contains them.
	PrivateRanges []netip.Prefix
	// DeniedRanges are ranges that are refused whatever else is allowed: the pod
	// and service ranges of the cluster.
	DeniedRanges []netip.Prefix
	// CABundle holds PEM certificates that are trusted in place of the system's.
	CABundle []byte
	// SystemRoots keeps the system's certificates trusted beside CABundle. Without
	// a CABundle they are always trusted.
	SystemRoots bool
	// Timeout bounds one fetch with its redirects; 10 seconds when zero.
	Timeout time.Duration
	// MaxBytes bounds the body; 1 MiB when zero.
	MaxBytes int64
}

// Client fetches within a Policy. It holds no connections between fetches, so that
// each fetch resolves and judges the address again, and needs no closing. It is
// safe for concurrent use.
type Client struct {
	hosts     []string
	addresses addressRules
	timeout   time.Duration
	maxBytes  int64
	http      *http.Client
}

// New makes a client for a policy. It fails with ErrBadPolicy when the CA bundle
// holds no certificate.
func New(p Policy) (*Client, error) {
	roots, err := rootsOf(p.CABundle, p.SystemRoots)
	if err != nil {
		return nil, err
	}
	c := &Client{
		addresses: addressRules{private: p.PrivateRanges, denied: p.DeniedRanges},
		timeout:   p.Timeout,
		maxBytes:  p.MaxBytes,
	}
	for _, h := range p.Hosts {
		c.hosts = append(c.hosts, strings.ToLower(h))
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.maxBytes <= 0 {
		c.maxBytes = defaultMaxBytes
	}
	dialer := &net.Dialer{Control: c.addresses.control}
	c.http = &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:                  nil, // an environment must not move the fetch elsewhere
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			DisableKeepAlives:      true,
			DisableCompression:     true, // the size limit counts what is read
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
	}
	return c, nil
}

// rootsOf gives the certificates that are trusted: those of the bundle, those of the
// system without one, or both.
func rootsOf(bundle []byte, withSystem bool) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		return nil, nil //nolint:nilnil // a nil pool is how crypto/tls spells the system's certificates
	}
	roots := x509.NewCertPool()
	if withSystem {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, &Error{Kind: ErrBadPolicy, Detail: "the system's certificates cannot be read: leave them out or repair the image", cause: err}
		}
		roots = system
	}
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, &Error{Kind: ErrBadPolicy, Detail: "the CA bundle holds no PEM certificate: put the certificates of the issuing authority there"}
	}
	return roots, nil
}

// Allows tells whether a host, with or without a port, is on the policy's list.
func (c *Client) Allows(hostport string) bool {
	hostport = strings.ToLower(hostport)
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	return slices.ContainsFunc(c.hosts, func(entry string) bool {
		return entry == hostport || strings.Trim(entry, "[]") == host
	})
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return &Error{Kind: ErrRedirect, Detail: fmt.Sprintf("%q redirects more than %d times: use the final URL", first, maxRedirects)}
	case req.URL.Scheme != "https" || !strings.EqualFold(req.URL.Host, first.Host):
		return &Error{Kind: ErrRedirect, Detail: fmt.Sprintf("%q redirects to %q: use a URL that is answered by its own host over https", first, req.URL.Scheme+"://"+req.URL.Host)}
	}
	return nil
}

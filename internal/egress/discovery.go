package egress

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Provider is what a token issuer says about itself, checked.
type Provider struct {
	// Issuer is the issuer of the discovery document, which is the issuer asked for
	// or one of its aliases.
	Issuer string
	// AccessTokenIssuer is the "iss" of access tokens where it differs from Issuer
	// (AD FS: "http://host/adfs/services/trust"), else empty. It is only compared,
	// never fetched.
	AccessTokenIssuer string
	// JWKSURI is an https URL on an allowed host.
	JWKSURI string
	// Algorithms are the accepted signature algorithms that the document or the keys
	// name, sorted; RS256 when they name none, which RFC 9068 §2.1 requires of every
	// issuer.
	Algorithms []string
	// Keys are the signing keys.
	Keys *KeySet
	// Fingerprint identifies the keys; see KeySet.Fingerprint.
	Fingerprint string
}

// metadata is the part of OpenID Connect Discovery 1.0 §3 that matters to a
// resource server.
type metadata struct {
	Issuer            string   `json:"issuer"`
	AccessTokenIssuer string   `json:"access_token_issuer"`
	JWKSURI           string   `json:"jwks_uri"`
	Algorithms        []string `json:"id_token_signing_alg_values_supported"`
}

// Discover fetches the discovery document of an issuer (OpenID Connect Discovery 1.0
// §4) and its keys through the client. The document's issuer must be issuer or one
// of aliases, character by character: an authority that was renamed announces its
// new name under the old address. Errors are of this package's kinds.
func Discover(ctx context.Context, c *Client, issuer string, aliases []string) (*Provider, error) {
	raw, err := c.Get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, fmt.Errorf("discovery document of issuer %q: %w", issuer, err)
	}
	var doc metadata
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, &Error{Kind: ErrMalformed, Detail: fmt.Sprintf("discovery document of issuer %q is not JSON: check that the issuer is an OpenID provider", issuer), cause: err}
	}
	if err := doc.check(c, issuer, aliases); err != nil {
		return nil, err
	}
	keys, err := FetchKeys(ctx, c, doc.JWKSURI)
	if err != nil {
		return nil, err
	}
	fingerprint, err := keys.Fingerprint()
	if err != nil {
		return nil, err
	}
	p := &Provider{
		Issuer:      doc.Issuer,
		JWKSURI:     doc.JWKSURI,
		Algorithms:  doc.algorithms(keys),
		Keys:        keys,
		Fingerprint: fingerprint,
	}
	if doc.AccessTokenIssuer != doc.Issuer {
		p.AccessTokenIssuer = doc.AccessTokenIssuer
	}
	return p, nil
}

// FetchKeys fetches and reads the JWKS at a URL. Errors are of this package's kinds.
func FetchKeys(ctx context.Context, c *Client, jwksURI string) (*KeySet, error) {
	raw, err := c.Get(ctx, jwksURI)
	if err != nil {
		return nil, fmt.Errorf("keys at %q: %w", jwksURI, err)
	}
	keys, err := ParseKeys(raw)
	if err != nil {
		return nil, fmt.Errorf("keys at %q: %w", jwksURI, err)
	}
	return keys, nil
}

func (m *metadata) check(c *Client, issuer string, aliases []string) error {
	if m.Issuer != issuer && !slices.Contains(aliases, m.Issuer) {
		return &Error{Kind: ErrIssuerMismatch, Detail: fmt.Sprintf("the discovery document of %q speaks for %q: name that issuer if it is the right one", issuer, m.Issuer)}
	}
	u, err := url.Parse(m.JWKSURI)
	if err != nil || m.JWKSURI == "" {
		return &Error{Kind: ErrMalformed, Detail: fmt.Sprintf("the discovery document of %q has no usable jwks_uri: the issuer must publish its keys", issuer), cause: err}
	}
	if u.Scheme != "https" {
		return &Error{Kind: ErrNotHTTPS, Detail: fmt.Sprintf("jwks_uri %q of issuer %q: the issuer must publish its keys over https", m.JWKSURI, issuer)}
	}
	if !c.Allows(u.Host) {
		return &Error{Kind: ErrHostNotAllowed, Detail: fmt.Sprintf("%q of jwks_uri %q of issuer %q: have the cloud's administrator add the host if it is right", u.Hostname(), m.JWKSURI, issuer)}
	}
	return nil
}

func (m *metadata) algorithms(keys *KeySet) []string {
	var algs []string
	for _, alg := range m.Algorithms {
		if tenantdoc.IsAcceptedAlgorithm(alg) {
			algs = append(algs, alg)
		}
	}
	for i := range keys.Keys {
		if alg := keys.Keys[i].Algorithm; alg != "" {
			algs = append(algs, alg)
		}
	}
	if len(algs) == 0 {
		return []string{"RS256"}
	}
	slices.Sort(algs)
	return slices.Compact(algs)
}

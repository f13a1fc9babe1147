// Package access decides who a request acts for: it takes the access token, finds the
// tenant that trusts its issuer, and admits the user to the mailbox if it lives in
// this region. It is the gate in front of everything that a sync server serves.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/identity"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// Options are what a Gate needs beside the tenants.
type Options struct {
	// Verifier verifies tokens.
	Verifier *identity.Verifier
	// MetadataURL is where the protected-resource metadata of this server is
	// (RFC 9728); challenges name it.
	MetadataURL string
	// Log takes one line per refusal, without tokens and addresses.
	Log *slog.Logger
}

// Gate admits requests. It implements jmap.Gate and is safe for concurrent use.
type Gate struct {
	docs   *tenants.Set
	o      Options
	recent recent
}

var _ jmap.Gate = (*Gate)(nil)

// New makes a gate in front of the tenants of a set. Changes of the set count from
// the next request on.
func New(docs *tenants.Set, o Options) *Gate {
	return &Gate{docs: docs, o: o}
}

// Admit tells whom a request acts for, or why it is refused.
func (g *Gate) Admit(r *http.Request) (*jmap.Principal, *jmap.Refusal) {
	visit := &visit{}
	p, denial := g.admit(r, visit)
	if denial == nil {
		return p, nil
	}
	g.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "request refused", visit.attributes(denial)...)
	return nil, denial.refusal
}

// visit is what is known of a request so far, for the log.
type visit struct {
	tenant  string
	token   *identity.Token
	account string
}

func (v *visit) attributes(d *denial) []slog.Attr {
	attrs := []slog.Attr{slog.String("reason", d.reason), slog.Int("status", d.refusal.Status)}
	if v.tenant != "" {
		attrs = append(attrs, slog.String("tenant", v.tenant))
	}
	if v.token != nil {
		attrs = append(attrs, slog.String("account", v.account), slog.String("client", v.token.ClientID), slog.String("token", v.token.TokenID))
	}
	if d.cause != nil {
		attrs = append(attrs, slog.Any("cause", d.cause))
	}
	return attrs
}

func (g *Gate) admit(r *http.Request, visit *visit) (*jmap.Principal, *denial) {
	raw, err := identity.Bearer(r)
	if err != nil {
		return nil, g.deny(err)
	}
	parsed, keep, err := g.recent.parse(raw)
	if err != nil {
		return nil, g.deny(err)
	}
	candidate, token, err := g.verify(r.Context(), parsed)
	if candidate.Document != nil {
		visit.tenant = candidate.Document.Tenant
	}
	if err != nil {
		return nil, g.deny(err)
	}
	keep()
	visit.token, visit.account = token, AccountID(token.Authority, token.Subject)
	doc := candidate.Document
	if doc.Suspended {
		return nil, denySuspended()
	}
	address, denial := resident(token.Claims, doc, candidate.Issuer)
	if denial != nil {
		return nil, denial
	}
	if denial := locate(token.Claims, doc, candidate.Issuer); denial != nil {
		return nil, denial
	}
	p := &jmap.Principal{
		Tenant:    doc.Tenant,
		AccountID: visit.account,
		Address:   address,
		Name:      token.Claims.First(candidate.Issuer.Claims.Name...),
		ClientID:  token.ClientID,
		TokenID:   token.TokenID,
		Expires:   token.Expires,
	}
	share(p, candidate.Grants.Of(address))
	return p, nil
}

// verify finds the tenant that a token is for and verifies it by the rules of that
// tenant. Several tenants may trust one issuer; the domain of the address tells them
// apart. That is read before the token is believed, and counts only after. When no
// tenant has the domain, the token is verified all the same, so that a forged one is
// called that.
func (g *Gate) verify(ctx context.Context, parsed *identity.Unverified) (tenants.Candidate, *identity.Token, error) {
	candidates := g.docs.ByIssuer(parsed.Claims.String("iss"))
	if len(candidates) == 0 {
		return tenants.Candidate{}, nil, &identity.Error{Code: identity.CodeInvalidToken, Reason: identity.ReasonIssuer, Detail: "no tenant of this region trusts the issuer of the access token: sign in with the tenant's identity provider, or at the tenant's own region"}
	}
	chosen := matching(candidates, parsed.Claims)
	if len(chosen) == 0 {
		chosen = candidates[:1]
	}
	var first error
	for _, candidate := range chosen {
		token, err := g.o.Verifier.Verify(ctx, parsed, candidate.Issuer)
		if err == nil {
			return candidate, token, nil
		}
		if first == nil {
			first = err
		}
	}
	return chosen[0], nil, first
}

func matching(candidates []tenants.Candidate, claims identity.Claims) []tenants.Candidate {
	var found []tenants.Candidate
	for _, c := range candidates {
		address := strings.ToLower(claims.First(c.Issuer.Claims.Address...))
		_, domain, _ := strings.Cut(address, "@")
		if slices.Contains(c.Document.Domains, domain) {
			found = append(found, c)
		}
	}
	return found
}

// resident gives the address of the user, lower case, if it is in one of the tenant's
// domains. An address that the issuer says is not verified is none: the user may
// have made it up.
func resident(claims identity.Claims, doc *tenantdoc.Document, issuer *tenantdoc.Issuer) (string, *denial) {
	names := issuer.Claims.Address
	i := slices.IndexFunc(names, func(name string) bool { return claims.String(name) != "" })
	if i < 0 {
		return "", denyAddress(names[0], "is missing")
	}
	name := names[i]
	if verified, ok := claims["email_verified"]; ok && name == "email" && verified != true && verified != "true" {
		return "", denyAddress(name, "is not verified by the issuer")
	}
	address := strings.ToLower(claims.String(name))
	local, domain, _ := strings.Cut(address, "@")
	if !isLocalPart(local) || len(address) > maxAddress {
		return "", denyAddress(name, "is not a mail address")
	}
	if !slices.Contains(doc.Domains, domain) {
		return "", denyAddress(name, "is not in a domain of the tenant")
	}
	return address, nil
}

// Limits of an address (RFC 5321 §4.5.3.1).
const (
	maxLocalPart = 64
	maxAddress   = 254
)

// isLocalPart accepts the Dot-string of RFC 5321 §4.1.2, with the letters of
// RFC 6531; quoted forms never reach a mailbox here.
func isLocalPart(s string) bool {
	if s == "" || len(s) > maxLocalPart || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '\uFFFD' || strings.ContainsRune(`"(),:;<>@[\]`, r)
	}) < 0
}

// locate tells whether the mailbox lives in this region. A token without a location
// means the home region of the tenant; a code that is none of the tenant's is
// refused, never guessed: a mailbox in the wrong country cannot be taken back.
func locate(claims identity.Claims, doc *tenantdoc.Document, issuer *tenantdoc.Issuer) *denial {
	region, ok := mailboxRegion(claims, doc, issuer.Claims.PreferredDataLocation)
	switch {
	case !ok:
		return denyLocation(issuer.Claims.PreferredDataLocation)
	case region.Name != doc.Region:
		return denyElsewhere(region)
	}
	return nil
}

func mailboxRegion(claims identity.Claims, doc *tenantdoc.Document, claim string) (tenantdoc.Region, bool) {
	is := func(r tenantdoc.Region) bool { return r.Home }
	if value, present := claims[claim]; present && value != nil && value != "" {
		code := claims.String(claim)
		is = func(r tenantdoc.Region) bool { return strings.EqualFold(r.Geography, code) }
	}
	i := slices.IndexFunc(doc.Regions, is)
	if i < 0 {
		return tenantdoc.Region{}, false
	}
	return doc.Regions[i], true
}

// accountBytes is how much of the hash an account id keeps: 160 bits.
const accountBytes = 20

var accountEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// AccountID is the JMAP account of a user: it depends on nothing but who issued the
// identity and which one it is, so it outlives every change of name and address. It
// begins with a letter and fits RFC 8620 §1.2.
func AccountID(authority, subject string) string {
	h := sha256.New()
	// The length parts the two, so that no other pair gives the same bytes.
	length := binary.BigEndian.AppendUint64(nil, uint64(len(authority)))
	_, _ = h.Write(length)
	_, _ = h.Write([]byte(authority))
	_, _ = h.Write([]byte(subject))
	return "a" + accountEncoding.EncodeToString(h.Sum(nil)[:accountBytes])
}

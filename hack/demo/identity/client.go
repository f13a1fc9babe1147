package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/url"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Client identifiers that every issuer of the demonstration registers.
const (
	// MailClient is a public native client: authorization code with PKCE,
	// device authorization and refresh tokens.
	MailClient = "bailiwick-mail"
	// DaemonClient is a confidential client for the client credentials grant.
	// Its secret is made when the issuer starts.
	DaemonClient = "bailiwick-daemon"
	// RedirectURI is the redirect address of MailClient. Nothing listens there:
	// RFC 8252 section 7.3 gives loopback redirects to native applications, and
	// the non-interactive flow reads the code from the redirect itself.
	RedirectURI = "http://127.0.0.1/callback"
)

// client is one registered OAuth client; it implements op.Client.
type client struct {
	id         string
	secretHash [sha256.Size]byte
	public     bool
	redirects  []string
	grants     []oidc.GrantType
}

var _ op.Client = (*client)(nil)

func newClients(daemonSecret string) map[string]*client {
	mail := &client{
		id: MailClient, public: true, redirects: []string{RedirectURI},
		grants: []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeDeviceCode},
	}
	daemon := &client{
		id: DaemonClient, secretHash: sha256.Sum256([]byte(daemonSecret)),
		grants: []oidc.GrantType{oidc.GrantTypeClientCredentials},
	}
	return map[string]*client{mail.id: mail, daemon.id: daemon}
}

// authenticates reports whether the secret is this confidential client's.
func (c *client) authenticates(secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	return !c.public && subtle.ConstantTimeCompare(sum[:], c.secretHash[:]) == 1
}

// GetID returns the client identifier.
func (c *client) GetID() string { return c.id }

// RedirectURIs returns the registered redirect addresses.
func (c *client) RedirectURIs() []string { return slices.Clone(c.redirects) }

// PostLogoutRedirectURIs returns none: the demonstration has no sign-out page.
func (c *client) PostLogoutRedirectURIs() []string { return nil }

// ApplicationType tells public native clients from confidential ones.
func (c *client) ApplicationType() op.ApplicationType {
	if c.public {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

// AuthMethod returns how the client authenticates at the token endpoint.
func (c *client) AuthMethod() oidc.AuthMethod {
	if c.public {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}

// ResponseTypes returns the code flow alone; RFC 9700 retires the implicit flow.
func (c *client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

// GrantTypes returns the grants the client may use.
func (c *client) GrantTypes() []oidc.GrantType { return slices.Clone(c.grants) }

// LoginURL returns the page where the user of an authorization request is chosen.
func (c *client) LoginURL(id string) string {
	return loginPath + "?" + url.Values{"request": {id}}.Encode()
}

// AccessTokenType returns the type for which the provider asks its op.Crypto to
// make the token, which is how RFC 9068 tokens come about; see tokenFormat.
func (c *client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }

// IDTokenLifetime returns the lifetime of an ID token.
func (c *client) IDTokenLifetime() time.Duration { return accessTokenLifetime }

// DevMode returns false: redirect addresses are checked as in production.
func (c *client) DevMode() bool { return false }

// RestrictAdditionalIdTokenScopes lets all scopes through.
func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:staticcheck // the name is op.Client's
	return slices.Clone[[]string]
}

// RestrictAdditionalAccessTokenScopes lets all scopes through.
func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}

// IsScopeAllowed allows the scope of the mail API beside the standard ones.
func (c *client) IsScopeAllowed(scope string) bool { return scope == MailScope }

// IDTokenUserinfoClaimsAssertion puts name and address into ID tokens as well.
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return true }

// ClockSkew returns zero: issuer and readers share one clock.
func (c *client) ClockSkew() time.Duration { return 0 }

package identity

import (
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// authRequest is one authorization request on its way from the authorization
// endpoint through the login page to the token endpoint. It is immutable: the login
// replaces it with a finished copy.
type authRequest struct {
	id       string
	request  oidc.AuthRequest
	subject  string
	loggedIn time.Time
	expires  time.Time
}

var _ op.AuthRequest = (*authRequest)(nil)

// GetID returns the identifier of the request.
func (a *authRequest) GetID() string { return a.id }

// GetACR returns no authentication context: a choice on a page proves nothing.
func (a *authRequest) GetACR() string { return "" }

// GetAMR returns no authentication method, for the same reason.
func (a *authRequest) GetAMR() []string { return nil }

// GetAudience returns the audience of the ID token, which is the client.
func (a *authRequest) GetAudience() []string { return []string{a.request.ClientID} }

// GetAuthTime returns when the user was chosen.
func (a *authRequest) GetAuthTime() time.Time { return a.loggedIn }

// GetClientID returns the client that asks.
func (a *authRequest) GetClientID() string { return a.request.ClientID }

// GetCodeChallenge returns the PKCE challenge (RFC 7636 section 4.2).
func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: a.request.CodeChallenge, Method: a.request.CodeChallengeMethod}
}

// GetNonce returns the nonce for the ID token.
func (a *authRequest) GetNonce() string { return a.request.Nonce }

// GetRedirectURI returns where the code goes.
func (a *authRequest) GetRedirectURI() string { return a.request.RedirectURI }

// GetResponseType returns the response type, which is always "code".
func (a *authRequest) GetResponseType() oidc.ResponseType { return a.request.ResponseType }

// GetResponseMode returns how the code travels.
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return a.request.ResponseMode }

// GetScopes returns the scopes asked for.
func (a *authRequest) GetScopes() []string { return slices.Clone(a.request.Scopes) }

// GetState returns the client's state.
func (a *authRequest) GetState() string { return a.request.State }

// GetSubject returns the chosen user, empty before the login.
func (a *authRequest) GetSubject() string { return a.subject }

// Done reports whether a user was chosen.
func (a *authRequest) Done() bool { return a.subject != "" }

// refreshGrant is what a refresh token stands for; it implements
// op.RefreshTokenRequest.
type refreshGrant struct {
	client   string
	subject  string
	scopes   []string
	loggedIn time.Time
	expires  time.Time
}

var _ op.RefreshTokenRequest = (*refreshGrant)(nil)

// GetAMR returns no authentication method.
func (g *refreshGrant) GetAMR() []string { return nil }

// GetAudience returns the audience of the ID token, which is the client.
func (g *refreshGrant) GetAudience() []string { return []string{g.client} }

// GetAuthTime returns when the user was chosen.
func (g *refreshGrant) GetAuthTime() time.Time { return g.loggedIn }

// GetClientID returns the client that holds the refresh token.
func (g *refreshGrant) GetClientID() string { return g.client }

// GetScopes returns the scopes granted.
func (g *refreshGrant) GetScopes() []string { return slices.Clone(g.scopes) }

// GetSubject returns the user.
func (g *refreshGrant) GetSubject() string { return g.subject }

// SetCurrentScopes narrows the scopes of this use (RFC 6749 section 6).
func (g *refreshGrant) SetCurrentScopes(scopes []string) { g.scopes = slices.Clone(scopes) }

// daemonGrant is a client credentials request; it implements op.TokenRequest.
type daemonGrant struct {
	client string
	scopes []string
}

// GetSubject returns the client, which acts for itself (RFC 9068 section 2.2).
func (g daemonGrant) GetSubject() string { return g.client }

// GetAudience returns the client.
func (g daemonGrant) GetAudience() []string { return []string{g.client} }

// GetScopes returns the scopes asked for.
func (g daemonGrant) GetScopes() []string { return slices.Clone(g.scopes) }

// GetClientID returns the client.
func (g daemonGrant) GetClientID() string { return g.client }

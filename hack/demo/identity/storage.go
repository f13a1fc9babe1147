package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Lifetimes of what the storage keeps beside access tokens.
const (
	requestLifetime = 10 * time.Minute
	refreshLifetime = 24 * time.Hour
)

// storage is the provider's memory; it implements op.Storage and its optional
// parts. Everything in it expires.
type storage struct {
	issuer    string
	audience  string
	users     *directory
	clients   map[string]*client
	signer    *signer
	now       func() time.Time
	mu        sync.Mutex
	requests  map[string]*authRequest // by request id
	codes     map[string]string       // code to request id
	issued    map[string]Claims       // access tokens by token id
	refreshes map[string]*refreshGrant
	devices   map[string]*deviceGrant // by device code
	userCodes map[string]string       // user code to device code
}

var (
	_ op.Storage                    = (*storage)(nil)
	_ op.ClientCredentialsStorage   = (*storage)(nil)
	_ op.DeviceAuthorizationStorage = (*storage)(nil)
)

func newStorage(issuer, audience string, users *directory, clients map[string]*client, key *signer) *storage {
	return &storage{
		issuer: issuer, audience: audience, users: users, clients: clients, signer: key, now: time.Now,
		requests: map[string]*authRequest{}, codes: map[string]string{}, issued: map[string]Claims{},
		refreshes: map[string]*refreshGrant{}, devices: map[string]*deviceGrant{}, userCodes: map[string]string{},
	}
}

// purge drops what has expired. The caller holds the lock.
func (s *storage) purge() {
	now := s.now()
	maps.DeleteFunc(s.requests, func(_ string, r *authRequest) bool { return now.After(r.expires) })
	maps.DeleteFunc(s.codes, func(_, id string) bool { return s.requests[id] == nil })
	maps.DeleteFunc(s.issued, func(_ string, c Claims) bool { return now.Unix() > c.Expires })
	maps.DeleteFunc(s.refreshes, func(_ string, g *refreshGrant) bool { return now.After(g.expires) })
	maps.DeleteFunc(s.devices, func(_ string, g *deviceGrant) bool { return now.After(g.state.Expires) })
	maps.DeleteFunc(s.userCodes, func(_, code string) bool { return s.devices[code] == nil })
}

// CreateAuthRequest keeps an authorization request. Requests without PKCE are
// refused (RFC 9700 section 2.1.1), and so is "prompt=none", for nobody is ever
// signed in already.
func (s *storage) CreateAuthRequest(_ context.Context, request *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if slices.Contains(request.Prompt, oidc.PromptNone) {
		return nil, oidc.ErrLoginRequired()
	}
	if request.CodeChallenge == "" || request.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("code_challenge with code_challenge_method S256 is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge()
	kept := &authRequest{id: rand.Text(), request: *request, expires: s.now().Add(requestLifetime)}
	s.requests[kept.id] = kept
	return kept, nil
}

// AuthRequestByID returns a kept authorization request.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	request, ok := s.requests[id]
	if !ok || s.now().After(request.expires) {
		return nil, errors.New("authorization request: unknown or expired")
	}
	return request, nil
}

// AuthRequestByCode returns the authorization request of a code.
func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id, ok := s.codes[code]
	s.mu.Unlock()
	if !ok {
		return nil, errors.New("code: unknown or used")
	}
	return s.AuthRequestByID(ctx, id)
}

// SaveAuthCode keeps the code of an authorization request.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

// DeleteAuthRequest forgets a request and its code, so that a code works once.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	maps.DeleteFunc(s.codes, func(_, request string) bool { return request == id })
	return nil
}

// choose finishes an authorization request with the user chosen on the page.
func (s *storage) choose(id, userKey string) error {
	user, ok := s.users.find(userKey)
	if !ok {
		return fmt.Errorf("user %q: unknown to this issuer", userKey)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	request, ok := s.requests[id]
	if !ok {
		return errors.New("authorization request: unknown or expired")
	}
	finished := *request
	finished.subject, finished.loggedIn = user.Subject, s.now()
	s.requests[id] = &finished
	return nil
}

// SigningKey returns the issuer's only key.
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.signer, nil }

// SignatureAlgorithms returns RS256.
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{s.signer.SignatureAlgorithm()}, nil
}

// KeySet returns the public key for the JWKS document.
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{verificationKey{s.signer}}, nil
}

// GetClientByClientID returns a registered client.
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, ok := s.clients[id]
	if !ok {
		return nil, fmt.Errorf("client %q: not registered", id)
	}
	return c, nil
}

// AuthorizeClientIDSecret checks the secret of a confidential client.
func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if c, ok := s.clients[id]; !ok || !c.authenticates(secret) {
		return errors.New("client: unknown or wrong secret")
	}
	return nil
}

// ClientCredentials returns the confidential client that the secret is of.
func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return s.clients[id], nil
}

// ClientCredentialsTokenRequest returns the request of a client for itself.
func (s *storage) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return daemonGrant{client: id, scopes: scopes}, nil
}

// SetUserinfoFromScopes does nothing; SetUserinfoFromRequest replaces it.
func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest fills the claims of an ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	return s.describe(info, request.GetSubject(), scopes)
}

// SetUserinfoFromToken answers the userinfo endpoint for an access token.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, tokenID, subject, _ string) error {
	claims, ok := s.accessToken(tokenID)
	if !ok || claims.Subject != subject {
		return errors.New("access token: unknown, revoked or expired")
	}
	return s.describe(info, subject, strings.Fields(claims.Scope))
}

// SetIntrospectionFromToken answers the introspection endpoint (RFC 7662).
func (s *storage) SetIntrospectionFromToken(_ context.Context, response *oidc.IntrospectionResponse, tokenID, subject, _ string) error {
	claims, ok := s.accessToken(tokenID)
	if !ok || claims.Subject != subject {
		return errors.New("access token: unknown, revoked or expired")
	}
	info := new(oidc.UserInfo)
	if err := s.describe(info, subject, strings.Fields(claims.Scope)); err != nil {
		return err
	}
	response.SetUserInfo(info)
	response.Active, response.ClientID = true, claims.ClientID
	response.Scope = strings.Fields(claims.Scope)
	return nil
}

func (s *storage) describe(info *oidc.UserInfo, subject string, scopes []string) error {
	user, ok := s.users.find(subject)
	if !ok {
		return fmt.Errorf("user %q: unknown to this issuer", subject)
	}
	info.Subject = user.Subject
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email, info.EmailVerified = user.Email, true
	}
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.Name, info.PreferredUsername = user.Name, user.Email
	}
	return nil
}

// GetPrivateClaimsFromScopes adds nothing: access tokens are made by tokenFormat.
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{}, nil
}

// GetKeyByIDAndClientID finds no key: no client of the demonstration signs assertions.
func (s *storage) GetKeyByIDAndClientID(_ context.Context, keyID, clientID string) (*jose.JSONWebKey, error) {
	return nil, fmt.Errorf("key %q of client %q: not registered", keyID, clientID)
}

// ValidateJWTProfileScopes lets no scope through, for the same reason.
func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, nil
}

// Health reports that memory is there.
func (s *storage) Health(context.Context) error { return nil }

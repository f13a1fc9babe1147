package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// clientRequest is the part that all token requests of this storage share beyond
// op.TokenRequest.
type clientRequest interface {
	op.TokenRequest
	GetClientID() string
}

// CreateAccessToken issues an access token and returns its id; tokenFormat signs it.
func (s *storage) CreateAccessToken(_ context.Context, request op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(request)
}

// issue keeps the claims of a new access token. The caller holds the lock.
func (s *storage) issue(request op.TokenRequest) (string, time.Time, error) {
	from, ok := request.(clientRequest)
	if !ok {
		return "", time.Time{}, fmt.Errorf("token request %T: not supported", request)
	}
	s.purge()
	now := s.now()
	expires := now.Add(accessTokenLifetime)
	claims := Claims{
		Issuer: s.issuer, Subject: from.GetSubject(), Audience: s.audience, ClientID: from.GetClientID(),
		Expires: expires.Unix(), IssuedAt: now.Unix(), ID: rand.Text(), Scope: strings.Join(from.GetScopes(), " "),
	}
	if user, ok := s.users.find(claims.Subject); ok {
		claims.Email, claims.Name, claims.Location = user.Email, user.Name, user.Location
	}
	s.issued[claims.ID] = claims
	return claims.ID, expires, nil
}

// accessToken returns the claims of a token that was issued and not revoked.
func (s *storage) accessToken(id string) (Claims, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claims, ok := s.issued[id]
	return claims, ok
}

// CreateAccessAndRefreshTokens issues both. A refresh token works once and is
// replaced (RFC 9700 section 4.14.2).
func (s *storage) CreateAccessAndRefreshTokens(_ context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant := &refreshGrant{subject: request.GetSubject(), scopes: request.GetScopes(), expires: s.now().Add(refreshLifetime)}
	switch from := request.(type) {
	case op.IDTokenRequest: // authorization code, device and refresh requests
		grant.client, grant.loggedIn = from.GetClientID(), from.GetAuthTime()
	default:
		return "", "", time.Time{}, fmt.Errorf("token request %T: no refresh token", request)
	}
	if current != "" {
		previous, ok := s.refreshes[current]
		if !ok || s.now().After(previous.expires) {
			return "", "", time.Time{}, op.ErrInvalidRefreshToken
		}
		grant.scopes = previous.scopes
		delete(s.refreshes, current)
	}
	id, expires, err := s.issue(request)
	if err != nil {
		return "", "", time.Time{}, err
	}
	refresh := rand.Text() + rand.Text()
	s.refreshes[refresh] = grant
	return id, refresh, expires, nil
}

// TokenRequestByRefreshToken returns a copy of what a refresh token stands for.
func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant, ok := s.refreshes[token]
	if !ok || s.now().After(grant.expires) {
		return nil, op.ErrInvalidRefreshToken
	}
	use := *grant
	return &use, nil
}

// GetRefreshTokenInfo returns whom a refresh token is for.
func (s *storage) GetRefreshTokenInfo(_ context.Context, clientID, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant, ok := s.refreshes[token]
	if !ok || grant.client != clientID {
		return "", "", op.ErrInvalidRefreshToken
	}
	return grant.subject, token, nil
}

// TerminateSession drops the tokens of a user at a client.
func (s *storage) TerminateSession(_ context.Context, userID, clientID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.issued, func(_ string, c Claims) bool { return c.Subject == userID && c.ClientID == clientID })
	maps.DeleteFunc(s.refreshes, func(_ string, g *refreshGrant) bool {
		return g.subject == userID && g.client == clientID
	})
	return nil
}

// RevokeToken drops one token (RFC 7009). An unknown one is already dropped.
func (s *storage) RevokeToken(_ context.Context, token, _, clientID string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if claims, ok := s.issued[token]; ok {
		if claims.ClientID != clientID {
			return oidc.ErrInvalidClient().WithDescription("token was issued to another client")
		}
		delete(s.issued, token)
	}
	if grant, ok := s.refreshes[token]; ok {
		if grant.client != clientID {
			return oidc.ErrInvalidClient().WithDescription("token was issued to another client")
		}
		delete(s.refreshes, token)
	}
	return nil
}

// deviceGrant is one device authorization (RFC 8628).
type deviceGrant struct {
	userCode string
	state    op.DeviceAuthorizationState
}

// StoreDeviceAuthorization keeps a device authorization until it is decided.
func (s *storage) StoreDeviceAuthorization(_ context.Context, clientID, deviceCode, userCode string, expires time.Time, scopes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge()
	if _, taken := s.userCodes[userCode]; taken {
		return op.ErrDuplicateUserCode
	}
	state := op.DeviceAuthorizationState{ClientID: clientID, Scopes: scopes, Expires: expires}
	s.devices[deviceCode] = &deviceGrant{userCode: userCode, state: state}
	s.userCodes[userCode] = deviceCode
	return nil
}

// GetDeviceAuthorizatonState returns a copy of the state of a device
// authorization. A finished one is handed out once.
func (s *storage) GetDeviceAuthorizatonState(_ context.Context, clientID, deviceCode string) (*op.DeviceAuthorizationState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant, ok := s.devices[deviceCode]
	if !ok || grant.state.ClientID != clientID {
		return nil, errors.New("device code: unknown or used")
	}
	if grant.state.Done || grant.state.Denied {
		delete(s.devices, deviceCode)
		delete(s.userCodes, grant.userCode)
	}
	state := grant.state
	return &state, nil
}

// decide finishes a device authorization: with a user, or denied when userKey is empty.
func (s *storage) decide(userCode, userKey string) error {
	user, known := s.users.find(userKey)
	if userKey != "" && !known {
		return fmt.Errorf("user %q: unknown to this issuer", userKey)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	grant, ok := s.devices[s.userCodes[userCode]]
	if !ok || s.now().After(grant.state.Expires) {
		return errors.New("user code: unknown or expired")
	}
	if userKey == "" {
		grant.state.Denied = true
		return nil
	}
	grant.state.Done, grant.state.Subject, grant.state.AuthTime = true, user.Subject, s.now()
	return nil
}

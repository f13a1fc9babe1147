// Package signin obtains tokens from an OpenID provider of the demonstration the way
// a mail client does: authorization code with PKCE (RFC 8252), device authorization
// (RFC 8628), client credentials and refresh. Where a person would press a button on
// the provider's page, it posts the page's form.
package signin

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// requestTimeout bounds each request to the provider.
const requestTimeout = 10 * time.Second

// Client gets tokens from one issuer for one OAuth client.
type Client struct {
	http     *http.Client
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// Settings names the issuer and the OAuth client.
type Settings struct {
	Issuer      string
	Roots       *x509.CertPool
	ClientID    string
	RedirectURI string
	Scopes      []string
}

// Discover reads the issuer's discovery document and returns a client for it.
func Discover(ctx context.Context, settings Settings) (*Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("make cookie jar: %w", err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: settings.Roots},
		ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}
	plain := &http.Client{Transport: transport, Jar: jar, Timeout: requestTimeout}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, plain), settings.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover %q: %w", settings.Issuer, err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has no secret for a header
	return &Client{
		http:     plain,
		verifier: provider.Verifier(&oidc.Config{ClientID: settings.ClientID}),
		config: oauth2.Config{
			ClientID: settings.ClientID, Endpoint: endpoint, RedirectURL: settings.RedirectURI, Scopes: settings.Scopes,
		},
	}, nil
}

// Code signs a user in through the authorization code flow with PKCE and returns the
// tokens. The user is named by address or subject.
func (c *Client) Code(ctx context.Context, user string) (*oauth2.Token, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	secret, state, nonce := oauth2.GenerateVerifier(), rand.Text(), rand.Text()
	start := c.config.AuthCodeURL(state, oauth2.S256ChallengeOption(secret), oidc.Nonce(nonce))
	login, err := c.follow(ctx, http.MethodGet, start, nil)
	if err != nil {
		return nil, fmt.Errorf("authorize: %w", err)
	}
	form := url.Values{"request": {login.Query().Get("request")}, "user": {user}}
	back, err := c.follow(ctx, http.MethodPost, login.String(), form)
	if err != nil {
		return nil, fmt.Errorf("sign in as %q: %w", user, err)
	}
	final, err := c.follow(ctx, http.MethodGet, back.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("sign in as %q: %w", user, err)
	}
	answer := final.Query()
	if answer.Get("code") == "" || answer.Get("state") != state {
		return nil, fmt.Errorf("sign in as %q: refused: %q", user, answer.Get("error")+" "+answer.Get("error_description"))
	}
	token, err := c.config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(secret))
	if err != nil {
		return nil, fmt.Errorf("exchange code: %w", err)
	}
	return token, c.checkIdentity(ctx, token, nonce)
}

// Device signs a user in through the device authorization flow: this process is the
// device, and it is also the browser in which the user enters the code.
func (c *Client) Device(ctx context.Context, user string) (*oauth2.Token, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	device, err := c.config.DeviceAuth(ctx)
	if err != nil {
		return nil, fmt.Errorf("authorize device: %w", err)
	}
	form := url.Values{"user_code": {device.UserCode}, "user": {user}}
	if err := c.submit(ctx, device.VerificationURI, form); err != nil {
		return nil, fmt.Errorf("enter code as %q: %w", user, err)
	}
	token, err := c.config.DeviceAccessToken(ctx, device)
	if err != nil {
		return nil, fmt.Errorf("poll for token: %w", err)
	}
	return token, c.checkIdentity(ctx, token, "")
}

// Refresh returns new tokens for a refresh token, which is used up.
func (c *Client) Refresh(ctx context.Context, refresh string) (*oauth2.Token, error) {
	source := c.config.TokenSource(oidc.ClientContext(ctx, c.http), &oauth2.Token{RefreshToken: refresh})
	token, err := source.Token()
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	return token, nil
}

// Daemon returns a token of a confidential client for itself.
func (c *Client) Daemon(ctx context.Context, clientID, secret string) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID: clientID, ClientSecret: secret, TokenURL: c.config.Endpoint.TokenURL,
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	token, err := config.Token(oidc.ClientContext(ctx, c.http))
	if err != nil {
		return nil, fmt.Errorf("client credentials: %w", err)
	}
	return token, nil
}

// checkIdentity verifies the ID token that came along (OpenID Connect Core section
// 3.1.3.7).
func (c *Client) checkIdentity(ctx context.Context, token *oauth2.Token, nonce string) error {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return errors.New("id token: missing")
	}
	id, err := c.verifier.Verify(ctx, raw)
	if err != nil {
		return fmt.Errorf("id token: %w", err)
	}
	if id.Nonce != nonce {
		return errors.New("id token: wrong nonce")
	}
	if err := id.VerifyAccessToken(token.AccessToken); id.AccessTokenHash != "" && err != nil {
		return fmt.Errorf("id token: %w", err)
	}
	return nil
}

// follow sends one request that has to answer with a redirect, and returns its target.
func (c *Client) follow(ctx context.Context, method, target string, form url.Values) (*url.URL, error) {
	response, err := c.send(ctx, method, target, form)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is read from a redirect
	if response.StatusCode/100 != 3 {
		return nil, fmt.Errorf("%s: want a redirect, got %q: %s", method, response.Status, excerpt(response.Body))
	}
	return response.Location()
}

// submit sends a form that has to be accepted.
func (c *Client) submit(ctx context.Context, target string, form url.Values) error {
	response, err := c.send(ctx, http.MethodPost, target, form)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read to the part that matters
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("got %q: %s", response.Status, excerpt(response.Body))
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, target string, form url.Values) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	browser := *c.http
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return browser.Do(request)
}

// excerpt returns the message of a page of the provider, or the start of its text.
func excerpt(body io.Reader) string {
	const limit = 2 << 10
	text, err := io.ReadAll(io.LimitReader(body, limit))
	if err != nil {
		return err.Error()
	}
	if _, after, ok := strings.Cut(string(text), "<p>"); ok {
		before, _, _ := strings.Cut(after, "</p>")
		return before
	}
	return strings.TrimSpace(string(text))
}

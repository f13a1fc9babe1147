// Package identity is a local OpenID provider for the demonstration and for tests:
// one issuer per sovereign cloud, each on a loopback address of its own, with
// authorization code and PKCE, device authorization, client credentials and refresh
// tokens, and access tokens as RFC 9068 has them. The protocol is the work of the
// provider package of github.com/zitadel/oidc; this package gives it a memory, a
// page to choose a user, and the token format.
package identity

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// Config describes an issuer.
type Config struct {
	// Address is where it listens, "host:port". The host is a loopback address and
	// becomes part of the issuer URL. Port 0 takes a free one.
	Address string
	// Audience is the "aud" claim of its access tokens, the resource of RFC 9068.
	Audience string
	// Users are those who may sign in.
	Users []User
	// Authority signs its serving certificate.
	Authority *Authority
}

// Issuer is a running OpenID provider.
type Issuer struct {
	url          string
	daemonSecret string
	authority    *Authority
	storage      *storage
	server       *http.Server
	served       chan error
}

// Start makes an issuer and serves it until Close.
func Start(ctx context.Context, config Config) (*Issuer, error) {
	users, err := newDirectory(config.Users)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(config.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", config.Address, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("address %q: the host must be a loopback address", config.Address)
	}
	certificate, err := config.Authority.Serving(host)
	if err != nil {
		return nil, err
	}
	key, err := newSigner()
	if err != nil {
		return nil, err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", config.Address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	i := &Issuer{
		url: "https://" + listener.Addr().String(), daemonSecret: rand.Text(), authority: config.Authority,
		served: make(chan error, 1),
	}
	i.storage = newStorage(i.url, config.Audience, users, newClients(i.daemonSecret), key)
	handler, err := newHandler(i.url, i.storage)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	i.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	settings := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"},
	}
	go func() { i.served <- i.server.Serve(tls.NewListener(listener, settings)) }()
	return i, nil
}

func newHandler(issuer string, memory *storage) (http.Handler, error) {
	config := &op.Config{
		DefaultLogoutRedirectURI: donePath,
		CodeMethodS256:           true,
		AuthMethodPost:           true,
		GrantTypeRefreshToken:    true,
		SupportedUILocales:       []language.Tag{language.English},
		SupportedScopes: []string{
			oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess, MailScope,
		},
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime: requestLifetime, PollInterval: time.Second, UserFormPath: devicePath, UserCode: op.UserCodeBase20,
		},
	}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, fmt.Errorf("generate cipher key: %w", err)
	}
	format := &tokenFormat{Crypto: op.NewAES256GCMCrypto(config.CryptoKey, "codes"), storage: memory}
	provider, err := op.NewProvider(config, memory, op.StaticIssuer(issuer), op.WithCrypto(format))
	if err != nil {
		return nil, fmt.Errorf("make provider: %w", err)
	}
	mux := http.NewServeMux()
	forms := &pages{issuer: issuer, storage: memory, callback: callbackURL(issuer, provider)}
	forms.register(mux)
	mux.HandleFunc("GET "+donePath, func(w http.ResponseWriter, _ *http.Request) {
		show(w, http.StatusOK, page{Title: "Signed out"})
	})
	mux.Handle("/", provider)
	return mux, nil
}

// URL returns the issuer identifier, the "iss" of its tokens.
func (i *Issuer) URL() string { return i.url }

// Host returns the host and port of the issuer.
func (i *Issuer) Host() string {
	if u, err := url.Parse(i.url); err == nil {
		return u.Host
	}
	return ""
}

// Users returns those who may sign in, by address.
func (i *Issuer) Users() []User { return append([]User(nil), i.storage.users.ordered...) }

// CABundle returns the PEM certificate that a client has to trust.
func (i *Issuer) CABundle() []byte { return i.authority.PEM() }

// DaemonSecret returns the secret of DaemonClient.
func (i *Issuer) DaemonSecret() string { return i.daemonSecret }

// Sign makes a token with the issuer's key from any claims and header type, also
// ones that it would never issue: that is how readers are shown to refuse them.
func (i *Issuer) Sign(claims Claims, typ string) (string, error) {
	return i.storage.signer.sign(claims, typ)
}

// Close stops serving and waits for open requests until the context ends.
func (i *Issuer) Close(ctx context.Context) error {
	err := i.server.Shutdown(ctx)
	if served := <-i.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

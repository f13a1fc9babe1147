package world

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"slices"

	"golang.org/x/oauth2"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
	"github.com/bailiwick-dev/bailiwick/hack/demo/identity/signin"
)

// Token signs a user in and returns an access token. A device signs in through the
// device authorization flow, a person through the code flow.
func (w *World) Token(ctx context.Context, cloud, user string, device bool) (string, error) {
	token, err := w.signIn(ctx, cloud, user, device)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func (w *World) signIn(ctx context.Context, cloud, user string, device bool) (*oauth2.Token, error) {
	issuer, ok := w.Issuers[cloud]
	if !ok {
		return nil, fmt.Errorf("cloud %q: no OpenID provider", cloud)
	}
	return signIn(ctx, issuer.URL(), w.Authority.Pool(), user, device)
}

// signIn signs a user in at a provider and returns the tokens.
func signIn(ctx context.Context, issuer string, roots *x509.CertPool, user string, device bool) (*oauth2.Token, error) {
	client, err := signin.Discover(ctx, signin.Settings{
		Issuer: issuer, Roots: roots, ClientID: identity.MailClient, RedirectURI: identity.RedirectURI,
		Scopes: []string{"openid", "profile", "email", identity.MailScope},
	})
	if err != nil {
		return nil, err
	}
	if device {
		return client.Device(ctx, user)
	}
	return client.Code(ctx, user)
}

// NewToken signs a resident in at the OpenID provider of a demonstration that another
// process runs, and returns an access token. The file holds the roots of the provider.
func NewToken(ctx context.Context, email, caFile string) (string, error) {
	residents := cast.Residents()
	i := slices.IndexFunc(residents, func(r cast.Resident) bool { return r.Email == email })
	if i < 0 {
		known := make([]string, 0, len(residents))
		for _, r := range residents {
			known = append(known, r.Email)
		}
		return "", fmt.Errorf("token for %q: choose one of %q", email, known)
	}
	bundle, err := os.ReadFile(caFile)
	if err != nil {
		return "", fmt.Errorf("token for %q: --issuer-ca: %w", email, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return "", fmt.Errorf("token for %q: --issuer-ca: %q holds no certificate", email, caFile)
	}
	for _, issuer := range []cast.Issuer{cast.Worldwide(), cast.GCCHigh()} {
		if issuer.Cloud != residents[i].Cloud {
			continue
		}
		token, err := signIn(ctx, issuer.URL(), roots, email, residents[i].Device)
		if err != nil {
			return "", fmt.Errorf("token for %q: %w (does the demonstration run?)", email, err)
		}
		return token.AccessToken, nil
	}
	return "", fmt.Errorf("token for %q: cloud %q has no OpenID provider", email, residents[i].Cloud)
}

package forge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/hack/demo/forge"
	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
)

func start(t *testing.T) *identity.Issuer {
	t.Helper()
	authority, err := identity.NewAuthority("test root")
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := identity.Start(t.Context(), identity.Config{Address: "127.77.9.8:0", Audience: "mail", Authority: authority})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := issuer.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return issuer
}

func goodClaims(issuer string, now time.Time) identity.Claims {
	return identity.Claims{
		Issuer: issuer, Subject: "ada", Audience: "mail", ClientID: "client", ID: "1",
		IssuedAt: now.Unix(), Expires: now.Add(time.Hour).Unix(), Email: "ada@contoso.example",
	}
}

func TestEveryForgeryIsWrongInItsOwnWay(t *testing.T) {
	t.Parallel()
	issuer, now := start(t), time.Now()
	all, err := forge.All(issuer, goodClaims(issuer.URL(), now), now)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, f := range all {
		if other, ok := seen[f.Token]; ok {
			t.Errorf("%q is the same token as %q", f.Flaw, other)
		}
		seen[f.Token] = f.Flaw
	}
	if len(all) < 10 {
		t.Errorf("%d forgeries", len(all))
	}
}

func TestSignatureFlawsDoNotVerify(t *testing.T) {
	t.Parallel()
	issuer, now := start(t), time.Now()
	good := goodClaims(issuer.URL(), now)
	genuine, err := issuer.Sign(good, identity.AccessTokenType)
	if err != nil {
		t.Fatal(err)
	}
	keys := &oidc.StaticKeySet{}
	verifier := oidc.NewVerifier(issuer.URL(), keys, &oidc.Config{ClientID: "mail"})
	all, err := forge.All(issuer, good, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if strings.HasPrefix(f.Flaw, "signed") || strings.HasPrefix(f.Flaw, "not") {
			if _, err := verifier.Verify(t.Context(), f.Token); err == nil {
				t.Errorf("%s: verifies", f.Flaw)
			}
		}
	}
	got, err := forge.Claims(genuine)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, got); diff != "" {
		t.Error(diff)
	}
	if _, err := jose.ParseSignedCompact(genuine, []jose.SignatureAlgorithm{jose.RS256}); err != nil {
		t.Error(err)
	}
}

func TestClaimsRefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "a.b", "a.*.c", "a.bm8.c"} {
		if _, err := forge.Claims(token); err == nil {
			t.Errorf("%q was read", token)
		}
	}
}

type brokenSigner struct{}

func (brokenSigner) Sign(identity.Claims, string) (string, error) { return "", errors.New("no key") }

func TestSignerErrorsAreTold(t *testing.T) {
	t.Parallel()
	if _, err := forge.All(brokenSigner{}, identity.Claims{}, time.Now()); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("got %v", err)
	}
}

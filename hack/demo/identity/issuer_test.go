package identity_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
	"github.com/bailiwick-dev/bailiwick/hack/demo/identity/signin"
)

const audience = "api://bailiwick-sync"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var people = []identity.User{
	{Subject: "u-ada", Name: "Ada Martin", Email: "ada@contoso.example"},
	{Subject: "u-ben", Name: "Ben Okafor", Email: "ben@contoso.example", Location: "NAM"},
}

func start(t *testing.T) (*identity.Issuer, *signin.Client) {
	t.Helper()
	authority, err := identity.NewAuthority("test root")
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := identity.Start(t.Context(), identity.Config{
		Address: "127.77.9.9:0", Audience: audience, Users: people, Authority: authority,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := issuer.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	client, err := signin.Discover(t.Context(), signin.Settings{
		Issuer: issuer.URL(), Roots: authority.Pool(), ClientID: identity.MailClient, RedirectURI: identity.RedirectURI,
		Scopes: []string{"openid", "profile", "email", "offline_access", identity.MailScope},
	})
	if err != nil {
		t.Fatal(err)
	}
	return issuer, client
}

func decode(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts", len(parts))
	}
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func TestEachFlowYieldsAnRFC9068AccessToken(t *testing.T) {
	t.Parallel()
	issuer, client := start(t)
	flows := map[string]func(context.Context, string) (string, error){
		"code": func(ctx context.Context, user string) (string, error) {
			token, err := client.Code(ctx, user)
			if err != nil {
				return "", err
			}
			return token.AccessToken, nil
		},
		"device": func(ctx context.Context, user string) (string, error) {
			token, err := client.Device(ctx, user)
			if err != nil {
				return "", err
			}
			return token.AccessToken, nil
		},
		"refresh": func(ctx context.Context, user string) (string, error) {
			token, err := client.Code(ctx, user)
			if err != nil {
				return "", err
			}
			token, err = client.Refresh(ctx, token.RefreshToken)
			if err != nil {
				return "", err
			}
			return token.AccessToken, nil
		},
	}
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := flow(t.Context(), "ben@contoso.example")
			if err != nil {
				t.Fatal(err)
			}
			header, claims := decode(t, raw)
			if header["typ"] != "at+jwt" || header["alg"] != "RS256" {
				t.Errorf("header: %v", header)
			}
			want := map[string]any{
				"iss": issuer.URL(), "aud": audience, "sub": "u-ben", "client_id": identity.MailClient,
				"email": "ben@contoso.example", "name": "Ben Okafor", "xms_pdl": "NAM",
				"scope": "openid profile email offline_access mail",
			}
			got := map[string]any{}
			for key := range want {
				got[key] = claims[key]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for _, key := range []string{"exp", "iat", "jti"} {
				if claims[key] == nil {
					t.Errorf("claim %q is missing", key)
				}
			}
			verifyRemotely(t, issuer, raw)
		})
	}
}

// verifyRemotely checks the signature against the published keys with another library.
func verifyRemotely(t *testing.T, issuer *identity.Issuer, raw string) {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), trusting(t, issuer))
	provider, err := oidc.NewProvider(ctx, issuer.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(ctx, raw); err != nil {
		t.Error(err)
	}
}

func TestUserWithoutLocationHasNoLocationClaim(t *testing.T) {
	t.Parallel()
	_, client := start(t)
	token, err := client.Code(t.Context(), "u-ada")
	if err != nil {
		t.Fatal(err)
	}
	if _, claims := decode(t, token.AccessToken); claims["xms_pdl"] != nil {
		t.Errorf("claims: %v", claims)
	}
}

func TestClientCredentialsTokenSpeaksForTheClient(t *testing.T) {
	t.Parallel()
	issuer, client := start(t)
	token, err := client.Daemon(t.Context(), identity.DaemonClient, issuer.DaemonSecret())
	if err != nil {
		t.Fatal(err)
	}
	_, claims := decode(t, token.AccessToken)
	if claims["sub"] != identity.DaemonClient || claims["email"] != nil {
		t.Errorf("claims: %v", claims)
	}
	if _, err := client.Daemon(t.Context(), identity.DaemonClient, "guess"); err == nil {
		t.Error("a wrong secret was accepted")
	}
}

func TestRefreshTokenWorksOnce(t *testing.T) {
	t.Parallel()
	_, client := start(t)
	token, err := client.Code(t.Context(), "u-ada")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Refresh(t.Context(), token.RefreshToken); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Refresh(t.Context(), token.RefreshToken); err == nil {
		t.Error("the same refresh token worked twice")
	}
}

func TestUnknownUserCannotSignIn(t *testing.T) {
	t.Parallel()
	_, client := start(t)
	if _, err := client.Code(t.Context(), "eve@contoso.example"); err == nil || !strings.Contains(err.Error(), "unknown to this issuer") {
		t.Errorf("code flow: %v", err)
	}
	if _, err := client.Device(t.Context(), "eve@contoso.example"); err == nil || !strings.Contains(err.Error(), "unknown to this issuer") {
		t.Errorf("device flow: %v", err)
	}
}

func TestAuthorizationWithoutPKCEIsRefused(t *testing.T) {
	t.Parallel()
	issuer, _ := start(t)
	query := url.Values{
		"client_id": {identity.MailClient}, "redirect_uri": {identity.RedirectURI}, "response_type": {"code"},
		"scope": {"openid"}, "state": {"s"},
	}
	browser := trusting(t, issuer)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := browser.Get(issuer.URL() + "/authorize?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	target, err := response.Location()
	if err != nil {
		t.Fatal(err)
	}
	if got := target.Query().Get("error"); got != "invalid_request" {
		t.Errorf("redirected to %q", target)
	}
}

func TestUserinfoAnswersForAnAccessToken(t *testing.T) {
	t.Parallel()
	issuer, client := start(t)
	token, err := client.Code(t.Context(), "u-ada")
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer.URL()+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	response, err := trusting(t, issuer).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var info map[string]any
	if err := json.NewDecoder(response.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	if info["email"] != "ada@contoso.example" || info["sub"] != "u-ada" {
		t.Errorf("userinfo: %v", info)
	}
}

func TestPagesRefuseBadForms(t *testing.T) {
	t.Parallel()
	issuer, _ := start(t)
	cases := map[string]struct {
		path string
		form url.Values
		want string
	}{
		"login without request":    {"/login", url.Values{"user": {"u-ada"}}, "unknown or expired"},
		"device without a choice":  {"/device", url.Values{"user_code": {"AAAA-BBBB"}}, "choose one, or deny"},
		"device with unknown code": {"/device", url.Values{"user_code": {"AAAA-BBBB"}, "user": {"u-ada"}}, "unknown or expired"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, err := trusting(t, issuer).PostForm(issuer.URL()+c.path, c.form)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), c.want) {
				t.Errorf("%s: %s", response.Status, body)
			}
		})
	}
}

func TestStartRefusesBadConfigurations(t *testing.T) {
	t.Parallel()
	authority, err := identity.NewAuthority("test root")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		config identity.Config
		want   string
	}{
		"public address":  {identity.Config{Address: "192.0.2.1:0"}, "must be a loopback address"},
		"no port":         {identity.Config{Address: "127.0.0.1"}, "missing port"},
		"nameless user":   {identity.Config{Address: "127.0.0.1:0", Users: []identity.User{{}}}, "subject and email are required"},
		"duplicate users": {identity.Config{Address: "127.0.0.1:0", Users: []identity.User{people[0], people[0]}}, "already taken"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.config.Authority = authority
			if _, err := identity.Start(t.Context(), c.config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSignMakesTokensThatTheIssuerWouldNotIssue(t *testing.T) {
	t.Parallel()
	issuer, _ := start(t)
	raw, err := issuer.Sign(identity.Claims{Issuer: issuer.URL(), Subject: "u-ada", Audience: "elsewhere", Expires: 1}, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	header, claims := decode(t, raw)
	if header["typ"] != "JWT" || claims["aud"] != "elsewhere" {
		t.Errorf("header %v, claims %v", header, claims)
	}
}

// Package forge makes access tokens that a resource server has to refuse, each wrong in
// one way, to show that it does (RFC 9068 section 4, RFC 8725).
package forge

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
)

// Forgery is a token and what is wrong with it.
type Forgery struct {
	Flaw  string
	Token string
}

// Signer signs any claims with the issuer's own key.
type Signer interface {
	Sign(claims identity.Claims, typ string) (string, error)
}

// All returns one token for each flaw. The claims are those of a good token, and the
// signer its issuer.
func All(issuer Signer, good identity.Claims, now time.Time) ([]Forgery, error) {
	var all []Forgery
	for _, f := range claimFlaws(good, now) {
		token, err := issuer.Sign(f.claims, f.typ)
		if err != nil {
			return nil, fmt.Errorf("forge %q: %w", f.flaw, err)
		}
		all = append(all, Forgery{f.flaw, token})
	}
	genuine, err := issuer.Sign(good, identity.AccessTokenType)
	if err != nil {
		return nil, fmt.Errorf("forge: %w", err)
	}
	resigned, err := signatureFlaws(good, genuine)
	if err != nil {
		return nil, err
	}
	return append(all, resigned...), nil
}

// claimFlaw is a flaw that a signature of the issuer does not heal.
type claimFlaw struct {
	flaw   string
	typ    string
	claims identity.Claims
}

func claimFlaws(good identity.Claims, now time.Time) []claimFlaw {
	with := func(flaw string, change func(*identity.Claims)) claimFlaw {
		claims := good
		change(&claims)
		return claimFlaw{flaw, identity.AccessTokenType, claims}
	}
	return []claimFlaw{
		with("expired", func(c *identity.Claims) {
			c.Expires = now.Add(-time.Hour).Unix()
			c.IssuedAt = now.Add(-2 * time.Hour).Unix()
		}),
		with("from the future", func(c *identity.Claims) {
			c.IssuedAt = now.Add(time.Hour).Unix()
			c.Expires = now.Add(2 * time.Hour).Unix()
		}),
		with("for another audience", func(c *identity.Claims) { c.Audience = "another-service" }),
		with("of another issuer", func(c *identity.Claims) { c.Issuer = "https://issuer.example" }),
		with("without a subject", func(c *identity.Claims) { c.Subject = "" }),
		{"an ID token (typ JWT)", "JWT", good},
	}
}

func signatureFlaws(good identity.Claims, genuine string) ([]Forgery, error) {
	payload, err := json.Marshal(good)
	if err != nil {
		return nil, fmt.Errorf("encode claims: %w", err)
	}
	stranger, err := signedByStranger(payload)
	if err != nil {
		return nil, err
	}
	unsigned := encode([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + encode(payload) + "."
	input := encode([]byte(`{"alg":"HS256","typ":"at+jwt"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte("the public key, which everyone knows"))
	mac.Write([]byte(input))
	parts := strings.Split(genuine, ".")
	swapped := parts[0] + "." + encode([]byte(strings.Replace(string(payload), good.Subject, good.Subject+"x", 1))) + "." + parts[2]
	return []Forgery{
		{"signed with alg none", unsigned},
		{"signed with HS256", input + "." + encode(mac.Sum(nil))},
		{"signed with an unknown key", stranger},
		{"with changed claims", swapped},
		{"not a token", "nonsense"},
	}, nil
}

// signedByStranger signs a payload with a key that no issuer publishes.
func signedByStranger(payload []byte) (string, error) {
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return "", fmt.Errorf("generate key: %w", err)
	}
	options := (&jose.SignerOptions{}).WithType(identity.AccessTokenType)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "stranger"}}, options)
	if err != nil {
		return "", fmt.Errorf("make signer: %w", err)
	}
	object, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return object.CompactSerialize()
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// Claims reads the claims of a token without verifying it.
func Claims(token string) (identity.Claims, error) {
	var claims identity.Claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 { //nolint:mnd // header, payload, signature (RFC 7515 section 3.1)
		return claims, fmt.Errorf("token: %d parts, want 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return claims, fmt.Errorf("token: payload: %w", err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return claims, fmt.Errorf("token: claims: %w", err)
	}
	return claims, nil
}

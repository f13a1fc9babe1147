package identity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Skew is how far the clocks of issuer and server may be apart.
const Skew = 60 * time.Second

// Token is what a verified access token says.
type Token struct {
	// Authority and Subject together identify the user, for ever and for every
	// client; neither is an address.
	Authority, Subject string
	// ClientID is the application that the token was issued to.
	ClientID string
	// TokenID names the token; empty where the issuer gives none.
	TokenID string
	// Scopes are the delegated scopes.
	Scopes []string
	// IssuedAt and Expires are the token's own times.
	IssuedAt, Expires time.Time
	// Claims are all claims.
	Claims Claims
}

// Verify holds a token against an issuer of a tenant document: type, algorithm,
// signature, issuer, times, audience, client, scopes and the rules of its profile.
// Errors are of type *Error, or the context's when the caller gave up.
func (v *Verifier) Verify(ctx context.Context, t *Unverified, issuer *tenantdoc.Issuer) (*Token, error) {
	rules, ok := profiles[issuer.Profile]
	if !ok {
		return nil, &Error{Code: CodeUnavailable, Reason: ReasonIssuer, Detail: fmt.Sprintf("the token profile %q is unknown here: run operator and sync server of the same release", issuer.Profile)}
	}
	if err := checkEnvelope(t, issuer, &rules); err != nil {
		return nil, err
	}
	if err := v.checkSignature(ctx, t, issuer); err != nil {
		return nil, err
	}
	if err := checkRequired(t.Claims, rules.required); err != nil {
		return nil, err
	}
	token := &Token{
		ClientID: rules.client(t.Claims),
		TokenID:  t.Claims.String(rules.tokenID),
		Scopes:   t.Claims.Words(rules.scope),
		Claims:   t.Claims,
	}
	if err := v.checkTimes(token); err != nil {
		return nil, err
	}
	if err := checkPurpose(token, issuer, &rules); err != nil {
		return nil, err
	}
	token.Authority, token.Subject = rules.account(t.Claims, issuer)
	return token, nil
}

// checkEnvelope judges what can be judged before a key is needed.
func checkEnvelope(t *Unverified, issuer *tenantdoc.Issuer, rules *profile) error {
	if !slices.Contains(rules.types, strings.ToLower(t.Type)) {
		return invalidToken(ReasonType, fmt.Sprintf("the header typ of the access token is not %s: send an access token, not an ID token", rules.types[0]))
	}
	if !tenantdoc.IsAcceptedAlgorithm(t.Algorithm) || !slices.Contains(issuer.Algorithms, t.Algorithm) {
		return invalidToken(ReasonAlgorithm, "the access token is not signed with an accepted algorithm: have the issuer sign with "+strings.Join(issuer.Algorithms, ", "))
	}
	if !Issues(issuer, t.Claims.String("iss")) {
		return invalidToken(ReasonIssuer, "the access token is from another issuer: sign in with the tenant's identity provider")
	}
	return nil
}

// Issues tells whether an issuer writes iss into its tokens. The comparison is
// exact (RFC 9068 §4).
func Issues(issuer *tenantdoc.Issuer, iss string) bool {
	return iss != "" && (iss == issuer.Issuer || slices.Contains(issuer.Aliases, iss))
}

// checkRequired looks for claims that must be there. Times and the audience have
// types of their own, which are judged with their values; all others are strings.
func checkRequired(c Claims, required []string) error {
	for _, name := range required {
		present := c.String(name) != ""
		if name == "exp" || name == "iat" || name == "aud" {
			present = c[name] != nil
		}
		if !present {
			return invalidToken(ReasonClaims, "the access token has no claim "+name+": have the issuer put it in access tokens for this audience")
		}
	}
	return nil
}

// checkTimes judges exp, nbf and iat, and fills the token's times.
func (v *Verifier) checkTimes(t *Token) error {
	now := v.now()
	exp, _, errExp := t.Claims.Time("exp")
	nbf, hasNbf, errNbf := t.Claims.Time("nbf")
	iat, _, errIat := t.Claims.Time("iat")
	for _, err := range []error{errExp, errNbf, errIat} {
		if err != nil {
			return &Error{Code: CodeInvalidToken, Reason: ReasonClaims, Detail: err.Error() + ": the issuer is at fault", cause: err}
		}
	}
	switch {
	case !now.Before(exp.Add(Skew)):
		return invalidToken(ReasonExpired, "the access token has expired: refresh it")
	case hasNbf && now.Before(nbf.Add(-Skew)):
		return invalidToken(ReasonNotYetValid, "the access token is not valid yet: check the clocks of the issuer and of this server")
	case now.Before(iat.Add(-Skew)):
		return invalidToken(ReasonNotYetValid, "the access token was issued in the future: check the clocks of the issuer and of this server")
	case v.maxAge > 0 && now.After(iat.Add(v.maxAge+Skew)):
		return invalidToken(ReasonTooOld, fmt.Sprintf("the access token is older than %s: sign in again", v.maxAge))
	}
	t.IssuedAt, t.Expires = iat, exp
	return nil
}

// checkPurpose judges whether the token is meant for this server, this tenant and
// this client.
func checkPurpose(t *Token, issuer *tenantdoc.Issuer, rules *profile) error {
	meant := slices.ContainsFunc(t.Claims.Audience(), func(aud string) bool {
		return slices.ContainsFunc(issuer.Audiences, func(configured string) bool { return rules.audience(aud, configured) })
	})
	if !meant {
		return invalidToken(ReasonAudience, "the access token is for another audience: ask the issuer for a token for "+strings.Join(issuer.Audiences, " or "))
	}
	if _, bound := t.Claims["cnf"]; bound {
		return invalidToken(ReasonSenderConstrained, "the access token is bound to a key (claim cnf), which a Bearer request does not prove: ask the issuer for a bearer token")
	}
	if err := rules.check(t.Claims, issuer); err != nil {
		return err
	}
	if t.ClientID == "" {
		return invalidToken(ReasonClaims, "the access token names no client application: have the issuer put it in access tokens for this audience")
	}
	if len(issuer.ClientIDs) > 0 && !slices.Contains(issuer.ClientIDs, t.ClientID) {
		return invalidToken(ReasonClient, "the client application of the access token is not allowed: have the tenant's administrator add its client id")
	}
	if len(issuer.Scopes) > 0 && !slices.ContainsFunc(t.Scopes, func(s string) bool { return slices.Contains(issuer.Scopes, s) }) {
		return &Error{Code: CodeInsufficientScope, Reason: ReasonScope, Detail: "the access token carries none of the scopes that are needed: ask the issuer for " + strings.Join(issuer.Scopes, " or "), Scope: slices.Clone(issuer.Scopes)}
	}
	return nil
}

// checkSignature verifies with the keys that the header names, unless they have verified the token before. When there is
// none, the keys are fetched again, once, as often as the key source allows.
func (v *Verifier) checkSignature(ctx context.Context, t *Unverified, issuer *tenantdoc.Issuer) error {
	source, err := v.source(issuer)
	if err != nil {
		return err
	}
	keys, err := source.current(ctx)
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(t.raw))
	if source.proven.has(keys, hash) {
		return nil
	}
	signed, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.Algorithm)})
	if err != nil {
		return &Error{Code: CodeInvalidToken, Reason: ReasonMalformed, Detail: "the access token is not a signed JWT: have the issuer send signed JWTs for this audience", cause: err}
	}
	result := verifyAny(signed, candidates(keys, t))
	if result == verdictNoKey {
		if keys, err = source.renew(ctx); err != nil {
			return err
		}
		result = verifyAny(signed, candidates(keys, t))
	}
	if result == verdictGood {
		source.proven.add(keys, hash)
	}
	return result.err()
}

type verdict int

const (
	verdictGood verdict = iota
	verdictForged
	verdictNoKey
)

func (d verdict) err() error {
	switch d {
	case verdictGood:
		return nil
	case verdictForged:
		return invalidToken(ReasonSignature, "the signature of the access token is wrong: get a new token from the tenant's identity provider")
	default:
		return invalidToken(ReasonUnknownKey, "the access token is signed with a key that its issuer does not publish: get a new token from the tenant's identity provider")
	}
}

// verifyAny tries each key. A token that names no key may be signed with one that is
// not known yet, so it is not called forged.
func verifyAny(signed *jose.JSONWebSignature, keys []jose.JSONWebKey) verdict {
	for i := range keys {
		if _, err := signed.Verify(keys[i].Key); err == nil {
			return verdictGood
		}
	}
	if len(keys) == 0 || signed.Signatures[0].Header.KeyID == "" {
		return verdictNoKey
	}
	return verdictForged
}

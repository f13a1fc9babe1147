package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	// MailScope is the scope of the mail API.
	MailScope = "mail"
	// accessTokenLifetime is short, as RFC 9700 section 2.2 advises, and long
	// enough for a person to try the command that the demonstration prints.
	accessTokenLifetime = time.Hour
	// signingKeyBits is the least that RFC 7518 section 3.3 allows for RS256.
	signingKeyBits = 2048
)

// Claims are the claims of an RFC 9068 access token (section 2.2) with the
// optional identity claims that it takes from OpenID Connect.
type Claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ClientID string `json:"client_id"`
	Expires  int64  `json:"exp"`
	IssuedAt int64  `json:"iat"`
	ID       string `json:"jti"`
	Scope    string `json:"scope,omitempty"`
	Email    string `json:"email,omitempty"`
	Name     string `json:"name,omitempty"`
	Location string `json:"xms_pdl,omitempty"`
}

// AccessTokenType is the media type of RFC 9068 section 2.1, in its short form.
const AccessTokenType = "at+jwt"

// signer holds the key pair of one issuer; it implements op.SigningKey and op.Key.
type signer struct {
	id  string
	key *rsa.PrivateKey
}

func newSigner() (*signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, signingKeyBits)
	if err != nil {
		return nil, fmt.Errorf("generate signing key: %w", err)
	}
	return &signer{id: rand.Text(), key: key}, nil
}

// SignatureAlgorithm returns RS256, which RFC 9068 section 2.1 requires of everyone.
func (s *signer) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

// Key returns the private key.
func (s *signer) Key() any { return s.key }

// ID returns the key identifier.
func (s *signer) ID() string { return s.id }

// sign makes a compact JWS of the claims with this "typ" header.
func (s *signer) sign(claims Claims, typ string) (string, error) {
	key := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", fmt.Errorf("make signer: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	object, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return object.CompactSerialize()
}

// verify returns the claims of a token that this key signed.
func (s *signer) verify(token string) (Claims, error) {
	var claims Claims
	object, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return claims, fmt.Errorf("parse token: %w", err)
	}
	payload, err := object.Verify(s.key.Public())
	if err != nil {
		return claims, fmt.Errorf("verify token: %w", err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return claims, fmt.Errorf("decode claims: %w", err)
	}
	return claims, nil
}

// verificationKey is the public half of a signer; it implements op.Key.
type verificationKey struct{ *signer }

// Algorithm returns the algorithm of the key.
func (k verificationKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }

// Use returns "sig" (RFC 7517 section 4.2).
func (k verificationKey) Use() string { return "sig" }

// Key returns the public key.
func (k verificationKey) Key() any { return k.key.Public() }

// tokenFormat decides what an access token looks like. The provider library can
// only sign access tokens with the header "typ: JWT", which a strict RFC 9068
// reader refuses, but it lets its op.Crypto make any other token out of
// "<token id>:<subject>". So that is where the RFC 9068 token is signed; codes
// of authorization requests, the only other thing that is encrypted, go on to the
// library's own cipher.
type tokenFormat struct {
	op.Crypto

	storage *storage
}

// Encrypt returns the access token for a token that the storage issued, and the
// cipher text for anything else.
func (f *tokenFormat) Encrypt(plain string) (string, error) {
	id, subject, found := strings.Cut(plain, ":")
	if !found {
		return f.Crypto.Encrypt(plain)
	}
	claims, ok := f.storage.accessToken(id)
	if !ok || claims.Subject != subject {
		return "", errors.New("access token: not issued here")
	}
	return f.storage.signer.sign(claims, AccessTokenType)
}

// Decrypt returns "<token id>:<subject>" of an access token, and the plain text of
// anything else.
func (f *tokenFormat) Decrypt(cipher string) (string, error) {
	claims, err := f.storage.signer.verify(cipher)
	if err != nil {
		return f.Crypto.Decrypt(cipher)
	}
	return claims.ID + ":" + claims.Subject, nil
}

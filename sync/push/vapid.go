package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// tokenLifetime is how long a token is valid; RFC 8292 §2 allows 24 hours, from which
// clocks that disagree take their share.
const tokenLifetime = 12 * time.Hour

// joseHeader is the header of every token.
var joseHeader = base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`))

// signer identifies the region to push services (RFC 8292).
type signer struct {
	private *ecdsa.PrivateKey
	// public is the key as clients and push services are told of it.
	public string
}

func newSigner(scalar []byte) (*signer, error) {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, fmt.Errorf("key of push: %w", err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("key of push: %w", err)
	}
	return &signer{private: private, public: base64.RawURLEncoding.EncodeToString(point)}, nil
}

// newScalar makes a private key.
func newScalar() ([]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of push: %w", err)
	}
	return private.Bytes()
}

// authorization is the value of the Authorization header of a message to an endpoint
// (RFC 8292 §3). The contact is told to the push service.
func (s *signer) authorization(endpoint, contact string, now time.Time) (string, error) {
	audience, err := origin(endpoint)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
	}{audience, now.Add(tokenLifetime).Unix(), contact})
	if err != nil {
		return "", fmt.Errorf("claims of push: %w", err)
	}
	signed := joseHeader + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, s.private, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign token of push: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return "vapid t=" + signed + "." + base64.RawURLEncoding.EncodeToString(signature) + ", k=" + s.public, nil
}

// origin is the serialized origin of a URL (RFC 6454 §6).
func origin(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "", errors.New("origin of push: not an absolute URL")
	}
	host := strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"https": ":443", "http": ":80"} {
		if u.Scheme == scheme {
			host = strings.TrimSuffix(host, port)
		}
	}
	return u.Scheme + "://" + host, nil
}

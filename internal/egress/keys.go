package egress

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

const (
	minRSABits = 2048
	maxReasons = 3
)

// KeySet holds the keys of a JWKS (RFC 7517 §5) that may verify signatures.
type KeySet struct {
	// Keys are public, asymmetric and strong enough; at least one.
	Keys []jose.JSONWebKey
	// Skipped says, per key that was left out, why.
	Skipped []string
}

// ParseKeys reads a JWKS. Keys that may not verify signatures are left out, as
// RFC 7517 §5 asks: encryption keys, symmetric and private ones, RSA below 2048
// bits, unknown types and values out of range. It fails with ErrMalformed when the
// document is no JWKS, and with ErrNoKeys when no key remains.
func ParseKeys(raw []byte) (*KeySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, &Error{Kind: ErrMalformed, Detail: "the answer is not a JSON Web Key Set: check jwks_uri", cause: err}
	}
	set := &KeySet{}
	for i, rawKey := range doc.Keys {
		key, err := parseKey(rawKey)
		if err != nil {
			set.Skipped = append(set.Skipped, fmt.Sprintf("keys[%d]: %v", i, err))
			continue
		}
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return nil, &Error{Kind: ErrNoKeys, Detail: set.whyEmpty() + ": publish an RSA key of at least 2048 bits, an EC key or an Ed25519 key for signing"}
	}
	return set, nil
}

func (s *KeySet) whyEmpty() string {
	switch n := len(s.Skipped); {
	case n == 0:
		return "the key set is empty"
	case n > maxReasons:
		return fmt.Sprintf("%s; and %d more", strings.Join(s.Skipped[:maxReasons], "; "), n-maxReasons)
	default:
		return strings.Join(s.Skipped, "; ")
	}
}

// Fingerprint identifies the keys whatever their order and names: the SHA-256 over
// their sorted RFC 7638 thumbprints, as "sha256:" and hexadecimal digits.
func (s *KeySet) Fingerprint() (string, error) {
	prints := make([]string, 0, len(s.Keys))
	for i := range s.Keys {
		sum, err := s.Keys[i].Thumbprint(crypto.SHA256)
		if err != nil {
			return "", fmt.Errorf("thumbprint of key %q: %w", s.Keys[i].KeyID, err)
		}
		prints = append(prints, base64.RawURLEncoding.EncodeToString(sum))
	}
	slices.Sort(prints)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(prints), "\n")))
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// parseKey reads one key without its certificate members: trust comes from where
// the set was fetched, and a certificate that does not parse is no reason to lose
// the key.
func parseKey(raw json.RawMessage) (jose.JSONWebKey, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return jose.JSONWebKey{}, errors.New("not a JSON object")
	}
	for _, private := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
		if _, ok := members[private]; ok {
			return jose.JSONWebKey{}, errors.New("not a public key")
		}
	}
	for _, certificate := range []string{"x5c", "x5t", "x5t#S256", "x5u"} {
		delete(members, certificate)
	}
	if err := checkOperations(members["key_ops"]); err != nil {
		return jose.JSONWebKey{}, err
	}
	bare, err := json.Marshal(members)
	if err != nil {
		return jose.JSONWebKey{}, errors.New("not a JSON object")
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(bare); err != nil || !key.Valid() {
		return jose.JSONWebKey{}, errors.New("not a key of a known type")
	}
	return key, checkKey(&key)
}

// checkOperations holds key_ops (RFC 7517 §4.3) against what the key is for.
func checkOperations(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var ops []string
	if err := json.Unmarshal(raw, &ops); err != nil || !slices.Contains(ops, "verify") {
		return errors.New("not for verifying signatures")
	}
	return nil
}

func checkKey(key *jose.JSONWebKey) error {
	if key.Use != "" && key.Use != "sig" {
		return errors.New("not for signing")
	}
	if key.Algorithm != "" && !tenantdoc.IsAcceptedAlgorithm(key.Algorithm) {
		return fmt.Errorf("algorithm %q is not accepted", key.Algorithm)
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return checkRSA(public)
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	default:
		return errors.New("not a key of a known type")
	}
}

func checkRSA(key *rsa.PublicKey) error {
	bits := key.N.BitLen()
	switch {
	case bits < minRSABits:
		return fmt.Errorf("RSA key of %d bits, below %d", bits, minRSABits)
	case key.E < 3 || key.E%2 == 0 || key.N.Bit(0) == 0:
		return errors.New("RSA key with an invalid exponent or modulus")
	}
	return nil
}

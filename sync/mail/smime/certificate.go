package smime

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxEncryption bounds how many certificates of one message are looked at for encryption.
const maxEncryption = 8

// Certificate is a certificate by which an address can be written to confidentially.
type Certificate struct {
	// Address is in lower case, its domain in A-labels.
	Address string
	// Chain is the certificate and its issuers without the root, each in DER, one after the other.
	Chain []byte
	// Fingerprint is the SHA-256 of the certificate in hexadecimal digits.
	Fingerprint string
	// NotBefore and NotAfter are when it is valid.
	NotBefore, NotAfter time.Time
}

// Leaf returns the certificate itself in DER.
func (c *Certificate) Leaf() []byte {
	e, _, err := next(c.Chain, 0)
	if err != nil {
		return nil
	}
	return e.full
}

// encryption returns the certificates of a good signature by which its senders can be written to: they name an
// address of the From field, lead to a root and are for encryption.
func (s *Signature) encryption(t *Trust, at time.Time) []Certificate {
	var out []Certificate
	looked := 0
	for _, c := range s.certificates {
		if c.IsCA || !encrypts(c) || looked == maxEncryption {
			continue
		}
		looked++
		chain, err := t.chain(c, s.certificates, at)
		if err != nil {
			continue
		}
		for _, address := range allowed(chain) {
			normal, ok := normalAddress(address)
			if ok && slices.ContainsFunc(s.from, func(f string) bool { return sameAddress(f, normal) }) {
				out = append(out, certificateOf(normal, chain))
				break
			}
		}
	}
	return out
}

// encrypts says whether keys can be wrapped for a certificate (RFC 8550 section 4.4.2).
func encrypts(c *x509.Certificate) bool {
	var usage x509.KeyUsage
	switch c.PublicKey.(type) {
	case *rsa.PublicKey:
		usage = x509.KeyUsageKeyEncipherment
	case *ecdsa.PublicKey:
		usage = x509.KeyUsageKeyAgreement
	default:
		return false
	}
	return c.KeyUsage == 0 || c.KeyUsage&usage != 0
}

func certificateOf(address string, chain []*x509.Certificate) Certificate {
	sum := sha256.Sum256(chain[0].Raw)
	out := Certificate{
		Address: address, Fingerprint: hex.EncodeToString(sum[:]),
		NotBefore: chain[0].NotBefore.UTC(), NotAfter: chain[0].NotAfter.UTC(),
	}
	for i, c := range chain {
		if i == 0 || i < len(chain)-1 {
			out.Chain = append(out.Chain, c.Raw...)
		}
	}
	return out
}

// Certify reads a certificate that was kept, and says whether it is still good for an address at a time.
func (t *Trust) Certify(address string, chain []byte, at time.Time) (Certificate, error) {
	list, err := x509.ParseCertificates(chain)
	if err != nil || len(list) == 0 {
		return Certificate{}, fmt.Errorf("kept certificate: %w", errors.Join(err, errMissing))
	}
	if !encrypts(list[0]) {
		return Certificate{}, errors.New("the certificate is not for encryption")
	}
	found, err := t.chain(list[0], list[1:], at)
	if err != nil {
		return Certificate{}, err
	}
	if !slices.ContainsFunc(allowed(found), func(a string) bool { return sameAddress(a, address) }) {
		return Certificate{}, errors.New("the certificate does not name the address")
	}
	return certificateOf(address, found), nil
}

// NormalAddress writes an address as Certificate does; false when it is none.
func NormalAddress(address string) (string, bool) { return normalAddress(address) }

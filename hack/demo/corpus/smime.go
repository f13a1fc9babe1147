package corpus

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/smallstep/pkcs7"
)

// signer signs S/MIME messages for one address. Its key follows from the address, so
// that the corpus is the same everywhere; it protects nothing.
type signer struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// repeatable makes ECDSA signatures without randomness (RFC 6979), whatever source
// the caller passes.
type repeatable struct{ *ecdsa.PrivateKey }

// Sign implements crypto.Signer.
func (k repeatable) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(nil, digest, options)
}

// certificateValidity spans the dates of the corpus and any date it is read at.
const certificateValidity = 50 * 365 * 24 * time.Hour

// newSigner makes a self-signed certificate for an address.
func newSigner(p Person) (*signer, error) {
	seed := sha256.Sum256([]byte("bailiwick corpus signer " + p.Address))
	seed[0] &= 0x7f // below the order of the group
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		return nil, fmt.Errorf("signer %q: %w", p.Address, err)
	}
	key := repeatable{private}
	template := &x509.Certificate{
		SerialNumber:   new(big.Int).SetBytes(seed[16:]),
		Subject:        pkix.Name{CommonName: p.Name},
		NotBefore:      epoch,
		NotAfter:       epoch.Add(certificateValidity),
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		EmailAddresses: []string{p.Address},
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signer %q: %w", p.Address, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("signer %q: %w", p.Address, err)
	}
	return &signer{certificate: certificate, key: key}, nil
}

// sign returns the detached CMS signature of content. There are no signed attributes
// (RFC 5652 section 5.3 allows that for plain data), for the library would put the
// time of this run among them.
func (s *signer) sign(content []byte) ([]byte, error) {
	data, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	data.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	data.SetEncryptionAlgorithm(pkcs7.OIDDigestAlgorithmECDSASHA256)
	if err := data.SignWithoutAttr(s.certificate, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	data.Detach()
	return data.Finish()
}

// signed wraps a part into multipart/signed (RFC 8551 section 3.5.3).
func (g *generator) signed(from Person, content part) (part, error) {
	s, err := newSigner(from)
	if err != nil {
		return part{}, err
	}
	signature, err := s.sign(content.bytes())
	if err != nil {
		return part{}, err
	}
	file := attachment("application/pkcs7-signature", "smime.p7s", signature)
	parameters := ` protocol="application/pkcs7-signature"; micalg=sha-256;`
	return g.multipart("signed", parameters, content, file), nil
}

// Package smimetest makes authorities, certificates and S/MIME messages for tests.
package smimetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The validity of certificates, unless a test asks for another.
var (
	NotBefore = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	NotAfter  = time.Date(2028, time.January, 1, 0, 0, 0, 0, time.UTC)
)

// Identity is a key with its certificate.
type Identity struct {
	// Certificate is the certificate.
	Certificate *x509.Certificate
	// Key signs.
	Key crypto.Signer
	// Issuers are the certificates between it and the root.
	Issuers []*x509.Certificate
	issuer  *Identity
}

// Request is a certificate that is about to be issued.
type Request struct {
	*x509.Certificate

	// Key is the key to certify; nil means a new one on P-256.
	Key crypto.Signer
}

var serial atomic.Int64

// NewRoot makes a root.
func NewRoot(tb testing.TB, options ...func(*Request)) *Identity {
	tb.Helper()
	return issue(tb, nil, "Root", append([]func(*Request){authority}, options...))
}

// Intermediate makes an authority below another.
func (i *Identity) Intermediate(tb testing.TB, options ...func(*Request)) *Identity {
	tb.Helper()
	return issue(tb, i, "Intermediate", append([]func(*Request){authority}, options...))
}

// Issue makes a certificate for an address.
func (i *Identity) Issue(tb testing.TB, address string, options ...func(*Request)) *Identity {
	tb.Helper()
	return issue(tb, i, "Person", append([]func(*Request){func(r *Request) {
		r.EmailAddresses = []string{address}
		r.KeyUsage = x509.KeyUsageDigitalSignature
		r.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	}}, options...))
}

// PEM is the certificate in PEM.
func (i *Identity) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate.Raw}))
}

func authority(r *Request) {
	r.IsCA, r.BasicConstraintsValid = true, true
	r.KeyUsage = x509.KeyUsageCertSign
}

func issue(tb testing.TB, issuer *Identity, name string, options []func(*Request)) *Identity {
	tb.Helper()
	number := serial.Add(1)
	r := &Request{Certificate: &x509.Certificate{
		SerialNumber: big.NewInt(number),
		Subject:      pkix.Name{CommonName: name + " " + big.NewInt(number).String()},
		NotBefore:    NotBefore, NotAfter: NotAfter,
		SubjectKeyId: big.NewInt(number).FillBytes(make([]byte, 20)),
	}}
	for _, option := range options {
		option(r)
	}
	if r.Key == nil {
		r.Key = NewECDSA(tb, elliptic.P256())
	}
	out := &Identity{Key: r.Key, issuer: issuer}
	parent, signer := r.Certificate, r.Key
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.Key
		if issuer.issuer != nil {
			out.Issuers = append([]*x509.Certificate{issuer.Certificate}, issuer.Issuers...)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, r.Certificate, parent, r.Key.Public(), signer)
	if err != nil {
		tb.Fatalf("issue %s: %v", name, err)
	}
	if out.Certificate, err = x509.ParseCertificate(der); err != nil {
		tb.Fatalf("issue %s: %v", name, err)
	}
	return out
}

// WithKey certifies a key.
func WithKey(key crypto.Signer) func(*Request) { return func(r *Request) { r.Key = key } }

// NewECDSA makes a key on a curve.
func NewECDSA(tb testing.TB, curve elliptic.Curve) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// NewEd25519 makes a key.
func NewEd25519(tb testing.TB) crypto.Signer {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

var (
	rsaMu   sync.Mutex
	rsaKeys = map[int]*rsa.PrivateKey{}
)

// RSA returns a key of a length, the same each time: they take long to make.
func RSA(tb testing.TB, bits int) crypto.Signer {
	tb.Helper()
	rsaMu.Lock()
	defer rsaMu.Unlock()
	if rsaKeys[bits] == nil {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			tb.Fatal(err)
		}
		rsaKeys[bits] = key
	}
	return rsaKeys[bits]
}

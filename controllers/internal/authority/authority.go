// Package authority is the certificate authority that each sovereign cloud has of
// its own: one root per cloud, kept in a Secret of the operator's namespace, and
// the serving certificates of the cloud's regions. What to do about a certificate
// is a pure decision over facts (Decide); making keys and signatures stands apart.
package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

const (
	// RootLifetime is how long a new root is valid.
	RootLifetime = 10 * 365 * 24 * time.Hour
	// CAKey is the key of a Secret or ConfigMap under which the bundle of roots is
	// published.
	CAKey = corev1.ServiceAccountRootCAKey

	secretPrefix     = "ca-"
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
	serialBits       = 128
	// maxBackdate tolerates clocks that are behind; a short lifetime is backdated
	// by less.
	maxBackdate    = 5 * time.Minute
	backdateFactor = 12
)

// ErrMalformed is wrapped when the Secret of an authority holds no usable key pair
// of its cloud. Its message names the key of the Secret that is at fault.
var ErrMalformed = errors.New("authority malformed")

// SecretName is the name of the Secret, in the operator's namespace, that holds the
// authority of a cloud.
func SecretName(cloud string) string {
	return secretPrefix + cloud
}

// CloudOf is the name of the cloud whose authority a Secret of the operator's
// namespace holds by its name, and whether it holds one.
func CloudOf(secret string) (string, bool) {
	return strings.CutPrefix(secret, secretPrefix)
}

// Authority is the root of one cloud, ready to issue.
type Authority struct {
	cloud       string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	bundle      []byte
	fingerprint string
}

// Cloud is the name of the SovereignCloud that the authority belongs to.
func (a *Authority) Cloud() string { return a.cloud }

// NotAfter is when the root expires.
func (a *Authority) NotAfter() time.Time { return a.certificate.NotAfter }

// Bundle holds the root in PEM, for those who verify.
func (a *Authority) Bundle() []byte { return bytes.Clone(a.bundle) }

// Fingerprint identifies the root: the SHA-256 of its certificate in hexadecimal.
func (a *Authority) Fingerprint() string { return a.fingerprint }

// Algorithm is that of the root's key; empty when it is none that we make.
func (a *Authority) Algorithm() v1alpha1.KeyAlgorithm { return algorithmOf(a.key) }

// Expired tells whether the root is past its validity.
func (a *Authority) Expired(now time.Time) bool { return !now.Before(a.certificate.NotAfter) }

// Generate makes a new root for a cloud and yields the data of its Secret. It fails
// only when the algorithm is unknown or the system yields no randomness.
func Generate(cloud string, algorithm v1alpha1.KeyAlgorithm, now time.Time) (map[string][]byte, error) {
	key, err := newKey(algorithm)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject(cloud),
		NotBefore:             now.Add(-maxBackdate),
		NotAfter:              now.Add(RootLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs serving certificates and nothing below them
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign root of cloud %q: %w", cloud, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		corev1.TLSCertKey:       encodeCertificate(der),
		corev1.TLSPrivateKeyKey: keyPEM,
	}, nil
}

// Parse reads the authority of a cloud from its Secret. It fails with ErrMalformed
// when the Secret belongs to another cloud, or holds no matching pair of a root
// certificate and an ECDSA key. A root past its validity parses: see Expired.
func Parse(cloud string, secret *corev1.Secret) (*Authority, error) {
	if got := secret.Labels[v1alpha1.LabelCloud]; got != cloud {
		return nil, fmt.Errorf("%w: label %q is %q, want %q: the keys of one cloud are never used for another", ErrMalformed, v1alpha1.LabelCloud, got, cloud)
	}
	certificate, err := parseCertificate(secret.Data[corev1.TLSCertKey])
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, corev1.TLSCertKey, err)
	}
	key, err := parseKey(secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, corev1.TLSPrivateKeyKey, err)
	}
	if err := checkRoot(cloud, certificate, key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	sum := sha256.Sum256(certificate.Raw)
	return &Authority{
		cloud:       cloud,
		certificate: certificate,
		key:         key,
		bundle:      encodeCertificate(certificate.Raw),
		fingerprint: hex.EncodeToString(sum[:]),
	}, nil
}

func checkRoot(cloud string, certificate *x509.Certificate, key *ecdsa.PrivateKey) error {
	want := subject(cloud)
	switch {
	case certificate.Subject.String() != want.String():
		return fmt.Errorf("%s: subject is %q, want %q: it is not the root of this cloud", corev1.TLSCertKey, certificate.Subject, want)
	case !certificate.IsCA || certificate.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%s: not a certificate authority", corev1.TLSCertKey)
	case !samePublicKey(certificate.PublicKey, key):
		return fmt.Errorf("%s: does not match the certificate in %s", corev1.TLSPrivateKeyKey, corev1.TLSCertKey)
	}
	if err := certificate.CheckSignatureFrom(certificate); err != nil {
		return fmt.Errorf("%s: not signed by itself", corev1.TLSCertKey)
	}
	return nil
}

func subject(cloud string) pkix.Name {
	return pkix.Name{Organization: []string{"Bailiwick"}, CommonName: "Bailiwick CA " + cloud}
}

func newKey(algorithm v1alpha1.KeyAlgorithm) (*ecdsa.PrivateKey, error) {
	curve, err := curveOf(algorithm)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate %s key: %w", algorithm, err)
	}
	return key, nil
}

func curveOf(algorithm v1alpha1.KeyAlgorithm) (elliptic.Curve, error) {
	switch algorithm {
	case v1alpha1.KeyECDSAP256:
		return elliptic.P256(), nil
	case v1alpha1.KeyECDSAP384:
		return elliptic.P384(), nil
	default:
		return nil, fmt.Errorf("key algorithm %q: use %q or %q", algorithm, v1alpha1.KeyECDSAP256, v1alpha1.KeyECDSAP384)
	}
}

// newSerial draws a serial number of 128 random bits, never zero (RFC 5280
// §4.1.2.2).
func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

func parseCertificate(raw []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != blockCertificate {
		return nil, errors.New("no PEM certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("not an X.509 certificate")
	}
	return certificate, nil
}

// parseKey reads a PKCS #8 key. Errors tell nothing of the content: it is secret.
func parseKey(raw []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != blockKey {
		return nil, errors.New("no PEM private key (PKCS #8)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS #8 private key")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return key, nil
}

func samePublicKey(public crypto.PublicKey, key *ecdsa.PrivateKey) bool {
	certified, ok := public.(*ecdsa.PublicKey)
	return ok && certified.Equal(key.Public())
}

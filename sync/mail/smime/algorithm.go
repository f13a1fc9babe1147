package smime

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

// The sizes of RSA keys that are accepted. Above the upper one a single signature takes unreasonably long.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// digests are the hash functions that sign (RFC 5754).
var digests = map[string]crypto.Hash{
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

// weak names hash functions and signature algorithms that are refused, for the person who reads why.
var weak = map[string]string{
	"1.3.14.3.2.26":          "SHA-1",
	"1.2.840.113549.1.1.5":   "SHA-1",
	"1.2.840.10045.4.1":      "SHA-1",
	"1.2.840.113549.2.5":     "MD5",
	"1.2.840.113549.1.1.4":   "MD5",
	"1.2.840.113549.2.2":     "MD2",
	"1.2.840.113549.1.1.2":   "MD2",
	"1.2.840.10040.4.3":      "DSA",
	"1.2.840.10040.4.1":      "DSA",
	"1.2.840.113549.1.1.14":  "SHA-224",
	"2.16.840.1.101.3.4.2.4": "SHA-224",
}

// scheme is how a signature is made.
type scheme int

const (
	schemePKCS1v15 scheme = iota + 1
	schemePSS
	schemeECDSA
	schemeEd25519
)

// schemes are the signature algorithms (RFC 5754, RFC 4056, RFC 8419). One without a hash function takes that of the
// digest.
var schemes = map[string]struct {
	scheme scheme
	hash   crypto.Hash
}{
	"1.2.840.113549.1.1.1":  {schemePKCS1v15, 0},
	"1.2.840.113549.1.1.11": {schemePKCS1v15, crypto.SHA256},
	"1.2.840.113549.1.1.12": {schemePKCS1v15, crypto.SHA384},
	"1.2.840.113549.1.1.13": {schemePKCS1v15, crypto.SHA512},
	"1.2.840.113549.1.1.10": {schemePSS, 0},
	"1.2.840.10045.2.1":     {schemeECDSA, 0},
	"1.2.840.10045.4.3.2":   {schemeECDSA, crypto.SHA256},
	"1.2.840.10045.4.3.3":   {schemeECDSA, crypto.SHA384},
	"1.2.840.10045.4.3.4":   {schemeECDSA, crypto.SHA512},
	"1.3.101.112":           {schemeEd25519, crypto.SHA512},
}

func digestOf(a pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	if hash, ok := digests[a.Algorithm.String()]; ok {
		return hash, nil
	}
	if name, ok := weak[a.Algorithm.String()]; ok {
		return 0, fmt.Errorf("the signature uses %s, which is refused: sign with SHA-256 or stronger", name)
	}
	return 0, fmt.Errorf("the signature uses the hash function %s, which is not accepted: sign with SHA-256 or stronger", a.Algorithm)
}

// verifySignature checks a signature over octets.
func (s *signerInfo) verifySignature(key any, signed []byte) error {
	digest, err := digestOf(s.digest)
	if err != nil {
		return err
	}
	how, ok := schemes[s.algorithm.Algorithm.String()]
	if name, isWeak := weak[s.algorithm.Algorithm.String()]; isWeak {
		return fmt.Errorf("the signature uses %s, which is refused: sign with SHA-256 or stronger", name)
	}
	if !ok {
		return fmt.Errorf("the signature algorithm %s is not accepted: sign with RSA or ECDSA", s.algorithm.Algorithm)
	}
	if how.hash != 0 && how.hash != digest {
		return errors.New("the signature and the digest use different hash functions")
	}
	if err := checkKey(key); err != nil {
		return err
	}
	return s.verifyBy(how.scheme, digest, key, signed)
}

var errSignature = errors.New("the signature does not match: it was made with another key, or was changed")

func (s *signerInfo) verifyBy(how scheme, digest crypto.Hash, key any, signed []byte) error {
	h := digest.New()
	h.Write(signed)
	sum := h.Sum(nil)
	valid := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		if how == schemePSS {
			salt, err := saltLength(s.algorithm.Parameters.FullBytes, digest)
			if err != nil {
				return err
			}
			valid = rsa.VerifyPSS(k, digest, sum, s.value, &rsa.PSSOptions{SaltLength: salt, Hash: digest}) == nil
			break
		}
		valid = how == schemePKCS1v15 && rsa.VerifyPKCS1v15(k, digest, sum, s.value) == nil
	case *ecdsa.PublicKey:
		valid = how == schemeECDSA && ecdsa.VerifyASN1(k, sum, s.value)
	case ed25519.PublicKey:
		valid = how == schemeEd25519 && ed25519.Verify(k, signed, s.value)
	}
	if !valid {
		return errSignature
	}
	return nil
}

// checkKey refuses keys that are too weak, or so large that they are a burden.
func checkKey(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("an RSA key has %d bits, which is refused: use %d to %d bits", bits, minRSABits, maxRSABits)
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return errors.New("an ECDSA key is on a curve that is not accepted: use P-256, P-384 or P-521")
		}
	case ed25519.PublicKey:
		if fips140.Enabled() {
			return errors.New("an Ed25519 key is not accepted where FIPS 140-3 is in force: use RSA or ECDSA")
		}
	default:
		return errors.New("a key is of a type that is not accepted: use RSA, ECDSA or Ed25519")
	}
	return nil
}

// checkSignedWith refuses certificates that are signed with a weak algorithm.
func checkSignedWith(c *x509.Certificate) error {
	switch c.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return errors.New("a certificate is signed with SHA-1, which is refused: have it issued anew with SHA-256 or stronger")
	case x509.MD5WithRSA, x509.MD2WithRSA:
		return errors.New("a certificate is signed with MD5, which is refused: have it issued anew with SHA-256 or stronger")
	default:
		return nil
	}
}

// pssParameters are the parameters of RSASSA-PSS (RFC 4056 section 2.2). Every default of theirs means SHA-1.
type pssParameters struct {
	Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0,optional"`
	MGF     pkix.AlgorithmIdentifier `asn1:"explicit,tag:1,optional"`
	Salt    int                      `asn1:"explicit,tag:2,optional,default:20"`
	Trailer int                      `asn1:"explicit,tag:3,optional,default:1"`
}

var oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}

// saltLength reads the parameters of RSASSA-PSS, which must use one hash function throughout.
func saltLength(raw []byte, digest crypto.Hash) (int, error) {
	var p pssParameters
	if rest, err := asn1.Unmarshal(raw, &p); err != nil || len(rest) > 0 {
		return 0, errors.New("the parameters of the RSASSA-PSS signature cannot be read")
	}
	if len(p.Hash.Algorithm) == 0 || len(p.MGF.Algorithm) == 0 {
		return 0, errors.New("the RSASSA-PSS signature uses SHA-1, which is refused: sign with SHA-256 or stronger")
	}
	hash, err := digestOf(p.Hash)
	if err != nil {
		return 0, err
	}
	mask, err := maskDigest(p.MGF)
	if err != nil {
		return 0, err
	}
	if hash != digest || mask != digest || p.Trailer != 1 || p.Salt < 0 || p.Salt > maxRSABits/8 {
		return 0, errors.New("the RSASSA-PSS signature mixes hash functions, or has a salt or trailer that is not understood")
	}
	return p.Salt, nil
}

func maskDigest(mgf pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	var a pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(mgf.Parameters.FullBytes, &a); err != nil || len(rest) > 0 || !mgf.Algorithm.Equal(oidMGF1) {
		return 0, errors.New("the mask of the RSASSA-PSS signature cannot be read")
	}
	return digestOf(a)
}

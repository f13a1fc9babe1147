package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// Reader reads authorities and serving certificates from Secrets and remembers what
// it read until the Secret changes: a signature is verified once and not on every
// reconcile. It holds one entry per Secret and is safe for concurrent use.
type Reader struct {
	mu          sync.Mutex
	authorities map[types.NamespacedName]readAuthority
	servings    map[types.NamespacedName]readServing
}

type version struct {
	uid             types.UID
	resourceVersion string
	against         string
}

type readAuthority struct {
	version   version
	authority *Authority
	err       error
}

type readServing struct {
	version version
	serving *Serving
}

// NewReader makes an empty reader.
func NewReader() *Reader {
	return &Reader{
		authorities: map[types.NamespacedName]readAuthority{},
		servings:    map[types.NamespacedName]readServing{},
	}
}

// Authority is Parse, remembered. A nil Secret yields a nil authority.
func (r *Reader) Authority(cloud string, secret *corev1.Secret) (*Authority, error) {
	if secret == nil {
		return nil, nil //nolint:nilnil // no Secret is a fact of its own and no failure
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name, v := entry(secret, cloud)
	if got, ok := r.authorities[name]; ok && got.version == v && v.resourceVersion != "" {
		return got.authority, got.err
	}
	a, err := Parse(cloud, secret)
	r.authorities[name] = readAuthority{version: v, authority: a, err: err}
	return a, err
}

// Serving is what a serving Secret holds, judged against an authority, remembered.
// A nil Secret or authority yields nil facts and, without an authority, facts that
// say nothing of the signature.
func (r *Reader) Serving(a *Authority, secret *corev1.Secret) *Serving {
	if secret == nil {
		return nil
	}
	against := ""
	if a != nil {
		against = a.Fingerprint()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name, v := entry(secret, against)
	if got, ok := r.servings[name]; ok && got.version == v && v.resourceVersion != "" {
		return got.serving
	}
	s := Examine(a, secret.Data)
	r.servings[name] = readServing{version: v, serving: s}
	return s
}

// Forget drops what is remembered of a Secret.
func (r *Reader) Forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.authorities, name)
	delete(r.servings, name)
}

func entry(secret *corev1.Secret, against string) (types.NamespacedName, version) {
	return types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name},
		version{uid: secret.UID, resourceVersion: secret.ResourceVersion, against: against}
}

// Examine reads the data of a serving Secret and judges the signature against an
// authority, which may be nil.
func Examine(a *Authority, data map[string][]byte) *Serving {
	certificate, err := parseCertificate(data[corev1.TLSCertKey])
	if err != nil {
		return &Serving{Problem: fmt.Sprintf("%s: %v", corev1.TLSCertKey, err)}
	}
	private, err := parseKey(data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return &Serving{Problem: fmt.Sprintf("%s: %v", corev1.TLSPrivateKeyKey, err)}
	}
	if !samePublicKey(certificate.PublicKey, private) {
		return &Serving{Problem: fmt.Sprintf("%s: does not match the certificate in %s", corev1.TLSPrivateKeyKey, corev1.TLSCertKey)}
	}
	s := &Serving{
		Hosts:     hostsOf(certificate),
		Algorithm: algorithmOf(private),
		NotBefore: certificate.NotBefore,
		NotAfter:  certificate.NotAfter,
	}
	if root, err := parseCertificate(data[CAKey]); err == nil {
		sum := sha256.Sum256(root.Raw)
		s.bundle = hex.EncodeToString(sum[:])
	}
	if a != nil && signedBy(a, certificate) {
		s.signer = a.Fingerprint()
	}
	return s
}

// signedBy verifies the signature and the usage; validity in time is Decide's.
func signedBy(a *Authority, certificate *x509.Certificate) bool {
	return bytes.Equal(certificate.RawIssuer, a.certificate.RawSubject) &&
		slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageServerAuth) &&
		certificate.CheckSignatureFrom(a.certificate) == nil
}

func hostsOf(certificate *x509.Certificate) []string {
	hosts := slices.Clone(certificate.DNSNames)
	for _, address := range certificate.IPAddresses {
		hosts = append(hosts, address.String())
	}
	return sortedHosts(hosts)
}

func algorithmOf(private *ecdsa.PrivateKey) v1alpha1.KeyAlgorithm {
	switch private.Curve {
	case elliptic.P256():
		return v1alpha1.KeyECDSAP256
	case elliptic.P384():
		return v1alpha1.KeyECDSAP384
	default:
		return ""
	}
}

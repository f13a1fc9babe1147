package authority

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// DefaultLifetime is that of a serving certificate for which the region asks
// nothing else.
const DefaultLifetime = 90 * 24 * time.Hour

// Request says what a serving certificate must be.
type Request struct {
	// Hosts are the names and addresses by which clients reach the server, at least
	// one, in any order.
	Hosts []string
	// Algorithm of the key.
	Algorithm v1alpha1.KeyAlgorithm
	// Lifetime of the certificate. It ends earlier when the root does.
	Lifetime time.Duration
}

// ServingHosts are the hosts of a region's certificate: the endpoint's hostname and
// the names of its Service within the cluster.
func ServingHosts(hostname, service, namespace string) []string {
	return []string{
		hostname,
		service + "." + namespace + ".svc",
		service + "." + namespace + ".svc.cluster.local",
	}
}

// Issue makes a key and a serving certificate and yields the data of the
// kubernetes.io/tls Secret: tls.crt, tls.key and ca.crt. It fails when the root has
// expired, when the request names no host, and when the algorithm is unknown.
func (a *Authority) Issue(r Request, now time.Time) (map[string][]byte, error) {
	if a.Expired(now) {
		return nil, fmt.Errorf("authority of cloud %q expired: delete Secret %q to start a new one", a.cloud, SecretName(a.cloud))
	}
	if len(r.Hosts) == 0 || r.Lifetime <= 0 {
		return nil, errors.New("a serving certificate needs a host and a lifetime")
	}
	key, err := newKey(r.Algorithm)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Bailiwick"}},
		NotBefore:             now.Add(-min(maxBackdate, r.Lifetime/backdateFactor)),
		NotAfter:              earlier(now.Add(r.Lifetime), a.NotAfter()),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	nameHosts(template, r.Hosts)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate for %q: %w", sortedHosts(r.Hosts), err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		corev1.TLSCertKey:       encodeCertificate(der),
		corev1.TLSPrivateKeyKey: keyPEM,
		CAKey:                   bytes.Clone(a.bundle),
	}, nil
}

// nameHosts puts addresses into IP SANs and the rest into DNS SANs: clients look
// for an address in the former only (RFC 9525 §3).
func nameHosts(template *x509.Certificate, hosts []string) {
	for _, host := range sortedHosts(hosts) {
		if address, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
			continue
		}
		template.DNSNames = append(template.DNSNames, host)
	}
}

// sortedHosts is the list in one spelling: lower case, addresses in canonical form,
// sorted, each host once.
func sortedHosts(hosts []string) []string {
	out := make([]string, 0, len(hosts))
	for _, host := range hosts {
		if address, err := netip.ParseAddr(host); err == nil {
			host = address.Unmap().String()
		}
		out = append(out, strings.ToLower(host))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

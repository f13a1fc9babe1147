package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/identity"
)

// trusting returns a client that trusts the issuer's authority and leaves no
// connection behind.
func trusting(t *testing.T, issuer *identity.Issuer) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(issuer.CABundle()) {
		t.Fatal("the CA bundle holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

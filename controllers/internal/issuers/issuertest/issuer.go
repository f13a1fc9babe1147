// Package issuertest serves a token issuer to tests: a discovery document and keys
// over TLS on a loopback address, which the test can break and mend.
package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is a token issuer that serves its documents.
type Issuer struct {
	server *httptest.Server

	mu       sync.Mutex
	requests int
	status   int
	issuer   string
	extra    map[string]any
	keys     jose.JSONWebKeySet
}

// New starts an issuer with one key and stops it with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{status: http.StatusOK}
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.server.StartTLS()
	t.Cleanup(i.server.Close)
	i.issuer = i.server.URL
	i.RotateKeys(t)
	return i
}

// URL is the issuer's.
func (i *Issuer) URL() string { return i.server.URL }

// CABundle holds the PEM certificate by which the issuer is trusted.
func (i *Issuer) CABundle() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}))
}

// Host is the issuer's, without a port.
func (*Issuer) Host() string { return "127.0.0.1" }

// Ranges are those in which the issuer is reached.
func (*Issuer) Ranges() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// RotateKeys replaces the keys by a new one.
func (i *Issuer) RotateKeys(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.SetKeys(jose.JSONWebKey{Key: key.Public(), KeyID: "1", Algorithm: string(jose.ES256), Use: "sig"})
}

// SetKeys replaces the keys; none makes the key set empty.
func (i *Issuer) SetKeys(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = jose.JSONWebKeySet{Keys: keys}
}

// Answer makes every answer carry an HTTP status; 200 mends the issuer.
func (i *Issuer) Answer(status int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status = status
}

// SpeakFor makes the discovery document name another issuer.
func (i *Issuer) SpeakFor(issuer string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.issuer = issuer
}

// Publish sets members of the discovery document.
func (i *Issuer) Publish(extra map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.extra = extra
}

// Requests is how many requests arrived.
func (i *Issuer) Requests() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests++
	if i.status != http.StatusOK {
		w.WriteHeader(i.status)
		return
	}
	var body any = i.keys
	if r.URL.Path != "/keys" {
		document := map[string]any{"issuer": i.issuer, "jwks_uri": i.server.URL + "/keys"}
		maps.Copy(document, i.extra)
		body = document
	}
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(raw)
}

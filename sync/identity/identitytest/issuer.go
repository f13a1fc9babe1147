// Package identitytest is a token issuer for tests: an https server on a loopback
// address that publishes keys, and signs whatever it is told to.
package identitytest

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
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// Audience is the audience of the issuer's tokens.
const Audience = "https://sync.example"

// Issuer is a running issuer with one current signing key.
type Issuer struct {
	server *httptest.Server

	mu      sync.Mutex
	key     jose.JSONWebKey
	set     []jose.JSONWebKey
	fetches int
	down    bool
}

// New starts an issuer, which ends with the test. It signs with ES256.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.server.StartTLS()
	t.Cleanup(i.server.Close)
	i.Rotate(t)
	return i
}

// URL is the issuer's name, the "iss" of its tokens.
func (i *Issuer) URL() string { return i.server.URL }

// Document is the issuer as a tenant document names it, with the RFC 9068 profile.
func (i *Issuer) Document() tenantdoc.Issuer {
	return tenantdoc.Issuer{
		Profile:       tenantdoc.ProfileRFC9068,
		Issuer:        i.URL(),
		JWKSURI:       i.URL() + "/keys",
		AllowedHosts:  []string{"127.0.0.1"},
		PrivateRanges: []string{"127.0.0.0/8"},
		CABundle:      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})),
		Audiences:     []string{Audience},
		Algorithms:    []string{"ES256", "RS256"},
		Claims:        tenantdoc.Claims{Address: []string{"email"}, Name: []string{"name"}, PreferredDataLocation: "xms_pdl"},
	}
}

// Rotate replaces the signing key and all published keys by a new one.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("generate key: %v", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	kid := strconv.FormatInt(time.Now().UnixNano(), 36)
	i.key = jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: "ES256", Use: "sig"}
	i.set = []jose.JSONWebKey{i.key.Public()}
}

// Publish replaces the published keys, and leaves the signing key as it is.
func (i *Issuer) Publish(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.set = keys
}

// Key is the current signing key, private part included.
func (i *Issuer) Key() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key
}

// SetDown makes the issuer answer 503, or serve again.
func (i *Issuer) SetDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Fetches is how many requests arrived.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *Issuer) serve(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	i.fetches++
	down, set := i.down, i.set
	i.mu.Unlock()
	if down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	if err := json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: set}); err != nil {
		http.Error(w, "encode", http.StatusInternalServerError)
	}
}

// Claims are those of a good RFC 9068 token at a time, with changes laid over them. A
// nil value removes a claim.
func (i *Issuer) Claims(now time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": i.URL(), "aud": Audience, "sub": "user-1", "client_id": "phone", "jti": "token-1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": "user@agency.example", "name": "A User",
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Token signs a good token with changed claims.
func (i *Issuer) Token(t testing.TB, now time.Time, changes map[string]any) string {
	t.Helper()
	return Sign(t, i.Key(), "at+jwt", i.Claims(now, changes))
}

// Sign makes a token with any key, symmetric ones too, and any "typ".
func Sign(t testing.TB, key jose.JSONWebKey, typ string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatalf("encode claims: %v", err)
	}
	opts := &jose.SignerOptions{}
	signing := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}
	signer, err := jose.NewSigner(signing, opts.WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatalf("make signer: %v", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatalf("serialize: %v", err)
	}
	return raw
}

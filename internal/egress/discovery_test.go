package egress

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

func rsaKey(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func jwks(t testing.TB, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestOnlyKeysThatMayVerifySignaturesCount(t *testing.T) {
	t.Parallel()
	ec := ecKey(t)
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	withOps := func(ops string) []byte {
		raw, err := json.Marshal(jose.JSONWebKey{Key: ec.Public(), KeyID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		return []byte(`{"keys":[` + strings.Replace(string(raw), "{", `{"key_ops":`+ops+`,`, 1) + `]}`)
	}
	even := rsaKey(2048)
	even.E = 2
	tests := map[string]struct {
		raw  []byte
		keys int
		err  error
		text string
	}{
		"RSA":                          {raw: jwks(t, jose.JSONWebKey{Key: rsaKey(2048), KeyID: "a", Use: "sig", Algorithm: "RS256"}), keys: 1},
		"EC":                           {raw: jwks(t, jose.JSONWebKey{Key: ec.Public(), KeyID: "a"}), keys: 1},
		"Ed25519":                      {raw: jwks(t, jose.JSONWebKey{Key: public, KeyID: "a", Algorithm: "EdDSA"}), keys: 1},
		"RSA of 1024 bits":             {raw: jwks(t, jose.JSONWebKey{Key: rsaKey(1024), KeyID: "a"}), err: ErrNoKeys, text: "1024 bits"},
		"RSA of 16384 bits":            {raw: jwks(t, jose.JSONWebKey{Key: rsaKey(16384), KeyID: "a"}), err: ErrNoKeys, text: "known type"},
		"RSA with an even exponent":    {raw: jwks(t, jose.JSONWebKey{Key: even, KeyID: "a"}), err: ErrNoKeys, text: "exponent"},
		"encryption key":               {raw: jwks(t, jose.JSONWebKey{Key: ec.Public(), KeyID: "a", Use: "enc"}), err: ErrNoKeys, text: "not for signing"},
		"private key":                  {raw: jwks(t, jose.JSONWebKey{Key: ec, KeyID: "a"}), err: ErrNoKeys, text: "not a public key"},
		"symmetric key":                {raw: jwks(t, jose.JSONWebKey{Key: []byte("0123456789abcdef"), KeyID: "a"}), err: ErrNoKeys, text: "not a public key"},
		"HS256 claimed by a key":       {raw: jwks(t, jose.JSONWebKey{Key: rsaKey(2048), KeyID: "a", Algorithm: "HS256"}), err: ErrNoKeys, text: "HS256"},
		"key_ops without verify":       {raw: withOps(`["encrypt"]`), err: ErrNoKeys, text: "verifying"},
		"key_ops with verify":          {raw: withOps(`["verify"]`), keys: 1},
		"key_ops of another type":      {raw: withOps(`7`), err: ErrNoKeys, text: "verifying"},
		"unknown type beside a good":   {raw: []byte(`{"keys":[{"kty":"XX"},` + string(jwks(t, jose.JSONWebKey{Key: ec.Public()})[len(`{"keys":[`):])), keys: 1},
		"certificate that is rubbish":  {raw: []byte(strings.Replace(string(jwks(t, jose.JSONWebKey{Key: ec.Public()})), `{"kty"`, `{"x5c":["AA=="],"x5t":"!","kty"`, 1)), keys: 1},
		"empty":                        {raw: []byte(`{"keys":[]}`), err: ErrNoKeys, text: "empty"},
		"no member keys":               {raw: []byte(`{}`), err: ErrNoKeys, text: "empty"},
		"key that is no object":        {raw: []byte(`{"keys":[1]}`), err: ErrNoKeys, text: "not a JSON object"},
		"many bad keys":                {raw: []byte(`{"keys":[1,2,3,4,5]}`), err: ErrNoKeys, text: "and 2 more"},
		"point that is not on a curve": {raw: []byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`), err: ErrNoKeys, text: "known type"},
		"not JSON":                     {raw: []byte(`<html>`), err: ErrMalformed},
		"array":                        {raw: []byte(`[]`), err: ErrMalformed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := ParseKeys(tc.raw)
			if tc.err != nil {
				if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
					t.Fatalf("ParseKeys = %v, want %v with %q", err, tc.err, tc.text)
				}
				return
			}
			if err != nil || len(set.Keys) != tc.keys {
				t.Fatalf("ParseKeys = %+v, %v, want %d keys", set, err, tc.keys)
			}
		})
	}
}

func TestFingerprintDependsOnlyOnTheKeys(t *testing.T) {
	t.Parallel()
	a, b := ecKey(t), ecKey(t)
	fingerprint := func(keys ...jose.JSONWebKey) string {
		set, err := ParseKeys(jwks(t, keys...))
		if err != nil {
			t.Fatal(err)
		}
		sum, err := set.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	first := fingerprint(jose.JSONWebKey{Key: a.Public(), KeyID: "1"}, jose.JSONWebKey{Key: b.Public(), KeyID: "2"})
	again := fingerprint(jose.JSONWebKey{Key: b.Public(), KeyID: "9", Use: "sig"}, jose.JSONWebKey{Key: a.Public()})
	fewer := fingerprint(jose.JSONWebKey{Key: a.Public(), KeyID: "1"})
	if first != again || first == fewer || !strings.HasPrefix(first, "sha256:") {
		t.Fatalf("fingerprints %q %q %q", first, again, fewer)
	}
}

func TestFingerprintMatchesTheExampleOfRFC7638(t *testing.T) {
	t.Parallel()
	// RFC 7638 §3.1: the thumbprint of this key is NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs.
	raw := `{"keys":[{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}]}`
	set, err := ParseKeys([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	got, err := set.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	want := "sha256:2fc34706e91a2916e8b08d521dc4e1739e7b0396ad92b8cdc23f37ff83683d4a"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestDiscoveryChecksWhatTheIssuerSays(t *testing.T) {
	t.Parallel()
	key := jwks(t, jose.JSONWebKey{Key: ecKey(t).Public(), KeyID: "a", Algorithm: "ES256"})
	plain := jwks(t, jose.JSONWebKey{Key: rsaKey(2048), KeyID: "a"})
	tests := map[string]struct {
		doc     string // BASE stands for the server's URL
		keys    []byte
		aliases []string
		err     error
		text    string
		want    Provider
	}{
		"good": {
			doc: `{"issuer":"BASE","jwks_uri":"BASE/keys","id_token_signing_alg_values_supported":["RS256","HS256","none"]}`, keys: key,
			want: Provider{Issuer: "BASE", JWKSURI: "BASE/keys", Algorithms: []string{"ES256", "RS256"}},
		},
		"no algorithms named": {
			doc: `{"issuer":"BASE","jwks_uri":"BASE/keys"}`, keys: plain,
			want: Provider{Issuer: "BASE", JWKSURI: "BASE/keys", Algorithms: []string{"RS256"}},
		},
		"alias": {
			doc: `{"issuer":"https://new.example/x","jwks_uri":"BASE/keys"}`, keys: plain, aliases: []string{"https://new.example/x"},
			want: Provider{Issuer: "https://new.example/x", JWKSURI: "BASE/keys", Algorithms: []string{"RS256"}},
		},
		"AD FS": {
			doc: `{"issuer":"BASE","access_token_issuer":"http://fs.example/adfs/services/trust","jwks_uri":"BASE/keys"}`, keys: plain,
			want: Provider{Issuer: "BASE", AccessTokenIssuer: "http://fs.example/adfs/services/trust", JWKSURI: "BASE/keys", Algorithms: []string{"RS256"}},
		},
		"same access token issuer": {
			doc: `{"issuer":"BASE","access_token_issuer":"BASE","jwks_uri":"BASE/keys"}`, keys: plain,
			want: Provider{Issuer: "BASE", JWKSURI: "BASE/keys", Algorithms: []string{"RS256"}},
		},
		"other issuer":       {doc: `{"issuer":"https://evil.example","jwks_uri":"BASE/keys"}`, err: ErrIssuerMismatch, text: "evil.example"},
		"slash at the end":   {doc: `{"issuer":"BASE/","jwks_uri":"BASE/keys"}`, err: ErrIssuerMismatch},
		"issuer template":    {doc: `{"issuer":"BASE/{tenantid}","jwks_uri":"BASE/keys"}`, err: ErrIssuerMismatch},
		"no issuer":          {doc: `{"jwks_uri":"BASE/keys"}`, err: ErrIssuerMismatch},
		"no jwks_uri":        {doc: `{"issuer":"BASE"}`, err: ErrMalformed, text: "jwks_uri"},
		"broken jwks_uri":    {doc: `{"issuer":"BASE","jwks_uri":"https://%zz"}`, err: ErrMalformed, text: "jwks_uri"},
		"jwks over http":     {doc: `{"issuer":"BASE","jwks_uri":"http://127.0.0.1/keys"}`, err: ErrNotHTTPS, text: "jwks_uri"},
		"jwks elsewhere":     {doc: `{"issuer":"BASE","jwks_uri":"https://evil.example/keys"}`, err: ErrHostNotAllowed, text: "evil.example"},
		"empty jwks":         {doc: `{"issuer":"BASE","jwks_uri":"BASE/keys"}`, keys: []byte(`{"keys":[]}`), err: ErrNoKeys, text: "empty"},
		"jwks missing":       {doc: `{"issuer":"BASE","jwks_uri":"BASE/nothing"}`, err: ErrStatus, text: "/nothing"},
		"jwks is HTML":       {doc: `{"issuer":"BASE","jwks_uri":"BASE/keys"}`, keys: []byte(`<html>`), err: ErrMalformed, text: "keys at"},
		"document is HTML":   {doc: `<html>`, err: ErrMalformed, text: "OpenID provider"},
		"no document at all": {doc: "", err: ErrStatus, text: "discovery document of issuer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/.well-known/openid-configuration" && tc.doc != "":
					_, _ = io.WriteString(w, strings.ReplaceAll(tc.doc, "BASE", "https://"+r.Host))
				case r.URL.Path == "/keys":
					_, _ = w.Write(tc.keys)
				default:
					http.NotFound(w, r)
				}
			})
			got, err := Discover(t.Context(), newClient(t, policyFor(s)), s.URL, tc.aliases)
			if tc.err != nil {
				if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
					t.Fatalf("Discover = %v, want %v with %q", err, tc.err, tc.text)
				}
				return
			}
			if err != nil {
				t.Fatalf("Discover: %v", err)
			}
			if len(got.Keys.Keys) != 1 || got.Fingerprint == "" {
				t.Fatalf("Discover = %+v, want one key and a fingerprint", got)
			}
			tc.want.Issuer = strings.ReplaceAll(tc.want.Issuer, "BASE", s.URL)
			tc.want.JWKSURI = strings.ReplaceAll(tc.want.JWKSURI, "BASE", s.URL)
			got.Keys, got.Fingerprint = nil, ""
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestIssuerOverHTTPIsRefused(t *testing.T) {
	t.Parallel()
	c := newClient(t, Policy{Hosts: []string{"login.example"}})
	if _, err := Discover(t.Context(), c, "http://login.example", nil); !errors.Is(err, ErrNotHTTPS) || !strings.Contains(err.Error(), `issuer "http://login.example"`) {
		t.Fatalf("Discover = %v, want ErrNotHTTPS that names the issuer", err)
	}
}

func FuzzKeySetsAreParsedOrRefused(f *testing.F) {
	f.Add(jwks(f, jose.JSONWebKey{Key: ecKey(f).Public(), KeyID: "a"}))
	f.Add(jwks(f, jose.JSONWebKey{Key: rsaKey(2048), KeyID: "a"}, jose.JSONWebKey{Key: rsaKey(512)}))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(make([]byte, 32)) + `"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"AKP"},{"kty":"oct","k":"AA"},null,[]]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := ParseKeys(raw)
		if err != nil {
			if !errors.Is(err, ErrNoKeys) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("ParseKeys = %v, want a known kind", err)
			}
			return
		}
		for i := range set.Keys {
			if !set.Keys[i].IsPublic() {
				t.Fatalf("key %d is not public", i)
			}
		}
		if _, err := set.Fingerprint(); err != nil {
			t.Fatalf("Fingerprint: %v", err)
		}
	})
}

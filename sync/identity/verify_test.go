package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newVerifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	v := NewVerifier(o)
	t.Cleanup(v.Close)
	return v
}

func verify(t testing.TB, v *Verifier, raw string, issuer *tenantdoc.Issuer) (*Token, error) {
	t.Helper()
	parsed, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	return v.Verify(t.Context(), parsed, issuer)
}

func wantReason(t testing.TB, err error, code Code, reason Reason) {
	t.Helper()
	var own *Error
	if !errors.As(err, &own) {
		t.Fatalf("error %v is no *Error", err)
	}
	if own.Code != code || own.Reason != reason || own.Detail == "" {
		t.Fatalf("error %q %q %q, want %q %q", own.Code, own.Reason, own.Detail, code, reason)
	}
}

func unsigned(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return encode(header) + "." + encode(claims) + "."
}

func TestGoodTokenIsBelieved(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	v := newVerifier(t, Options{})
	changes := map[string]any{"scope": "mail openid", "aud": []string{"other", identitytest.Audience}}
	got, err := verify(t, v, i.Token(t, noon, changes), &doc)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	want := &Token{
		Authority: i.URL(), Subject: "user-1", ClientID: "phone", TokenID: "token-1", Scopes: []string{"mail", "openid"},
		IssuedAt: noon, Expires: noon.Add(time.Hour),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Token{}, "Claims")); diff != "" {
		t.Fatal(diff)
	}
	if got.Claims.String("email") != "user@agency.example" {
		t.Fatalf("claims %v", got.Claims)
	}
	if _, err := verify(t, v, identitytest.Sign(t, i.Key(), "application/AT+JWT", i.Claims(noon, nil)), &doc); err != nil {
		t.Fatalf("long media type: %v", err)
	}
}

func TestBadTokenIsRefused(t *testing.T) {
	t.Parallel()
	i, stranger := identitytest.New(t), identitytest.New(t)
	doc := i.Document()
	doc.Aliases = []string{"https://old.example"}
	doc.ClientIDs = []string{"phone"}
	doc.Scopes = []string{"mail"}
	v := newVerifier(t, Options{MaxAge: 8 * time.Hour})
	good := map[string]any{"scope": "mail"}
	token := func(changes map[string]any) string {
		all := map[string]any{"scope": "mail"}
		maps.Copy(all, changes)
		return i.Token(t, noon, all)
	}
	current := i.Key()
	publicDER, err := x509.MarshalPKIXPublicKey(current.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER})
	sameKid := stranger.Key()
	sameKid.KeyID = i.Key().KeyID
	parts := strings.Split(token(nil), ".")
	tests := map[string]struct {
		raw    string
		code   Code
		reason Reason
	}{
		"expired":                    {raw: token(map[string]any{"exp": noon.Add(-Skew).Unix()}), reason: ReasonExpired},
		"not yet valid":              {raw: token(map[string]any{"nbf": noon.Add(Skew + time.Second).Unix()}), reason: ReasonNotYetValid},
		"issued in the future":       {raw: token(map[string]any{"iat": noon.Add(Skew + time.Second).Unix()}), reason: ReasonNotYetValid},
		"too old":                    {raw: token(map[string]any{"iat": noon.Add(-9 * time.Hour).Unix()}), reason: ReasonTooOld},
		"other audience":             {raw: token(map[string]any{"aud": "https://other.example"}), reason: ReasonAudience},
		"audience of another type":   {raw: token(map[string]any{"aud": 7}), reason: ReasonAudience},
		"audience with a slash":      {raw: token(map[string]any{"aud": identitytest.Audience + "/"}), reason: ReasonAudience},
		"other issuer":               {raw: token(map[string]any{"iss": "https://evil.example"}), reason: ReasonIssuer},
		"issuer with a slash":        {raw: token(map[string]any{"iss": i.URL() + "/"}), reason: ReasonIssuer},
		"no issuer":                  {raw: token(map[string]any{"iss": nil}), reason: ReasonIssuer},
		"other client":               {raw: token(map[string]any{"client_id": "desktop"}), reason: ReasonClient},
		"no scope":                   {raw: token(map[string]any{"scope": nil}), code: CodeInsufficientScope, reason: ReasonScope},
		"other scope":                {raw: token(map[string]any{"scope": "mailx calendar"}), code: CodeInsufficientScope, reason: ReasonScope},
		"bound to a key":             {raw: token(map[string]any{"cnf": map[string]any{"jkt": "x"}}), reason: ReasonSenderConstrained},
		"exp as a string":            {raw: token(map[string]any{"exp": "tomorrow"}), reason: ReasonClaims},
		"exp beyond time":            {raw: token(map[string]any{"exp": json.Number("1e300")}), reason: ReasonClaims},
		"exp below zero":             {raw: token(map[string]any{"exp": -1}), reason: ReasonClaims},
		"nbf as a string":            {raw: token(map[string]any{"nbf": "never"}), reason: ReasonClaims},
		"iat as a list":              {raw: token(map[string]any{"iat": []int{1}}), reason: ReasonClaims},
		"sub as a number":            {raw: token(map[string]any{"sub": 7}), reason: ReasonClaims},
		"empty sub":                  {raw: token(map[string]any{"sub": ""}), reason: ReasonClaims},
		"ID token":                   {raw: identitytest.Sign(t, i.Key(), "JWT", i.Claims(noon, good)), reason: ReasonType},
		"no typ":                     {raw: identitytest.Sign(t, i.Key(), "", i.Claims(noon, good)), reason: ReasonType},
		"alg none":                   {raw: unsigned(t, map[string]any{"alg": "none", "typ": "at+jwt"}, i.Claims(noon, good)), reason: ReasonAlgorithm},
		"alg None":                   {raw: unsigned(t, map[string]any{"alg": "None", "typ": "at+jwt"}, i.Claims(noon, good)), reason: ReasonAlgorithm},
		"no alg":                     {raw: unsigned(t, map[string]any{"typ": "at+jwt"}, i.Claims(noon, good)), reason: ReasonAlgorithm},
		"HS256 with the public key":  {raw: identitytest.Sign(t, jose.JSONWebKey{Key: publicPEM, KeyID: i.Key().KeyID, Algorithm: "HS256"}, "at+jwt", i.Claims(noon, good)), reason: ReasonAlgorithm},
		"algorithm not listed":       {raw: signedWith(t, i, "ES384"), reason: ReasonAlgorithm},
		"RS256 for an EC key":        {raw: signedWith(t, i, "RS256"), reason: ReasonUnknownKey},
		"unknown key":                {raw: identitytest.Sign(t, stranger.Key(), "at+jwt", i.Claims(noon, good)), reason: ReasonUnknownKey},
		"unknown key without a name": {raw: identitytest.Sign(t, jose.JSONWebKey{Key: stranger.Key().Key, Algorithm: "ES256"}, "at+jwt", i.Claims(noon, good)), reason: ReasonUnknownKey},
		"forged under a known name":  {raw: identitytest.Sign(t, sameKid, "at+jwt", i.Claims(noon, good)), reason: ReasonSignature},
		"no signature":               {raw: parts[0] + "." + parts[1] + ".", reason: ReasonSignature},
		"changed payload":            {raw: parts[0] + "." + strings.Split(token(map[string]any{"sub": "user-2"}), ".")[1] + "." + parts[2], reason: ReasonSignature},
		"signature that is no text":  {raw: parts[0] + "." + parts[1] + ".!", reason: ReasonMalformed},
		"empty":                      {raw: "", reason: ReasonMalformed},
		"opaque":                     {raw: "opaque", reason: ReasonMalformed},
		"encrypted":                  {raw: "a.b.c.d.e", reason: ReasonMalformed},
		"header that is no JSON":     {raw: "e30x.e30.", reason: ReasonMalformed},
		"payload that is no object":  {raw: "e30.W10.", reason: ReasonMalformed},
		"payload null":               {raw: "e30.bnVsbA.", reason: ReasonMalformed},
		"payload with a tail":        {raw: "e30." + base64.RawURLEncoding.EncodeToString([]byte("{}]")) + ".", reason: ReasonMalformed},
		"member twice":               {raw: "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"a","sub":"b"}`)) + ".", reason: ReasonMalformed},
		"padding":                    {raw: "e30=.e30=.", reason: ReasonMalformed},
		"crit":                       {raw: unsigned(t, map[string]any{"alg": "ES256", "typ": "at+jwt", "crit": []string{"x"}}, nil2object()), reason: ReasonMalformed},
		"b64":                        {raw: unsigned(t, map[string]any{"alg": "ES256", "typ": "at+jwt", "b64": false}, nil2object()), reason: ReasonMalformed},
		"alg as a number":            {raw: unsigned(t, map[string]any{"alg": 7, "typ": "at+jwt"}, nil2object()), reason: ReasonMalformed},
		"too large":                  {raw: token(map[string]any{"groups": strings.Repeat("x", MaxTokenBytes)}), reason: ReasonMalformed},
	}
	for _, name := range []string{"exp", "aud", "sub", "client_id", "iat", "jti"} {
		tests["without "+name] = struct {
			raw    string
			code   Code
			reason Reason
		}{raw: token(map[string]any{name: nil}), reason: ReasonClaims}
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.code == "" {
				tc.code = CodeInvalidToken
			}
			got, err := verify(t, v, tc.raw, &doc)
			if got != nil {
				t.Fatalf("Verify = %+v", got)
			}
			wantReason(t, err, tc.code, tc.reason)
			if tc.raw != "" && len(tc.raw) > 20 && strings.Contains(err.Error(), tc.raw[:20]) {
				t.Fatalf("the error %q quotes the token", err)
			}
		})
	}
}

func nil2object() map[string]any { return map[string]any{} }

// signedWith makes a token of the issuer's claims under its key id, signed by a key
// of another algorithm.
func signedWith(t testing.TB, i *identitytest.Issuer, alg string) string {
	t.Helper()
	key := jose.JSONWebKey{KeyID: i.Key().KeyID, Algorithm: alg}
	var err error
	switch alg {
	case "ES384":
		key.Key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		key.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return identitytest.Sign(t, key, "at+jwt", i.Claims(noon, map[string]any{"scope": "mail"}))
}

func TestTimesWithinTheSkewAreAccepted(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	v := newVerifier(t, Options{MaxAge: time.Hour})
	for name, changes := range map[string]map[string]any{
		"expired just now":    {"exp": noon.Add(-Skew + time.Second).Unix()},
		"valid in a moment":   {"nbf": noon.Add(Skew).Unix(), "iat": noon.Add(Skew).Unix()},
		"no nbf":              {"nbf": nil},
		"fraction of seconds": {"exp": float64(noon.Unix()) + 0.5},
		"oldest":              {"iat": noon.Add(-time.Hour - Skew).Unix()},
	} {
		if _, err := verify(t, v, i.Token(t, noon, changes), &doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEachAcceptedAlgorithmVerifies(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	keys := map[string]any{
		"RS256": rsaKey, "RS384": rsaKey, "RS512": rsaKey, "PS256": rsaKey, "PS384": rsaKey, "PS512": rsaKey,
		"ES256": curve(elliptic.P256()), "ES384": curve(elliptic.P384()), "ES512": curve(elliptic.P521()), "EdDSA": edKey,
	}
	for alg, private := range keys {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			i := identitytest.New(t)
			key := jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: alg}
			published := key.Public()
			published.Algorithm = "" // the type of the key must do
			i.Publish(published)
			doc := i.Document()
			doc.Algorithms = []string{alg}
			if _, err := verify(t, newVerifier(t, Options{}), identitytest.Sign(t, key, "at+jwt", i.Claims(noon, nil)), &doc); err != nil {
				t.Fatalf("Verify: %v", err)
			}
			published.Algorithm = "RS256"
			if alg == "RS256" {
				published.Algorithm = "PS256"
			}
			i.Publish(published)
			_, err := verify(t, newVerifier(t, Options{}), identitytest.Sign(t, key, "at+jwt", i.Claims(noon, nil)), &doc)
			wantReason(t, err, CodeInvalidToken, ReasonUnknownKey)
		})
	}
}

func TestKeyThatATokenBringsAlongIsNotUsed(t *testing.T) {
	t.Parallel()
	i, stranger := identitytest.New(t), identitytest.New(t)
	doc := i.Document()
	payload, err := json.Marshal(i.Claims(noon, nil))
	if err != nil {
		t.Fatal(err)
	}
	opts := &jose.SignerOptions{EmbedJWK: true, ExtraHeaders: map[jose.HeaderKey]any{"typ": "at+jwt", "jku": stranger.URL() + "/keys"}}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: "ES256", Key: stranger.Key()}, opts)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	_, err = verify(t, newVerifier(t, Options{}), raw, &doc)
	wantReason(t, err, CodeInvalidToken, ReasonUnknownKey)
	if n := stranger.Fetches(); n != 0 {
		t.Fatalf("jku was followed %d times", n)
	}
}

func TestUnknownProfileIsRefused(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	doc.Profile = "new"
	_, err := verify(t, newVerifier(t, Options{}), i.Token(t, noon, nil), &doc)
	wantReason(t, err, CodeUnavailable, ReasonIssuer)
}

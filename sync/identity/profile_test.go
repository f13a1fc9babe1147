package identity

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
)

const (
	directory = "5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11"
	object    = "0B9D8C7E-6F5A-4B3C-8D2E-1F0A9B8C7D6E"
	apiID     = "bb0a297b-6a42-4a55-ac40-09a501456577"
)

// entraV2 are the claims of a version 2.0 token, as documented; v1 changes them.
func entraClaims(i *identitytest.Issuer, changes map[string]any) map[string]any {
	all := map[string]any{
		"iss": i.URL() + "/v2.0", "aud": apiID, "ver": "2.0", "azp": "phone", "scp": "Mail.Sync", "uti": "uti-1",
		"tid": directory, "oid": object, "sub": "pairwise", "client_id": nil, "jti": nil,
	}
	maps.Copy(all, changes)
	return i.Claims(noon, all)
}

func entraIssuer(i *identitytest.Issuer) tenantdoc.Issuer {
	doc := i.Document()
	doc.Profile = tenantdoc.ProfileEntra
	doc.Issuer = i.URL() + "/v2.0"
	doc.Aliases = []string{"https://sts.example/" + directory + "/"}
	doc.Audiences = []string{"api://" + apiID, "api://bailiwick-sync"}
	doc.DirectoryID = directory
	doc.Scopes = []string{"Mail.Sync"}
	return doc
}

var entraV1 = map[string]any{"iss": "https://sts.example/" + directory + "/", "ver": "1.0", "azp": nil, "appid": "phone", "aud": "api://bailiwick-sync/"}

func TestEntraTokensOfBothVersionsAreTheSameUser(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := entraIssuer(i)
	v := newVerifier(t, Options{})
	v2, err := verify(t, v, identitytest.Sign(t, i.Key(), "JWT", entraClaims(i, nil)), &doc)
	if err != nil {
		t.Fatalf("version 2.0: %v", err)
	}
	v1, err := verify(t, v, identitytest.Sign(t, i.Key(), "JWT", entraClaims(i, entraV1)), &doc)
	if err != nil {
		t.Fatalf("version 1.0: %v", err)
	}
	if diff := cmp.Diff(v1, v2, cmpopts.IgnoreFields(Token{}, "Claims")); diff != "" {
		t.Fatal(diff)
	}
	want := &Token{
		Authority: "entra:" + directory, Subject: "0b9d8c7e-6f5a-4b3c-8d2e-1f0a9b8c7d6e", ClientID: "phone", TokenID: "uti-1", Scopes: []string{"Mail.Sync"},
		IssuedAt: v2.IssuedAt, Expires: v2.Expires,
	}
	if diff := cmp.Diff(want, v2, cmpopts.IgnoreFields(Token{}, "Claims")); diff != "" {
		t.Fatal(diff)
	}
}

func TestEntraTokenIsHeldAgainstItsProfile(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := entraIssuer(i)
	v := newVerifier(t, Options{})
	tests := map[string]struct {
		typ     string
		changes map[string]any
		code    Code
		reason  Reason
	}{
		"RFC 9068 type":            {typ: "at+jwt", reason: ReasonType},
		"other directory":          {changes: map[string]any{"tid": "11111111-0c1d-4a52-9d1a-6a3f0b7c9d11"}, reason: ReasonDirectory},
		"no directory":             {changes: map[string]any{"tid": nil}, reason: ReasonClaims},
		"no object id":             {changes: map[string]any{"oid": nil}, reason: ReasonClaims},
		"no version":               {changes: map[string]any{"ver": nil}, reason: ReasonClaims},
		"unknown version":          {changes: map[string]any{"ver": "3.0"}, reason: ReasonClaims},
		"client of version 1 in 2": {changes: map[string]any{"azp": nil, "appid": "phone"}, reason: ReasonClaims},
		"application":              {changes: map[string]any{"scp": nil, "roles": []string{"Mail.Sync"}}, code: CodeInsufficientScope, reason: ReasonApplication},
		"application by type":      {changes: map[string]any{"idtyp": "app"}, code: CodeInsufficientScope, reason: ReasonApplication},
		"other scope":              {changes: map[string]any{"scp": "User.Read"}, code: CodeInsufficientScope, reason: ReasonScope},
		"Graph's audience":         {changes: map[string]any{"aud": "https://graph.microsoft.us"}, reason: ReasonAudience},
		"other id":                 {changes: map[string]any{"aud": "cc0a297b-6a42-4a55-ac40-09a501456577"}, reason: ReasonAudience},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.typ == "" {
				tc.typ = "JWT"
			}
			if tc.code == "" {
				tc.code = CodeInvalidToken
			}
			_, err := verify(t, v, identitytest.Sign(t, i.Key(), tc.typ, entraClaims(i, tc.changes)), &doc)
			wantReason(t, err, tc.code, tc.reason)
		})
	}
}

func TestEntraWritesOneAudienceInSeveralWays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		token, configured string
		want              bool
	}{
		"same":                     {"api://bailiwick-sync", "api://bailiwick-sync", true},
		"slash in the token":       {"api://bailiwick-sync/", "api://bailiwick-sync", true},
		"slash in the document":    {"api://bailiwick-sync", "api://bailiwick-sync/", true},
		"id for URI":               {apiID, "api://" + apiID, true},
		"URI for id":               {"api://" + apiID, apiID, true},
		"id in another case":       {"BB0A297B-6A42-4A55-AC40-09A501456577", apiID, true},
		"name without api":         {"bailiwick-sync", "api://bailiwick-sync", false},
		"name in another case":     {"api://Bailiwick-sync", "api://bailiwick-sync", false},
		"path":                     {"api://bailiwick-sync/x", "api://bailiwick-sync", false},
		"almost an id":             {"api://" + apiID[1:], apiID[1:], false},
		"letters that are not hex": {"api://zz0a297b-6a42-4a55-ac40-09a501456577", "zz0a297b-6a42-4a55-ac40-09a501456577", false},
	}
	for name, tc := range tests {
		if got := sameEntraAudience(tc.token, tc.configured); got != tc.want {
			t.Errorf("%s: %q and %q = %v", name, tc.token, tc.configured, got)
		}
	}
}

func TestGroupOverageIsNeverFollowed(t *testing.T) {
	t.Parallel()
	i, elsewhere := identitytest.New(t), identitytest.New(t)
	doc := entraIssuer(i)
	changes := map[string]any{
		"_claim_names":   map[string]any{"groups": "src1"},
		"_claim_sources": map[string]any{"src1": map[string]any{"endpoint": elsewhere.URL() + "/groups"}},
	}
	if _, err := verify(t, newVerifier(t, Options{}), identitytest.Sign(t, i.Key(), "JWT", entraClaims(i, changes)), &doc); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if i.Fetches() != 1 || elsewhere.Fetches() != 0 {
		t.Fatalf("%d fetches at the issuer, %d elsewhere", i.Fetches(), elsewhere.Fetches())
	}
}

func TestADFSTokenIsHeldAgainstItsProfile(t *testing.T) {
	t.Parallel()
	i := identitytest.New(t)
	doc := i.Document()
	doc.Profile = tenantdoc.ProfileADFS
	doc.Aliases = []string{"http://fs.example/adfs/services/trust"}
	doc.Audiences = []string{"microsoft:identityserver:" + apiID}
	v := newVerifier(t, Options{})
	base := map[string]any{
		"iss": "http://fs.example/adfs/services/trust", "aud": "microsoft:identityserver:" + apiID, "appid": "phone", "apptype": "Public",
		"scp": "openid mail", "ver": "1.0", "client_id": nil, "jti": nil, "nbf": nil, "upn": "user@agency.example",
	}
	sign := func(typ string, changes map[string]any) string {
		all := maps.Clone(base)
		maps.Copy(all, changes)
		return identitytest.Sign(t, i.Key(), typ, i.Claims(noon, all))
	}
	got, err := verify(t, v, sign("JWT", nil), &doc)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if got.Authority != doc.Issuer || got.Subject != "user-1" || got.ClientID != "phone" || len(got.Scopes) != 2 {
		t.Fatalf("Verify = %+v", got)
	}
	if got, err := verify(t, v, sign("JWT", map[string]any{"appid": nil, "client_id": "desktop"}), &doc); err != nil || got.ClientID != "desktop" {
		t.Fatalf("client_id: %+v, %v", got, err)
	}
	for name, tc := range map[string]struct {
		raw    string
		reason Reason
	}{
		"RFC 9068 type": {sign("at+jwt", nil), ReasonType},
		"no sub":        {sign("JWT", map[string]any{"sub": nil}), ReasonClaims},
		"no client":     {sign("JWT", map[string]any{"appid": nil}), ReasonClaims},
		"other issuer":  {sign("JWT", map[string]any{"iss": "http://fs2.example/adfs/services/trust"}), ReasonIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := verify(t, v, tc.raw, &doc)
			wantReason(t, err, CodeInvalidToken, tc.reason)
		})
	}
}

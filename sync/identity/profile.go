package identity

import (
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

// profile is what differs between issuers: which header and claims their access
// tokens carry, and which of them identify the user.
type profile struct {
	// types are the accepted "typ" headers, lower case.
	types []string
	// required are claims that must be present and not empty.
	required []string
	// client names the claims that carry the client application.
	client func(Claims) string
	// tokenID names the claim that identifies the token.
	tokenID string
	// scope names the claim that carries the scopes.
	scope string
	// audience tells whether a token's audience is the configured one.
	audience func(token, configured string) bool
	// check holds further rules.
	check func(Claims, *tenantdoc.Issuer) *Error
	// account gives the authority and the subject that key the account. They stay
	// the same for a user over every client, token version and spelling of "iss".
	account func(Claims, *tenantdoc.Issuer) (authority, subject string)
}

// profiles are the rules by name; the package comment says what they mean.
var profiles = map[tenantdoc.Profile]profile{
	tenantdoc.ProfileRFC9068: {
		types:    []string{"at+jwt", "application/at+jwt"},
		required: []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"},
		client:   func(c Claims) string { return c.String("client_id") },
		tokenID:  "jti",
		scope:    "scope",
		audience: sameAudience,
		check:    noFurtherRule,
		account:  accountBySubject,
	},
	tenantdoc.ProfileEntra: {
		types:    []string{"jwt"},
		required: []string{"iss", "exp", "aud", "iat", "ver", "tid", "oid"},
		client:   entraClient,
		tokenID:  "uti",
		scope:    "scp",
		audience: sameEntraAudience,
		check:    checkEntra,
		account:  entraAccount,
	},
	tenantdoc.ProfileADFS: {
		types:    []string{"jwt"},
		required: []string{"iss", "exp", "aud", "iat", "sub"},
		client:   func(c Claims) string { return c.First("appid", "client_id") },
		tokenID:  "jti",
		scope:    "scp",
		audience: sameAudience,
		check:    noFurtherRule,
		account:  accountBySubject,
	},
}

func noFurtherRule(Claims, *tenantdoc.Issuer) *Error { return nil }

func sameAudience(token, configured string) bool { return token == configured }

func accountBySubject(c Claims, s *tenantdoc.Issuer) (authority, subject string) {
	return s.Issuer, c.String("sub")
}

// entraAccount leaves the issuer's name out: versions 1.0 and 2.0 of the same user's
// token have different ones, and authority hosts were renamed before. A region is in
// one cloud, so the directory id says it all.
func entraAccount(c Claims, _ *tenantdoc.Issuer) (authority, subject string) {
	return "entra:" + strings.ToLower(c.String("tid")), strings.ToLower(c.String("oid"))
}

func entraClient(c Claims) string {
	if c.String("ver") == "1.0" {
		return c.String("appid")
	}
	return c.String("azp")
}

// sameEntraAudience knows that Entra writes one audience in several ways: with and
// without a slash at the end, and as a client id alone or behind "api://".
func sameEntraAudience(token, configured string) bool {
	return entraAudience(token) == entraAudience(configured)
}

func entraAudience(s string) string {
	s = strings.TrimSuffix(s, "/")
	if id, ok := strings.CutPrefix(s, "api://"); ok && isGUID(id) {
		s = id
	}
	if isGUID(s) {
		return strings.ToLower(s)
	}
	return s
}

func isGUID(s string) bool {
	const pattern = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"
	if len(s) != len(pattern) {
		return false
	}
	for i := range len(s) {
		if (pattern[i] == '-') != (s[i] == '-') || (pattern[i] == 'h' && !isHex(s[i])) {
			return false
		}
	}
	return true
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func checkEntra(c Claims, s *tenantdoc.Issuer) *Error {
	if ver := c.String("ver"); ver != "1.0" && ver != "2.0" {
		return invalidToken(ReasonClaims, "the claim ver of the access token is neither 1.0 nor 2.0: use an access token of Microsoft Entra ID")
	}
	if !strings.EqualFold(c.String("tid"), s.DirectoryID) {
		return invalidToken(ReasonDirectory, "the access token is of another directory: sign in with an account of the tenant's directory")
	}
	if c.String("idtyp") == "app" || len(c.Words("scp")) == 0 {
		return &Error{Code: CodeInsufficientScope, Reason: ReasonApplication, Detail: "the access token is an application's own and stands for no user: sign in as a user", Scope: slices.Clone(s.Scopes)}
	}
	return nil
}

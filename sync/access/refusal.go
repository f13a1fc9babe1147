package access

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/identity"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// Types of the problems that the gate answers with (RFC 7807 §3.1).
const (
	// ProblemUnauthenticated tells that the access token is missing or refused.
	ProblemUnauthenticated = "https://bailiwick.dev/problems/unauthenticated"
	// ProblemKeys tells that the token cannot be judged now.
	ProblemKeys = "https://bailiwick.dev/problems/issuer-unreachable"
	// ProblemSuspended tells that the tenant is suspended.
	ProblemSuspended = "https://bailiwick.dev/problems/tenant-suspended"
	// ProblemAddress tells that the token names no mailbox of the tenant.
	ProblemAddress = "https://bailiwick.dev/problems/no-mailbox-address"
	// ProblemLocation tells that the token names a location that the tenant does not
	// have.
	ProblemLocation = "https://bailiwick.dev/problems/unknown-location"
	// ProblemElsewhere tells that the mailbox lives in another region, whose URL is in
	// the member "region".
	ProblemElsewhere = "https://bailiwick.dev/problems/mailbox-elsewhere"
)

// retryAfter is the hint, in seconds, to come back when the issuer answers again.
const retryAfter = "10"

// denial is a refusal and its reason in one word, for the log.
type denial struct {
	reason  string
	refusal *jmap.Refusal
	cause   error // what the administrator, and not the client, has to know
}

func newDenial(reason string, status int, typ, title, detail string) *denial {
	return &denial{reason: reason, refusal: &jmap.Refusal{
		Status:  status,
		Header:  http.Header{},
		Problem: jmap.Problem{Type: typ, Title: title, Status: status, Detail: detail},
	}}
}

// deny turns the error of a token into the answer that RFC 6750 §3 asks for.
func (g *Gate) deny(err error) *denial {
	var refused *identity.Error
	if !errors.As(err, &refused) {
		return newDenial("cancelled", http.StatusServiceUnavailable, ProblemKeys, "The request was given up", "the request was given up before its access token was judged: try again")
	}
	status := map[identity.Code]int{
		identity.CodeInvalidRequest:    http.StatusBadRequest,
		identity.CodeInsufficientScope: http.StatusForbidden,
		identity.CodeUnavailable:       http.StatusServiceUnavailable,
	}[refused.Code]
	if status == 0 {
		status = http.StatusUnauthorized
	}
	if refused.Code == identity.CodeUnavailable {
		d := newDenial(string(refused.Reason), status, ProblemKeys, "The identity provider cannot be reached", refused.Detail)
		d.refusal.Header.Set("Retry-After", retryAfter)
		d.cause = refused.Unwrap()
		return d
	}
	d := newDenial(string(refused.Reason), status, ProblemUnauthenticated, "The access token is missing or refused", refused.Detail)
	d.refusal.Header.Set("WWW-Authenticate", g.challenge(refused))
	return d
}

// challenge makes the WWW-Authenticate header: RFC 6750 §3, with the metadata that
// tells a client where to get a token (RFC 9728 §5.1).
func (g *Gate) challenge(refused *identity.Error) string {
	params := []string{`resource_metadata="` + quotable(g.o.MetadataURL) + `"`}
	if refused.Code != identity.CodeMissing {
		params = append(params, `error="`+string(refused.Code)+`"`, `error_description="`+quotable(refused.Detail)+`"`)
	}
	if len(refused.Scope) > 0 {
		params = append(params, `scope="`+quotable(strings.Join(refused.Scope, " "))+`"`)
	}
	return "Bearer " + strings.Join(params, ", ")
}

// quotable keeps to the characters that RFC 6750 §3 allows in a value.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		default:
			return r
		}
	}, s)
}

func denySuspended() *denial {
	return newDenial("suspended", http.StatusForbidden, ProblemSuspended, "The tenant is suspended", "the tenant is suspended: ask its administrator")
}

func denyAddress(claim, fault string) *denial {
	return newDenial("address", http.StatusForbidden, ProblemAddress, "The access token names no mailbox of the tenant",
		fmt.Sprintf("the address in the claim %q of the access token %s: sign in with the account of a mailbox, or have the tenant's administrator correct the claim or the domains", claim, fault))
}

func denyLocation(claim string) *denial {
	return newDenial("location", http.StatusForbidden, ProblemLocation, "The location of the mailbox is unknown",
		fmt.Sprintf("the claim %q of the access token names a location in which the tenant has no region: have the administrator correct the user's preferred data location, or add the region to the tenant", claim))
}

func denyElsewhere(region tenantdoc.Region) *denial {
	d := newDenial("elsewhere", http.StatusMisdirectedRequest, ProblemElsewhere, "The mailbox lives in another region",
		fmt.Sprintf("the mailbox lives in %s: send requests to %s", region.Geography, region.URL))
	d.refusal.HomeURL = region.URL
	d.refusal.Problem.Fields = map[string]any{"region": map[string]string{"geography": region.Geography, "url": region.URL}}
	return d
}

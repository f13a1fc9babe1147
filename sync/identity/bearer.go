package identity

import (
	"net/http"
	"strings"
)

// Bearer takes the access token from a request's Authorization header (RFC 6750
// §2.1). A token in the query is refused, because it ends up in logs (§2.3, §5.3),
// and a second Authorization header too, because two readers may pick two of them.
// Errors are of type *Error.
func Bearer(r *http.Request) (string, error) {
	if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		return "", &Error{Code: CodeInvalidRequest, Reason: ReasonQuery, Detail: "the access token is in the query: send it in the Authorization header, and revoke this one"}
	}
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) == 0:
		return "", &Error{Code: CodeMissing, Reason: ReasonMissing, Detail: "no access token: send one in the Authorization header as Bearer"}
	case len(headers) > 1:
		return "", &Error{Code: CodeInvalidRequest, Reason: ReasonDuplicate, Detail: "more than one Authorization header: send exactly one"}
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &Error{Code: CodeMissing, Reason: ReasonMissing, Detail: "the authorization scheme is not Bearer: sign in with the tenant's identity provider, there is no password here"}
	}
	token = strings.TrimLeft(token, " ")
	if !isToken68(token) {
		return "", &Error{Code: CodeInvalidRequest, Reason: ReasonMalformed, Detail: "the Authorization header is not Bearer followed by one token: send exactly that"}
	}
	return token, nil
}

// isToken68 holds a string against the b64token rule of RFC 6750 §2.1.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	return strings.IndexFunc(body, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	}) < 0
}

package identity

// Code is the error code of RFC 6750 §3.1 that a refused token leads to.
type Code string

// The codes. The first three are RFC 6750's.
const (
	// CodeInvalidRequest: the request carries its token wrongly. HTTP 400.
	CodeInvalidRequest Code = "invalid_request"
	// CodeInvalidToken: the token is malformed, expired or not for this server. HTTP 401.
	CodeInvalidToken Code = "invalid_token"
	// CodeInsufficientScope: the token is good and does not allow this. HTTP 403.
	CodeInsufficientScope Code = "insufficient_scope"
	// CodeMissing: the request carries no token. HTTP 401 without an error code, as
	// RFC 6750 §3.1 asks.
	CodeMissing Code = ""
	// CodeUnavailable: the token cannot be judged now, because the issuer's keys
	// cannot be fetched. HTTP 503.
	CodeUnavailable Code = "temporarily_unavailable"
)

// Reason says in one word why a token was refused, for logs and metrics.
type Reason string

// The reasons.
const (
	ReasonMissing           Reason = "missing"
	ReasonDuplicate         Reason = "duplicate"
	ReasonQuery             Reason = "query"
	ReasonMalformed         Reason = "malformed"
	ReasonType              Reason = "type"
	ReasonAlgorithm         Reason = "algorithm"
	ReasonIssuer            Reason = "issuer"
	ReasonUnknownKey        Reason = "unknown-key"
	ReasonSignature         Reason = "signature"
	ReasonKeysUnavailable   Reason = "keys-unavailable"
	ReasonExpired           Reason = "expired"
	ReasonTooOld            Reason = "too-old"
	ReasonNotYetValid       Reason = "not-yet-valid"
	ReasonAudience          Reason = "audience"
	ReasonDirectory         Reason = "directory"
	ReasonClaims            Reason = "claims"
	ReasonClient            Reason = "client"
	ReasonScope             Reason = "scope"
	ReasonApplication       Reason = "application"
	ReasonSenderConstrained Reason = "sender-constrained"
)

// Error tells why a token was refused. It never quotes the token.
type Error struct {
	// Code selects the HTTP status and the challenge.
	Code Code
	// Reason is for logs.
	Reason Reason
	// Detail says what is wrong and what to do, for the person who reads the answer.
	Detail string
	// Scope lists the scopes of which one is needed, with CodeInsufficientScope.
	Scope []string

	cause error
}

// Error is the reason and the detail.
func (e *Error) Error() string {
	return string(e.Reason) + ": " + e.Detail
}

// Unwrap gives the cause, or nil.
func (e *Error) Unwrap() error {
	return e.cause
}

func invalidToken(reason Reason, detail string) *Error {
	return &Error{Code: CodeInvalidToken, Reason: reason, Detail: detail}
}

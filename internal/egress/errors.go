package egress

import "errors"

// The kinds of failure, for errors.Is. The message of each error says what is
// wrong, where, and the remedy; it holds no time and no port of this process, so
// the same problem always gives the same message.
var (
	// ErrBadPolicy means that the policy itself cannot be used.
	ErrBadPolicy = errors.New("egress policy invalid")
	// ErrBadURL means that the URL cannot be parsed or carries a user, a fragment or
	// no host.
	ErrBadURL = errors.New("url invalid")
	// ErrNotHTTPS means that the URL has another scheme than https.
	ErrNotHTTPS = errors.New("url is not https")
	// ErrHostNotAllowed means that the host is not on the list.
	ErrHostNotAllowed = errors.New("host not allowed")
	// ErrAddressRefused means that the host is at an address that may not be dialled.
	ErrAddressRefused = errors.New("address refused")
	// ErrRedirect means that the host redirects elsewhere or without end.
	ErrRedirect = errors.New("redirect refused")
	// ErrUntrusted means that the host's certificate is not trusted.
	ErrUntrusted = errors.New("certificate not trusted")
	// ErrUnreachable means that no answer came.
	ErrUnreachable = errors.New("host unreachable")
	// ErrStatus means that the answer is not 200.
	ErrStatus = errors.New("unexpected status")
	// ErrTooLarge means that the answer is larger than the policy allows.
	ErrTooLarge = errors.New("answer too large")
	// ErrMalformed means that the answer is not the document that was asked for.
	ErrMalformed = errors.New("document malformed")
	// ErrIssuerMismatch means that a discovery document speaks for another issuer.
	ErrIssuerMismatch = errors.New("issuer mismatch")
	// ErrNoKeys means that a JWKS holds no key that may verify signatures.
	ErrNoKeys = errors.New("no usable signing key")
)

// Error is a failure of one of the kinds above.
type Error struct {
	// Kind is one of the sentinel errors of this package.
	Kind error
	// Detail says where and what to do.
	Detail string

	cause error
}

// Error is the kind and the detail. The cause is left out: its text may differ from
// one attempt to the next.
func (e *Error) Error() string {
	return e.Kind.Error() + ": " + e.Detail
}

// Unwrap gives the kind and, where there is one, the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

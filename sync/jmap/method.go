package jmap

import (
	"context"
	"encoding/json"
	"strings"
)

// CoreCapability is the URI of JMAP Core (RFC 8620 §2).
const CoreCapability = "urn:ietf:params:jmap:core"

// Method processes one method call. The result is encoded with encoding/json as the
// arguments of the response, unless it is a json.RawMessage. An error that is (or
// wraps) a *MethodError is sent to the client as it is; any other error becomes
// "serverFail" without its text, or "serverUnavailable" when the context ended or
// Unavailable says so.
type Method func(ctx context.Context, call *Call) (any, error)

// Capability is a set of methods that the server offers under one URI.
type Capability struct {
	// URI names the capability.
	URI string
	// Session is its value in the session's capabilities; nil means {}. It stays as it is,
	// unless it is a json.Marshaler.
	Session any
	// Account is its value in each account's accountCapabilities; nil means {}.
	Account any
	// SessionOnly leaves the capability out of accountCapabilities: it is of the server
	// and not of the data of an account.
	SessionOnly bool
	// For tells whether the accounts of a principal have the capability; nil means that all have. It is in the
	// session of the server in any case.
	For func(p *Principal) bool
	// AccountOnly leaves the capability out of the session's capabilities: it only tells
	// something of accounts.
	AccountOnly bool
	// Of gives the value for one account of a principal instead of Account; nil means
	// that the account does not have the capability. Nil uses Account for all.
	Of func(p *Principal, accountID string) any
	// Partial tells that the methods keep to what is shared of an account of which only
	// parts are. Other capabilities are not offered there, and their methods refuse it.
	Partial bool
	// Methods are its methods by name, for example "Email/get".
	Methods map[string]Method
}

// Call is one method call, with its back-references resolved.
type Call struct {
	// Principal is who calls.
	Principal *Principal
	// Name is the method name.
	Name string
	// Args is the arguments object.
	Args json.RawMessage
	// CreatedIDs maps creation ids to ids over the whole request (RFC 8620 §5.3).
	// Methods that create records add to it.
	CreatedIDs map[string]string
	// Limits are the limits that the server advertises.
	Limits *Limits
	// Using tells for each capability URI whether the request opted in.
	Using map[string]bool
	// Partial tells that the method keeps to what is shared of an account.
	Partial bool

	service *Service
	extra   []invocationResult
}

type invocationResult struct {
	name   string
	result any
}

// AddResponse adds an implicit further response, sent after the method's own one
// under the same call id (RFC 8620 §3.2, §5.4). The name may be "error" with a
// *MethodError. It is dropped when the method itself fails.
func (c *Call) AddResponse(name string, result any) {
	c.extra = append(c.extra, invocationResult{name: name, result: result})
}

// CheckAccount refuses an accountId argument that is missing or malformed with
// "invalidArguments", and one that the principal may not use with "accountNotFound".
func (c *Call) CheckAccount(id string) error {
	switch {
	case id == "":
		return InvalidArguments("accountId: missing, name the account from the session object")
	case !ValidID(id):
		return InvalidArguments("accountId: not an Id")
	case !c.Principal.CanRead(id):
		return &MethodError{Type: ErrorAccountNotFound}
	case c.Principal.Partial(id) && !c.Partial:
		return &MethodError{Type: ErrorAccountNotSupportedByMethod, Description: "only parts of the account are shared: the method needs all of it"}
	}
	return nil
}

// Account returns an account of the principal as the session object has it. It
// reports false for one that the principal may not use.
func (c *Call) Account(id string) (SessionAccount, bool) {
	if c.service == nil || !c.Principal.CanRead(id) {
		return SessionAccount{}, false
	}
	return c.service.account(c.Principal, id), true
}

// CheckWritableAccount is CheckAccount for methods that change state: an account
// that may only be read is refused with "accountReadOnly".
func (c *Call) CheckWritableAccount(id string) error {
	if err := c.CheckAccount(id); err != nil {
		return err
	}
	if !c.Principal.CanWrite(id) {
		return &MethodError{Type: ErrorAccountReadOnly}
	}
	return nil
}

// ResolveID returns the record id that a reference means: a reference "#x" is looked
// up in CreatedIDs, anything else is an id already. It reports false for a creation
// id that no record was created under.
func (c *Call) ResolveID(reference string) (string, bool) {
	creation, isReference := strings.CutPrefix(reference, "#")
	if !isReference {
		return reference, true
	}
	id, ok := c.CreatedIDs[creation]
	return id, ok
}

// Handle makes a Method from a typed function: arguments are decoded strictly
// (unknown names and wrong types are "invalidArguments"). Arguments that have a
// method Validate(*Call) error are checked by it first, as those of the standard
// methods in this package do for the account and the limits.
func Handle[A, R any](fn func(ctx context.Context, call *Call, args *A) (R, error)) Method {
	return func(ctx context.Context, call *Call) (any, error) {
		args := new(A)
		if err := DecodeArguments(call.Args, args); err != nil {
			return nil, err
		}
		if v, ok := any(args).(interface{ Validate(call *Call) error }); ok {
			if err := v.Validate(call); err != nil {
				return nil, err
			}
		}
		return fn(ctx, call, args)
	}
}

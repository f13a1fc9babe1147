package jmap

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Types of method-level errors (RFC 8620 §3.6.2 and the standard methods of §5).
const (
	ErrorServerUnavailable               = "serverUnavailable"
	ErrorServerFail                      = "serverFail"
	ErrorServerPartialFail               = "serverPartialFail"
	ErrorUnknownMethod                   = "unknownMethod"
	ErrorInvalidArguments                = "invalidArguments"
	ErrorInvalidResultReference          = "invalidResultReference"
	ErrorForbidden                       = "forbidden"
	ErrorAccountNotFound                 = "accountNotFound"
	ErrorAccountNotSupportedByMethod     = "accountNotSupportedByMethod"
	ErrorAccountReadOnly                 = "accountReadOnly"
	ErrorRequestTooLarge                 = "requestTooLarge"
	ErrorCannotCalculateChanges          = "cannotCalculateChanges"
	ErrorStateMismatch                   = "stateMismatch"
	ErrorFromAccountNotFound             = "fromAccountNotFound"
	ErrorFromAccountNotSupportedByMethod = "fromAccountNotSupportedByMethod"
	ErrorAnchorNotFound                  = "anchorNotFound"
	ErrorUnsupportedSort                 = "unsupportedSort"
	ErrorUnsupportedFilter               = "unsupportedFilter"
	ErrorTooManyChanges                  = "tooManyChanges"
)

// Types of SetErrors (RFC 8620 §5.3 and §5.4).
const (
	SetErrorForbidden         = "forbidden"
	SetErrorOverQuota         = "overQuota"
	SetErrorTooLarge          = "tooLarge"
	SetErrorRateLimit         = "rateLimit"
	SetErrorNotFound          = "notFound"
	SetErrorInvalidPatch      = "invalidPatch"
	SetErrorWillDestroy       = "willDestroy"
	SetErrorInvalidProperties = "invalidProperties"
	SetErrorSingleton         = "singleton"
	SetErrorAlreadyExists     = "alreadyExists"
	// SetErrorBlobNotFound is that of RFC 8621 §4.6.
	SetErrorBlobNotFound = "blobNotFound"
)

// MethodError is the error response of a method call (RFC 8620 §3.6.2).
type MethodError struct {
	// Type is the error type.
	Type string
	// Description helps to debug; it is sent to the client.
	Description string
	// Fields are further members of the error.
	Fields map[string]any
}

// InvalidArguments makes an "invalidArguments" error with a formatted description.
func InvalidArguments(format string, args ...any) *MethodError {
	return &MethodError{Type: ErrorInvalidArguments, Description: fmt.Sprintf(format, args...)}
}

// Error renders the error in one line.
func (e *MethodError) Error() string {
	return describe(e.Type, e.Description)
}

// Unavailable says whether the call may succeed later as it is.
func (e *MethodError) Unavailable() bool { return e.Type == ErrorServerUnavailable }

// MarshalJSON renders the arguments of the error response.
func (e *MethodError) MarshalJSON() ([]byte, error) {
	return encodeError(e.Type, e.Description, e.Fields)
}

// SetError is why one record was not created, updated or destroyed (RFC 8620 §5.3).
type SetError struct {
	// Type is the error type.
	Type string
	// Description helps to debug; it is sent to the client.
	Description string
	// Properties lists all the invalid properties of an "invalidProperties" error.
	Properties []string
	// ExistingID is the record that is there already, for "alreadyExists".
	ExistingID string
	// Fields are further members of the error.
	Fields map[string]any
}

// InvalidProperties makes an "invalidProperties" error that names all the properties
// that are wrong.
func InvalidProperties(description string, properties ...string) *SetError {
	return &SetError{Type: SetErrorInvalidProperties, Description: description, Properties: properties}
}

// Error renders the error in one line.
func (e *SetError) Error() string {
	return describe(e.Type, e.Description)
}

// MarshalJSON renders the SetError object.
func (e *SetError) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(e.Fields)+2)
	maps.Copy(members, e.Fields)
	if len(e.Properties) > 0 {
		members["properties"] = e.Properties
	}
	if e.ExistingID != "" {
		members["existingId"] = e.ExistingID
	}
	return encodeError(e.Type, e.Description, members)
}

func describe(kind, description string) string {
	if description == "" {
		return kind
	}
	return kind + ": " + description
}

func encodeError(kind, description string, fields map[string]any) ([]byte, error) {
	members := make(map[string]any, len(fields)+2)
	maps.Copy(members, fields)
	members["type"] = kind
	if description != "" {
		members["description"] = description
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("encode %q error: %w", kind, err)
	}
	return raw, nil
}

package jmap

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
)

// Types of request-level errors (RFC 8620 §3.6.1).
const (
	// ProblemUnknownCapability tells that "using" names a capability that this
	// server does not have.
	ProblemUnknownCapability = "urn:ietf:params:jmap:error:unknownCapability"
	// ProblemNotJSON tells that the request is not I-JSON or not declared as JSON.
	ProblemNotJSON = "urn:ietf:params:jmap:error:notJSON"
	// ProblemNotRequest tells that the request is JSON but no Request object.
	ProblemNotRequest = "urn:ietf:params:jmap:error:notRequest"
	// ProblemLimit tells that a limit was exceeded; Problem.Limit names it.
	ProblemLimit = "urn:ietf:params:jmap:error:limit"
	// ProblemBlank is the type of a problem that its HTTP status says all about
	// (RFC 7807 §4.2).
	ProblemBlank = "about:blank"
)

// ProblemContentType is the media type of an encoded Problem (RFC 7807 §3).
const ProblemContentType = "application/problem+json"

// Problem is the body of an HTTP error answer (RFC 7807). It is an error too, so
// that parsers can return it.
type Problem struct { //nolint:errname // RFC 7807 calls it a problem, and it is an answer before it is an error
	// Type is a URI that names the kind of problem; empty means ProblemBlank.
	Type string
	// Title is a short summary of the kind of problem.
	Title string
	// Status is the HTTP status.
	Status int
	// Detail says what is wrong with this request and what to do about it.
	Detail string
	// Limit names the exceeded limit of the core capability (RFC 8620 §3.6.1).
	Limit string
	// Fields are further members; they must not repeat the names of the others.
	Fields map[string]any
}

// NewProblem makes a problem without a type of its own: the status says its kind.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Status: status, Detail: detail}
}

// NewLimitProblem makes the problem of a request that exceeds a limit of the core
// capability (RFC 8620 §3.6.1).
func NewLimitProblem(status int, limit, detail string) *Problem {
	return &Problem{Type: ProblemLimit, Status: status, Limit: limit, Detail: detail}
}

// Error renders the problem in one line.
func (p Problem) Error() string {
	return fmt.Sprintf("%s: %s", p.kind(), p.Detail)
}

// MarshalJSON renders the problem details object (RFC 7807 §3.1).
func (p Problem) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(p.Fields)+5)
	maps.Copy(members, p.Fields)
	members["type"] = p.kind()
	members["status"] = p.Status
	title := p.Title
	if title == "" && p.kind() == ProblemBlank {
		title = http.StatusText(p.Status)
	}
	optional := map[string]string{"title": title, "detail": p.Detail, "limit": p.Limit}
	for name, value := range optional {
		if value != "" {
			members[name] = value
		}
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("encode problem: %w", err)
	}
	return raw, nil
}

func (p Problem) kind() string {
	if p.Type == "" {
		return ProblemBlank
	}
	return p.Type
}

package jmap

import (
	"bytes"
	"encoding/json"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
)

// The operators of filters (RFC 8620 §5.5).
const (
	OperatorAnd = "AND"
	OperatorOr  = "OR"
	OperatorNot = "NOT"
)

// Bounds of a filter: one that is deeper or larger is "unsupportedFilter".
const (
	MaxFilterDepth      = 32
	MaxFilterConditions = 1000
)

// Filter is a tree of conditions of type C (RFC 8620 §5.5). A nil filter matches
// everything.
type Filter[C any] struct {
	// Operator is "AND", "OR" or "NOT" for an inner node, empty for a condition.
	Operator string
	// Conditions are the children of an inner node.
	Conditions []*Filter[C]
	// Condition is set for a leaf.
	Condition *C
}

// ParseFilter parses a filter argument; absent and null yield nil. An error is a
// *MethodError: "unsupportedFilter" for a condition with a property that C does not
// have or for a filter out of bounds, "invalidArguments" for anything malformed.
func ParseFilter[C any](raw json.RawMessage) (*Filter[C], error) {
	if isNull(raw) {
		return nil, nil //nolint:nilnil // a nil filter is a filter: it matches everything
	}
	left := MaxFilterConditions
	return parseFilter[C](raw, 1, &left)
}

// Match tells whether the filter matches, given which of its conditions do.
func (f *Filter[C]) Match(matches func(*C) bool) bool {
	if f == nil {
		return true
	}
	switch f.Operator {
	case "":
		return matches(f.Condition)
	case OperatorOr:
		return f.any(matches)
	case OperatorNot:
		return !f.any(matches)
	default:
		for _, child := range f.Conditions {
			if !child.Match(matches) {
				return false
			}
		}
		return true
	}
}

// Walk calls fn for each condition of the filter.
func (f *Filter[C]) Walk(fn func(*C)) {
	if f == nil {
		return
	}
	if f.Condition != nil {
		fn(f.Condition)
	}
	for _, child := range f.Conditions {
		child.Walk(fn)
	}
}

func (f *Filter[C]) any(matches func(*C) bool) bool {
	for _, child := range f.Conditions {
		if child.Match(matches) {
			return true
		}
	}
	return false
}

func parseFilter[C any](raw json.RawMessage, depth int, left *int) (*Filter[C], error) {
	if *left--; *left < 0 || depth > MaxFilterDepth {
		return nil, unsupportedFilter(fmt.Sprintf("more than %d conditions or %d levels", MaxFilterConditions, MaxFilterDepth))
	}
	var members map[string]json.RawMessage
	if err := jsonv2.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, InvalidArguments("filter: not an object")
	}
	if _, inner := members["operator"]; !inner {
		return parseCondition[C](raw)
	}
	node, err := parseOperator(raw)
	if err != nil {
		return nil, err
	}
	f := &Filter[C]{Operator: node.Operator}
	for _, child := range node.Conditions {
		parsed, err := parseFilter[C](child, depth+1, left)
		if err != nil {
			return nil, err
		}
		f.Conditions = append(f.Conditions, parsed)
	}
	return f, nil
}

// filterOperator is an inner node of a filter (RFC 8620 §5.5).
type filterOperator struct {
	Operator   string            `json:"operator"`
	Conditions []json.RawMessage `json:"conditions"`
}

func parseOperator(raw json.RawMessage) (node filterOperator, err error) {
	if err := DecodeArguments(raw, &node); err != nil {
		return node, InvalidArguments("filter: a FilterOperator has operator and conditions only")
	}
	if node.Operator != OperatorAnd && node.Operator != OperatorOr && node.Operator != OperatorNot {
		return node, InvalidArguments("filter: operator %q is not AND, OR or NOT", node.Operator)
	}
	if node.Conditions == nil {
		return node, InvalidArguments("filter: conditions: missing")
	}
	return node, nil
}

func parseCondition[C any](raw json.RawMessage) (*Filter[C], error) {
	condition := new(C)
	err := jsonv2.Unmarshal(raw, condition, jsonv2.RejectUnknownMembers(true))
	if err == nil {
		return &Filter[C]{Condition: condition}, nil
	}
	path, reason := decodeFailure(err)
	if reason == reasonUnknownName {
		return nil, unsupportedFilter("filter: " + path + ": " + reason)
	}
	return nil, InvalidArguments("filter: %s: %s", path, reason)
}

func unsupportedFilter(description string) *MethodError {
	return &MethodError{Type: ErrorUnsupportedFilter, Description: description}
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

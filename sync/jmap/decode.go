package jmap

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const reasonUnknownName = "unknown name"

// DecodeArguments decodes the arguments of a method call strictly: names are case
// sensitive, and unknown names and wrong types are refused (RFC 8620 §3.9). The
// error is an "invalidArguments" MethodError that names the argument.
func DecodeArguments(raw []byte, into any) error {
	err := jsonv2.Unmarshal(raw, into, jsonv2.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*MethodError](err); ok {
		return e
	}
	path, reason := decodeFailure(err)
	if path == "" {
		return InvalidArguments("arguments: %s", reason)
	}
	name, _, _ := strings.Cut(path, "/")
	return &MethodError{
		Type:        ErrorInvalidArguments,
		Description: path + ": " + reason,
		Fields:      map[string]any{"arguments": []string{name}},
	}
}

// DecodeObject decodes an object that a client sent to be created, strictly. The
// error is "invalidProperties" and lists every property that is unknown or of the
// wrong type.
func DecodeObject(raw []byte, into any) *SetError {
	if jsontext.Value(raw).Kind() != jsontext.KindBeginObject {
		return InvalidProperties("not an object")
	}
	err := jsonv2.Unmarshal(raw, into, jsonv2.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	path, reason := decodeFailure(err)
	if path == "" {
		return InvalidProperties(reason)
	}
	wrong := wrongProperties(raw, into)
	if name, _, _ := strings.Cut(path, "/"); !slices.Contains(wrong, name) {
		wrong = append(wrong, name)
	}
	slices.Sort(wrong)
	return InvalidProperties(path+": "+reason, wrong...)
}

// wrongProperties decodes each member alone, to tell all of the wrong ones.
func wrongProperties(raw []byte, into any) []string {
	var members map[string]jsontext.Value
	if err := jsonv2.Unmarshal(raw, &members); err != nil {
		return nil
	}
	var wrong []string
	for name, value := range members {
		object, err := jsonv2.Marshal(map[string]jsontext.Value{name: value})
		if err != nil {
			continue
		}
		if jsonv2.Unmarshal(object, newLike(into), jsonv2.RejectUnknownMembers(true)) != nil {
			wrong = append(wrong, name)
		}
	}
	return wrong
}

// decodeFailure tells where decoding failed, as a path without a leading slash, and
// why, without repeating the value.
func decodeFailure(err error) (path, reason string) {
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		path = strings.TrimPrefix(string(e.JSONPointer), "/")
		if errors.Is(e.Err, jsonv2.ErrUnknownName) {
			return path, reasonUnknownName
		}
		return path, "wrong type: " + kindName(e.JSONKind)
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return strings.TrimPrefix(string(e.JSONPointer), "/"), "not valid JSON"
	}
	return "", "cannot be decoded"
}

func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "boolean"
	case jsontext.KindString:
		return "string"
	case jsontext.KindNumber:
		return "number"
	case jsontext.KindBeginObject, jsontext.KindEndObject:
		return "object"
	case jsontext.KindBeginArray, jsontext.KindEndArray:
		return "array"
	default:
		return "value"
	}
}

// newLike returns a pointer to a new zero value of the type that into points to.
func newLike(into any) any {
	return reflect.New(reflect.TypeOf(into).Elem()).Interface()
}

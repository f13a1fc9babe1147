package jmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Request is a parsed Request object (RFC 8620 §3.3).
type Request struct {
	// Using lists the capabilities that the client opts in to.
	Using []string
	// Calls are the method calls in order.
	Calls []Invocation
	// CreatedIDs is nil unless the client sent it.
	CreatedIDs map[string]string
}

// Invocation is one method call or response (RFC 8620 §3.2).
type Invocation struct {
	// Name is the method or response name.
	Name string
	// Args is the arguments object.
	Args json.RawMessage
	// ID is the method call id.
	ID string
}

// ParseRequest parses the body of an API request. The problem is "notJSON" for a
// body that is not I-JSON (RFC 7493: UTF-8, no duplicate names, no lone surrogates
// or noncharacters), and "notRequest" for I-JSON that is no Request object. Members
// that this server does not know are ignored (RFC 8620 §3.3).
func ParseRequest(body []byte) (*Request, *Problem) {
	if err := checkIJSON(body); err != nil {
		return nil, &Problem{Type: ProblemNotJSON, Status: http.StatusBadRequest, Detail: "the request is not I-JSON (RFC 7493): " + err.Error()}
	}
	req := &Request{}
	if err := req.decode(body); err != nil {
		return nil, &Problem{Type: ProblemNotRequest, Status: http.StatusBadRequest, Detail: "the request is no Request object (RFC 8620 §3.3): " + err.Error()}
	}
	return req, nil
}

// decode walks the body once, because it may be large.
func (r *Request) decode(body jsontext.Value) error {
	if body.Kind() != jsontext.KindBeginObject {
		return errors.New("not an object")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	present := map[string]bool{}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		present[name] = true
		if err := r.decodeMember(dec, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"using", "methodCalls"} {
		if !present[name] {
			return fmt.Errorf("%s: missing", name)
		}
	}
	return nil
}

func (r *Request) decodeMember(dec *jsontext.Decoder, name string) error {
	if name == "methodCalls" {
		return r.decodeCalls(dec)
	}
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch name {
	case "using":
		r.Using, err = decodeStrings(value)
	case "createdIds":
		err = r.decodeCreatedIDs(value)
	}
	return err
}

func (r *Request) decodeCalls(dec *jsontext.Decoder) error {
	if dec.PeekKind() != jsontext.KindBeginArray {
		return errors.New("not an array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != jsontext.KindEndArray {
		call, err := decodeInvocation(dec)
		if err != nil {
			return fmt.Errorf("call %d: %w", len(r.Calls), err)
		}
		r.Calls = append(r.Calls, call)
	}
	_, err := dec.ReadToken()
	return err
}

func (r *Request) decodeCreatedIDs(raw jsontext.Value) error {
	members, err := objectMembers(raw)
	if err != nil {
		return err
	}
	r.CreatedIDs = make(map[string]string, len(members))
	for creation, value := range members {
		id, err := decodeString(value)
		if err != nil || !ValidID(id) || !ValidID(creation) {
			return errors.New("not a map of Id to Id")
		}
		r.CreatedIDs[creation] = id
	}
	return nil
}

// decodeInvocation reads the three items of a method call.
func decodeInvocation(dec *jsontext.Decoder) (inv Invocation, err error) {
	if dec.PeekKind() != jsontext.KindBeginArray {
		return inv, errors.New("not an array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return inv, err
	}
	items := []struct {
		name string
		kind jsontext.Kind
		read func(jsontext.Value) error
	}{
		{"name", jsontext.KindString, func(v jsontext.Value) (err error) { inv.Name, err = decodeString(v); return err }},
		{"arguments", jsontext.KindBeginObject, func(v jsontext.Value) error { inv.Args = json.RawMessage(bytes.Clone(v)); return nil }},
		{"call id", jsontext.KindString, func(v jsontext.Value) (err error) { inv.ID, err = decodeString(v); return err }},
	}
	for _, item := range items {
		if kind := dec.PeekKind(); kind != item.kind {
			return inv, fmt.Errorf("%s: want a JSON %s", item.name, kindName(item.kind))
		}
		value, err := dec.ReadValue()
		if err != nil {
			return inv, err
		}
		if err := item.read(value); err != nil {
			return inv, fmt.Errorf("%s: %w", item.name, err)
		}
	}
	if dec.PeekKind() != jsontext.KindEndArray {
		return inv, errors.New("more than name, arguments and call id")
	}
	_, err = dec.ReadToken()
	return inv, err
}

// objectMembers splits an object into its members.
func objectMembers(raw jsontext.Value) (map[string]jsontext.Value, error) {
	if raw.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("not an object")
	}
	members := map[string]jsontext.Value{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		members[key] = bytes.Clone(value)
	}
	return members, nil
}

// arrayItems splits an array into its items.
func arrayItems(raw jsontext.Value) ([]jsontext.Value, error) {
	if raw.Kind() != jsontext.KindBeginArray {
		return nil, errors.New("not an array")
	}
	var items []jsontext.Value
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != jsontext.KindEndArray {
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		items = append(items, bytes.Clone(value))
	}
	return items, nil
}

func decodeStrings(raw jsontext.Value) ([]string, error) {
	items, err := arrayItems(raw)
	if err != nil {
		return nil, err
	}
	values := make([]string, len(items))
	for i, item := range items {
		if values[i], err = decodeString(item); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func decodeString(raw jsontext.Value) (string, error) {
	if raw.Kind() != jsontext.KindString {
		return "", errors.New("not a string")
	}
	unquoted, err := jsontext.AppendUnquote(nil, raw)
	return string(unquoted), err
}

// checkIJSON checks that body is exactly one I-JSON value (RFC 7493 §2).
func checkIJSON(body []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := dec.ReadValue(); err != nil {
		return syntaxError(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("data after the object")
	}
	if mayHaveNoncharacters(body) {
		return checkNoncharacters(body)
	}
	return nil
}

// syntaxError tells where the syntax is wrong, without repeating content.
func syntaxError(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("empty")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Errorf("a member name occurs twice before octet %d", syntax.ByteOffset)
	case errors.As(err, &syntax):
		return fmt.Errorf("invalid at octet %d", syntax.ByteOffset)
	default:
		return errors.New("invalid")
	}
}

// mayHaveNoncharacters is a cheap test that is true for every text with a
// noncharacter, and false for almost every other one.
func mayHaveNoncharacters(body []byte) bool {
	for _, mark := range []string{"\xbf\xbe", "\xbf\xbf", "\xef\xb7", `\uf`, `\uF`, `\ud`, `\uD`} {
		if bytes.Contains(body, []byte(mark)) {
			return true
		}
	}
	return false
}

func checkNoncharacters(body []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return syntaxError(err)
		}
		if token.Kind() == jsontext.KindString && hasNoncharacter(token.String()) {
			return fmt.Errorf("a noncharacter in the string before octet %d", dec.InputOffset())
		}
	}
}

func hasNoncharacter(s string) bool {
	for _, r := range s {
		if (r >= 0xFDD0 && r <= 0xFDEF) || (r >= 0xFFFE && r <= utf8.MaxRune && r&0xFFFE == 0xFFFE) {
			return true
		}
	}
	return false
}

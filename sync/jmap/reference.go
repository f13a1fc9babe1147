package jmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// resultReference points into an earlier response (RFC 8620 §3.7).
type resultReference struct {
	ResultOf *string `json:"resultOf"`
	Name     *string `json:"name"`
	Path     *string `json:"path"`
}

// maxReferences is how many references the arguments of one call may have. No method
// has as many arguments.
const maxReferences = 32

// resolveArguments replaces each argument "#name" by what it refers to in the
// responses so far (RFC 8620 §3.7). What the references stand for may be as large as
// a whole request and no larger: otherwise calls that double what the one before
// returned would fill the memory. The error is a *MethodError.
func resolveArguments(args json.RawMessage, responses []Invocation, most int64) (json.RawMessage, error) {
	if !bytes.Contains(args, []byte(`"#`)) && !bytes.Contains(args, []byte(`"\u0023`)) {
		return args, nil
	}
	members, err := objectMembers(jsontext.Value(args))
	if err != nil {
		return nil, InvalidArguments("arguments: %s", err.Error())
	}
	references := referencesAmong(members)
	if len(references) > maxReferences {
		return nil, InvalidArguments("arguments: %d references, at most %d are resolved", len(references), maxReferences)
	}
	for _, name := range references {
		target := strings.TrimPrefix(name, "#")
		if _, both := members[target]; both {
			return nil, InvalidArguments("%s: given as a value and as a reference", target)
		}
		resolved, err := resolveReference(members[name], responses)
		if most -= int64(len(resolved)); err == nil && most < 0 {
			err = errors.New("the result is larger than maxSizeRequest: ask for less at a time")
		}
		if err != nil {
			return nil, &MethodError{Type: ErrorInvalidResultReference, Description: name + ": " + err.Error()}
		}
		delete(members, name)
		members[target] = resolved
	}
	raw, err := jsonv2.Marshal(members, jsonv2.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode resolved arguments: %w", err)
	}
	return raw, nil
}

// referencesAmong lists the arguments that are references, sorted.
func referencesAmong(members map[string]jsontext.Value) []string {
	var names []string
	for name := range members {
		if strings.HasPrefix(name, "#") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func resolveReference(raw jsontext.Value, responses []Invocation) (jsontext.Value, error) {
	ref := resultReference{}
	if err := jsonv2.Unmarshal(raw, &ref); err != nil || ref.ResultOf == nil || ref.Name == nil || ref.Path == nil {
		return nil, errors.New("not a ResultReference object")
	}
	for _, response := range responses {
		if response.ID != *ref.ResultOf {
			continue
		}
		if response.Name != *ref.Name {
			return nil, fmt.Errorf("the first response of call %q is %q, not %q", response.ID, response.Name, *ref.Name)
		}
		tokens, err := splitReferencePath(*ref.Path)
		if err != nil {
			return nil, err
		}
		return evaluate(jsontext.Value(response.Args), tokens)
	}
	return nil, fmt.Errorf("no earlier call has the id %q", *ref.ResultOf)
}

func splitReferencePath(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, errors.New("the path does not start with a slash")
	}
	tokens, ok := splitPointer(rest)
	if !ok {
		return nil, errors.New("the path is not a JSON pointer")
	}
	return tokens, nil
}

// evaluate applies the tokens of a JSON pointer to a value, with "*" mapping over
// arrays (RFC 8620 §3.7).
func evaluate(value jsontext.Value, tokens []string) (jsontext.Value, error) {
	for i, token := range tokens {
		var err error
		switch value.Kind() {
		case jsontext.KindBeginObject:
			value, err = member(value, token)
		case jsontext.KindBeginArray:
			if token == "*" {
				return evaluateAll(value, tokens[i+1:])
			}
			value, err = item(value, token)
		default:
			err = fmt.Errorf("%q: nothing below a %s", token, kindName(value.Kind()))
		}
		if err != nil {
			return nil, err
		}
	}
	return value, nil
}

// evaluateAll applies tokens to each item and joins the results, flattening arrays
// by one level.
func evaluateAll(array jsontext.Value, tokens []string) (jsontext.Value, error) {
	items, err := arrayItems(array)
	if err != nil {
		return nil, err
	}
	joined := []jsontext.Value{}
	for _, item := range items {
		result, err := evaluate(item, tokens)
		if err != nil {
			return nil, err
		}
		if result.Kind() != jsontext.KindBeginArray {
			joined = append(joined, result)
			continue
		}
		nested, err := arrayItems(result)
		if err != nil {
			return nil, err
		}
		joined = append(joined, nested...)
	}
	return jsonv2.Marshal(joined)
}

func member(object jsontext.Value, name string) (jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(object))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		if token.String() != name {
			if err := dec.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		value, err := dec.ReadValue()
		return bytes.Clone(value), err
	}
	return nil, fmt.Errorf("%q: no such member", name)
}

func item(array jsontext.Value, token string) (jsontext.Value, error) {
	index, err := strconv.ParseUint(token, 10, 31)
	if err != nil || (len(token) > 1 && token[0] == '0') || token[0] == '+' {
		return nil, fmt.Errorf("%q: not an index of an array", token)
	}
	items, err := arrayItems(array)
	if err != nil {
		return nil, err
	}
	if index >= uint64(len(items)) {
		return nil, fmt.Errorf("%q: beyond the end of the array", token)
	}
	return items[index], nil
}

package jmap

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// PatchObject is a set of patches, keyed by JSON pointers without the leading slash
// (RFC 8620 §5.3).
type PatchObject map[string]json.RawMessage

// Properties lists the top-level properties that the patches touch, sorted.
func (p PatchObject) Properties() []string {
	names := map[string]bool{}
	for path := range p {
		if tokens, ok := splitPointer(path); ok {
			names[tokens[0]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Apply returns the object with the patches applied; the object given stays as it
// is. A patch of null removes its member, so that the caller's default counts. The
// error is "invalidPatch".
func (p PatchObject) Apply(object json.RawMessage) (json.RawMessage, *SetError) {
	root, err := decodeTree(object)
	if err != nil {
		return nil, invalidPatch("the object cannot be patched")
	}
	if err := p.checkPrefixes(); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(p)) {
		if err := applyOne(root, path, p[path]); err != nil {
			return nil, err
		}
	}
	patched, err := json.Marshal(root)
	if err != nil {
		return nil, invalidPatch("the patched object cannot be encoded")
	}
	return patched, nil
}

// checkPrefixes refuses pointers that are malformed or prefixes of each other.
func (p PatchObject) checkPrefixes() *SetError {
	seen := make(map[string]bool, len(p))
	for path := range p {
		if _, ok := splitPointer(path); !ok {
			return invalidPatch("not a JSON pointer: " + path)
		}
		seen[path] = true
	}
	for path := range p {
		for i := range len(path) {
			if path[i] == '/' && seen[path[:i]] {
				return invalidPatch(path[:i] + " is a prefix of " + path)
			}
		}
	}
	return nil
}

func applyOne(root map[string]any, path string, value json.RawMessage) *SetError {
	tokens, _ := splitPointer(path)
	parent := root
	for _, token := range tokens[:len(tokens)-1] {
		next, ok := parent[token].(map[string]any)
		if !ok {
			return invalidPatch("no object on the way to " + path)
		}
		parent = next
	}
	name := tokens[len(tokens)-1]
	if isNull(value) {
		delete(parent, name)
		return nil
	}
	parent[name] = value
	return nil
}

func decodeTree(object json.RawMessage) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	root := map[string]any{}
	if err := dec.Decode(&root); err != nil {
		return nil, err
	}
	if root == nil {
		return map[string]any{}, nil
	}
	return root, nil
}

// splitPointer splits a JSON pointer without its leading slash into unescaped tokens
// (RFC 6901 §3 and §4).
func splitPointer(path string) ([]string, bool) {
	tokens := strings.Split(path, "/")
	for i, token := range tokens {
		unescaped, ok := unescapeToken(token)
		if !ok {
			return nil, false
		}
		tokens[i] = unescaped
	}
	return tokens, true
}

func unescapeToken(token string) (string, bool) {
	for i := 0; i < len(token); i++ {
		if token[i] != '~' {
			continue
		}
		if i++; i == len(token) || (token[i] != '0' && token[i] != '1') {
			return "", false
		}
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(token), true
}

func invalidPatch(description string) *SetError {
	return &SetError{Type: SetErrorInvalidPatch, Description: description}
}

package jmap

import "encoding/json"

// MaxIDLength is the most octets that an Id has (RFC 8620 §1.2).
const MaxIDLength = 255

// MaxInt is the greatest UnsignedInt (RFC 8620 §1.3).
const MaxInt = 1<<53 - 1

// ValidID tells whether s is an Id: 1 to 255 characters of the URL-safe base64
// alphabet (RFC 8620 §1.2).
func ValidID(s string) bool {
	if s == "" || len(s) > MaxIDLength {
		return false
	}
	for i := range len(s) {
		if !isIDOctet(s[i]) {
			return false
		}
	}
	return true
}

func isIDOctet(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		return true
	default:
		return false
	}
}

// validReference tells whether s is an Id or "#" and a creation id (RFC 8620 §5.3).
func validReference(s string) bool {
	if s != "" && s[0] == '#' {
		s = s[1:]
	}
	return ValidID(s)
}

// List is a slice that encodes as [] when it is nil, for response members that may
// not be null.
type List[T any] []T

// MarshalJSON encodes the list, as [] when it is nil.
func (l List[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(l))
}

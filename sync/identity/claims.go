package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Claims are the members of a token's payload. Numbers are json.Number.
type Claims map[string]any

// String gives a claim that is a string; empty when it is absent or of another type.
func (c Claims) String(name string) string {
	s, ok := c[name].(string)
	if !ok {
		return ""
	}
	return s
}

// First gives the first of the named claims that is a non-empty string.
func (c Claims) First(names ...string) string {
	for _, name := range names {
		if s := c.String(name); s != "" {
			return s
		}
	}
	return ""
}

// Words gives a claim that is a list: a string of words parted by spaces, as "scope"
// is (RFC 8693 §4.2), or an array of strings.
func (c Claims) Words(name string) []string {
	switch value := c[name].(type) {
	case string:
		return strings.Fields(value)
	case []any:
		return stringsOf(value)
	default:
		return nil
	}
}

// Audience gives the "aud" claim, a string or an array (RFC 7519 §4.1.3).
func (c Claims) Audience() []string {
	switch value := c["aud"].(type) {
	case string:
		return []string{value}
	case []any:
		return stringsOf(value)
	default:
		return nil
	}
}

func stringsOf(values []any) []string {
	var words []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			words = append(words, s)
		}
	}
	return words
}

// maxSeconds keeps a NumericDate within what time.Time adds up without overflow; it
// is the year 9999.
const maxSeconds = 253402300799

var errNotADate = errors.New("not a number of seconds since 1970")

// Time gives a NumericDate (RFC 7519 §2). ok is false when the claim is absent. A
// claim that is there and no date is an error: a check must not be skipped for it.
func (c Claims) Time(name string) (at time.Time, ok bool, err error) {
	value, present := c[name]
	if !present {
		return time.Time{}, false, nil
	}
	number, isNumber := value.(json.Number)
	if !isNumber {
		return time.Time{}, false, fmt.Errorf("claim %q: %w", name, errNotADate)
	}
	seconds, err := number.Float64()
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > maxSeconds {
		return time.Time{}, false, fmt.Errorf("claim %q: %w", name, errNotADate)
	}
	return time.Unix(int64(seconds), 0), true, nil
}

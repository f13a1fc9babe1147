package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Key builds an order-preserving key of segments. Its methods append and return the longer key; the receiver
// is not changed, so a prefix can be kept and used again.
type Key []byte

// A string segment ends with a terminator, which sorts before everything that a segment holds and occurs
// nowhere in it: the two lowest octets are written as an escape and a digit.
const (
	terminator = 0
	escape     = 1
)

// NewKey starts a key with its owner, the segment that makes all data of an account or tenant one range.
func NewKey(owner string) Key { return Key(nil).String(owner) }

// String appends a string of any length. Keys sort by it octet by octet.
func (k Key) String(s string) Key {
	out := make(Key, len(k), len(k)+len(s)+24)
	copy(out, k)
	for i := range len(s) {
		if s[i] <= escape {
			out = append(out, escape, s[i]+1)
			continue
		}
		out = append(out, s[i])
	}
	return append(out, terminator)
}

// Uint appends a number; smaller numbers sort first.
func (k Key) Uint(n uint64) Key {
	return binary.BigEndian.AppendUint64(bytes.Clone(k), n)
}

// Descending appends a number; greater numbers sort first.
func (k Key) Descending(n uint64) Key { return k.Uint(^n) }

// Range returns the keys that begin with k.
func (k Key) Range() Range { return Range{Start: k, End: k.after()} }

// after returns the first key that does not begin with k and is greater, or nil when there is none.
func (k Key) after() []byte {
	end := bytes.Clone(k)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// CutString reads a string segment from the front of key and returns the rest.
func CutString(key []byte) (segment string, rest []byte, err error) {
	out := make([]byte, 0, len(key))
	for i := 0; i < len(key); i++ {
		switch {
		case key[i] == terminator:
			return string(out), key[i+1:], nil
		case key[i] != escape:
			out = append(out, key[i])
		case i+1 < len(key) && key[i+1]-1 <= escape:
			i++
			out = append(out, key[i]-1)
		default:
			return "", nil, fmt.Errorf("key %q: %w: broken escape", key, ErrInvalid)
		}
	}
	return "", nil, fmt.Errorf("key %q: %w: string segment has no end", key, ErrInvalid)
}

// CutUint reads a number from the front of key and returns the rest.
func CutUint(key []byte) (n uint64, rest []byte, err error) {
	if len(key) < 8 {
		return 0, nil, fmt.Errorf("key %q: %w: number is cut short", key, ErrInvalid)
	}
	return binary.BigEndian.Uint64(key), key[8:], nil
}

// EncodeCounter returns how a counter is stored.
func EncodeCounter(n int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(n)) //nolint:gosec // two's complement keeps every bit
}

// DecodeCounter reads a counter; an absent one, of no octets, is zero.
func DecodeCounter(value []byte) (int64, error) {
	switch len(value) {
	case 0:
		return 0, nil
	case 8:
		return int64(binary.BigEndian.Uint64(value)), nil //nolint:gosec // two's complement keeps every bit
	default:
		return 0, fmt.Errorf("counter: %w: %d octets instead of 8", ErrInvalid, len(value))
	}
}

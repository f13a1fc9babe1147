package jmap

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// appender is a result that appends itself as JSON: what encoding/json would write, in a part of its time, which for
// the rows of a list is most of that of an answer.
type appender interface {
	appendJSON(b []byte) ([]byte, error)
}

// appendJSON appends the response with its members in the order of its fields.
func (r *GetResponse[T]) appendJSON(b []byte) (out []byte, err error) {
	out = append(slices.Grow(b, 1024), `{"accountId":`...)
	out = appendString(out, r.AccountID)
	out = append(out, `,"state":`...)
	out = appendString(out, r.State)
	out = append(out, `,"list":`...)
	if out, err = appendArray(out, r.List); err != nil {
		return nil, err
	}
	out = append(out, `,"notFound":`...)
	if out, err = appendArray(out, r.NotFound); err != nil {
		return nil, err
	}
	return append(out, '}'), nil
}

// appendValue appends the values that methods return, and leaves those that it does not know to encoding/json. Raw
// values are appended as they are: whoever made them has encoded them.
func appendValue(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case string:
		return appendString(b, v), nil
	case json.RawMessage:
		if len(v) == 0 {
			return append(b, "null"...), nil
		}
		return append(b, v...), nil
	default:
		return appendComposite(b, value)
	}
}

func appendComposite(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case map[string]any:
		return appendObject(b, v)
	case map[string]bool:
		return appendObject(b, v)
	case map[string]string:
		return appendObject(b, v)
	case []string:
		if v != nil {
			return appendArray(b, v)
		}
	case []map[string]any:
		if v != nil {
			return appendArray(b, v)
		}
	}
	raw, err := encodeResult(value)
	return append(b, raw...), err
}

func appendArray[T any](b []byte, items []T) ([]byte, error) {
	b = append(b, '[')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, item); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendObject appends a map with its names in order.
func appendObject[T any](b []byte, members map[string]T) ([]byte, error) {
	if members == nil {
		return append(b, "null"...), nil
	}
	var few [16]string // most objects have no more members, and then the names take no memory
	names := slices.AppendSeq(few[:0], maps.Keys(members))
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		var err error
		if b, err = appendValue(b, members[name]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendString appends a string, with U+FFFD for what is no UTF-8, which is what the error is about.
func appendString(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text)
	return b
}

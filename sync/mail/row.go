package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// readRow reads those properties of a list row that a call asks for; nil when there is no row. A list reads many rows,
// and the properties go into the answer as they are.
func (s *selection) readRow(ctx context.Context, r store.Reader, key []byte) (map[string]json.RawMessage, error) {
	raw, err := r.Get(ctx, key)
	if isNotFound(err) {
		return nil, nil //nolint:nilnil // a row is a copy: what it lacks is read from the message
	}
	if err != nil {
		return nil, err
	}
	row, err := cutRow(raw, s.properties)
	if err != nil {
		return nil, fmt.Errorf("record %q: %w", key, err)
	}
	return row, nil
}

// cutRow cuts members out of an object that render wrote.
func cutRow(raw []byte, names []string) (map[string]json.RawMessage, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if kind := dec.PeekKind(); kind != jsontext.KindBeginObject {
		return nil, fmt.Errorf("list row: %w: not an object", store.ErrInvalid)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	row := make(map[string]json.RawMessage, len(names))
	for dec.PeekKind() == jsontext.KindString {
		quoted, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		// The names are those of rowProperties, which have nothing that is escaped.
		at := slices.IndexFunc(names, func(name string) bool { return len(quoted) > 2 && string(quoted[1:len(quoted)-1]) == name })
		if at < 0 {
			if err := dec.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		// What the decoder returns is good until it reads on: the same is taken from what it reads.
		end := dec.InputOffset()
		row[names[at]] = json.RawMessage(raw[end-int64(len(value)) : end : end])
	}
	_, err := dec.ReadToken()
	return row, err
}

package mail

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// listing finds the results of a query for records of type R, of which there are few enough to read all of them. C is
// the FilterCondition.
type listing[R, C any] struct {
	filter *jmap.Filter[C]
	sort   []jmap.Comparator
	rules  rules[R, C]
}

// rules are how records of a type are found and sorted.
type rules[R, C any] struct {
	// id returns the id of a record.
	id func(R) string
	// matches says whether a record meets a condition.
	matches func(R, *C) bool
	// orders compare records by the property of the comparator.
	orders map[string]func(a, b R, collation string) int
}

func newListing[R, C any](rules rules[R, C], filter json.RawMessage, sort []jmap.Comparator) (*listing[R, C], error) {
	for _, c := range sort {
		if rules.orders[c.Property] == nil {
			return nil, unsupportedSort("property " + c.Property)
		}
		if len(c.Extra) > 0 {
			return nil, jmap.InvalidArguments("sort: %s has property, isAscending and collation only", c.Property)
		}
		if err := checkCollation(c); err != nil {
			return nil, err
		}
	}
	parsed, err := jmap.ParseFilter[C](filter)
	return &listing[R, C]{filter: parsed, sort: sort, rules: rules}, err
}

// list returns the ids of the records that match, in order.
func (l *listing[R, C]) list(records []R) []string {
	found := []R{}
	for _, r := range records {
		if l.filter.Match(func(c *C) bool { return l.rules.matches(r, c) }) {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, l.compare)
	ids := make([]string, len(found))
	for i, r := range found {
		ids[i] = l.rules.id(r)
	}
	return ids
}

func (l *listing[R, C]) compare(a, b R) int {
	for _, c := range l.sort {
		if order := l.rules.orders[c.Property](a, b, c.Collation); order != 0 {
			return direct(order, c.IsAscending)
		}
	}
	return cmp.Compare(l.rules.id(a), l.rules.id(b))
}

// idSet makes a set of ids.
func idSet(lists ...[]string) map[string]bool {
	out := map[string]bool{}
	for _, list := range lists {
		for _, id := range list {
			out[id] = true
		}
	}
	return out
}

// selected returns the id and the properties of a record that are asked for; nil asks for all.
func selected(object map[string]any, names []string) map[string]any {
	if names == nil {
		return object
	}
	out := map[string]any{"id": object["id"]}
	for _, name := range names {
		out[name] = object[name]
	}
	return out
}

// setRecord writes a record as JSON.
func setRecord(w store.Writer, key []byte, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode record %q: %w", key, err)
	}
	w.Set(key, value)
	return nil
}

// decodeRecord reads a record of a scan.
func decodeRecord[T any](p store.Pair) (record T, err error) {
	if err := json.Unmarshal(p.Value, &record); err != nil {
		return record, fmt.Errorf("record %q: %w", p.Key, err)
	}
	return record, nil
}

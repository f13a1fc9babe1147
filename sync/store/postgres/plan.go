package postgres

import (
	"bytes"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// plan is a batch as statements make it: each key is written once, and in the order of keys, so that commits wait
// for each other rather than in a circle.
type plan struct {
	// held are the asserted keys that must exist, with their values.
	held map[string][]byte
	// absent are the asserted keys that must not exist.
	absent []string
	// ranges are deleted before anything is written.
	ranges []store.Range
	// final is what the writes leave: a value, or nil for a key that is deleted.
	final map[string][]byte
	adds  map[string]int64
	// contradictory says that two assertions exclude each other.
	contradictory bool
}

func newPlan(b *store.Batch) *plan {
	p := &plan{held: map[string][]byte{}, final: map[string][]byte{}, adds: b.Adds()}
	for _, op := range b.Ops() {
		p.write(op)
	}
	missing := map[string]bool{}
	for _, a := range b.Assertions() {
		p.assert(a, missing)
	}
	p.absent = slices.Sorted(maps.Keys(missing))
	return p
}

// write takes one operation in. A range that is deleted swallows what was written into it before.
func (p *plan) write(op store.Op) {
	switch op.Kind {
	case store.OpSet:
		p.final[string(op.Key)] = present(op.Value)
	case store.OpDelete:
		p.final[string(op.Key)] = nil
	case store.OpDeleteRange:
		r := store.Range{Start: op.Key, End: op.Value}
		maps.DeleteFunc(p.final, func(key string, _ []byte) bool { return r.Contains([]byte(key)) })
		p.ranges = append(p.ranges, r)
	}
}

func (p *plan) assert(a store.Assertion, missing map[string]bool) {
	key := string(a.Key)
	have, held := p.held[key]
	switch {
	case a.Value == nil:
		missing[key] = true
	case held && !bytes.Equal(have, a.Value):
		p.contradictory = true
	default:
		p.held[key] = a.Value
	}
	_, held = p.held[key]
	p.contradictory = p.contradictory || (held && missing[key])
}

// simple says that the plan is one of statements that need no answer before the commit.
func (p *plan) simple() bool { return len(p.held) == 0 && len(p.absent) == 0 && len(p.ranges) == 0 }

// placeholders returns what is inserted for the keys that must not exist: what they are set to, if they are, or an
// empty value. Until the commit, the row keeps everybody else from inserting the key.
func (p *plan) placeholders() columns {
	var c columns
	for _, key := range p.absent {
		c.add(key, present(p.final[key]))
	}
	return c
}

// sets returns the keys that are set, without those whose placeholder has the value already.
func (p *plan) sets() columns {
	var c columns
	for _, key := range slices.Sorted(maps.Keys(p.final)) {
		if value := p.final[key]; value != nil && (!p.placed(key) || p.swept(key)) {
			c.add(key, value)
		}
	}
	return c
}

// deletes returns the keys that are deleted, and those whose placeholder is not to stay.
func (p *plan) deletes() columns {
	keys := map[string]bool{}
	for key, value := range p.final {
		if value == nil {
			keys[key] = true
		}
	}
	for _, key := range p.absent {
		if _, added := p.adds[key]; p.final[key] == nil && !added {
			keys[key] = true
		}
	}
	var c columns
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		c.add(key, nil)
	}
	return c
}

// placed says whether the plan inserts a placeholder for a key.
func (p *plan) placed(key string) bool {
	_, found := slices.BinarySearch(p.absent, key)
	return found
}

// swept says whether a range that is deleted takes the placeholder of a key with it.
func (p *plan) swept(key string) bool {
	return slices.ContainsFunc(p.ranges, func(r store.Range) bool { return r.Contains([]byte(key)) })
}

// locks returns the asserted keys that exist, either those that the plan writes or those that it does not.
func (p *plan) locks(written bool) columns {
	var c columns
	for _, key := range slices.Sorted(maps.Keys(p.held)) {
		_, set := p.final[key]
		_, added := p.adds[key]
		if (set || added || p.swept(key)) == written {
			c.add(key, p.held[key])
		}
	}
	return c
}

// columns are keys and values as arrays for unnest.
type columns struct {
	owners, keys, values [][]byte
}

func (c *columns) add(key string, value []byte) {
	owner, rest := split([]byte(key))
	c.owners, c.keys, c.values = append(c.owners, owner), append(c.keys, rest), append(c.values, value)
}

func (c *columns) len() int { return len(c.keys) }

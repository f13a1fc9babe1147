package postings

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrDamaged says that a value is not what a segment is made of.
var ErrDamaged = errors.New("postings are damaged")

// Chunks returns a chunk of the postings by its number.
type Chunks func(n int) ([]byte, error)

// DecodeDocs returns the numbers of the documents of a segment, in order.
func DecodeDocs(value []byte) ([]uint64, error) {
	var docs []uint64
	last := uint64(0)
	for len(value) > 0 {
		step, n := binary.Uvarint(value)
		if n <= 0 || step > math.MaxUint64-last || (step == 0 && len(docs) > 0) {
			return nil, fmt.Errorf("documents: %w", ErrDamaged)
		}
		last, value = last+step, value[n:]
		docs = append(docs, last)
	}
	return docs, nil
}

// list is where the documents of a term are found: here, or at a place among the postings.
type list struct {
	inline []byte
	at     int
	length int
	bitmap bool
}

// walk calls fn with each term of a chunk of a dictionary. The term is good until fn returns.
func walk(chunk []byte, fn func(term []byte, l list) error) error {
	r := reader{data: chunk}
	at := r.number()
	var term []byte
	for r.err == nil && r.more() {
		shared, added := r.number(), r.number()
		if shared > len(term) {
			return fmt.Errorf("dictionary: %w", ErrDamaged)
		}
		term = append(term[:shared], r.take(added)...)
		form := r.number()
		l := list{length: form >> flagBits, bitmap: form&flagBitmap != 0}
		if form&flagInline != 0 {
			l.inline = r.take(l.length)
		} else {
			l.at = at
			at += l.length
		}
		if r.err == nil && at < math.MaxInt32 {
			r.err = fn(term, l)
		}
	}
	return r.err
}

// reader reads what is written one after the other. After an error it returns nothing.
type reader struct {
	data []byte
	at   int
	err  error
}

// more says whether something is left to read.
func (r *reader) more() bool { return r.at < len(r.data) }

// number reads a number, most of which are short.
func (r *reader) number() int {
	if r.at < len(r.data) && r.data[r.at] < 0x80 {
		r.at++
		return int(r.data[r.at-1])
	}
	return r.long()
}

func (r *reader) long() int {
	n, size := binary.Uvarint(r.data[r.at:])
	if size <= 0 || n > math.MaxInt32 {
		r.fail()
		return 0
	}
	r.at += size
	return int(n)
}

func (r *reader) take(n int) []byte {
	if n > len(r.data)-r.at {
		r.fail()
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at : r.at]
}

func (r *reader) fail() {
	r.at = len(r.data)
	if r.err == nil {
		r.err = fmt.Errorf("dictionary: %w", ErrDamaged)
	}
}

// each calls fn with the documents of a list, of a segment that has so many.
func (l list) each(data []byte, size int, fn func(doc int)) error {
	if l.bitmap {
		if len(data) != (size+7)/8 {
			return fmt.Errorf("list: %w", ErrDamaged)
		}
		for doc := range size {
			if data[doc/8]>>(doc%8)&1 == 1 {
				fn(doc)
			}
		}
		return nil
	}
	r := reader{data: data}
	for doc := 0; r.more(); {
		if doc += r.number(); r.err != nil || doc >= size {
			return fmt.Errorf("list: %w", ErrDamaged)
		}
		fn(doc)
	}
	return nil
}

// data returns the octets of a list.
func (l list) data(chunks Chunks) ([]byte, error) {
	if l.inline != nil || l.length == 0 {
		return l.inline, nil
	}
	out := make([]byte, 0, min(l.length, chunkSize))
	for at := l.at; len(out) < l.length; {
		chunk, err := chunks(at / chunkSize)
		if err != nil {
			return nil, err
		}
		from := at % chunkSize
		to := min(len(chunk), from+l.length-len(out))
		if from >= to {
			return nil, fmt.Errorf("postings: %w", ErrDamaged)
		}
		out = append(out, chunk[from:to]...)
		at += to - from
	}
	return out, nil
}

// Lookup finds the documents of several queries in a field of one segment.
type Lookup struct {
	queries []Query
	chunks  Chunks
	size    int
	// needs are those of all queries, each once, wanted their texts, and sets where each was found.
	needs  []need
	wanted [][]byte
	sets   []*Set
	work   int
}

// NewLookup returns the lookup of queries in a segment of so many documents.
func NewLookup(size int, queries []Query, chunks Chunks) *Lookup {
	l := &Lookup{queries: queries, chunks: chunks, size: size}
	for _, q := range queries {
		for _, n := range q.needs {
			if !slices.Contains(l.needs, n) {
				l.needs, l.wanted, l.sets = append(l.needs, n), append(l.wanted, []byte(n.text)), append(l.sets, NewSet(size))
			}
		}
	}
	return l
}

// Work is how many octets were compared or read so far.
func (l *Lookup) Work() int { return l.work }

// Dictionary looks at a chunk of the dictionary of the field.
func (l *Lookup) Dictionary(chunk []byte) error {
	return walk(chunk, func(term []byte, found list) error {
		l.work += len(term) * len(l.needs)
		for i := range l.needs {
			if len(term) < len(l.wanted[i]) || !l.needs[i].matching.met(term, l.wanted[i]) {
				continue
			}
			l.work += found.length
			data, err := found.data(l.chunks)
			if err == nil {
				err = found.each(data, l.size, l.sets[i].Add)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// met says whether a token agrees with what is looked for, whose text is wanted.
func (m matching) met(token, wanted []byte) bool {
	switch m {
	case begins:
		return bytes.HasPrefix(token, wanted)
	case ends:
		return bytes.HasSuffix(token, wanted)
	case equals:
		return bytes.Equal(token, wanted)
	default:
		return bytes.Contains(token, wanted)
	}
}

// Found is the result of a query: the documents in which its term may occur. It occurs in all of them when Exact.
type Found struct {
	May   *Set
	Exact bool
}

// Found returns the result of each query, once all chunks of the dictionary were looked at.
func (l *Lookup) Found() []Found {
	out := make([]Found, len(l.queries))
	for i, q := range l.queries {
		may := All(l.size)
		for _, n := range q.needs {
			may.And(l.sets[slices.Index(l.needs, n)])
		}
		out[i] = Found{May: may, Exact: q.exact}
	}
	return out
}

package postings

import "math/bits"

// Set is a set of the documents of a segment, by their place in it.
type Set struct {
	words []uint64
	size  int
}

// NewSet returns the empty set of a segment of so many documents.
func NewSet(size int) *Set { return &Set{words: make([]uint64, (size+63)/64), size: size} }

// All returns the set of all documents of a segment.
func All(size int) *Set {
	s := NewSet(size)
	s.Invert()
	return s
}

// Has says whether a document is in the set.
func (s *Set) Has(doc int) bool { return s.words[doc/64]>>(doc%64)&1 == 1 }

// Add puts a document into the set.
func (s *Set) Add(doc int) { s.words[doc/64] |= 1 << (doc % 64) }

// Len is the number of documents in the set.
func (s *Set) Len() int {
	n := 0
	for _, word := range s.words {
		n += bits.OnesCount64(word)
	}
	return n
}

// Each calls fn with the documents of the set, in order.
func (s *Set) Each(fn func(doc int)) {
	for i, word := range s.words {
		for ; word != 0; word &= word - 1 {
			fn(i*64 + bits.TrailingZeros64(word))
		}
	}
}

// And keeps what is in the other set too.
func (s *Set) And(other *Set) {
	for i := range s.words {
		s.words[i] &= other.words[i]
	}
}

// Or takes in what is in the other set.
func (s *Set) Or(other *Set) {
	for i := range s.words {
		s.words[i] |= other.words[i]
	}
}

// Invert makes the set that of the other documents.
func (s *Set) Invert() {
	for i := range s.words {
		s.words[i] = ^s.words[i]
	}
	if rest := s.size % 64; rest > 0 {
		s.words[len(s.words)-1] &= 1<<rest - 1
	}
}

package postings

import "fmt"

// merger adds the documents of a segment to a builder.
type merger struct {
	into *Builder
	from *Segment
	// places are where the documents come to lie, -1 for those that are left out.
	places []int
}

// Merge adds the documents of a segment, but for those that keep refuses. They come after those that the builder has.
func (b *Builder) Merge(s *Segment, keep func(doc uint64) bool) error {
	docs, err := DecodeDocs(s.Docs)
	if err != nil {
		return err
	}
	m := merger{into: b, from: s, places: make([]int, len(docs))}
	for i, doc := range docs {
		m.places[i] = -1
		if keep(doc) {
			m.places[i] = len(b.docs)
			b.docs = append(b.docs, doc)
		}
	}
	for field, dictionary := range s.Fields {
		terms := b.terms(field)
		for _, chunk := range dictionary {
			if err := walk(chunk, func(term []byte, l list) error { return m.add(terms, term, l) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// add takes one term over. A term that none of the documents has any more is forgotten.
func (m *merger) add(terms map[string][]uint32, term []byte, l list) error {
	data, err := l.data(m.chunk)
	if err != nil {
		return err
	}
	into := terms[string(term)]
	err = l.each(data, len(m.places), func(doc int) {
		if at := m.places[doc]; at >= 0 {
			into = append(into, uint32(at)) //nolint:gosec // a segment has far fewer documents
		}
	})
	if err == nil && len(into) > 0 {
		terms[string(term)] = into
	}
	return err
}

// chunk returns a chunk of the postings that are merged.
func (m *merger) chunk(n int) ([]byte, error) {
	if n >= len(m.from.Postings) {
		return nil, fmt.Errorf("postings: %w", ErrDamaged)
	}
	return m.from.Postings[n], nil
}

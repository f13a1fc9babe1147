package postings

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

const (
	// chunkSize is about how many octets of a dictionary, and exactly how many of the postings but for the last, lie
	// in one value.
	chunkSize = 32 << 10
	// inlineSize is the longest list of documents that is kept in the dictionary.
	inlineSize = 6
)

// How a list of documents is kept: where, and in which form.
const (
	flagInline = 1
	flagBitmap = 2
	flagBits   = 2
)

// Field names what of an email a text is.
type Field byte

// Builder makes a segment. The zero value is an empty one.
type Builder struct {
	docs   []uint64
	fields map[Field]map[string][]uint32
}

// Add begins a document, whose number is greater than that of the one before. Texts go to the document that was added
// last.
func (b *Builder) Add(doc uint64) { b.docs = append(b.docs, doc) }

// Docs is the number of documents so far.
func (b *Builder) Docs() int { return len(b.docs) }

// First is the number of the first document. There has to be one.
func (b *Builder) First() uint64 { return b.docs[0] }

// Text indexes a text, which is folded, of the document that was added last.
func (b *Builder) Text(field Field, text string) {
	terms := b.terms(field)
	doc := uint32(len(b.docs) - 1) //nolint:gosec // a segment has far fewer documents
	Tokens(text, func(token string) {
		list, known := terms[token]
		switch {
		case !known:
			terms[strings.Clone(token)] = []uint32{doc}
		case list[len(list)-1] != doc:
			terms[token] = append(list, doc)
		}
	})
}

func (b *Builder) terms(field Field) map[string][]uint32 {
	if b.fields == nil {
		b.fields = map[Field]map[string][]uint32{}
	}
	if b.fields[field] == nil {
		b.fields[field] = map[string][]uint32{}
	}
	return b.fields[field]
}

// Segment is the values of a segment. Fields holds the dictionary of each field, in chunks, and Postings the lists of
// documents that are too long for it.
type Segment struct {
	Docs     []byte
	Fields   map[Field][][]byte
	Postings [][]byte
}

// Size is the number of octets of a segment.
func (s *Segment) Size() int {
	n := len(s.Docs)
	for _, p := range s.Postings {
		n += len(p)
	}
	for _, chunks := range s.Fields {
		for _, c := range chunks {
			n += len(c)
		}
	}
	return n
}

// Segment returns what was built.
func (b *Builder) Segment() *Segment {
	out := &Segment{Docs: encodeDocs(b.docs), Fields: map[Field][][]byte{}}
	var lists []byte
	for _, field := range slices.Sorted(maps.Keys(b.fields)) {
		var w dictionaryWriter
		terms := b.fields[field]
		for _, term := range slices.Sorted(maps.Keys(terms)) {
			list, flags := encodeList(terms[term], len(b.docs))
			if len(list) <= inlineSize {
				w.add(term, list, flags|flagInline, len(lists))
				continue
			}
			w.add(term, list, flags, len(lists))
			lists = append(lists, list...)
		}
		out.Fields[field] = w.end()
	}
	out.Postings = slices.Collect(slices.Chunk(lists, chunkSize))
	return out
}

// encodeDocs writes ascending numbers by the differences between them.
func encodeDocs(docs []uint64) []byte {
	out, last := []byte{}, uint64(0)
	for _, doc := range docs {
		out = binary.AppendUvarint(out, doc-last)
		last = doc
	}
	return out
}

// encodeList writes a list of documents in the shorter of two forms.
func encodeList(docs []uint32, size int) (list []byte, flags uint64) {
	last := uint32(0)
	for _, doc := range docs {
		list = binary.AppendUvarint(list, uint64(doc-last))
		last = doc
	}
	bitmap := (size + 7) / 8
	if len(list) <= bitmap {
		return list, 0
	}
	list = make([]byte, bitmap)
	for _, doc := range docs {
		list[doc/8] |= 1 << (doc % 8)
	}
	return list, flagBitmap
}

// dictionaryWriter writes terms in order. A term is kept as what it shares with the one before, and the rest; then
// comes the length of its list with its form, and the list itself when it is short. A chunk begins with the place of
// its first list among the postings.
type dictionaryWriter struct {
	chunks [][]byte
	chunk  []byte
	last   string
}

func (w *dictionaryWriter) add(term string, list []byte, flags uint64, at int) {
	if len(w.chunk) >= chunkSize {
		w.chunks, w.chunk = append(w.chunks, w.chunk), nil
	}
	if w.chunk == nil {
		w.chunk, w.last = binary.AppendUvarint(nil, uint64(at)), "" //nolint:gosec // a length is not negative
	}
	shared := 0
	for shared < min(len(term), len(w.last)) && term[shared] == w.last[shared] {
		shared++
	}
	w.chunk = binary.AppendUvarint(w.chunk, uint64(shared))
	w.chunk = binary.AppendUvarint(w.chunk, uint64(len(term)-shared)) //nolint:gosec // shared is at most the length
	w.chunk = append(w.chunk, term[shared:]...)
	w.chunk = binary.AppendUvarint(w.chunk, uint64(len(list))<<flagBits|flags)
	if flags&flagInline != 0 {
		w.chunk = append(w.chunk, list...)
	}
	w.last = term
}

func (w *dictionaryWriter) end() [][]byte {
	if w.chunk == nil {
		return w.chunks
	}
	return append(w.chunks, w.chunk)
}

package mail

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// lookUpAfter is how often a search asks about emails of a segment before that is looked at, unless reading them
	// was more work than the segment is large: a search that has found enough by then does without.
	lookUpAfter = 32
	// maxLookUp is how many octets of terms a search looks up in the index. It reads what is to have others.
	maxLookUp = 2 << 10
	// effortIndexed is the work for an email for which the index answers.
	effortIndexed = 16
)

// verdict is what an index tells of an email and a condition.
type verdict int

const (
	// unsure says that the email has to be read.
	unsure verdict = iota
	// ruledOut says that its texts do not have what the condition looks for.
	ruledOut
	// certain says that they do.
	certain
)

// searchIndex is the index of an account, open for one query.
type searchIndex struct {
	finder   *finder
	filter   *jmap.Filter[emailCondition]
	next     uint64
	segments []*searchSegment
	clauses  map[*emailCondition][]clause
	// queries are those of each field.
	queries map[postings.Field][]postings.Query
	// damaged is the error of a segment that cannot be read, if there is one.
	damaged error
}

// clause is a term of a condition, and where it may occur: in any of the fields, by the number of its query in each.
type clause map[postings.Field]int

// searchSegment is a segment in which a query looks things up, once, when that is worth it.
type searchSegment struct {
	indexSegment

	asked  int
	began  int64
	looked bool
	docs   []uint64
	found  map[*emailCondition]answer
	// whole is the answer to the whole filter, once it is asked for.
	whole answer
}

// answer is in which documents of a segment a condition may be met, and in which it is.
type answer struct{ may, sure *postings.Set }

// onWords says whether a filter looks for texts that are indexed.
func onWords(f *jmap.Filter[emailCondition]) bool {
	var words bool
	f.Walk(func(c *emailCondition) { words = words || len(c.words()) > 0 })
	return words
}

// openIndex has the index asked about the texts that a filter looks for, if it does and there is one.
func (f *finder) openIndex(filter *jmap.Filter[emailCondition]) error {
	f.index = nil
	if !onWords(filter) {
		return nil
	}
	state, is, err := readIndex(f.ctx, f.reader, f.account)
	if err != nil || is != indexUsable {
		return err
	}
	x := &searchIndex{finder: f, filter: filter, next: state.Next, clauses: map[*emailCondition][]clause{}, queries: map[postings.Field][]postings.Query{}}
	for _, s := range state.Segments {
		x.segments = append(x.segments, &searchSegment{indexSegment: s})
	}
	left := maxLookUp
	filter.Walk(func(c *emailCondition) {
		for _, search := range c.words() {
			left -= len(search.text)
		}
		if left >= 0 {
			x.clauses[c] = x.compile(c)
		}
	})
	f.index = x
	return nil
}

// compile returns what a condition looks up.
func (x *searchIndex) compile(cond *emailCondition) []clause {
	var out []clause
	for _, search := range cond.words() {
		fields := slices.Sorted(maps.Values(indexFields))
		if search.in != "" {
			fields = []postings.Field{indexFields[search.in]}
		}
		for _, term := range x.finder.termsOf(search.text) {
			q := postings.Compile(term)
			c := clause{}
			for _, field := range fields {
				c[field] = len(x.queries[field])
				x.queries[field] = append(x.queries[field], q)
			}
			out = append(out, c)
		}
	}
	return out
}

// indexed tells what the index knows of the candidate and a condition.
func (c *candidate) indexed(cond *emailCondition) verdict {
	x := c.finder.index
	if x == nil || len(x.clauses[cond]) == 0 {
		return unsure
	}
	n, err := numberOf(c.id)
	if err != nil {
		c.finder.fail(err)
		return unsure
	}
	s := x.segmentOf(n)
	if s == nil {
		return unsure
	}
	if s.due(c.finder.effort.spent) {
		x.lookUp(s)
	}
	if v := s.verdict(n, cond); v == unsure || c.finder.spend(effortIndexed) {
		return v
	}
	return unsure
}

// segmentOf returns the segment that has an email if any has, or nil.
func (x *searchIndex) segmentOf(n uint64) *searchSegment {
	at, exact := slices.BinarySearchFunc(x.segments, n, func(s *searchSegment, n uint64) int {
		return cmp.Compare(s.First, n)
	})
	if !exact {
		at--
	}
	if at < 0 || n >= x.next {
		return nil
	}
	return x.segments[at]
}

// due says whether to look things up in the segment now, given the work of the search so far.
func (s *searchSegment) due(spent int64) bool {
	if s.asked == 0 {
		s.began = spent
	}
	s.asked++
	return !s.looked && (s.asked > lookUpAfter || spent-s.began > int64(s.Octets))
}

func (s *searchSegment) verdict(n uint64, cond *emailCondition) verdict {
	found, ok := s.found[cond]
	if !ok {
		return unsure
	}
	doc, ok := slices.BinarySearch(s.docs, n)
	switch {
	case !ok:
		return unsure
	case !found.may.Has(doc):
		return ruledOut
	case found.sure.Has(doc):
		return certain
	default:
		return unsure
	}
}

// lookUp looks up in a segment all that the query looks for. One that is damaged is left out: its emails are read.
func (x *searchIndex) lookUp(s *searchSegment) {
	s.looked = true
	err := x.answer(s)
	if errors.Is(err, postings.ErrDamaged) {
		x.damaged, s.found = err, nil
	} else if err != nil {
		x.finder.fail(err)
	}
}

func (x *searchIndex) answer(s *searchSegment) (err error) {
	f := x.finder
	if s.docs, err = readDocs(f.ctx, f.reader, f.account, s.ID); err != nil {
		return err
	}
	chunks := x.chunksOf(s)
	found := map[postings.Field][]postings.Found{}
	for field, queries := range x.queries {
		if found[field], err = x.look(s, field, postings.NewLookup(len(s.docs), queries, chunks)); err != nil {
			return err
		}
	}
	s.found = map[*emailCondition]answer{}
	for cond, clauses := range x.clauses {
		a := answer{may: postings.All(len(s.docs)), sure: postings.All(len(s.docs))}
		for _, c := range clauses {
			may, sure := c.in(found, len(s.docs))
			a.may.And(may)
			a.sure.And(sure)
		}
		s.found[cond] = a
	}
	return nil
}

// in returns in which documents the term of a clause may occur, and in which it does.
func (c clause) in(found map[postings.Field][]postings.Found, size int) (may, sure *postings.Set) {
	may, sure = postings.NewSet(size), postings.NewSet(size)
	for field, query := range c {
		one := found[field][query]
		may.Or(one.May)
		if one.Exact {
			sure.Or(one.May)
		}
	}
	return may, sure
}

// look looks up the queries of a field, as long as the search may go on.
func (x *searchIndex) look(s *searchSegment, field postings.Field, l *postings.Lookup) ([]postings.Found, error) {
	f := x.finder
	prefix := keys(f.account).segment(s.ID).dictionary(field)
	for p, err := range f.reader.Scan(f.ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		before := l.Work()
		if err := l.Dictionary(p.Value); err != nil {
			return nil, err
		}
		if !f.spend(effortRead*len(p.Value) + l.Work() - before) {
			return nil, f.err
		}
	}
	return l.Found(), nil
}

// chunksOf reads the postings of a segment, each part at most once.
func (x *searchIndex) chunksOf(s *searchSegment) postings.Chunks {
	have := map[int][]byte{}
	return func(n int) ([]byte, error) {
		if chunk, ok := have[n]; ok {
			return chunk, nil
		}
		f := x.finder
		chunk, err := readPart(f.ctx, f.reader, keys(f.account).segment(s.ID).postings().Uint(uint64(n))) //nolint:gosec // a number is not negative
		if err == nil {
			have[n] = chunk
		}
		return chunk, err
	}
}

// mend has an index made anew that a search found damaged.
func (l *emailLister) mend(ctx context.Context) {
	if l.index == nil || l.index.damaged == nil {
		return
	}
	l.service.failed(ctx, "an index is damaged and is made anew", l.index.damaged)
	if err := l.service.resetIndex(ctx, l.account); err != nil && !contended(err) {
		l.service.failed(ctx, "indexing failed", err)
	}
}

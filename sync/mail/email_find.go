package mail

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/postings"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// A query walks the emails of a mailbox, or of the account, in the order in which they arrived. One for words that few
// emails have starts from the index of words instead: from the emails that may match by what it tells of the whole filter,
// of which it then reads the records. Both ask the same of each email, so that they find the same.

const (
	// walkPerRead is how many emails a query walks in the time in which it reads the record of one.
	walkPerRead = 16
	// maxPicked is the most emails that a query starts from, all of which it has in memory.
	maxPicked = 10_000
	// walkPerResult is how many emails for each result a query walks before it looks for all that may match, and
	// maxFirstWalk is the most of them: when words are common, the newest results are soon found.
	walkPerResult = 20
	maxFirstWalk  = 2000
)

// results are those of a query so far.
type results struct {
	lister *emailLister
	// enough is how many suffice, 0 for all, when they come in order.
	enough  int64
	ordered bool
	seen    map[string]bool
	found   []*candidate
}

func (l *emailLister) newResults(enough int64) *results {
	_, ordered := byArrival(l.sort)
	return &results{lister: l, enough: enough, ordered: ordered, seen: map[string]bool{}}
}

// offer takes a candidate in if it matches. When candidates come in the order of the results, threads are collapsed on
// the way. It is false when there are enough, or nothing more can be found out.
func (r *results) offer(c *candidate) bool {
	l := r.lister
	admitted := (!r.ordered || !l.collapse || !r.seen[c.thread]) && l.admits(c)
	if l.err != nil {
		return false
	}
	if !admitted {
		return true
	}
	r.seen[c.thread] = true
	l.keepOrder(c, r.ordered)
	r.found = append(r.found, c)
	return !r.ordered || int64(len(r.found)) != r.enough
}

// find returns the emails that match, of a mailbox or, when none is named, of all.
func (l *emailLister) find(box string, enough int64) ([]*candidate, error) {
	places := keys(l.account).all()
	if box != "" {
		places = keys(l.account).box(box)
	}
	if l.index != nil && len(l.index.segments) > 0 {
		if first := enough * walkPerResult; first > 0 && first <= maxFirstWalk {
			if found, whole, err := l.scan(places, enough, int(first)); whole || err != nil {
				return found, err
			}
		}
		if numbers, picked, err := l.pick(box); err != nil {
			return nil, err
		} else if picked {
			return l.read(numbers, enough)
		}
	}
	found, _, err := l.scan(places, enough, 0)
	return found, err
}

// pick returns the numbers of the emails to start from. It is false when walking is less work.
func (l *emailLister) pick(box string) (numbers []uint64, ok bool, err error) {
	most, err := l.mostPicked(box)
	if err != nil || most == 0 {
		return nil, false, err
	}
	return l.index.pick(most)
}

// scan returns the candidates of an index by arrival that match. It looks at so many at most, all when most is 0, and
// tells whether that was the whole answer. When the index has the order of the results, it ends when there are enough.
func (l *emailLister) scan(places store.Key, enough int64, most int) (found []*candidate, whole bool, err error) {
	ascending, ordered := byArrival(l.sort)
	r, walked := l.newResults(enough), 0
	for p, err := range l.reader.Scan(l.ctx, places.Range(), store.ScanOptions{Reverse: ordered && ascending}) {
		if err != nil {
			return nil, false, err
		}
		if walked++; most > 0 && walked > most {
			return nil, false, nil
		}
		c := &candidate{thread: string(p.Value), finder: l.finder}
		if c.received, c.id, err = cutPlace(p.Key, places); err != nil {
			return nil, false, err
		}
		if !r.offer(c) {
			break
		}
	}
	return r.found, true, l.err
}

// mostPicked is from how many emails a query starts rather than walking those of a mailbox, or of all: from none when
// those are so few that reading them is less than looking words up.
func (l *emailLister) mostPicked(box string) (int, error) {
	walk := l.index.emails()
	if box != "" {
		record := &mailbox{}
		if _, err := readJSON(l.ctx, l.reader, keys(l.account).mailbox(box), record); err != nil {
			return 0, err
		}
		walk = int(record.TotalEmails)
	}
	if walk <= lookUpAfter*len(l.index.segments) {
		return 0, nil
	}
	return min(walk/walkPerRead, maxPicked), nil
}

// emails is how many emails the index holds.
func (x *searchIndex) emails() int {
	n := 0
	for _, s := range x.segments {
		n += s.Emails
	}
	return n
}

// pick returns the numbers of the emails that may match, with those that are not indexed. It is false when they
// are more than most, or a segment cannot tell.
func (x *searchIndex) pick(most int) (numbers []uint64, ok bool, err error) {
	for _, s := range x.segments {
		if !s.looked {
			x.lookUp(s)
		}
		if x.finder.err != nil || s.found == nil {
			return nil, false, x.finder.err
		}
		may, _ := x.whole(s)
		if len(numbers)+may.Len() > most {
			return nil, false, x.finder.err
		}
		may.Each(func(doc int) { numbers = append(numbers, s.docs[doc]) })
	}
	return x.fresh(numbers, most)
}

// whole returns which emails of a segment, in which things were looked up, may match, and which do. It is worked out once.
func (x *searchIndex) whole(s *searchSegment) (may, sure *postings.Set) {
	if s.whole.may == nil {
		s.whole.may, s.whole.sure = x.possible(s, x.filter)
	}
	return s.whole.may, s.whole.sure
}

// told is what the index tells of the candidate and the whole filter, without looking anything up.
func (c *candidate) told() verdict {
	x := c.finder.index
	if x == nil {
		return unsure
	}
	n, err := numberOf(c.id)
	if err != nil {
		c.finder.fail(err)
		return unsure
	}
	s := x.segmentOf(n)
	if s == nil || s.found == nil {
		return unsure
	}
	doc, ok := slices.BinarySearch(s.docs, n)
	if !ok || !c.finder.spend(effortIndexed) {
		return unsure
	}
	switch may, sure := x.whole(s); {
	case !may.Has(doc):
		return ruledOut
	case sure.Has(doc):
		return certain
	default:
		return unsure
	}
}

// possible returns which emails of a segment may match a filter, and which do for all that the index knows.
func (x *searchIndex) possible(s *searchSegment, f *jmap.Filter[emailCondition]) (may, sure *postings.Set) {
	size := len(s.docs)
	x.finder.spend(size / 8)
	if f.Condition != nil {
		return s.met(f.Condition)
	}
	if f.Operator == jmap.OperatorAnd {
		may, sure = postings.All(size), postings.All(size)
		for _, child := range f.Conditions {
			childMay, childSure := x.possible(s, child)
			may.And(childMay)
			sure.And(childSure)
		}
		return may, sure
	}
	may, sure = postings.NewSet(size), postings.NewSet(size)
	for _, child := range f.Conditions {
		childMay, childSure := x.possible(s, child)
		may.Or(childMay)
		sure.Or(childSure)
	}
	if f.Operator == jmap.OperatorNot {
		may.Invert()
		sure.Invert()
		return sure, may
	}
	return may, sure
}

// met returns which emails of a segment may meet a condition, and which do. Sets of a segment are not to be changed.
func (s *searchSegment) met(cond *emailCondition) (may, sure *postings.Set) {
	found, ok := s.found[cond]
	switch {
	case !ok:
		return postings.All(len(s.docs)), postings.NewSet(len(s.docs))
	case !cond.onlyWords():
		return found.may, postings.NewSet(len(s.docs))
	default:
		return found.may, found.sure
	}
}

// fresh adds the numbers of the emails that came in since the index was brought forward.
func (x *searchIndex) fresh(numbers []uint64, most int) (all []uint64, ok bool, err error) {
	f := x.finder
	prefix := keys(f.account).emails()
	since := store.Range{Start: keys(f.account).email(formatID("m", x.next)), End: prefix.Range().End}
	for p, err := range f.reader.Scan(f.ctx, since, store.ScanOptions{}) {
		if err != nil {
			return nil, false, err
		}
		id, _, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return nil, false, fmt.Errorf("read emails: %w", err)
		}
		n, err := numberOf(id)
		if err != nil {
			return nil, false, fmt.Errorf("read emails: %w", err)
		}
		if len(numbers) == most {
			return nil, false, nil
		}
		numbers = append(numbers, n)
	}
	return numbers, true, nil
}

// read returns the emails of some numbers that match. Those that were destroyed since they were indexed are left out.
func (l *emailLister) read(numbers []uint64, enough int64) ([]*candidate, error) {
	list := make([]*candidate, 0, len(numbers))
	for _, n := range numbers {
		c := &candidate{id: formatID("m", n), finder: l.finder}
		m := c.meta()
		if l.err != nil {
			return nil, l.err
		}
		if c.hidden || m.Thread == "" {
			continue
		}
		c.thread, c.received = m.Thread, m.Received
		list = append(list, c)
	}
	ascending, _ := byArrival(l.sort)
	slices.SortFunc(list, func(a, b *candidate) int {
		return direct(cmp.Or(cmp.Compare(b.received, a.received), cmp.Compare(a.id, b.id)), !ascending)
	})
	r := l.newResults(enough)
	for _, c := range list {
		if !r.offer(c) {
			break
		}
	}
	return r.found, l.err
}

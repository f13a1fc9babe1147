package mail

import (
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// What a search costs, in octets compared with one term. Reading text costs several
// times as much as comparing it, and each thing that is looked up costs something.
const (
	effortLookup = 512
	effortRead   = 4
	effortOpen   = 64 << 10
)

// maxEffort bounds the work of one search, to some seconds of one processor: that is
// the text of a hundred thousand emails and a few words. A narrower filter does within
// the bound what a wide one does not, but the same one later does not either, so that
// the filter is what is not supported (RFC 8620 section 5.5).
const maxEffort = 8 << 30

// effort is the work of a search so far.
type effort struct {
	spent, most int64
}

// spend adds to the work. It is false when that is more than one search may do.
func (f *finder) spend(work int) bool {
	f.effort.spent += int64(work)
	if f.effort.spent <= f.effort.most {
		return f.err == nil
	}
	f.fail(&jmap.MethodError{
		Type:        jmap.ErrorUnsupportedFilter,
		Description: fmt.Sprintf("filter: the search looks at more than %d MiB of mail: narrow it down, such as by inMailbox or after, or search for fewer words", f.effort.most>>20),
	})
	return false
}

// found says whether each term occurs in one of the texts, which are folded, as long as
// the search may go on.
func (f *finder) found(terms []string, texts ...string) bool {
	octets := 0
	for _, text := range texts {
		octets += len(text)
	}
	return f.spend((octets+1)*len(terms)) && foundIn(terms, texts...)
}

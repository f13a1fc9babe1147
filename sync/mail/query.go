package mail

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// maxQueryLimit is the most ids of one answer to a query.
const maxQueryLimit = 10_000

// optional is a string property that may be absent, null or a string.
type optional struct {
	given bool
	value *string
}

// UnmarshalJSON notes that the property was there.
func (o *optional) UnmarshalJSON(raw []byte) error {
	o.given = true
	return json.Unmarshal(raw, &o.value)
}

// foldText brings text into the form in which it is compared: without regard to case, normalized.
func foldText(s string) string {
	return norm.NFC.String(cases.Fold().String(s))
}

// The collations that queries can sort by (RFC 4790, RFC 5051).
const (
	collationOctet   = "i;octet"
	collationASCII   = "i;ascii-casemap"
	collationUnicode = "i;unicode-casemap"
)

// textOrders are the properties that are sorted by as texts. The collation of any other is ignored (RFC 8620 section 5.5).
var textOrders = []string{"name", "subject", "from", "to", "emailId", "threadId"}

func checkCollation(c jmap.Comparator) error {
	if !slices.Contains(textOrders, c.Property) {
		return nil
	}
	switch c.Collation {
	case "", collationOctet, collationASCII, collationUnicode:
		return nil
	default:
		return unsupportedSort("collation " + c.Collation)
	}
}

// collate returns what a string is sorted by: without a collation the order of the Unicode Collation Algorithm, which
// puts letters with accents beside those without.
func collate(s, collation string) string {
	switch collation {
	case collationOctet:
		return s
	case collationASCII:
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, s)
	case collationUnicode:
		return foldText(s)
	default:
		return rootKey(s)
	}
}

func direct(order int, ascending bool) int {
	if ascending {
		return order
	}
	return -order
}

func unsupportedSort(what string) *jmap.MethodError {
	return &jmap.MethodError{Type: jmap.ErrorUnsupportedSort, Description: "sort: " + what + " is not supported"}
}

// window fills in the part of the results that a query asks for (RFC 8620 section 5.5).
func window(ids []string, args *jmap.QueryArguments, out *jmap.QueryResponse) error {
	total := int64(len(ids))
	start := args.Position
	if args.Anchor != nil {
		at := slices.Index(ids, *args.Anchor)
		if at < 0 {
			return &jmap.MethodError{Type: jmap.ErrorAnchorNotFound, Description: "anchor: not in the results"}
		}
		start = max(0, int64(at)+args.AnchorOffset)
	} else if start < 0 {
		start = max(0, start+total)
	}
	limit := queryLimit(args, out)
	from := min(start, total)
	out.IDs = ids[from:min(from+limit, total)]
	out.Position = start
	if args.CalculateTotal {
		out.Total = &total
	}
	return nil
}

// queryLimit is how many ids to return; the answer tells when the server chose it.
func queryLimit(args *jmap.QueryArguments, out *jmap.QueryResponse) int64 {
	if args.Limit != nil && *args.Limit <= maxQueryLimit {
		return *args.Limit
	}
	out.Limit = new(int64(maxQueryLimit))
	return maxQueryLimit
}

// queryChanges fills in what changed in the results of a query (RFC 8620 section 5.6), given the present results,
// the records that are new, and every record whose place may have changed.
func queryChanges(results, created []string, changed map[string]bool, args *jmap.QueryChangesArguments, out *jmap.QueryChangesResponse) {
	fresh := map[string]bool{}
	for _, id := range created {
		fresh[id] = true
	}
	for id := range changed {
		if !fresh[id] {
			out.Removed = append(out.Removed, id)
		}
	}
	sort.Strings(out.Removed)
	for i, id := range results {
		if changed[id] {
			out.Added = append(out.Added, jmap.AddedItem{ID: id, Index: int64(i)})
		}
	}
	if args.CalculateTotal {
		out.Total = new(int64(len(results)))
	}
}

// tooManyChanges refuses an answer with more changes than its client wants.
func tooManyChanges(args *jmap.QueryChangesArguments, out *jmap.QueryChangesResponse) error {
	if args.MaxChanges != nil && int64(len(out.Removed)+len(out.Added)) > *args.MaxChanges {
		return &jmap.MethodError{Type: jmap.ErrorTooManyChanges, Description: "query again instead"}
	}
	return nil
}

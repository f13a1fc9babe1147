package mail

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// submissionCondition is a FilterCondition of EmailSubmission/query (RFC 8621 section 7.3).
type submissionCondition struct {
	IdentityIDs []string `json:"identityIds"`
	EmailIDs    []string `json:"emailIds"`
	ThreadIDs   []string `json:"threadIds"`
	UndoStatus  *string  `json:"undoStatus"`
	Before      *utcTime `json:"before"`
	After       *utcTime `json:"after"`
}

// submissionOrders are what submissions can be sorted by. RFC 8621 names "sentAt", which is the property sendAt.
var submissionOrders = map[string]func(a, b *submission) int{
	"emailId":  func(a, b *submission) int { return strings.Compare(a.Email, b.Email) },
	"threadId": func(a, b *submission) int { return strings.Compare(a.Thread, b.Thread) },
	"sentAt":   func(a, b *submission) int { return cmp.Compare(a.SendAt, b.SendAt) },
	"sendAt":   func(a, b *submission) int { return cmp.Compare(a.SendAt, b.SendAt) },
}

func (s *submission) matches(c *submissionCondition) bool {
	return among(c.IdentityIDs, s.Identity) && among(c.EmailIDs, s.Email) && among(c.ThreadIDs, s.Thread) &&
		(c.UndoStatus == nil || *c.UndoStatus == s.Undo) &&
		(c.Before == nil || s.SendAt < int64(*c.Before)) &&
		(c.After == nil || s.SendAt >= int64(*c.After))
}

// among says whether an id is in a list; a condition that is not given has none.
func among(list []string, id string) bool { return list == nil || slices.Contains(list, id) }

// submissionLister finds the results of a submission query.
type submissionLister struct {
	filter *jmap.Filter[submissionCondition]
	sort   []jmap.Comparator
}

func newSubmissionLister(filter []byte, sort []jmap.Comparator) (*submissionLister, error) {
	for _, c := range sort {
		if submissionOrders[c.Property] == nil {
			return nil, unsupportedSort("property " + c.Property)
		}
		if err := checkCollation(c); err != nil {
			return nil, err
		}
	}
	parsed, err := jmap.ParseFilter[submissionCondition](filter)
	return &submissionLister{filter: parsed, sort: sort}, err
}

// list returns the ids of the submissions that match, in order.
func (l *submissionLister) list(ctx context.Context, r store.Reader, account string) ([]string, error) {
	ids, records, err := submissions.all(ctx, r, account)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*submission, len(ids))
	out := []string{}
	for i, id := range ids {
		if l.filter.Match(records[i].matches) {
			byID[id] = records[i]
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		for _, c := range l.sort {
			if order := submissionOrders[c.Property](byID[a], byID[b]); order != 0 {
				return direct(order, c.IsAscending)
			}
		}
		return strings.Compare(a, b)
	})
	return out, nil
}

// submissionQuery answers EmailSubmission/query (RFC 8621 section 7.3).
func (s *Service) submissionQuery(ctx context.Context, _ *jmap.Call, args *jmap.QueryArguments) (*jmap.QueryResponse, error) {
	l, err := newSubmissionLister(args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryResponse{AccountID: args.AccountID, CanCalculateChanges: true}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		ids, err := l.list(ctx, r, args.AccountID)
		if err != nil {
			return err
		}
		if out.QueryState, err = store.State(ctx, r, args.AccountID, typeSubmission); err != nil {
			return err
		}
		return window(ids, args, out)
	})
	return out, err
}

// submissionQueryChanges answers EmailSubmission/queryChanges (RFC 8621 section 7.4).
func (s *Service) submissionQueryChanges(ctx context.Context, _ *jmap.Call, args *jmap.QueryChangesArguments) (*jmap.QueryChangesResponse, error) {
	l, err := newSubmissionLister(args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryChangesResponse{AccountID: args.AccountID, OldQueryState: args.SinceQueryState}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		c, err := store.ChangesSince(ctx, r, args.AccountID, typeSubmission, args.SinceQueryState, 0)
		if err != nil {
			return cannotCalculate(err)
		}
		ids, err := l.list(ctx, r, args.AccountID)
		if err != nil {
			return err
		}
		changed := map[string]bool{}
		for _, id := range slices.Concat(c.Created, c.Updated, c.Destroyed) {
			changed[id] = true
		}
		out.NewQueryState = c.New
		queryChanges(ids, c.Created, changed, args, out)
		return tooManyChanges(args, out)
	})
	return out, err
}

package mail

import (
	"context"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// mailboxCondition is a FilterCondition of Mailbox/query (RFC 8621 section 2.3).
type mailboxCondition struct {
	ParentID     optional `json:"parentId"`
	Name         *string  `json:"name"`
	Role         optional `json:"role"`
	HasAnyRole   *bool    `json:"hasAnyRole"`
	IsSubscribed *bool    `json:"isSubscribed"`
}

// mailboxQueryArguments are the arguments of Mailbox/query.
type mailboxQueryArguments struct {
	jmap.QueryArguments

	treeArguments
}

// mailboxQueryChangesArguments are the arguments of Mailbox/queryChanges.
type mailboxQueryChangesArguments struct {
	jmap.QueryChangesArguments

	treeArguments
}

// treeArguments are those that both methods have.
type treeArguments struct {
	SortAsTree   bool `json:"sortAsTree"`
	FilterAsTree bool `json:"filterAsTree"`
}

// mailboxLister finds the results of a mailbox query.
type mailboxLister struct {
	treeArguments

	filter *jmap.Filter[mailboxCondition]
	sort   []jmap.Comparator
	byID   map[string]*mailbox
}

func newMailboxLister(filter []byte, sort []jmap.Comparator, tree treeArguments) (*mailboxLister, error) {
	l := &mailboxLister{treeArguments: tree, sort: sort, byID: map[string]*mailbox{}}
	for _, c := range sort {
		if c.Property != "sortOrder" && c.Property != "name" {
			return nil, unsupportedSort("property " + c.Property)
		}
		if err := checkCollation(c); err != nil {
			return nil, err
		}
	}
	var err error
	l.filter, err = jmap.ParseFilter[mailboxCondition](filter)
	return l, err
}

// list returns the ids of the mailboxes that match, in order.
func (l *mailboxLister) list(boxes []*mailbox) []string {
	for _, box := range boxes {
		l.byID[box.ID] = box
	}
	out := []*mailbox{}
	for _, box := range boxes {
		if l.includes(box) {
			out = append(out, box)
		}
	}
	slices.SortFunc(out, l.compare)
	ids := make([]string, len(out))
	for i, box := range out {
		ids[i] = box.ID
	}
	return ids
}

func (l *mailboxLister) includes(box *mailbox) bool {
	for at := box; at != nil; at = l.parent(at) {
		if !l.filter.Match(at.matches) {
			return false
		}
		if !l.FilterAsTree {
			return true
		}
	}
	return true
}

func (l *mailboxLister) parent(box *mailbox) *mailbox {
	if box.ParentID == nil {
		return nil
	}
	return l.byID[*box.ParentID]
}

func (m *mailbox) matches(c *mailboxCondition) bool {
	return (!c.ParentID.given || same(c.ParentID.value, m.ParentID)) &&
		(c.Name == nil || strings.Contains(foldText(m.Name), foldText(*c.Name))) &&
		(!c.Role.given || same(c.Role.value, m.Role)) &&
		(c.HasAnyRole == nil || *c.HasAnyRole == (m.Role != nil)) &&
		(c.IsSubscribed == nil || *c.IsSubscribed == m.IsSubscribed)
}

func (l *mailboxLister) compare(a, b *mailbox) int {
	if !l.SortAsTree {
		return l.compareAlone(a, b)
	}
	pathA, pathB := l.path(a), l.path(b)
	for i := range min(len(pathA), len(pathB)) {
		if pathA[i] != pathB[i] {
			return l.compareAlone(pathA[i], pathB[i])
		}
	}
	return len(pathA) - len(pathB)
}

// path is the mailbox and its ancestors from the top.
func (l *mailboxLister) path(box *mailbox) []*mailbox {
	var out []*mailbox
	for at := box; at != nil && len(out) <= maxMailboxDepth; at = l.parent(at) {
		out = append(out, at)
	}
	slices.Reverse(out)
	return out
}

func (l *mailboxLister) compareAlone(a, b *mailbox) int {
	for _, c := range l.sort {
		order := int(a.SortOrder - b.SortOrder)
		if c.Property == "name" {
			order = strings.Compare(collate(a.Name, c.Collation), collate(b.Name, c.Collation))
		}
		if order != 0 {
			return direct(order, c.IsAscending)
		}
	}
	return strings.Compare(a.ID, b.ID)
}

// mailboxQuery answers Mailbox/query (RFC 8621 section 2.3).
func (s *Service) mailboxQuery(ctx context.Context, call *jmap.Call, args *mailboxQueryArguments) (*jmap.QueryResponse, error) {
	l, err := newMailboxLister(args.Filter, args.Sort, args.treeArguments)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryResponse{AccountID: args.AccountID, CanCalculateChanges: true}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		v, err := s.visitor(ctx, r, call.Principal, args.AccountID)
		if err != nil {
			return err
		}
		boxes, err := s.seenMailboxes(ctx, r, v, call, args.AccountID)
		if err != nil {
			return err
		}
		if out.QueryState, err = v.state(ctx, r, args.AccountID, typeMailbox); err != nil {
			return err
		}
		return window(l.list(boxes), &args.QueryArguments, out)
	})
	return out, err
}

// mailboxQueryChanges answers Mailbox/queryChanges (RFC 8621 section 2.4).
func (s *Service) mailboxQueryChanges(ctx context.Context, call *jmap.Call, args *mailboxQueryChangesArguments) (*jmap.QueryChangesResponse, error) {
	l, err := newMailboxLister(args.Filter, args.Sort, args.treeArguments)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryChangesResponse{AccountID: args.AccountID, OldQueryState: args.SinceQueryState}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		v, err := s.visitor(ctx, r, call.Principal, args.AccountID)
		if err != nil {
			return err
		}
		c, err := v.changes(ctx, r, args.AccountID, typeMailbox, args.SinceQueryState, 0)
		if err != nil {
			return cannotCalculate(err)
		}
		boxes, err := s.seenMailboxes(ctx, r, v, call, args.AccountID)
		if err != nil {
			return err
		}
		results := l.list(boxes)
		changed := map[string]bool{}
		if !c.OnlyMinor {
			for _, id := range slices.Concat(c.Created, c.Updated, c.Destroyed) {
				changed[id] = true
			}
			l.addDescendants(boxes, changed)
		}
		out.NewQueryState = c.New
		queryChanges(results, c.Created, changed, &args.QueryChangesArguments, out)
		return tooManyChanges(&args.QueryChangesArguments, out)
	})
	return out, err
}

// addDescendants counts a mailbox as changed when its place in a tree may have changed with an ancestor.
func (l *mailboxLister) addDescendants(boxes []*mailbox, changed map[string]bool) {
	if !l.SortAsTree && !l.FilterAsTree {
		return
	}
	for _, box := range boxes {
		for _, at := range l.path(box) {
			if changed[at.ID] {
				changed[box.ID] = true
			}
		}
	}
}

package mail

import (
	"context"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// emailQueryArguments are the arguments of Email/query.
type emailQueryArguments struct {
	jmap.QueryArguments

	CollapseThreads bool `json:"collapseThreads"`
}

// emailQueryChangesArguments are the arguments of Email/queryChanges.
type emailQueryChangesArguments struct {
	jmap.QueryChangesArguments

	CollapseThreads bool `json:"collapseThreads"`
}

// emailLister finds the results of an email query.
type emailLister struct {
	*finder

	filter   *jmap.Filter[emailCondition]
	sort     []jmap.Comparator
	collapse bool
	// whole says that the results are all of one mailbox.
	whole bool
	// principal is who asks.
	principal *jmap.Principal
}

// begin reads who asks, and opens the index if it is asked.
func (l *emailLister) begin(r store.Reader) (err error) {
	l.reader = r
	if l.visitor, err = l.service.visitor(l.ctx, r, l.principal, l.account); err == nil {
		err = l.openIndex(l.filter)
	}
	return err
}

// barred says whether the filter is about a mailbox whose emails who asks may not see: nothing matches then.
func (l *emailLister) barred() bool {
	id, ok := mailboxOf(l.filter)
	return ok && !l.visitor.may(id, mayReadItems)
}

func (s *Service) newEmailLister(ctx context.Context, call *jmap.Call, account string, filter []byte, sort []jmap.Comparator, collapse bool) (*emailLister, error) {
	if err := checkSort(sort); err != nil {
		return nil, err
	}
	parsed, err := parseEmailFilter(filter, call.Using)
	if err != nil {
		return nil, err
	}
	tenant, err := s.tenantOf(ctx, account)
	if err != nil {
		return nil, err
	}
	f := &finder{ctx: ctx, service: s, account: account, tenant: tenant, threads: map[string][]member{}, terms: map[string][]string{}, signatures: s.newVerifier(account, tenant), effort: effort{most: s.opts.MaxEffort}}
	if onWords(parsed) {
		s.catchUp(ctx, account, tenant)
	}
	whole := parsed != nil && parsed.Condition != nil && parsed.Condition.InMailbox != nil && parsed.Condition.only()
	return &emailLister{finder: f, filter: parsed, sort: sort, collapse: collapse, whole: whole, principal: call.Principal}, nil
}

// emailQuery answers Email/query (RFC 8621 section 4.4).
func (s *Service) emailQuery(ctx context.Context, call *jmap.Call, args *emailQueryArguments) (*jmap.QueryResponse, error) {
	l, err := s.newEmailLister(ctx, call, args.AccountID, args.Filter, args.Sort, args.CollapseThreads)
	if err != nil {
		return nil, err
	}
	defer l.mend(ctx)
	out := &jmap.QueryResponse{AccountID: args.AccountID, CanCalculateChanges: !onSignatures(l.filter)}
	err = s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		if err := l.begin(r); err != nil {
			return err
		}
		if out.QueryState, err = l.visitor.state(ctx, r, args.AccountID, typeEmail); err != nil {
			return err
		}
		enough, total, err := l.enough(&args.QueryArguments)
		if err != nil {
			return err
		}
		ids, err := l.list(enough)
		if err != nil {
			return err
		}
		if err := window(ids, &args.QueryArguments, out); err != nil {
			return err
		}
		if out.Total != nil && total != nil {
			out.Total = total
		}
		return nil
	})
	return out, l.settle(ctx, err)
}

// enough says how many results suffice to answer a call, 0 for all, and the total when it is known without
// looking at them.
func (l *emailLister) enough(args *jmap.QueryArguments) (n int64, total *int64, err error) {
	if _, ok := byArrival(l.sort); !ok || args.Anchor != nil || args.Position < 0 {
		return 0, nil, nil
	}
	if args.CalculateTotal {
		if total, err = l.counted(); total == nil {
			return 0, nil, err
		}
	}
	limit := int64(maxQueryLimit)
	if args.Limit != nil {
		limit = min(limit, *args.Limit)
	}
	return max(1, args.Position+limit), total, nil
}

// counted returns the total from the counts of the mailbox, when the filter is that alone.
func (l *emailLister) counted() (*int64, error) {
	if !l.whole || l.barred() {
		return nil, nil //nolint:nilnil // the total is not known
	}
	box := &mailbox{}
	if _, err := readJSON(l.ctx, l.reader, keys(l.account).mailbox(*l.filter.Condition.InMailbox), box); err != nil {
		return nil, err
	}
	if l.collapse {
		return &box.TotalThreads, nil
	}
	return &box.TotalEmails, nil
}

// list returns the ids of the emails that match, in order: the first so many, or all when enough is 0.
func (l *emailLister) list(enough int64) ([]string, error) {
	if l.barred() {
		return []string{}, nil
	}
	box, ok := mailboxOf(l.filter)
	if boxes := l.only(); !ok && boxes != nil {
		box = boxes[0]
	}
	found, err := l.find(box, enough)
	if err != nil {
		return nil, err
	}
	return l.arranged(found), l.err
}

// arranged returns the ids of results in the order that is asked for.
func (l *emailLister) arranged(found []*candidate) []string {
	if _, indexed := byArrival(l.sort); !indexed {
		order(found, l.sort)
		found = l.collapsed(found)
	}
	ids := make([]string, len(found))
	for i, c := range found {
		ids[i] = c.id
	}
	return ids
}

// keepOrder keeps of a result what it is sorted by, unless that is the order of the index, and lets go of what was
// read of it: results are many, and what they are is not asked any more.
func (l *emailLister) keepOrder(c *candidate, indexed bool) {
	if !indexed {
		c.order = make([]sortKey, len(l.sort))
		for i, by := range l.sort {
			c.order[i] = sortKeys[by.Property](c, by)
		}
	}
	c.email, c.row, c.body = nil, nil, nil
}

// admits says whether a candidate matches. What the index answers for is not looked at again.
func (l *emailLister) admits(c *candidate) bool {
	if l.whole {
		return true
	}
	switch c.told() {
	case ruledOut:
		return false
	case certain:
		return c.visible()
	default:
		return c.visible() && l.filter.Match(c.matches)
	}
}

// only returns the one mailbox whose emails who asks may see, if there is just one.
func (l *emailLister) only() []string {
	if l.visitor == nil {
		return nil
	}
	if boxes := l.visitor.readable(); len(boxes) == 1 {
		return boxes
	}
	return nil
}

// collapsed keeps the first email of each thread (RFC 8621 section 4.4.3).
func (l *emailLister) collapsed(list []*candidate) []*candidate {
	if !l.collapse {
		return list
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(c *candidate) bool {
		twice := seen[c.thread]
		seen[c.thread] = true
		return twice
	})
}

// emailQueryChanges answers Email/queryChanges (RFC 8621 section 4.5) from the change log: an email can only have
// come, gone or moved in the results when it changed, or when the results depend on threads and its thread changed.
func (s *Service) emailQueryChanges(ctx context.Context, call *jmap.Call, args *emailQueryChangesArguments) (*jmap.QueryChangesResponse, error) {
	l, err := s.newEmailLister(ctx, call, args.AccountID, args.Filter, args.Sort, args.CollapseThreads)
	if err != nil {
		return nil, err
	}
	if onSignatures(l.filter) {
		return nil, &jmap.MethodError{Type: jmap.ErrorCannotCalculateChanges, Description: "filter: what signatures are worth changes with time: query again instead"}
	}
	defer l.mend(ctx)
	out := &jmap.QueryChangesResponse{AccountID: args.AccountID, OldQueryState: args.SinceQueryState}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		if err := l.begin(r); err != nil {
			return err
		}
		c, err := l.visitor.changes(ctx, r, args.AccountID, typeEmail, args.SinceQueryState, 0)
		if err != nil {
			return cannotCalculate(err)
		}
		out.NewQueryState = c.New
		changed, err := l.changed(&c)
		if err != nil {
			return err
		}
		var results []string
		if len(changed) > 0 || args.CalculateTotal {
			if results, err = l.list(0); err != nil {
				return err
			}
		}
		queryChanges(results, c.Created, changed, &args.QueryChangesArguments, out)
		l.upTo(results, args.UpToID, out)
		return tooManyChanges(&args.QueryChangesArguments, out)
	})
	return out, err
}

// changed returns the emails whose place in the results may have changed.
func (l *emailLister) changed(c *store.Changes) (map[string]bool, error) {
	changed := map[string]bool{}
	moved := slices.Concat(c.Created, c.Destroyed)
	if l.visitor != nil || l.mutable() {
		moved = append(moved, c.Updated...)
	}
	for _, id := range moved {
		changed[id] = true
	}
	if !l.aboutThreads() {
		return changed, nil
	}
	threads, err := l.visitor.changes(l.ctx, l.reader, l.account, typeThread, c.Old, 0)
	if err != nil {
		return nil, cannotCalculate(err)
	}
	touched := slices.Concat(threads.Created, threads.Updated)
	for _, id := range slices.Concat(c.Created, c.Updated) {
		m := (&candidate{id: id, finder: l.finder}).meta()
		touched = append(touched, m.Thread)
	}
	for _, thread := range touched {
		for _, m := range (&candidate{thread: thread, finder: l.finder}).members() {
			changed[m.id] = true
		}
	}
	return changed, l.err
}

// aboutThreads says whether the place of an email depends on others of its thread.
func (l *emailLister) aboutThreads() bool {
	depends := l.collapse || slices.ContainsFunc(l.sort, func(c jmap.Comparator) bool {
		return c.Property == "allInThreadHaveKeyword" || c.Property == "someInThreadHaveKeyword"
	})
	l.filter.Walk(func(c *emailCondition) { depends = depends || c.aboutThread() })
	return depends
}

// mutable says whether the place of an email depends on what can change about it.
func (l *emailLister) mutable() bool {
	depends := l.aboutThreads() || slices.ContainsFunc(l.sort, func(c jmap.Comparator) bool { return c.Property == "hasKeyword" })
	l.filter.Walk(func(c *emailCondition) { depends = depends || c.mutable() })
	return depends
}

// upTo leaves out what came in after the last email that the client has, when the order cannot have changed
// before it (RFC 8620 section 5.6).
func (l *emailLister) upTo(results []string, id *string, out *jmap.QueryChangesResponse) {
	if id == nil || l.mutable() {
		return
	}
	if at := slices.Index(results, *id); at >= 0 {
		out.Added = slices.DeleteFunc(out.Added, func(a jmap.AddedItem) bool { return a.Index > int64(at) })
	}
}

package mail

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// QuotaCapabilityURI names JMAP for Quotas in requests and sessions (RFC 9425 section 2).
const QuotaCapabilityURI = "urn:ietf:params:jmap:quota"

// typeQuota is the name of the data type in states and changes.
const typeQuota = "Quota"

// The values of Quota properties that are used here (RFC 9425 section 3).
const (
	scopeAccount   = "account"
	resourceOctets = "octets"
	resourceCount  = "count"
)

// warnShare is which part of a limit is left when users are to be warned.
const warnShare = 10

// Quota is how much an account may hold; 0 means that there is no limit.
type Quota struct {
	// Octets bounds the size of all emails together.
	Octets int64
	// Emails bounds their number.
	Emails int64
}

// DefaultQuota returns the limits that accounts have unless something else is wanted.
func DefaultQuota() Quota { return Quota{Octets: 100 << 30, Emails: 10_000_000} }

// exceeded says why an account may not hold so much more; empty when it may.
func (q Quota) exceeded(u *usage, octets, emails int64) string {
	switch {
	case q.Octets > 0 && u.Octets+octets > q.Octets:
		return fmt.Sprintf("the account holds %d octets of at most %d: destroy emails to make room", u.Octets, q.Octets)
	case emails > 0 && q.Emails > 0 && u.Emails+emails > q.Emails:
		return fmt.Sprintf("the account holds %d emails of at most %d: destroy some to make room", u.Emails, q.Emails)
	default:
		return ""
	}
}

// quota is one Quota of an account (RFC 9425 section 4).
type quota struct {
	id, name, description string
	limit                 int64
	used                  func(*usage) int64
	// now is what is used at present.
	now int64
}

// quotas are those that have a limit, in the order of their ids. An id is the resource type that is limited.
func quotas(limits Quota) []*quota {
	all := []*quota{
		{
			id: resourceCount, name: "Number of emails", limit: limits.Emails, used: func(u *usage) int64 { return u.Emails },
			description: "When the limit is reached, no more mail is taken.",
		},
		{
			id: resourceOctets, name: "Size of all emails", limit: limits.Octets, used: func(u *usage) int64 { return u.Octets },
			description: "When the limit is reached, no more mail is taken.",
		},
	}
	return slices.DeleteFunc(all, func(q *quota) bool { return q.limit == 0 })
}

// quotaProperties are the properties of a Quota by name.
var quotaProperties = []string{
	"id", "resourceType", "used", "hardLimit", "warnLimit", "softLimit", "scope", "name", "description", "types",
}

func (q *quota) object() map[string]any {
	return map[string]any{
		"id": q.id, "resourceType": q.id, "used": q.now, "hardLimit": q.limit, "warnLimit": q.limit - (q.limit+warnShare-1)/warnShare,
		"softLimit": nil, "scope": scopeAccount, "name": q.name, "description": q.description, "types": []string{typeEmail},
	}
}

// QuotaCapability returns JMAP for Quotas (RFC 9425) for registration with the server.
func (s *Service) QuotaCapability() jmap.Capability {
	return jmap.Capability{
		URI: QuotaCapabilityURI,
		Methods: map[string]jmap.Method{
			"Quota/get":          jmap.Handle(s.quotaGet),
			"Quota/changes":      jmap.Handle(s.quotaChanges),
			"Quota/query":        jmap.Handle(s.quotaQuery),
			"Quota/queryChanges": jmap.Handle(s.quotaQueryChanges),
		},
	}
}

// readQuotas returns the quotas of an account and their state.
func (s *Service) readQuotas(ctx context.Context, account string) (all []*quota, state string, err error) {
	var recorded bool
	err = s.view(ctx, account, func(r store.Reader) error {
		all, state, recorded, err = s.quotasIn(ctx, r, account)
		return err
	})
	if err == nil && !recorded {
		err = s.recordUsage(ctx, account)
	}
	return all, state, err
}

func (s *Service) quotasIn(ctx context.Context, r store.Reader, account string) (all []*quota, state string, recorded bool, err error) {
	if state, err = store.State(ctx, r, account, typeQuota); err != nil {
		return nil, "", false, err
	}
	u, recorded, err := readUsage(ctx, r, account)
	all = quotas(s.opts.Quota)
	for _, q := range all {
		q.now = q.used(&u)
	}
	return all, state, recorded, err
}

// quotaGet answers Quota/get (RFC 9425 section 4.2).
func (s *Service) quotaGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	known := func(p string) bool { return slices.Contains(quotaProperties, p) }
	if err := checkProperties(args.Properties, known); err != nil {
		return nil, err
	}
	all, state, err := s.readQuotas(ctx, args.AccountID)
	if err != nil {
		return nil, err
	}
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID, State: state}
	ids, unknown := resolveIDs(call, args.IDs)
	out.NotFound = unknown
	if args.IDs == nil {
		for _, q := range all {
			ids = append(ids, q.id)
		}
	}
	for _, id := range ids {
		at := slices.IndexFunc(all, func(q *quota) bool { return q.id == id })
		if at < 0 {
			out.NotFound = append(out.NotFound, id)
			continue
		}
		out.List = append(out.List, selected(all[at].object(), args.Properties))
	}
	return out, nil
}

// quotaChangesResponse is the response of Quota/changes.
type quotaChangesResponse struct {
	jmap.ChangesResponse

	// UpdatedProperties lists what may have changed when nothing else did, else it is null.
	UpdatedProperties []string `json:"updatedProperties"`
}

// quotaChanges answers Quota/changes (RFC 9425 section 4.3).
func (s *Service) quotaChanges(ctx context.Context, _ *jmap.Call, args *jmap.ChangesArguments) (*quotaChangesResponse, error) {
	c, err := s.changes(ctx, typeQuota, args)
	if err != nil {
		return nil, err
	}
	out := &quotaChangesResponse{ChangesResponse: changesResponse(args.AccountID, c)}
	if c.OnlyMinor && len(c.Updated) > 0 {
		out.UpdatedProperties = []string{"used"}
	}
	return out, nil
}

// quotaCondition is a FilterCondition of Quota/query (RFC 9425 section 4.4).
type quotaCondition struct {
	Name         *string `json:"name"`
	Scope        *string `json:"scope"`
	ResourceType *string `json:"resourceType"`
	Type         *string `json:"type"`
}

func (q *quota) matches(c *quotaCondition) bool {
	return (c.Name == nil || strings.Contains(foldText(q.name), foldText(*c.Name))) &&
		(c.Scope == nil || *c.Scope == scopeAccount) &&
		(c.ResourceType == nil || *c.ResourceType == q.id) &&
		(c.Type == nil || *c.Type == typeEmail)
}

var quotaRules = rules[*quota, quotaCondition]{
	id:      func(q *quota) string { return q.id },
	matches: (*quota).matches,
	orders: map[string]func(a, b *quota, collation string) int{
		"name": func(a, b *quota, collation string) int {
			return strings.Compare(collate(a.name, collation), collate(b.name, collation))
		},
		"used": func(a, b *quota, _ string) int { return int(a.now - b.now) },
	},
}

// quotaQuery answers Quota/query (RFC 9425 section 4.4).
func (s *Service) quotaQuery(ctx context.Context, _ *jmap.Call, args *jmap.QueryArguments) (*jmap.QueryResponse, error) {
	l, err := newListing(quotaRules, args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	all, state, err := s.readQuotas(ctx, args.AccountID)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryResponse{AccountID: args.AccountID, CanCalculateChanges: true, QueryState: state}
	return out, window(l.list(all), args, out)
}

// quotaQueryChanges answers Quota/queryChanges (RFC 9425 section 4.5).
func (s *Service) quotaQueryChanges(ctx context.Context, _ *jmap.Call, args *jmap.QueryChangesArguments) (*jmap.QueryChangesResponse, error) {
	l, err := newListing(quotaRules, args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryChangesResponse{AccountID: args.AccountID, OldQueryState: args.SinceQueryState}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		c, err := store.ChangesSince(ctx, r, args.AccountID, typeQuota, args.SinceQueryState, 0)
		if err != nil {
			return cannotCalculate(err)
		}
		all, _, _, err := s.quotasIn(ctx, r, args.AccountID)
		if err != nil {
			return err
		}
		out.NewQueryState = c.New
		queryChanges(l.list(all), c.Created, idSet(c.Created, c.Updated, c.Destroyed), args, out)
		return tooManyChanges(args, out)
	})
	return out, err
}

package mail

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// The URIs of JMAP Sharing in requests and sessions (RFC 9670 section 1.6).
const (
	PrincipalsCapabilityURI     = "urn:ietf:params:jmap:principals"
	PrincipalOwnerCapabilityURI = "urn:ietf:params:jmap:principals:owner"
)

// typePrincipal is the name of the data type in states and changes.
const typePrincipal = "Principal"

// individual is the type of every principal: each is a user.
const individual = "individual"

// principalProperties are the properties of a Principal by name (RFC 9670 section 2).
var principalProperties = []string{
	"id", "type", "name", "description", "email", "timeZone", "capabilities", "accounts",
}

// PrincipalsCapabilities returns JMAP Sharing (RFC 9670) for registration with the server. Principals and notifications
// are in the own account of each user.
func (s *Service) PrincipalsCapabilities() []jmap.Capability {
	return []jmap.Capability{
		{
			URI: PrincipalsCapabilityURI,
			Of: func(p *jmap.Principal, account string) any {
				if account != p.AccountID {
					return nil
				}
				return map[string]string{"currentUserPrincipalId": principalID(account)}
			},
			Methods: map[string]jmap.Method{
				"Principal/get":                  jmap.Handle(s.principalGet),
				"Principal/changes":              jmap.Handle(s.principalChanges),
				"Principal/set":                  jmap.Handle(s.principalSet),
				"Principal/query":                jmap.Handle(s.principalQuery),
				"Principal/queryChanges":         jmap.Handle(s.principalQueryChanges),
				"ShareNotification/get":          jmap.Handle(s.notificationGet),
				"ShareNotification/changes":      jmap.Handle(s.notificationChanges),
				"ShareNotification/set":          jmap.Handle(s.notificationSet),
				"ShareNotification/query":        jmap.Handle(s.notificationQuery),
				"ShareNotification/queryChanges": jmap.Handle(s.notificationQueryChanges),
			},
		},
		{
			URI: PrincipalOwnerCapabilityURI, AccountOnly: true, Partial: true,
			Of: func(p *jmap.Principal, account string) any {
				if account != p.AccountID && !p.Partial(account) {
					// Nobody signs in with a mailbox that is shared as a whole.
					return nil
				}
				return map[string]string{"accountIdForPrincipal": p.AccountID, "principalId": principalID(account)}
			},
		},
	}
}

// ownAccount refuses accounts that have no principals.
func ownAccount(call *jmap.Call, account string) error {
	if account != call.Principal.AccountID {
		return &jmap.MethodError{Type: jmap.ErrorAccountNotSupportedByMethod, Description: "principals and notifications are in the user's own account"}
	}
	return nil
}

// object returns a Principal as a user sees it.
func (p *principal) object(call *jmap.Call) map[string]any {
	out := map[string]any{
		"id": principalID(p.account), "type": individual, "name": p.title(), "description": nil, "email": nil,
		"timeZone": nil, "capabilities": map[string]any{}, "accounts": nil,
	}
	if p.Email != "" {
		out["email"] = p.Email
	}
	if account, ok := call.Account(p.account); ok {
		out["accounts"] = map[string]any{p.account: account}
	}
	return out
}

// title is what a principal is called.
func (p *principal) title() string {
	if p.Name == "" {
		return p.Email
	}
	return p.Name
}

// principalState is the state of the principals as one user sees them: the version of the register, and the state of
// what is shared with the user in its own account.
func (s *Service) principalState(ctx context.Context, r store.Reader, tenant, account string) (string, error) {
	registered, err := registerEdition(ctx, s.engine, tenant)
	if err != nil {
		return "", err
	}
	shared, err := store.State(ctx, r, account, typePrincipal)
	return registered.String() + "_" + shared, err
}

// principalGet answers Principal/get (RFC 9670 section 2.1).
func (s *Service) principalGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	known := func(p string) bool { return slices.Contains(principalProperties, p) }
	if err := checkProperties(args.Properties, known); err != nil {
		return nil, err
	}
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	err := s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		if out.State, err = s.principalState(ctx, r, call.Principal.Tenant, args.AccountID); err != nil {
			return err
		}
		found, err := wantedPrincipals(ctx, s.engine, call, args, out)
		for i := range found {
			out.List = append(out.List, selected(found[i].object(call), args.Properties))
		}
		return err
	})
	return out, err
}

// wantedPrincipals reads the principals that a call asks for and reports those that do not exist.
func wantedPrincipals(ctx context.Context, r store.Reader, call *jmap.Call, args *jmap.GetArguments, out *jmap.GetResponse[map[string]any]) ([]principal, error) {
	if args.IDs == nil {
		all, err := readPrincipals(ctx, r, call.Principal.Tenant)
		if err == nil && int64(len(all)) > call.Limits.MaxObjectsInGet {
			err = allTooMany(typePrincipal)
		}
		return all, err
	}
	ids, notFound := resolveIDs(call, args.IDs)
	var found []principal
	for _, id := range ids {
		var p principal
		account, ok := accountOf(id)
		if ok {
			var err error
			if p, ok, err = readPrincipal(ctx, r, call.Principal.Tenant, account); err != nil {
				return nil, err
			}
		}
		if ok {
			found = append(found, p)
		} else {
			notFound = append(notFound, id)
		}
	}
	out.NotFound = notFound
	return found, nil
}

// principalsSince reads what changed of the principals since a state: first the register, then what is shared with
// the user.
func (s *Service) principalsSince(ctx context.Context, r store.Reader, tenant, account, since string, limit int) (store.Changes, error) {
	registered, shared, _ := strings.Cut(since, "_")
	epoch, err := store.Epoch(ctx, s.engine)
	if err != nil {
		return store.Changes{}, err
	}
	from, ok := parseEdition(registered, epoch)
	if !ok {
		return store.Changes{}, fmt.Errorf("state %q: %w", since, store.ErrTooOld)
	}
	c, version, err := registerChanges(ctx, s.engine, tenant, from.version, limit)
	if err != nil {
		return c, err
	}
	at := edition{version: version, epoch: epoch}
	c.Old = since
	told := len(c.Created) + len(c.Updated)
	if c.HasMore || (limit > 0 && told == limit) {
		// What is shared comes with the next call.
		now, err := store.State(ctx, r, account, typePrincipal)
		c.New, c.HasMore = at.String()+"_"+shared, c.HasMore || now != shared
		return c, err
	}
	rest := limit
	if limit > 0 {
		rest = limit - told
	}
	more, err := store.ChangesSince(ctx, r, account, typePrincipal, shared, rest)
	if err != nil {
		return c, err
	}
	seen := idSet(c.Created, c.Updated)
	for _, id := range more.Updated {
		if !seen[id] {
			c.Updated = append(c.Updated, id)
		}
	}
	c.New, c.HasMore = at.String()+"_"+more.New, more.HasMore
	return c, nil
}

// principalChanges answers Principal/changes (RFC 9670 section 2.2).
func (s *Service) principalChanges(ctx context.Context, call *jmap.Call, args *jmap.ChangesArguments) (*jmap.ChangesResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	limit := 0
	if args.MaxChanges != nil {
		limit = int(*args.MaxChanges)
	}
	var c store.Changes
	err := s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		c, err = s.principalsSince(ctx, r, call.Principal.Tenant, args.AccountID, args.SinceState, limit)
		return err
	})
	if err != nil {
		return nil, cannotCalculate(err)
	}
	return new(changesResponse(args.AccountID, c)), nil
}

// principalSet answers Principal/set (RFC 9670 section 2.3). Principals are the users of the identity provider: every
// change is refused.
func (s *Service) principalSet(ctx context.Context, call *jmap.Call, args *jmap.SetArguments) (*jmap.SetResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	out := newOutcome(args.AccountID)
	refused := &jmap.SetError{Type: jmap.SetErrorForbidden, Description: "principals are managed in the identity provider"}
	err := s.view(ctx, args.AccountID, func(r store.Reader) error {
		state, err := s.principalState(ctx, r, call.Principal.Tenant, args.AccountID)
		if err != nil {
			return err
		}
		if args.IfInState != nil && *args.IfInState != state {
			return &jmap.MethodError{Type: jmap.ErrorStateMismatch, Description: fmt.Sprintf("the state is %q", state)}
		}
		out.set.OldState, out.set.NewState = &state, state
		for creation := range args.Create {
			put(&out.set.NotCreated, creation, refused)
		}
		exists := func(reference string) *jmap.SetError {
			id, _ := call.ResolveID(reference)
			account, ok := accountOf(id)
			if ok {
				_, ok, err = readPrincipal(ctx, s.engine, call.Principal.Tenant, account)
			}
			if !ok {
				return &jmap.SetError{Type: jmap.SetErrorNotFound}
			}
			return refused
		}
		for _, id := range slices.Sorted(maps.Keys(args.Update)) {
			put(&out.set.NotUpdated, id, exists(id))
		}
		for _, id := range args.Destroy {
			put(&out.set.NotDestroyed, id, exists(id))
		}
		return err
	})
	return &out.set, err
}

// principalCondition is a FilterCondition of Principal/query (RFC 9670 section 2.4.1).
type principalCondition struct {
	AccountIDs []string `json:"accountIds"`
	Email      *string  `json:"email"`
	Name       *string  `json:"name"`
	Text       *string  `json:"text"`
	Type       *string  `json:"type"`
	TimeZone   *string  `json:"timeZone"`
}

// contains says whether one of the texts has a part, whatever its case; every text has one that is not asked for.
func contains(part *string, texts ...string) bool {
	return part == nil || slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(foldText(text), foldText(*part))
	})
}

// principalRules are how a user finds principals: one that it has no account of matches no account.
func principalRules(user *jmap.Principal) rules[principal, principalCondition] {
	return rules[principal, principalCondition]{
		id: func(p principal) string { return principalID(p.account) },
		matches: func(p principal, c *principalCondition) bool {
			return (c.AccountIDs == nil || (slices.Contains(c.AccountIDs, p.account) && user.CanRead(p.account))) &&
				contains(c.Email, p.Email) && contains(c.Name, p.title()) && contains(c.Text, p.title(), p.Email) &&
				(c.Type == nil || *c.Type == individual) && c.TimeZone == nil
		},
		orders: map[string]func(a, b principal, collation string) int{
			"name": func(a, b principal, collation string) int {
				return strings.Compare(collate(a.title(), collation), collate(b.title(), collation))
			},
			"email": func(a, b principal, collation string) int {
				return strings.Compare(collate(a.Email, collation), collate(b.Email, collation))
			},
		},
	}
}

// principalQuery answers Principal/query (RFC 9670 section 2.4).
func (s *Service) principalQuery(ctx context.Context, call *jmap.Call, args *jmap.QueryArguments) (*jmap.QueryResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	l, err := newListing(principalRules(call.Principal), args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryResponse{AccountID: args.AccountID, CanCalculateChanges: true}
	err = s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		if out.QueryState, err = s.principalState(ctx, r, call.Principal.Tenant, args.AccountID); err != nil {
			return err
		}
		all, err := readPrincipals(ctx, s.engine, call.Principal.Tenant)
		if err != nil {
			return err
		}
		return window(l.list(all), args, out)
	})
	return out, err
}

// principalQueryChanges answers Principal/queryChanges (RFC 9670 section 2.5).
func (s *Service) principalQueryChanges(ctx context.Context, call *jmap.Call, args *jmap.QueryChangesArguments) (*jmap.QueryChangesResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	l, err := newListing(principalRules(call.Principal), args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryChangesResponse{AccountID: args.AccountID, OldQueryState: args.SinceQueryState}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		c, err := s.principalsSince(ctx, r, call.Principal.Tenant, args.AccountID, args.SinceQueryState, 0)
		if err != nil {
			return cannotCalculate(err)
		}
		all, err := readPrincipals(ctx, s.engine, call.Principal.Tenant)
		if err != nil {
			return err
		}
		out.NewQueryState = c.New
		queryChanges(l.list(all), c.Created, idSet(c.Created, c.Updated), args, out)
		return tooManyChanges(args, out)
	})
	return out, err
}

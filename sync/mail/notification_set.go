package mail

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// notificationProperties are the properties of a ShareNotification by name (RFC 9670 section 3).
var notificationProperties = []string{
	"id", "created", "changedBy", "objectType", "objectAccountId", "objectId", "oldRights", "newRights", "name",
}

// notificationGet answers ShareNotification/get (RFC 9670 section 3.3).
func (s *Service) notificationGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	known := func(p string) bool { return slices.Contains(notificationProperties, p) }
	if err := checkProperties(args.Properties, known); err != nil {
		return nil, err
	}
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	err := s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		if out.State, err = store.State(ctx, r, args.AccountID, typeNotification); err != nil {
			return err
		}
		all, err := readNotifications(ctx, r, args.AccountID)
		if err != nil {
			return err
		}
		ids, unknown := resolveIDs(call, args.IDs)
		out.NotFound = unknown
		for i := range all {
			if args.IDs == nil || slices.Contains(ids, all[i].ID) {
				out.List = append(out.List, selected(all[i].object(), args.Properties))
			}
		}
		for _, id := range ids {
			if !slices.ContainsFunc(all, func(n notification) bool { return n.ID == id }) {
				out.NotFound = append(out.NotFound, id)
			}
		}
		return nil
	})
	return out, err
}

// notificationChanges answers ShareNotification/changes (RFC 9670 section 3.4).
func (s *Service) notificationChanges(ctx context.Context, call *jmap.Call, args *jmap.ChangesArguments) (*jmap.ChangesResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	c, err := s.changes(ctx, typeNotification, args)
	if err != nil {
		return nil, err
	}
	return new(changesResponse(args.AccountID, c)), nil
}

// notificationSet answers ShareNotification/set (RFC 9670 section 3.5): a notification can be dismissed only.
func (s *Service) notificationSet(ctx context.Context, call *jmap.Call, args *jmap.SetArguments) (*jmap.SetResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	out := newOutcome(args.AccountID)
	w := &setter{service: s, account: args.AccountID, kind: typeNotification, ifInState: args.IfInState}
	w.save = func() func() { return out.save(call) }
	refused := &jmap.SetError{Type: jmap.SetErrorForbidden, Description: "notifications can be destroyed only"}
	for creation := range args.Create {
		put(&out.set.NotCreated, creation, refused)
	}
	exists := func(e *edit, reference string) (id string, exists bool, err error) {
		id, _ = call.ResolveID(reference)
		value, err := e.get(e.keys.notification(id))
		return id, value != nil, err
	}
	var ops []func(*edit) error
	for _, reference := range slices.Sorted(maps.Keys(args.Update)) {
		ops = append(ops, func(e *edit) error {
			_, ok, err := exists(e, reference)
			if err == nil && !ok {
				return out.notUpdated(reference, &jmap.SetError{Type: jmap.SetErrorNotFound})
			}
			return cmp.Or(err, out.notUpdated(reference, refused))
		})
	}
	for _, reference := range slices.Compact(slices.Sorted(slices.Values(args.Destroy))) {
		ops = append(ops, func(e *edit) error {
			id, ok, err := exists(e, reference)
			if err != nil {
				return err
			}
			if !ok {
				return out.notDestroyed(reference, &jmap.SetError{Type: jmap.SetErrorNotFound})
			}
			e.dropNotification(id)
			out.destroyed(id)
			return nil
		})
	}
	if err := w.run(ctx, ops); err != nil {
		return nil, err
	}
	return out.response(w), nil
}

// notificationCondition is a FilterCondition of ShareNotification/query (RFC 9670 section 3.6.1).
type notificationCondition struct {
	After           *utcTime `json:"after"`
	Before          *utcTime `json:"before"`
	ObjectType      *string  `json:"objectType"`
	ObjectAccountID *string  `json:"objectAccountId"`
}

var notificationRules = rules[notification, notificationCondition]{
	id: func(n notification) string { return n.ID },
	matches: func(n notification, c *notificationCondition) bool {
		return (c.After == nil || n.Created >= int64(*c.After)) && (c.Before == nil || n.Created < int64(*c.Before)) &&
			(c.ObjectType == nil || *c.ObjectType == typeMailbox) &&
			(c.ObjectAccountID == nil || *c.ObjectAccountID == n.Account)
	},
	orders: map[string]func(a, b notification, collation string) int{
		"created": func(a, b notification, _ string) int { return cmp.Compare(a.Created, b.Created) },
	},
}

// notificationQuery answers ShareNotification/query (RFC 9670 section 3.6).
func (s *Service) notificationQuery(ctx context.Context, call *jmap.Call, args *jmap.QueryArguments) (*jmap.QueryResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	l, err := newListing(notificationRules, args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryResponse{AccountID: args.AccountID, CanCalculateChanges: true}
	err = s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		if out.QueryState, err = store.State(ctx, r, args.AccountID, typeNotification); err != nil {
			return err
		}
		all, err := readNotifications(ctx, r, args.AccountID)
		if err != nil {
			return err
		}
		return window(l.list(all), args, out)
	})
	return out, err
}

// notificationQueryChanges answers ShareNotification/queryChanges (RFC 9670 section 3.7).
func (s *Service) notificationQueryChanges(ctx context.Context, call *jmap.Call, args *jmap.QueryChangesArguments) (*jmap.QueryChangesResponse, error) {
	if err := ownAccount(call, args.AccountID); err != nil {
		return nil, err
	}
	l, err := newListing(notificationRules, args.Filter, args.Sort)
	if err != nil {
		return nil, err
	}
	out := &jmap.QueryChangesResponse{AccountID: args.AccountID, OldQueryState: args.SinceQueryState}
	err = s.view(ctx, args.AccountID, func(r store.Reader) error {
		c, err := store.ChangesSince(ctx, r, args.AccountID, typeNotification, args.SinceQueryState, 0)
		if err != nil {
			return cannotCalculate(err)
		}
		all, err := readNotifications(ctx, r, args.AccountID)
		if err != nil {
			return err
		}
		out.NewQueryState = c.New
		queryChanges(l.list(all), c.Created, idSet(c.Created, c.Updated, c.Destroyed), args, out)
		return tooManyChanges(args, out)
	})
	return out, err
}

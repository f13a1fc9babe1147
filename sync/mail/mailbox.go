package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// mailbox is the record of a mailbox (RFC 8621 section 2). The counts are kept in the same commit as what they
// count.
type mailbox struct {
	ID            string  `json:"-"`
	Name          string  `json:"name"`
	ParentID      *string `json:"parentId"`
	Role          *string `json:"role"`
	SortOrder     int64   `json:"sortOrder"`
	IsSubscribed  bool    `json:"isSubscribed"`
	TotalEmails   int64   `json:"totalEmails"`
	UnreadEmails  int64   `json:"unreadEmails"`
	TotalThreads  int64   `json:"totalThreads"`
	UnreadThreads int64   `json:"unreadThreads"`
	// Shares are the rights of those with whom the mailbox is shared, by account. The map is never changed, only replaced.
	Shares map[string]rights `json:"shares,omitempty"`
}

// mailboxObject is a mailbox as clients see it.
type mailboxObject struct {
	ID            string        `json:"id"`
	Name          string        `json:"name"`
	ParentID      *string       `json:"parentId"`
	Role          *string       `json:"role"`
	SortOrder     int64         `json:"sortOrder"`
	TotalEmails   int64         `json:"totalEmails"`
	UnreadEmails  int64         `json:"unreadEmails"`
	TotalThreads  int64         `json:"totalThreads"`
	UnreadThreads int64         `json:"unreadThreads"`
	MyRights      mailboxRights `json:"myRights"`
	IsSubscribed  bool          `json:"isSubscribed"`
	// ShareWith is keyed by principal (RFC 9670 section 4).
	ShareWith map[string]mailboxRights `json:"shareWith"`
}

// propertyShareWith is the name of the property that shares a mailbox.
const propertyShareWith = "shareWith"

// mailboxProperties are the properties of a mailbox by name.
var mailboxProperties = []string{
	"id", "name", "parentId", "role", "sortOrder", "totalEmails", "unreadEmails", "totalThreads", "unreadThreads",
	"myRights", "isSubscribed",
}

// sharing says whether a request uses principals: for others, mailboxes have neither shareWith nor the right to share
// (RFC 8620 section 1.8).
func sharing(call *jmap.Call) bool { return call.Using[PrincipalsCapabilityURI] }

// propertiesFor are the properties that mailboxes have for a request.
func propertiesFor(call *jmap.Call) []string {
	if sharing(call) {
		return append(slices.Clip(mailboxProperties), propertyShareWith)
	}
	return mailboxProperties
}

// countProperties are those that change with the emails in a mailbox.
var countProperties = []string{"totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}

func (m *mailbox) has(role string) bool { return m.Role != nil && *m.Role == role }

func (m *mailbox) equal(o *mailbox) bool {
	return m.equalButCounts(o) && m.TotalEmails == o.TotalEmails && m.UnreadEmails == o.UnreadEmails &&
		m.TotalThreads == o.TotalThreads && m.UnreadThreads == o.UnreadThreads
}

func (m *mailbox) equalButCounts(o *mailbox) bool {
	return m.Name == o.Name && same(m.ParentID, o.ParentID) && same(m.Role, o.Role) &&
		m.SortOrder == o.SortOrder && m.IsSubscribed == o.IsSubscribed && maps.Equal(m.Shares, o.Shares)
}

func same(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// object returns the mailbox as a visitor sees it, whose view of it this is.
func (m *mailbox) object(v *visitor) mailboxObject {
	out := mailboxObject{
		ID: m.ID, Name: m.Name, ParentID: m.ParentID, Role: m.Role, SortOrder: m.SortOrder, IsSubscribed: m.IsSubscribed,
		TotalEmails: m.TotalEmails, UnreadEmails: m.UnreadEmails, TotalThreads: m.TotalThreads, UnreadThreads: m.UnreadThreads,
		MyRights: v.rightsTo(m).object(),
	}
	for account, given := range m.Shares {
		if out.ShareWith == nil {
			out.ShareWith = map[string]mailboxRights{}
		}
		out.ShareWith[principalID(account)] = given.object()
	}
	return out
}

// properties returns the object with the properties asked for and the id; nil asks for all.
func (o mailboxObject) properties(call *jmap.Call, names []string) (map[string]any, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode mailbox: %w", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("encode mailbox: %w", err)
	}
	out := map[string]any{"id": o.ID}
	if names == nil {
		names = propertiesFor(call)
	}
	for _, name := range names {
		out[name] = all[name]
	}
	if out["myRights"] != nil && !sharing(call) {
		out["myRights"] = o.MyRights.mailRights
	}
	return out, nil
}

// readMailboxes returns all mailboxes of an account in the order of their ids.
func readMailboxes(ctx context.Context, r store.Reader, account string) ([]*mailbox, error) {
	prefix := keys(account).mailboxes()
	var out []*mailbox
	for p, err := range r.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("list mailboxes: %w", err)
		}
		box := &mailbox{}
		if box.ID, _, err = store.CutString(p.Key[len(prefix):]); err != nil {
			return nil, fmt.Errorf("list mailboxes: %w", err)
		}
		if err := json.Unmarshal(p.Value, box); err != nil {
			return nil, fmt.Errorf("read mailbox %q: %w", box.ID, err)
		}
		out = append(out, box)
	}
	return out, nil
}

// mailboxGet answers Mailbox/get (RFC 8621 section 2.1).
func (s *Service) mailboxGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	known := func(p string) bool { return slices.Contains(propertiesFor(call), p) }
	if err := checkProperties(args.Properties, known); err != nil {
		return nil, err
	}
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	err := s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		v, err := s.visitor(ctx, r, call.Principal, args.AccountID)
		if err != nil {
			return err
		}
		if out.State, err = v.state(ctx, r, args.AccountID, typeMailbox); err != nil {
			return err
		}
		boxes, err := s.wanted(ctx, r, v, call, args, out)
		if err != nil {
			return err
		}
		if err := showSubscriptions(ctx, r, args.AccountID, subscriberOf(call, args.AccountID), boxes); err != nil {
			return err
		}
		for _, box := range boxes {
			shown := box.object(v)
			if !call.Principal.Partial(args.AccountID) && !call.Principal.CanWrite(args.AccountID) {
				shown.MyRights = mayReadItems.object()
			}
			object, err := shown.properties(call, args.Properties)
			if err != nil {
				return err
			}
			out.List = append(out.List, object)
		}
		return nil
	})
	return out, err
}

// wanted reads the mailboxes that a call asks for and reports those that do not exist.
func (s *Service) wanted(ctx context.Context, r store.Reader, v *visitor, call *jmap.Call, args *jmap.GetArguments, out *jmap.GetResponse[map[string]any]) ([]*mailbox, error) {
	counts := args.Properties == nil || slices.Contains(args.Properties, "unreadThreads")
	if args.IDs == nil {
		all, err := s.readVisited(ctx, r, v, args.AccountID, counts)
		if err == nil && int64(len(all)) > call.Limits.MaxObjectsInGet {
			err = allTooMany("Mailbox")
		}
		return all, err
	}
	var boxes []*mailbox
	ids, notFound := resolveIDs(call, args.IDs)
	for _, id := range ids {
		box := &mailbox{ID: id}
		exists, err := readJSON(ctx, r, keys(args.AccountID).mailbox(id), box)
		if err != nil {
			return nil, err
		}
		if !exists || !v.sees(id) {
			notFound = append(notFound, id)
			continue
		}
		box = v.mailbox(box)
		if err := v.countUnread(ctx, r, args.AccountID, box, counts); err != nil {
			return nil, err
		}
		boxes = append(boxes, box)
	}
	out.NotFound = notFound
	return boxes, nil
}

// resolveIDs looks up creation ids and drops duplicates (RFC 8620 section 5.1).
func resolveIDs(call *jmap.Call, references []string) (ids, unknown []string) {
	seen := map[string]bool{}
	for _, reference := range references {
		id, ok := call.ResolveID(reference)
		if !ok {
			id = reference
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		if ok {
			ids = append(ids, id)
		} else {
			unknown = append(unknown, id)
		}
	}
	return ids, unknown
}

// mailboxChangesResponse is the response of Mailbox/changes.
type mailboxChangesResponse struct {
	jmap.ChangesResponse

	// UpdatedProperties lists what may have changed when only counts did, else it is null.
	UpdatedProperties []string `json:"updatedProperties"`
}

// mailboxChanges answers Mailbox/changes (RFC 8621 section 2.2).
func (s *Service) mailboxChanges(ctx context.Context, call *jmap.Call, args *jmap.ChangesArguments) (*mailboxChangesResponse, error) {
	c, err := s.changesFor(ctx, call.Principal, typeMailbox, args)
	if err != nil {
		return nil, err
	}
	out := &mailboxChangesResponse{ChangesResponse: changesResponse(args.AccountID, c)}
	if c.OnlyMinor && len(c.Updated) > 0 {
		out.UpdatedProperties = countProperties
	}
	return out, nil
}

package mail

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// maxThreadSize is how many emails a thread takes; the next one begins a new thread. It bounds what a change of
// one email costs.
const maxThreadSize = 512

// member is what a thread knows about one of its emails.
type member struct {
	id        string
	mailboxes []string
	keywords  []string
}

func (m *member) in(mailbox string) bool { return slices.Contains(m.mailboxes, mailbox) }

// memberValue writes a member: mailboxes, a NUL, keywords.
func memberValue(m *email) []byte {
	return []byte(strings.Join(m.Mailboxes, ",") + "\x00" + strings.Join(m.Keywords, ","))
}

// readThread returns the members of a thread, oldest first. A thread without members does not exist.
func readThread(ctx context.Context, r store.Reader, account, id string) ([]member, error) {
	index := keys(account).thread(id)
	var out []member
	for p, err := range r.Scan(ctx, index.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("read thread %q: %w", id, err)
		}
		m, err := readMember(p, index)
		if err != nil {
			return nil, fmt.Errorf("read thread %q: %w", id, err)
		}
		out = append(out, m)
	}
	return out, nil
}

func readMember(p store.Pair, index store.Key) (m member, err error) {
	if _, m.id, err = cutPlace(p.Key, index); err != nil {
		return member{}, err
	}
	mailboxes, keywords, _ := strings.Cut(string(p.Value), "\x00")
	m.mailboxes = strings.Split(mailboxes, ",")
	if keywords != "" {
		m.keywords = strings.Split(keywords, ",")
	}
	return m, nil
}

// share is what a thread adds to the counts of one mailbox.
type share struct {
	total, unread int64
}

// shares computes what a thread adds to each mailbox (RFC 8621 section 2, unreadThreads): emails that are only in
// the trash count as if they were in a thread of their own.
func shares(members []member, trash string) map[string]share {
	unreadOutside, unreadInTrash := false, false
	for _, m := range members {
		if !unread(m.keywords) {
			continue
		}
		unreadInTrash = unreadInTrash || m.in(trash)
		unreadOutside = unreadOutside || len(m.mailboxes) > 1 || !m.in(trash)
	}
	out := map[string]share{}
	for _, m := range members {
		for _, id := range m.mailboxes {
			s := share{total: 1}
			if (id == trash && unreadInTrash) || (id != trash && unreadOutside) {
				s.unread = 1
			}
			out[id] = s
		}
	}
	return out
}

// inThread runs a change of the members of a thread, and keeps the counts and the thread's own changes right.
func (e *edit) inThread(id string, change func() error) error {
	trash, err := e.get(e.keys.role("trash"))
	if err != nil {
		return err
	}
	before, err := readThread(e.ctx, e.tx, e.account, id)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := readThread(e.ctx, e.tx, e.account, id)
	if err != nil {
		return err
	}
	switch {
	case len(before) == 0:
		e.tx.Changed(store.Change{Type: typeThread, ID: id, Kind: store.Created})
	case len(after) == 0:
		e.tx.Changed(store.Change{Type: typeThread, ID: id, Kind: store.Destroyed})
	case len(before) != len(after):
		e.tx.Changed(store.Change{Type: typeThread, ID: id, Kind: store.Updated})
	}
	if err := e.logThread(id, before, after); err != nil {
		return err
	}
	if err := e.countThread(shares(before, string(trash)), -1); err != nil {
		return err
	}
	return e.countThread(shares(after, string(trash)), 1)
}

func (e *edit) countThread(shares map[string]share, sign int64) error {
	for id, s := range shares {
		box, err := e.mailbox(id)
		if err != nil {
			return err
		}
		if box != nil {
			box.TotalThreads += sign * s.total
			box.UnreadThreads += sign * s.unread
		}
	}
	return nil
}

// recountUnreadThreads counts anew when another mailbox became the trash.
func (e *edit) recountUnreadThreads() error {
	if err := e.loadMailboxes(); err != nil {
		return err
	}
	for _, box := range e.boxes {
		if box != nil {
			box.UnreadThreads = 0
		}
	}
	trash, err := e.get(e.keys.role("trash"))
	if err != nil {
		return err
	}
	return e.eachThread(func(members []member) {
		for id, s := range shares(members, string(trash)) {
			if box := e.boxes[id]; box != nil {
				box.UnreadThreads += s.unread
			}
		}
	})
}

// eachThread calls fn with the members of every thread.
func (e *edit) eachThread(fn func([]member)) error {
	all := store.NewKey(e.account).String("thread")
	var members []member
	at := ""
	for p, err := range e.tx.Scan(e.ctx, all.Range(), store.ScanOptions{}) {
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		id, _, err := store.CutString(p.Key[len(all):])
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		if id != at {
			fn(members)
			at, members = id, nil
		}
		m, err := readMember(p, e.keys.thread(id))
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		members = append(members, m)
	}
	fn(members)
	return nil
}

// threadFor finds the thread that an email belongs to by the message ids it mentions, or makes a new one.
func (e *edit) threadFor(references []string) (string, error) {
	for _, hash := range references {
		thread := ""
		for p, err := range e.tx.Scan(e.ctx, e.keys.reference(hash).Range(), store.ScanOptions{Reverse: true, Limit: 1}) {
			if err != nil {
				return "", fmt.Errorf("find thread: %w", err)
			}
			thread = string(p.Value)
		}
		if thread == "" {
			continue
		}
		members, err := readThread(e.ctx, e.tx, e.account, thread)
		if err != nil {
			return "", err
		}
		if len(members) < maxThreadSize {
			return thread, nil
		}
	}
	return e.newID("t")
}

// threadProperties are the properties of a Thread (RFC 8621 section 3).
var threadProperties = []string{"id", "emailIds"}

// threadGet answers Thread/get (RFC 8621 section 3.1).
func (s *Service) threadGet(ctx context.Context, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	known := func(p string) bool { return slices.Contains(threadProperties, p) }
	if err := checkProperties(args.Properties, known); err != nil {
		return nil, err
	}
	if args.IDs == nil {
		return nil, allTooMany("Thread")
	}
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	err := s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		v, err := s.visitor(ctx, r, call.Principal, args.AccountID)
		if err != nil {
			return err
		}
		if out.State, err = v.state(ctx, r, args.AccountID, typeThread); err != nil {
			return err
		}
		var ids []string
		ids, out.NotFound = resolveIDs(call, args.IDs)
		for _, id := range ids {
			members, err := readThread(ctx, r, args.AccountID, id)
			if err != nil {
				return err
			}
			if members = v.members(members); len(members) == 0 {
				out.NotFound = append(out.NotFound, id)
				continue
			}
			out.List = append(out.List, threadObject(id, members, args.Properties))
		}
		return nil
	})
	return out, err
}

func threadObject(id string, members []member, properties []string) map[string]any {
	object := map[string]any{"id": id}
	if properties == nil || slices.Contains(properties, "emailIds") {
		ids := make([]string, len(members))
		for i := range members {
			ids[i] = members[i].id
		}
		object["emailIds"] = ids
	}
	return object
}

// allTooMany refuses to list every record of a type (RFC 8620 section 5.1).
func allTooMany(kind string) error {
	return &jmap.MethodError{Type: jmap.ErrorRequestTooLarge, Description: "ids: null asks for every " + kind + ": name the ids"}
}

// threadChanges answers Thread/changes (RFC 8621 section 3.2).
func (s *Service) threadChanges(ctx context.Context, call *jmap.Call, args *jmap.ChangesArguments) (*jmap.ChangesResponse, error) {
	c, err := s.changesFor(ctx, call.Principal, typeThread, args)
	if err != nil {
		return nil, err
	}
	return new(changesResponse(args.AccountID, c)), nil
}

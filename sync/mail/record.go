package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// shelf is a data type whose objects are records of an account, each under its id, T as they are kept.
type shelf[T any] struct {
	kind       string
	properties []string
	// prefix returns what the keys of the records begin with.
	prefix func(keys) store.Key
	// object returns a record as clients see it.
	object func(id string, record *T) any
}

// get answers a /get call (RFC 8620 section 5.1).
func (f *shelf[T]) get(ctx context.Context, s *Service, call *jmap.Call, args *jmap.GetArguments) (*jmap.GetResponse[map[string]any], error) {
	if err := checkProperties(args.Properties, func(p string) bool { return slices.Contains(f.properties, p) }); err != nil {
		return nil, err
	}
	out := &jmap.GetResponse[map[string]any]{AccountID: args.AccountID}
	err := s.view(ctx, args.AccountID, func(r store.Reader) (err error) {
		if out.State, err = store.State(ctx, r, args.AccountID, f.kind); err != nil {
			return err
		}
		ids, records, err := f.wanted(ctx, r, call, args, out)
		if err != nil {
			return err
		}
		for i, id := range ids {
			object, err := pick(f.object(id, records[i]), id, args.Properties, f.properties)
			if err != nil {
				return err
			}
			out.List = append(out.List, object)
		}
		return nil
	})
	return out, err
}

// wanted reads the records that a call asks for and reports those that do not exist.
func (f *shelf[T]) wanted(ctx context.Context, r store.Reader, call *jmap.Call, args *jmap.GetArguments, out *jmap.GetResponse[map[string]any]) (found []string, records []*T, err error) {
	if args.IDs == nil {
		found, records, err = f.all(ctx, r, args.AccountID)
		if err == nil && int64(len(found)) > call.Limits.MaxObjectsInGet {
			err = allTooMany(f.kind)
		}
		return found, records, err
	}
	ids, notFound := resolveIDs(call, args.IDs)
	for _, id := range ids {
		record, err := f.read(ctx, r, args.AccountID, id)
		if err != nil {
			return nil, nil, err
		}
		if record == nil {
			notFound = append(notFound, id)
			continue
		}
		found, records = append(found, id), append(records, record)
	}
	out.NotFound = notFound
	return found, records, nil
}

// read returns a record, or nil when it does not exist.
func (f *shelf[T]) read(ctx context.Context, r store.Reader, account, id string) (*T, error) {
	record := new(T)
	exists, err := readJSON(ctx, r, f.prefix(keys(account)).String(id), record)
	if !exists {
		return nil, err
	}
	return record, err
}

// all returns the records of an account in the order of their ids.
func (f *shelf[T]) all(ctx context.Context, r store.Reader, account string) (ids []string, records []*T, err error) {
	prefix := f.prefix(keys(account))
	for p, err := range r.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, nil, fmt.Errorf("list %s: %w", f.kind, err)
		}
		id, _, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return nil, nil, fmt.Errorf("list %s: %w", f.kind, err)
		}
		record := new(T)
		if err := json.Unmarshal(p.Value, record); err != nil {
			return nil, nil, fmt.Errorf("read %s %q: %w", f.kind, id, err)
		}
		ids, records = append(ids, id), append(records, record)
	}
	return ids, records, nil
}

// write keeps a record and logs what happened to it.
func (f *shelf[T]) write(e *edit, id string, record *T, kind store.ChangeKind) error {
	e.tx.Changed(store.Change{Type: f.kind, ID: id, Kind: kind})
	return e.setJSON(f.prefix(e.keys).String(id), record)
}

// remove removes a record.
func (f *shelf[T]) remove(e *edit, id string) {
	e.tx.Delete(f.prefix(e.keys).String(id))
	e.tx.Changed(store.Change{Type: f.kind, ID: id, Kind: store.Destroyed})
}

// pick returns an object with the properties asked for and the id; nil asks for all.
func pick(object any, id string, names, all []string) (map[string]any, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %q: %w", id, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("encode %q: %w", id, err)
	}
	if names == nil {
		names = all
	}
	out := map[string]any{"id": id}
	for _, name := range names {
		out[name] = members[name]
	}
	return out, nil
}

// unsent returns the properties of a new object that its client did not send.
func unsent(object any, id string, all []string, sent json.RawMessage) (map[string]any, error) {
	out, err := pick(object, id, nil, all)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(sent, &members); err != nil {
		return nil, err
	}
	for name, value := range members {
		if raw, ok := out[name].(json.RawMessage); ok && sameJSON(raw, value) {
			delete(out, name)
		}
	}
	return out, nil
}

// differing lists the properties in which two encoded objects differ.
func differing(have, want json.RawMessage) ([]string, error) {
	var a, b map[string]json.RawMessage
	if err := json.Unmarshal(have, &a); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(want, &b); err != nil {
		return nil, err
	}
	var out []string
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, name)
		}
	}
	for name, value := range a {
		if other, ok := b[name]; (ok || string(value) != "null") && !sameJSON(value, other) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// reported tells of an object that failed, if it did.
func reported(report func(string, error) error, id string, err error) error {
	if err == nil {
		return nil
	}
	return report(id, err)
}

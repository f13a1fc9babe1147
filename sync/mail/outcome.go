package mail

import (
	"errors"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// outcome collects what became of the objects of a /set call.
type outcome struct {
	set jmap.SetResponse
}

func newOutcome(account string) *outcome { return &outcome{set: jmap.SetResponse{AccountID: account}} }

// save returns what puts back what was reported so far, and the ids that were made. It can be called more than once.
func (o *outcome) save(call *jmap.Call) (restore func()) {
	ids, set := maps.Clone(call.CreatedIDs), cloneSet(&o.set)
	return func() {
		// The map is that of the whole request.
		clear(call.CreatedIDs)
		maps.Copy(call.CreatedIDs, ids)
		o.set = cloneSet(&set)
	}
}

func cloneSet(s *jmap.SetResponse) jmap.SetResponse {
	c := *s
	c.Created, c.Updated, c.Destroyed = maps.Clone(s.Created), maps.Clone(s.Updated), slices.Clone(s.Destroyed)
	c.NotCreated, c.NotUpdated, c.NotDestroyed = maps.Clone(s.NotCreated), maps.Clone(s.NotUpdated), maps.Clone(s.NotDestroyed)
	return c
}

func (o *outcome) response(w *setter) *jmap.SetResponse {
	o.set.OldState, o.set.NewState = w.oldState, w.newState
	return &o.set
}

func (o *outcome) created(creation string, object any) error {
	put(&o.set.Created, creation, object)
	return nil
}

func (o *outcome) updated(id string, object any) error {
	put(&o.set.Updated, id, object)
	return nil
}

func (o *outcome) destroyed(id string) { o.set.Destroyed = append(o.set.Destroyed, id) }

// notCreated reports a SetError; any other error is returned.
func (o *outcome) notCreated(creation string, err error) error {
	return fail(&o.set.NotCreated, creation, err)
}

// notUpdated reports a SetError; any other error is returned.
func (o *outcome) notUpdated(id string, err error) error { return fail(&o.set.NotUpdated, id, err) }

// notDestroyed reports a SetError; any other error is returned.
func (o *outcome) notDestroyed(id string, err error) error {
	return fail(&o.set.NotDestroyed, id, err)
}

func fail(to *map[string]*jmap.SetError, id string, err error) error {
	refused, err := refusal(err)
	if err == nil {
		put(to, id, refused)
	}
	return err
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// refusal returns an error as a SetError when it is one; any other error ends the method.
func refusal(err error) (*jmap.SetError, error) {
	if refused, ok := errors.AsType[*jmap.SetError](err); ok {
		return refused, nil
	}
	return nil, err
}

package mail

import (
	"errors"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// outcome collects what became of the objects of a /set call.
type outcome struct {
	set jmap.SetResponse
}

func newOutcome(account string) *outcome { return &outcome{set: jmap.SetResponse{AccountID: account}} }

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

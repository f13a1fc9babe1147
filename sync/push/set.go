package push

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// setter carries out one PushSubscription/set call. Each object is committed on its own.
type setter struct {
	service *Service
	ctx     context.Context //nolint:containedctx // a setter lives as long as the call that it serves
	call    *jmap.Call
	holder  Holder
	out     jmap.SubscriptionSetResponse
}

// set answers PushSubscription/set (RFC 8620 §7.2.2). What is destroyed goes first, so
// that a device can have its subscription replaced in one call.
func (s *Service) set(ctx context.Context, call *jmap.Call, args *jmap.SubscriptionSetArguments) (*jmap.SubscriptionSetResponse, error) {
	w := &setter{service: s, ctx: ctx, call: call, holder: holderOf(call.Principal)}
	first, last := w.sortOut(args)
	if err := w.destroyAll(first); err != nil {
		return nil, err
	}
	for _, creation := range slices.Sorted(maps.Keys(args.Create)) {
		object, err := w.create(args.Create[creation])
		if err := settle(err, &w.out.NotCreated, creation); err != nil {
			return nil, err
		}
		if err == nil {
			call.CreatedIDs[creation] = object["id"].(string) //nolint:errcheck,forcetypeassert // create puts a string there
			put(&w.out.Created, creation, any(object))
		}
	}
	for _, reference := range slices.Sorted(maps.Keys(args.Update)) {
		changed, err := w.update(reference, args.Update[reference], args.Destroy)
		id, _ := call.ResolveID(reference)
		if err := settle(err, &w.out.NotUpdated, reference); err != nil {
			return nil, err
		}
		if err == nil {
			put(&w.out.Updated, id, changed)
		}
	}
	if err := w.destroyAll(last); err != nil {
		return nil, err
	}
	return &w.out, nil
}

// sortOut parts what is to be destroyed in what exists already and what this call is to
// create.
func (w *setter) sortOut(args *jmap.SubscriptionSetArguments) (first, last []string) {
	for _, reference := range args.Destroy {
		if len(reference) > 0 && reference[0] == '#' && args.Create[reference[1:]] != nil {
			last = append(last, reference)
			continue
		}
		first = append(first, reference)
	}
	return first, last
}

func (w *setter) destroyAll(references []string) error {
	for _, reference := range references {
		id, ok := w.call.ResolveID(reference)
		err := error(&jmap.SetError{Type: jmap.SetErrorNotFound})
		if ok {
			err = w.destroy(id)
		}
		if err := settle(err, &w.out.NotDestroyed, reference); err != nil {
			return err
		}
		if err == nil {
			w.out.Destroyed = append(w.out.Destroyed, id)
		}
	}
	return nil
}

// settle reports a SetError; any other error is returned.
func settle(err error, to *map[string]*jmap.SetError, name string) error {
	refused, ok := errors.AsType[*jmap.SetError](err)
	if !ok {
		return err
	}
	put(to, name, refused)
	return nil
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// find reads a subscription of the login. The error is a SetError when there is none.
func (w *setter) find(id string) (sub *subscription, raw []byte, err error) {
	sub = &subscription{}
	raw, err = read(w.ctx, w.service.o.Engine, records(w.holder.Account).record(id), sub)
	if err != nil {
		return nil, nil, err
	}
	if raw == nil || sub.Holder.Client != w.holder.Client || !w.service.o.Clock.Now().Before(sub.Expires) {
		return nil, nil, &jmap.SetError{Type: jmap.SetErrorNotFound}
	}
	return sub, raw, nil
}

func (w *setter) destroy(id string) error {
	err := w.service.commit(w.ctx, func(b *store.Batch) error {
		_, raw, err := w.find(id)
		if err != nil {
			return err
		}
		r := records(w.holder.Account)
		b.Assert(r.record(id), raw)
		r.remove(b, id)
		return nil
	})
	if err != nil {
		return err
	}
	w.service.destroyed(w.ctx, place{w.holder.Account, id}, reasonClient)
	w.service.stir(w.ctx, w.holder.Account)
	return nil
}

// destroyed tells those who run the region that a subscription is gone.
func (s *Service) destroyed(ctx context.Context, at place, reason string) {
	s.metrics.destroyed.WithLabelValues(reason).Inc()
	s.o.Logger.InfoContext(ctx, "push subscription destroyed", slog.String("account", at.account), slog.String("subscription", at.id), slog.String("reason", reason))
}

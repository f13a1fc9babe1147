package push

import (
	"context"
	"slices"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// shown are the properties that clients may read (RFC 8620 §7.2.1).
var shown = []string{"id", "deviceClientId", "verificationCode", "expires", "types"}

// get answers PushSubscription/get (RFC 8620 §7.2.1).
func (s *Service) get(ctx context.Context, call *jmap.Call, args *jmap.SubscriptionGetArguments) (*jmap.SubscriptionGetResponse[map[string]any], error) {
	properties, err := readable(args.Properties)
	if err != nil {
		return nil, err
	}
	holder := holderOf(call.Principal)
	subs, err := s.own(ctx, holder)
	if err != nil {
		return nil, err
	}
	response := &jmap.SubscriptionGetResponse[map[string]any]{}
	if args.IDs == nil {
		for _, sub := range subs {
			response.List = append(response.List, sub.show(properties))
		}
		return response, nil
	}
	seen := map[string]bool{}
	for _, reference := range args.IDs {
		id, ok := call.ResolveID(reference)
		if seen[id] {
			continue
		}
		seen[id] = true
		i := slices.IndexFunc(subs, func(sub *subscription) bool { return sub.ID == id })
		if !ok || i < 0 {
			response.NotFound = append(response.NotFound, reference)
			continue
		}
		response.List = append(response.List, subs[i].show(properties))
	}
	return response, nil
}

// readable checks the properties that a client asks for; nil means all that it may read.
func readable(asked []string) ([]string, error) {
	if asked == nil {
		return shown, nil
	}
	for _, name := range asked {
		switch {
		case name == "url" || name == "keys":
			return nil, &jmap.MethodError{Type: jmap.ErrorForbidden, Description: "properties: " + name + " is never returned: leave it out"}
		case !slices.Contains(shown, name):
			return nil, jmap.InvalidArguments("properties: %q is not a property", name)
		}
	}
	return append([]string{"id"}, asked...), nil
}

// own lists the subscriptions that were made by the login of a holder and have not
// expired. A new access token of the same login is of the same client application: by
// that the login is known again.
func (s *Service) own(ctx context.Context, h Holder) ([]*subscription, error) {
	subs, err := records(h.Account).list(ctx, s.o.Engine, s.o.Clock.Now())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(subs, func(sub *subscription) bool { return sub.Holder.Client != h.Client }), nil
}

// show renders properties for a client. The verification code is shown once the client
// has proved that it knows it.
func (sub *subscription) show(properties []string) map[string]any {
	all := map[string]any{
		"id":               sub.ID,
		"deviceClientId":   sub.DeviceClientID,
		"verificationCode": sub.verificationCode(),
		"expires":          utcDate(sub.Expires),
		"types":            sub.Types,
	}
	object := make(map[string]any, len(properties))
	for _, name := range properties {
		object[name] = all[name]
	}
	return object
}

func (sub *subscription) verificationCode() *string {
	if !sub.Verified {
		return nil
	}
	return &sub.Code
}

// utcDate writes a time as a UTCDate (RFC 8620 §1.4).
func utcDate(at time.Time) string { return at.UTC().Format(time.RFC3339) }

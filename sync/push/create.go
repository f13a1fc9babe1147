package push

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// codeLength is how many random octets a verification code has.
const codeLength = 16

// object is a PushSubscription as clients write it (RFC 8620 §7.2).
type object struct {
	ID               string   `json:"id,omitempty"`
	DeviceClientID   string   `json:"deviceClientId"`
	URL              string   `json:"url"`
	Keys             *Keys    `json:"keys"`
	VerificationCode *string  `json:"verificationCode"`
	Expires          *string  `json:"expires"`
	Types            []string `json:"types"`
}

// wrong collects what is wrong with an object.
type wrong struct {
	reasons, properties []string
}

func (w *wrong) addf(property, format string, args ...any) {
	w.reasons = append(w.reasons, property+": "+fmt.Sprintf(format, args...))
	if !slices.Contains(w.properties, property) {
		w.properties = append(w.properties, property)
	}
}

func (w *wrong) err() error {
	if len(w.properties) == 0 {
		return nil
	}
	return jmap.InvalidProperties(strings.Join(w.reasons, "; "), w.properties...)
}

// create makes one subscription and returns what the client did not send.
func (w *setter) create(raw json.RawMessage) (map[string]any, error) {
	sub, err := w.parse(raw)
	if err != nil {
		return nil, err
	}
	told, err := w.service.statesOf(w.ctx, w.service.o.Standing.Accounts(w.holder))
	if err != nil {
		return nil, err
	}
	var replaced string
	if err := w.service.commit(w.ctx, func(b *store.Batch) (err error) {
		if replaced, err = w.admit(b, sub); err != nil {
			return err
		}
		r := records(w.holder.Account)
		b.Assert(r.record(sub.ID), nil)
		b.Set(r.index(sub.ID), []byte{1})
		if err := write(b, r.record(sub.ID), sub); err != nil {
			return err
		}
		return write(b, r.progress(sub.ID), &progress{Told: told})
	}); err != nil {
		return nil, err
	}
	at := place{w.holder.Account, sub.ID}
	w.service.o.Logger.InfoContext(w.ctx, "push subscription created", slog.String("account", at.account), slog.String("subscription", at.id), slog.String("client", w.holder.Client))
	if replaced != "" {
		w.service.destroyed(w.ctx, place{w.holder.Account, replaced}, reasonReplaced)
	}
	w.service.follow(at)
	return sub.unsent(raw), nil
}

// parse reads what a client wants to create.
func (w *setter) parse(raw json.RawMessage) (*subscription, error) {
	if len(raw) > maxObject {
		return nil, &jmap.SetError{Type: jmap.SetErrorTooLarge, Description: fmt.Sprintf("more than %d octets: name fewer types", maxObject)}
	}
	var o object
	if err := jmap.DecodeObject(raw, &o); err != nil {
		return nil, err
	}
	var bad wrong
	if o.ID != "" {
		bad.addf("id", "set by the server: leave it out")
	}
	if o.VerificationCode != nil {
		bad.addf("verificationCode", "not known yet: leave it out, and set it once it was pushed")
	}
	if o.DeviceClientID == "" || len(o.DeviceClientID) > maxDeviceID {
		bad.addf("deviceClientId", "needs 1 to %d octets that name client and device", maxDeviceID)
	}
	w.checkURL(&bad, o.URL)
	if o.Keys != nil {
		if _, _, err := o.Keys.parse(); err != nil {
			bad.addf("keys", "%v", err)
		}
	}
	checkTypes(&bad, o.Types)
	key := w.service.keys.present()
	expires := w.service.grant(&bad, o.Expires, key)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return &subscription{
		Holder: w.holder, ID: "P" + random(16), DeviceClientID: o.DeviceClientID, URL: o.URL, Keys: o.Keys,
		Code: random(codeLength), Expires: expires, Types: o.Types, Signer: key,
	}, nil
}

func (w *setter) checkURL(bad *wrong, url string) {
	switch {
	case url == "":
		bad.addf("url", "missing: name the https URL of the push service")
	case len(url) > maxURL:
		bad.addf("url", "more than %d octets: use a shorter one", maxURL)
	default:
		if err := w.service.o.Endpoints.Check(url); err != nil {
			bad.addf("url", "%v", err)
		}
	}
}

func checkTypes(bad *wrong, types []string) {
	if len(types) > maxTypes {
		bad.addf("types", "more than %d: use null for all types", maxTypes)
		return
	}
	for i, name := range types {
		if name == "" || len(name) > maxTypeName {
			bad.addf("types", "[%d] is not the name of a data type", i)
		}
	}
}

// grant tells until when a subscription lasts that a client wants to last until asked:
// no longer than maxLifetime, and than the key that it was made with.
func (s *Service) grant(bad *wrong, asked *string, key string) time.Time {
	now := s.o.Clock.Now()
	most := now.Add(maxLifetime).Truncate(time.Second)
	if retires := s.keys.retires(key); retires != nil && retires.Before(most) {
		most = retires.Truncate(time.Second)
	}
	if asked == nil {
		return most.UTC()
	}
	at, err := time.Parse(time.RFC3339, *asked)
	switch {
	case err != nil || !strings.HasSuffix(*asked, "Z"):
		bad.addf("expires", "not a UTCDate such as 2026-11-23T18:25:00Z")
	case !now.Before(at):
		bad.addf("expires", "is in the past: name a later time, or destroy the subscription")
	case at.Before(most):
		return at.UTC()
	}
	return most.UTC()
}

// admit adds to a batch what lets the account have one more subscription, and returns
// the one that it takes the place of, if any. A device is subscribed once: one that
// signed in with another application leaves what it had.
func (w *setter) admit(b *store.Batch, sub *subscription) (replaced string, err error) {
	r, now := records(w.holder.Account), w.service.o.Clock.Now()
	subs, err := r.list(w.ctx, w.service.o.Engine, now)
	if err != nil {
		return "", err
	}
	var made creations
	raw, err := read(w.ctx, w.service.o.Engine, r.creations(), &made)
	if err != nil {
		return "", err
	}
	for _, other := range subs {
		switch {
		case other.DeviceClientID != sub.DeviceClientID:
		case other.Holder.Client == sub.Holder.Client:
			return "", &jmap.SetError{Type: jmap.SetErrorAlreadyExists, ExistingID: other.ID, Description: "deviceClientId: the device has a subscription: update that one, or destroy it"}
		default:
			replaced = other.ID
			r.remove(b, other.ID)
		}
	}
	if len(subs) >= maxPerUser && replaced == "" {
		return "", &jmap.SetError{Type: jmap.SetErrorOverQuota, Description: fmt.Sprintf("%d push subscriptions are there already: destroy one", maxPerUser)}
	}
	if now.Sub(made.Since) >= creationWindow {
		made.Since, made.Count = now, 0
	}
	if made.Count >= maxCreations {
		return "", &jmap.SetError{Type: jmap.SetErrorRateLimit, Description: fmt.Sprintf("more than %d push subscriptions were made within an hour: try again later", maxCreations)}
	}
	made.Count++
	made.Total++
	b.Assert(r.creations(), raw)
	return replaced, write(b, r.creations(), &made)
}

// unsent is what a client did not send of a subscription that it created (RFC 8620
// §5.3), and until when the subscription lasts.
func (sub *subscription) unsent(sent json.RawMessage) map[string]any {
	var has map[string]json.RawMessage
	_ = json.Unmarshal(sent, &has) // it was decoded before
	created := map[string]any{"id": sub.ID, "expires": utcDate(sub.Expires)}
	for _, name := range []string{"keys", "types", "verificationCode"} {
		if _, ok := has[name]; !ok {
			created[name] = nil
		}
	}
	return created
}

// statesOf reads the states of accounts.
func (s *Service) statesOf(ctx context.Context, accounts []string) (states, error) {
	all := make(states, len(accounts))
	for _, account := range accounts {
		of, err := s.o.States.States(ctx, account)
		if err != nil {
			return nil, err
		}
		all[account] = of
	}
	return all, nil
}

package push

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// update changes one subscription and returns what else changed than was asked for, or
// nil.
func (w *setter) update(reference string, patch jmap.PatchObject, destroy []string) (changed any, err error) {
	id, ok := w.call.ResolveID(reference)
	if !ok {
		return nil, &jmap.SetError{Type: jmap.SetErrorNotFound}
	}
	if w.willDestroy(id, destroy) {
		return nil, &jmap.SetError{Type: jmap.SetErrorWillDestroy}
	}
	if err := w.service.commit(w.ctx, func(b *store.Batch) error {
		sub, raw, err := w.find(id)
		if err != nil {
			return err
		}
		if changed, err = w.apply(sub, patch); err != nil {
			return err
		}
		sub.Holder = w.holder
		key := records(w.holder.Account).record(id)
		b.Assert(key, raw)
		return write(b, key, sub)
	}); err != nil {
		return nil, err
	}
	w.service.stir(w.ctx, w.holder.Account)
	return changed, nil
}

func (w *setter) willDestroy(id string, destroy []string) bool {
	return slices.ContainsFunc(destroy, func(reference string) bool {
		other, ok := w.call.ResolveID(reference)
		return ok && other == id
	})
}

// apply patches a subscription.
func (w *setter) apply(sub *subscription, patch jmap.PatchObject) (changed any, err error) {
	before := sub.object()
	raw, err := json.Marshal(before)
	if err != nil {
		return nil, fmt.Errorf("patch push subscription: %w", err)
	}
	patched, refused := patch.Apply(raw)
	if refused != nil {
		return nil, refused
	}
	if len(patched) > maxObject {
		return nil, &jmap.SetError{Type: jmap.SetErrorTooLarge, Description: fmt.Sprintf("more than %d octets: name fewer types", maxObject)}
	}
	var after object
	if refused := jmap.DecodeObject(patched, &after); refused != nil {
		return nil, refused
	}
	var bad wrong
	checkFixed(&bad, before, &after)
	sub.verify(&bad, after.VerificationCode)
	checkTypes(&bad, after.Types)
	sub.Types = after.Types
	if asked, touched := patch["expires"]; touched {
		sub.Expires = w.service.grant(&bad, after.Expires, sub.Signer)
		changed = sub.grantedOtherwise(asked)
	}
	return changed, bad.err()
}

// object is a subscription as clients write it.
func (sub *subscription) object() *object {
	expires := utcDate(sub.Expires)
	return &object{
		ID: sub.ID, DeviceClientID: sub.DeviceClientID, URL: sub.URL, Keys: sub.Keys,
		VerificationCode: sub.verificationCode(), Expires: &expires, Types: sub.Types,
	}
}

// checkFixed refuses changes of what cannot change.
func checkFixed(bad *wrong, before, after *object) {
	const remedy = "cannot change: destroy the subscription and create another"
	if after.ID != before.ID {
		bad.addf("id", remedy)
	}
	if after.DeviceClientID != before.DeviceClientID {
		bad.addf("deviceClientId", remedy)
	}
	if after.URL != before.URL {
		bad.addf("url", remedy)
	}
	if (after.Keys == nil) != (before.Keys == nil) || (after.Keys != nil && *after.Keys != *before.Keys) {
		bad.addf("keys", remedy)
	}
}

// verify takes the verification code from the client. It is compared in constant time.
func (sub *subscription) verify(bad *wrong, code *string) {
	switch {
	case code == nil && !sub.Verified:
	case code != nil && subtle.ConstantTimeCompare([]byte(*code), []byte(sub.Code)) == 1:
		sub.Verified = true
	default:
		bad.addf("verificationCode", "not the code that was pushed to the url")
	}
}

// grantedOtherwise is what an update reports when the time that was granted is not the
// one that was asked for.
func (sub *subscription) grantedOtherwise(asked json.RawMessage) any {
	var text string
	if err := json.Unmarshal(asked, &text); err == nil {
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.Equal(sub.Expires) {
			return nil
		}
	}
	return map[string]any{"expires": utcDate(sub.Expires)}
}

package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Limits of subscriptions.
const (
	// maxLifetime is how long a subscription lasts unless it is extended. An access
	// token does not tell how long the login behind it lasts, so every subscription is
	// bounded as those of logins without an end are (RFC 8620 §7.2).
	maxLifetime = 7 * 24 * time.Hour
	// maxPerUser is how many subscriptions one account may have.
	maxPerUser = 32
	// maxCreations is how many subscriptions one account may make within
	// creationWindow: each one sends a message to a URL that nobody has verified.
	maxCreations   = 60
	creationWindow = time.Hour
	maxURL         = 2048
	maxDeviceID    = 255
	maxTypes       = 100
	maxTypeName    = 255
	maxObject      = 32 << 10
)

// Holder is whose subscription it is.
type Holder struct {
	// Account is the account that made the subscription.
	Account string `json:"account"`
	// Tenant is the "namespace/name" of its tenant.
	Tenant string `json:"tenant"`
	// Address is the primary address of the account when the client last changed the
	// subscription.
	Address string `json:"address"`
	// Client is the client application whose login made the subscription. Logins of
	// the same user with other applications neither see nor change it.
	Client string `json:"client"`
}

func holderOf(p *jmap.Principal) Holder {
	return Holder{Account: p.AccountID, Tenant: p.Tenant, Address: p.Address, Client: p.ClientID}
}

// subscription is what a client asked for. Whoever sends reads it and writes progress.
type subscription struct {
	Holder         Holder `json:"holder"`
	ID             string `json:"id"`
	DeviceClientID string `json:"deviceClientId"`
	URL            string `json:"url"`
	Keys           *Keys  `json:"keys"`
	// Code is the verification code, which the client learns by the first message.
	Code     string    `json:"code"`
	Verified bool      `json:"verified"`
	Expires  time.Time `json:"expires"`
	// Types is nil for all of them.
	Types []string `json:"types"`
	// Signer is the id of the key by which the region identified itself when the
	// subscription was made.
	Signer string `json:"signer"`
}

// states are the states of data types by account.
type states map[string]map[string]string

// progress is how far the sender of a subscription has come.
type progress struct {
	// Told is what the client knows, or need not be told.
	Told states `json:"told"`
	// Introduced is true once the verification code was sent.
	Introduced bool `json:"introduced"`
	// Failures is how many messages in a row found no taker for the time being, and
	// Refusals how many were refused for good.
	Failures int `json:"failures,omitempty"`
	Refusals int `json:"refusals,omitempty"`
	// NotBefore holds the next message back.
	NotBefore time.Time `json:"notBefore,omitzero"`
	// Gap is the least time between two messages, after the push service asked for
	// fewer.
	Gap time.Duration `json:"gap,omitempty"`
	// Sender is the replica that is sending, until Until at the latest.
	Sender string    `json:"sender,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

// creations counts what an account made lately. Each creation asserts it, so that two at
// a time cannot both be the last that is allowed.
type creations struct {
	Since time.Time `json:"since"`
	Count int       `json:"count"`
	// Total makes every value differ from the one before.
	Total uint64 `json:"total"`
}

// records are the subscriptions of one account.
type records string

func (r records) all() store.Key          { return store.NewKey(string(r)).String("push") }
func (r records) record(id string) []byte { return r.all().String(id) }
func (r records) progress(id string) []byte {
	return store.NewKey(string(r)).String("pushed").String(id)
}
func (r records) creations() []byte { return store.NewKey(string(r)).String("pushes") }

func (r records) index(id string) []byte { return indexKey().String(string(r)).String(id) }

// remove deletes everything about a subscription.
func (r records) remove(b *store.Batch, id string) {
	b.Delete(r.record(id))
	b.Delete(r.progress(id))
	b.Delete(r.index(id))
}

// list reads the subscriptions of an account that have not expired.
func (r records) list(ctx context.Context, from store.Reader, now time.Time) ([]*subscription, error) {
	var subs []*subscription
	for p, err := range from.Scan(ctx, r.all().Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("list push subscriptions: %w", err)
		}
		sub := &subscription{}
		if err := json.Unmarshal(p.Value, sub); err != nil {
			return nil, fmt.Errorf("list push subscriptions: %w", err)
		}
		if now.Before(sub.Expires) {
			subs = append(subs, sub)
		}
	}
	return subs, nil
}

// read decodes a value and returns its octets too, to be asserted; nil when it does not
// exist.
func read(ctx context.Context, from store.Reader, key []byte, into any) (raw []byte, err error) {
	raw, err = from.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read push subscription: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return nil, fmt.Errorf("read push subscription: %w", err)
	}
	return raw, nil
}

func write(b *store.Batch, key []byte, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write push subscription: %w", err)
	}
	b.Set(key, raw)
	return nil
}

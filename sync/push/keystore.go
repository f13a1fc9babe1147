package push

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// attempts is how often a commit is tried that others run into.
const attempts = 8

// errRetired says that a key has been replaced and is no longer used.
var errRetired = errors.New("the key of push has been replaced")

// keyRing is how the keys are stored: the first is the present one.
type keyRing struct {
	// Generation grows with each replacement.
	Generation uint64      `json:"generation"`
	Keys       []storedKey `json:"keys"`
}

type storedKey struct {
	ID     string `json:"id"`
	Scalar []byte `json:"scalar"`
	// Retires is when a replaced key is no longer used; nil for the present one.
	Retires *time.Time `json:"retires,omitempty"`
}

// keyStore holds the keys by which the region identifies itself to push services. All
// replicas have the same ones, from the store.
type keyStore struct {
	engine     store.Engine
	generation uint64
	clock      Clock

	mu      sync.RWMutex
	ring    keyRing
	signers map[string]*signer
}

// The owners of what belongs to no account have a slash in their names, which no account
// has.
func ringKey() []byte     { return store.NewKey("push/keys").String("vapid") }
func indexKey() store.Key { return store.NewKey(indexOwner) }

// indexOwner owns the list of all subscriptions.
const indexOwner = "push/index"

// SpreadOwners are the owners of keys that go into the batches of accounts and are read for
// the whole region. In a store of several cells, each such key lies in the cell of its
// account.
func SpreadOwners() []string { return []string{indexOwner} }

// ringTopic is where replicas are told that the keys changed.
const ringTopic = "push/keys"

// refresh reads the keys, makes the first one, and replaces the present one when a
// higher generation is wanted than is there.
func (k *keyStore) refresh(ctx context.Context) error {
	for range attempts {
		err := k.try(ctx)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("keys of push: %w: others write them", store.ErrConflict)
}

func (k *keyStore) try(ctx context.Context) error {
	raw, err := k.engine.Get(ctx, ringKey())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("read keys of push: %w", err)
	}
	var ring keyRing
	if raw != nil {
		if err := json.Unmarshal(raw, &ring); err != nil {
			return fmt.Errorf("read keys of push: %w", err)
		}
	}
	if len(ring.Keys) > 0 && ring.Generation >= k.generation {
		return k.adopt(ring)
	}
	if err := k.replace(&ring); err != nil {
		return err
	}
	value, err := json.Marshal(ring)
	if err != nil {
		return fmt.Errorf("write keys of push: %w", err)
	}
	b := &store.Batch{}
	b.Assert(ringKey(), raw)
	b.Set(ringKey(), value)
	if err := k.engine.Commit(ctx, b); err != nil {
		return fmt.Errorf("write keys of push: %w", err)
	}
	if err := k.adopt(ring); err != nil {
		return err
	}
	return k.engine.Hints().Publish(ctx, ringTopic)
}

// replace puts a new key in front and lets the present one serve the subscriptions that
// were made with it for as long as they can last.
func (k *keyStore) replace(ring *keyRing) error {
	now := k.clock.Now()
	scalar, err := newScalar()
	if err != nil {
		return err
	}
	s, err := newSigner(scalar)
	if err != nil {
		return err
	}
	keys := []storedKey{{ID: keyID(s), Scalar: scalar}}
	for _, old := range ring.Keys {
		if old.Retires == nil {
			retires := now.Add(maxLifetime)
			old.Retires = &retires
		}
		if now.Before(*old.Retires) {
			keys = append(keys, old)
		}
	}
	ring.Generation, ring.Keys = max(k.generation, ring.Generation), keys
	return nil
}

func (k *keyStore) adopt(ring keyRing) error {
	signers := make(map[string]*signer, len(ring.Keys))
	for _, key := range ring.Keys {
		s, err := newSigner(key.Scalar)
		if err != nil {
			return err
		}
		signers[key.ID] = s
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring, k.signers = ring, signers
	return nil
}

// present is the id of the key that new subscriptions are made with.
func (k *keyStore) present() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.ring.Keys[0].ID
}

// public is the present key as clients are told of it.
func (k *keyStore) public() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.signers[k.ring.Keys[0].ID].public
}

// retires tells when a key is no longer used; nil when nothing is known of that.
func (k *keyStore) retires(id string) *time.Time {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.ring.Keys {
		if key.ID == id {
			return key.Retires
		}
	}
	return nil
}

// signer gives the key of a subscription, or errRetired.
func (k *keyStore) signer(ctx context.Context, id string) (*signer, error) {
	if s := k.known(id); s != nil {
		return s, nil
	}
	// Another replica may have made the key since.
	if err := k.refresh(ctx); err != nil {
		return nil, err
	}
	if s := k.known(id); s != nil {
		return s, nil
	}
	return nil, errRetired
}

func (k *keyStore) known(id string) *signer {
	now := k.clock.Now()
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.ring.Keys {
		if key.ID == id && (key.Retires == nil || now.Before(*key.Retires)) {
			return k.signers[id]
		}
	}
	return nil
}

// keyID names a key by its public half.
func keyID(s *signer) string {
	sum := sha256.Sum256([]byte(s.public))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// blobGrace is how long content without references is kept, for those who are about to refer to it.
const blobGrace = time.Hour

// uploadQueue lists the uploads of a tenant by the time when they end.
func uploadQueue(tenant string) store.Key { return store.NewKey("uploads/" + tenant) }

// upload is the record of an upload: when it ends, and after that an octet unless the owner of the account made it too.
type upload []byte

// uploadEnd is how many octets tell when an upload ends.
const uploadEnd = 8

func (u upload) ends() []byte { return u[:min(uploadEnd, len(u))] }

func (u upload) byOwner() bool { return len(u) == uploadEnd }

// uploaders are those who uploaded a blob and do not own the account.
func (k keys) uploaders(hash string) store.Key {
	return store.NewKey(string(k)).String("visitorUpload").String(hash)
}

// grantAttempts bounds how often an upload is kept again when the collector removes the same content meanwhile, or
// another account brings it.
const grantAttempts = 8

// grant makes content a blob, and lets the principal who uploaded it read it in an account until the upload's lifetime
// ends.
func (s *Service) grant(ctx context.Context, p *jmap.Principal, account, tenant string, c *store.Content) error {
	err := s.grantOnce(ctx, p, account, tenant, c)
	for attempt := 1; errors.Is(err, store.ErrConflict) && attempt < grantAttempts; attempt++ {
		err = s.grantOnce(ctx, p, account, tenant, c)
	}
	if err == nil {
		err = s.blobs.Discard(ctx, c)
	}
	return unavailable(err)
}

func (s *Service) grantOnce(ctx context.Context, p *jmap.Principal, account, tenant string, c *store.Content) error {
	k, hash := keys(account), c.Hash()
	ends := store.Key(nil).Uint(orderly(s.opts.Now().Add(s.opts.UploadLifetime).Unix()))
	return s.journal.Update(ctx, account, func(tx *store.Tx) error {
		var have upload
		have, err := tx.Get(ctx, k.upload(hash))
		if errors.Is(err, store.ErrNotFound) {
			tx.Add(k.blob(hash), 1)
			err = s.blobs.Publish(ctx, s.engine, tx, c, 1)
		}
		if err != nil {
			return err
		}
		now := upload(bytes.Clone(ends))
		if p != nil && p.AccountID != account {
			tx.Set(k.uploaders(hash).String(p.AccountID), nil)
			if !have.byOwner() {
				now = append(now, 0)
			}
		}
		tx.Set(k.upload(hash), now)
		tx.Set(append(append(uploadQueue(tenant), ends...), store.NewKey(account).String(hash)...), nil)
		return nil
	})
}

// mayUse says whether a principal that may use all of an account may read a blob that is there: one that only an upload
// refers to is its uploader's alone (RFC 8620 section 6.1).
func (s *Service) mayUse(ctx context.Context, p *jmap.Principal, account, hash string, counted []byte) (bool, error) {
	references, err := store.DecodeCounter(counted)
	if err != nil || p == nil || references > 1 {
		return err == nil, err
	}
	var have upload
	have, err = s.engine.Get(ctx, keys(account).upload(hash))
	switch {
	case isNotFound(err):
		return true, nil
	case err != nil:
		return false, err
	case p.AccountID == account:
		return have.byOwner(), nil
	}
	return s.uploaded(ctx, p, account, hash)
}

// uploaded says whether a principal that does not own the account uploaded a blob.
func (s *Service) uploaded(ctx context.Context, p *jmap.Principal, account, hash string) (bool, error) {
	_, err := s.engine.Get(ctx, keys(account).uploaders(hash).String(p.AccountID))
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// refer counts references of an account to a blob. Without one the account cannot read it.
func (s *Service) refer(ctx context.Context, r store.Reader, w store.Writer, account, tenant, hash string, delta int64) error {
	if err := s.blobs.Ref(ctx, r, w, tenant, hash, delta); err != nil {
		return err
	}
	w.Add(keys(account).blob(hash), delta)
	return nil
}

// Collect forgets uploads whose lifetime ended, and removes content that nothing refers to and what indexes tell of
// destroyed emails. It looks only at what is due, and is to be called now and then by one process.
func (s *Service) Collect(ctx context.Context) error {
	tenants, err := s.blobs.Scopes(ctx)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		if err := s.endUploads(ctx, tenant); err != nil {
			return fmt.Errorf("tenant %q: %w", tenant, err)
		}
		if err := s.purgeDue(ctx, tenant); err != nil {
			return fmt.Errorf("tenant %q: %w", tenant, err)
		}
		if _, err := s.blobs.Collect(ctx, tenant, blobGrace); err != nil {
			return fmt.Errorf("tenant %q: %w", tenant, err)
		}
	}
	return nil
}

// endUploads takes the uploads that are due from the front of the queue.
func (s *Service) endUploads(ctx context.Context, tenant string) error {
	prefix := uploadQueue(tenant)
	entries, err := dueEntries(ctx, s.engine, prefix, s.opts.Now())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		account, rest, err := store.CutString(entry[len(prefix)+uploadEnd:])
		if err != nil {
			return err
		}
		hash, _, err := store.CutString(rest)
		if err != nil {
			return err
		}
		if err := s.endUpload(ctx, tenant, account, hash, entry); err != nil {
			return err
		}
	}
	return nil
}

// endUpload ends one upload, unless it was made again since the entry was queued.
func (s *Service) endUpload(ctx context.Context, tenant, account, hash string, entry []byte) error {
	k := keys(account)
	return s.journal.Update(ctx, account, func(tx *store.Tx) error {
		tx.Delete(entry)
		var have upload
		have, err := tx.Get(ctx, k.upload(hash))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || !bytes.Equal(have.ends(), entry[len(uploadQueue(tenant)):][:uploadEnd]) {
			return err
		}
		tx.Delete(k.upload(hash))
		if err := deleteAll(ctx, tx, k.uploaders(hash).Range()); err != nil {
			return fmt.Errorf("end upload: %w", err)
		}
		return s.refer(ctx, s.engine, tx, account, tenant, hash, -1)
	})
}

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

// grant lets an account read a blob until the upload's lifetime ends, and the visitor who uploaded it.
func (s *Service) grant(ctx context.Context, p *jmap.Principal, account, tenant, hash string) error {
	k := keys(account)
	ends := store.Key(nil).Uint(orderly(s.opts.Now().Add(s.opts.UploadLifetime).Unix()))
	err := s.journal.Update(ctx, account, func(tx *store.Tx) error {
		_, err := tx.Get(ctx, k.upload(hash))
		if errors.Is(err, store.ErrNotFound) {
			err = s.refer(ctx, tx, account, tenant, hash, 1)
		}
		if err != nil {
			return err
		}
		tx.Set(k.upload(hash), ends)
		if p != nil && p.Partial(account) {
			tx.Set(k.visitorUploads(hash).String(p.AccountID), nil)
		}
		tx.Set(append(append(uploadQueue(tenant), ends...), store.NewKey(account).String(hash)...), nil)
		return nil
	})
	return unavailable(err)
}

// refer counts references of an account to a blob. Without one the account cannot read it.
func (s *Service) refer(ctx context.Context, w store.Writer, account, tenant, hash string, delta int64) error {
	if err := s.blobs.Ref(ctx, s.engine, w, tenant, hash, delta); err != nil {
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
		account, rest, err := store.CutString(entry[len(prefix)+8:])
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
		ends, err := tx.Get(ctx, k.upload(hash))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || !bytes.Equal(ends, entry[len(uploadQueue(tenant)):][:8]) {
			return err
		}
		tx.Delete(k.upload(hash))
		if err := deleteAll(ctx, tx, k.visitorUploads(hash).Range()); err != nil {
			return fmt.Errorf("end upload: %w", err)
		}
		return s.refer(ctx, tx, account, tenant, hash, -1)
	})
}

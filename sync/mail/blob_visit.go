package mail

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// everyBlob are the blobs that a principal may use: those of an account, or, where only parts of it are shared, those
// of the emails that it sees and its own uploads. No principal may use them all.
type everyBlob struct {
	service   *Service
	principal *jmap.Principal
}

// BlobsFor returns the blobs as far as a principal may use them.
func (s *Service) BlobsFor(p *jmap.Principal) jmap.Blobs { return everyBlob{service: s, principal: p} }

// StatesFor returns the states of an account as the methods tell them to a principal.
func (s *Service) StatesFor(ctx context.Context, p *jmap.Principal, account string) (map[string]string, error) {
	if !p.Partial(account) {
		states, err := s.States(ctx, account)
		if err == nil && account == p.AccountID {
			states[typePrincipal], err = s.principalState(ctx, s.engine, p.Tenant, account)
		}
		return states, err
	}
	states := map[string]string{}
	err := s.view(ctx, account, func(r store.Reader) error {
		v, err := s.visitor(ctx, r, p, account)
		if isRevoked(err) {
			// What was shared is not any more: there is nothing to tell.
			return nil
		}
		for _, kind := range []string{typeEmail, typeMailbox, typeThread} {
			if err == nil {
				states[kind], err = v.state(ctx, r, account, kind)
			}
		}
		return err
	})
	return states, err
}

// Put keeps an upload for the account and returns its blob id.
func (b everyBlob) Put(ctx context.Context, account, _ string, r io.Reader) (id string, size int64, err error) {
	s := b.service
	tenant, err := s.tenantOf(ctx, account)
	if err == nil {
		err = s.room(ctx, account, 1)
	}
	if err != nil {
		return "", 0, err
	}
	c, err := s.blobs.Prepare(ctx, tenant, r)
	if err == nil {
		err = s.room(ctx, account, c.Size())
	}
	if err != nil {
		return "", 0, unavailable(err)
	}
	return wholeBlob + c.Hash(), c.Size(), s.grant(ctx, b.principal, account, tenant, c)
}

// Open opens a blob.
func (b everyBlob) Open(ctx context.Context, account, id string) (io.ReadSeekCloser, int64, error) {
	ref, object, err := b.service.openBlob(ctx, b.principal, account, id)
	if err != nil {
		return nil, 0, err
	}
	if len(ref.sections) == 0 {
		return &blobReader{io.NewSectionReader(object, 0, object.Size()), object}, object.Size(), nil
	}
	if one := ref.sections[0]; len(ref.sections) == 1 && one.encoding == "" && one.End <= object.Size() {
		return &blobReader{io.NewSectionReader(object, one.Start, one.Len()), object}, one.Len(), nil
	}
	data, err := readSections(object, ref.sections)
	if err = errors.Join(err, object.Close()); err != nil {
		return nil, 0, err
	}
	return &blobReader{bytes.NewReader(data), io.NopCloser(nil)}, int64(len(data)), nil
}

// Copy lets another account read a blob. Between tenants the content is copied.
func (b everyBlob) Copy(ctx context.Context, from, to, id string) (copied string, err error) {
	s := b.service
	tenant, err := s.tenantOf(ctx, to)
	if err != nil {
		return "", err
	}
	source, size, err := b.Open(ctx, from, id)
	if err != nil {
		return "", err
	}
	if err := s.room(ctx, to, size); err != nil {
		return "", errors.Join(err, source.Close())
	}
	c, err := s.blobs.Prepare(ctx, tenant, source)
	if err = errors.Join(err, source.Close()); err != nil {
		return "", err
	}
	return wholeBlob + c.Hash(), s.grant(ctx, b.principal, to, tenant, c)
}

// mayRead says whether a principal may read a blob of an account.
func (s *Service) mayRead(ctx context.Context, p *jmap.Principal, account, id string) (blobRef, bool, error) {
	ref, ok := parseBlobID(id)
	if !ok {
		return ref, false, nil
	}
	counted, err := s.engine.Get(ctx, keys(account).blob(ref.hash))
	switch {
	case err != nil:
	case p != nil && p.Partial(account):
		ok, err = s.mayVisit(ctx, p, account, ref)
	default:
		ok, err = s.mayUse(ctx, p, account, ref.hash, counted)
	}
	if isNotFound(err) {
		return ref, false, nil
	}
	return ref, ok && err == nil, err
}

// mayVisit says whether a visitor may read a blob: that of an email that it sees, or its own upload.
func (s *Service) mayVisit(ctx context.Context, p *jmap.Principal, account string, ref blobRef) (bool, error) {
	v, err := s.visitor(ctx, s.engine, p, account)
	if isRevoked(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if ref.email == "" {
		return s.uploaded(ctx, p, account, ref.hash)
	}
	m, err := s.readEmail(ctx, s.engine, v, account, ref.email)
	return m != nil && m.Blob == ref.hash, err
}

// openBlob opens the whole blob that an id belongs to, when the principal may read it.
func (s *Service) openBlob(ctx context.Context, p *jmap.Principal, account, id string) (blobRef, store.Object, error) {
	tenant, err := s.tenantOf(ctx, account)
	if err != nil {
		return blobRef{}, nil, err
	}
	ref, ok, err := s.mayRead(ctx, p, account, id)
	if err == nil && !ok {
		err = jmap.ErrBlobNotFound
	}
	if err != nil {
		return blobRef{}, nil, err
	}
	object, err := s.blobs.Open(ctx, tenant, ref.hash)
	if isNotFound(err) {
		err = jmap.ErrBlobNotFound
	}
	return ref, object, err
}

// readBlob returns the content of a blob that the principal may read.
func (s *Service) readBlob(ctx context.Context, p *jmap.Principal, account, id string) (ref blobRef, data []byte, err error) {
	ref, object, err := s.openBlob(ctx, p, account, id)
	if err != nil {
		return blobRef{}, nil, err
	}
	data, err = readSections(object, ref.sections)
	return ref, data, errors.Join(err, object.Close())
}

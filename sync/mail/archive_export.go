package mail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// Export writes an archive of an account as it is at one moment, while it may be written. Origin tells where the account
// lives.
func (s *Service) Export(ctx context.Context, account string, o archive.Origin, to io.Writer) error {
	err := s.view(ctx, account, func(r store.Reader) error {
		x := &export{ctx: ctx, service: s, reader: r, account: account}
		m, err := x.plan(o)
		if err != nil {
			return err
		}
		return archive.Write(ctx, to, m, x.members())
	})
	if err != nil {
		return fmt.Errorf("export account %q: %w", account, err)
	}
	return nil
}

// AccountOf returns the account that takes the mail for an address of the region.
func (s *Service) AccountOf(ctx context.Context, address string) (string, error) {
	account, _, err := s.holder(ctx, s.engine, addressKey(address))
	if err == nil && account == "" {
		err = fmt.Errorf("%w: no mailbox of this region takes the mail for that address", store.ErrNotFound)
	}
	return account, err
}

// export walks an account as it is at one moment. Each walk yields the same.
type export struct {
	ctx     context.Context //nolint:containedctx // lives as long as one export
	service *Service
	reader  store.Reader
	account string
	tenant  string
	scope   string
}

// plan finds out what the archive will hold.
func (x *export) plan(o archive.Origin) (*archive.Manifest, error) {
	meta, exists, err := readMeta(x.ctx, x.reader, x.account)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, fmt.Errorf("%w: there is no such account here", store.ErrNotFound)
	}
	place, err := store.FindPlace(x.ctx, x.service.engine, x.account)
	if err != nil {
		return nil, err
	}
	x.tenant, x.scope = meta.Tenant, meta.Tenant+place.Suffix
	planned := &archive.Manifest{
		Version: archive.Version, RecordVersion: recordVersion, Origin: o, Tenant: meta.Tenant, Account: x.account,
		Created: x.service.opts.Now().UTC(),
	}
	if planned.State, err = store.AccountState(x.ctx, x.reader, x.account); err != nil {
		return nil, err
	}
	return planned, archive.Plan(planned, x.members())
}

// members yields what the archive is made of.
func (x *export) members() iter.Seq2[archive.Member, error] {
	return func(yield func(archive.Member, error) bool) {
		for _, members := range []iter.Seq2[archive.Member, error]{
			x.blobs(), archive.Pack(archive.Records, x.records()), archive.Pack(archive.Account, x.known()),
		} {
			for m, err := range members {
				if !yield(m, err) || err != nil {
					return
				}
			}
		}
	}
}

// blobs yields the content that the account refers to.
func (x *export) blobs() iter.Seq2[archive.Member, error] {
	return func(yield func(archive.Member, error) bool) {
		prefix := store.NewKey(x.account).String("blob")
		for p, err := range x.reader.Scan(x.ctx, prefix.Range(), store.ScanOptions{}) {
			var m archive.Member
			if err == nil {
				m, err = x.blob(p.Key[len(prefix):])
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (x *export) blob(rest []byte) (archive.Member, error) {
	hash, _, err := store.CutString(rest)
	if err != nil {
		return archive.Member{}, err
	}
	info, err := x.service.blobs.Stat(x.ctx, x.reader, x.scope, hash)
	if err != nil {
		return archive.Member{}, err
	}
	return archive.BlobMember(hash, info.Size, func() (io.ReadCloser, error) {
		object, err := x.service.blobs.Open(x.ctx, x.scope, hash)
		if isNotFound(err) {
			return nil, fmt.Errorf("%w: it was removed while the export ran: begin anew", err)
		}
		if err != nil {
			return nil, err
		}
		return &blobReader{io.NewSectionReader(object, 0, object.Size()), object}, nil
	})
}

// records yields the records that are not written last.
func (x *export) records() iter.Seq2[archive.Record, error] {
	return x.scan(store.NewKey(x.account), func(c class) bool { return c == classCopied || c == classCounted })
}

// scan yields the records of a range of the account whose class is wanted.
func (x *export) scan(prefix store.Key, wanted func(class) bool) iter.Seq2[archive.Record, error] {
	return func(yield func(archive.Record, error) bool) {
		account := store.NewKey(x.account)
		for p, err := range x.reader.Scan(x.ctx, prefix.Range(), store.ScanOptions{}) {
			var r archive.Record
			var c class
			if err == nil {
				r, c, err = classify(account, p)
			}
			if err != nil {
				yield(r, err)
				return
			}
			if wanted(c) && !yield(r, nil) {
				return
			}
		}
	}
}

// classify returns a pair as a record, and what becomes of it.
func classify(account store.Key, p store.Pair) (archive.Record, class, error) {
	kind, rest, err := kindOf(account, p.Key)
	if err != nil {
		return archive.Record{}, 0, err
	}
	c, ok := classes[kind]
	if !ok {
		return archive.Record{}, 0, fmt.Errorf("archive: the account has records of kind %q, which this version does not know", kind)
	}
	return archive.Record{Kind: kind, Key: rest, Value: p.Value}, c, nil
}

// known yields by what others know the account, and what they share with it.
func (x *export) known() iter.Seq2[archive.Record, error] {
	return func(yield func(archive.Record, error) bool) {
		for _, kind := range []string{"meta", "visitor"} {
			for r, err := range x.scan(store.NewKey(x.account).String(kind), func(c class) bool { return c == classLast }) {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
		value, err := x.service.engine.Get(x.ctx, register(x.tenant).record(x.account))
		if err == nil && !yield(archive.Record{Kind: recordPrincipal, Value: value}, nil) {
			return
		}
		if err != nil && !isNotFound(err) {
			yield(archive.Record{}, err)
			return
		}
		x.offered(yield)
	}
}

// offered yields what others share with the account.
func (x *export) offered(yield func(archive.Record, error) bool) {
	accounts, notices := offerAccounts(x.scope, x.account), offerNotices(x.scope, x.account)
	for p, err := range x.reader.Scan(x.ctx, offers(x.scope, x.account).Range(), store.ScanOptions{}) {
		var r archive.Record
		switch {
		case err != nil:
		case bytes.HasPrefix(p.Key, accounts):
			r = archive.Record{Kind: recordOffer, Key: p.Key[len(accounts):], Value: p.Value}
		case bytes.HasPrefix(p.Key, notices):
			r = archive.Record{Kind: recordNotice, Key: p.Key[len(notices):], Value: p.Value}
		default:
			err = fmt.Errorf("archive: %w: key %q", store.ErrInvalid, p.Key)
		}
		if !yield(r, err) || err != nil {
			return
		}
	}
}

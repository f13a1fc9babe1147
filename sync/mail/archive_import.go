package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

const (
	// importBlobs is how many blobs are referred to in one commit.
	importBlobs = 64
	// maxKnownRecords bounds, in octets, what is kept in memory to be written last.
	maxKnownRecords = 64 << 20
)

// Import is what is to be imported, and where.
type Import struct {
	// Into is where the service runs.
	Into archive.Origin
	// Lives tells why the mailbox of an archive of this cloud does not live here; nil takes those of this region alone.
	Lives func(m *archive.Manifest) error
	// Send says that messages which waited to be sent when the archive was written are sent from here. They are canceled
	// else: where the archive is from, they were or will be sent.
	Send bool
}

// Imported tells of an import.
type Imported struct {
	// Manifest is that of the archive.
	Manifest *archive.Manifest `json:"manifest"`
	// Resumed is the member from which on an earlier import was continued; 0 is the beginning.
	Resumed int64 `json:"resumed,omitempty"`
	// Already says that the account had been imported from this very archive before, and nothing was done.
	Already bool `json:"already,omitempty"`
	// AddressTaken says that another account of the region takes the mail for the address that the account had.
	AddressTaken bool `json:"addressTaken,omitempty"`
}

// importMark is what an account keeps of its import. Until it is done, nothing else of the account can be seen.
type importMark struct {
	// Archive identifies the archive.
	Archive string `json:"archive"`
	// Tenant is that of the account.
	Tenant   string           `json:"tenant"`
	Begun    time.Time        `json:"begun"`
	Position archive.Position `json:"position"`
	// Discarding says that what was imported is being removed, and Done that the account is complete.
	Discarding bool `json:"discarding,omitempty"`
	Done       bool `json:"done,omitempty"`
}

// Import makes an account from an archive. The archive is read once. What arrived stays when the process ends, the source
// fails or the archive is cut short, and another import of the same archive goes on from there; nothing stays of one that
// is broken. Others see nothing of the account before it is complete. Only one import of an account can run at a time:
// another one that begins takes over.
func (s *Service) Import(ctx context.Context, from io.Reader, o Import) (*Imported, error) {
	r, err := archive.NewReader(from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	m := r.Manifest()
	out := &Imported{Manifest: m}
	if m.RecordVersion > recordVersion {
		return out, fmt.Errorf("%w: its records have version %d, this program knows %d: import it with the version that wrote it, or a later one",
			archive.ErrVersion, m.RecordVersion, recordVersion)
	}
	if err := m.Admit(o.Into, o.Lives); err != nil {
		return out, err
	}
	if !jmap.ValidID(m.Account) || plainTenant(m.Tenant) != m.Tenant {
		return out, fmt.Errorf("%w: %q of tenant %q is no account", archive.ErrBroken, m.Account, m.Tenant)
	}
	i := &importer{ctx: ctx, service: s, reader: r, account: m.Account, out: out, send: o.Send}
	if err = i.run(); err == nil {
		return out, nil
	}
	err = fmt.Errorf("import account %q: %w", m.Account, err)
	switch {
	case i.mark == nil:
	case errors.Is(err, archive.ErrBroken):
		err = errors.Join(err, s.DiscardImport(ctx, m.Account))
	case errors.Is(err, archive.ErrTruncated):
		err = fmt.Errorf("%w: import the whole of it, which goes on from here, or discard the import", err)
	}
	return out, err
}

// readMark returns the mark of an import and how it is stored; nil is none.
func readMark(ctx context.Context, r store.Reader, account string) (mark *importMark, stored []byte, err error) {
	stored, err = r.Get(ctx, keys(account).importMark())
	if isNotFound(err) {
		return nil, nil, nil
	}
	mark = &importMark{}
	if err == nil {
		err = json.Unmarshal(stored, mark)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read import: %w", err)
	}
	return mark, stored, nil
}

// importing refuses an account that is not complete yet.
func importing(ctx context.Context, r store.Reader, account string) error {
	mark, _, err := readMark(ctx, r, account)
	if err == nil && mark != nil {
		err = fmt.Errorf("%w: the account is being imported", store.ErrUnavailable)
	}
	return err
}

// importer makes one import.
type importer struct {
	ctx     context.Context //nolint:containedctx // lives as long as one Import
	service *Service
	reader  *archive.Reader
	account string
	scope   string
	send    bool
	out     *Imported
	// mark is the mark as it is stored, of which stored are the octets.
	mark   *importMark
	stored []byte
	// resume is where an earlier import ended.
	resume archive.Position
	// blobs are those that were kept and not referred to yet.
	blobs []string
	// known are the records that are written last.
	known []archive.Record
	size  int64
}

func (i *importer) run() error {
	if err := i.begin(); err != nil || i.out.Already {
		return err
	}
	for {
		e, err := i.reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = i.member(e)
		}
		if err != nil {
			return err
		}
	}
	if err := i.refer(); err != nil {
		return err
	}
	if !i.send {
		if err := i.commit((*edit).unsend); err != nil {
			return err
		}
	}
	return i.publish()
}

// begin marks the account, or finds the mark of an earlier import.
func (i *importer) begin() error {
	place, err := store.PlaceOf(i.ctx, i.service.engine, i.account)
	if err != nil {
		return err
	}
	i.scope = i.reader.Manifest().Tenant + place.Suffix
	err = i.service.journal.Update(i.ctx, i.account, func(tx *store.Tx) error {
		if i.mark, i.stored, err = readMark(i.ctx, tx, i.account); err != nil {
			return err
		}
		if i.mark != nil {
			return i.found(tx)
		}
		if err := i.empty(tx); err != nil {
			return err
		}
		i.mark = &importMark{Archive: i.reader.Digest(), Tenant: i.reader.Manifest().Tenant, Begun: i.service.opts.Now().UTC()}
		return i.setMark(tx)
	})
	if err != nil || i.out.Already {
		return unavailable(err)
	}
	i.resume = i.mark.Position
	i.out.Resumed = i.resume.Next
	return nil
}

// found looks at the mark of an earlier import.
func (i *importer) found(tx *store.Tx) error {
	same := i.mark.Archive == i.reader.Digest()
	switch {
	case i.mark.Discarding:
		return fmt.Errorf("%w: it is being discarded: discard it again", ErrImporting)
	case i.mark.Done && same:
		i.out.Already = true
		return nil
	case i.mark.Done:
		return i.empty(tx)
	case !same:
		return fmt.Errorf("%w: discard it, or import that archive again", ErrImporting)
	}
	return nil
}

// empty refuses an account that has anything.
func (i *importer) empty(tx *store.Tx) error {
	account := store.NewKey(i.account)
	for p, err := range tx.Scan(i.ctx, account.Range(), store.ScanOptions{}) {
		if err != nil {
			return err
		}
		kind, _, err := kindOf(account, p.Key)
		if err != nil {
			return err
		}
		if kind != "lease" {
			return ErrExists
		}
	}
	return nil
}

// setMark writes the mark as it is now.
func (i *importer) setMark(tx *store.Tx) (err error) {
	if i.stored, err = json.Marshal(i.mark); err == nil {
		tx.Set(keys(i.account).importMark(), i.stored)
	}
	return err
}

// commit writes a step of the import, after which it is at the position of the reader. It fails when somebody else made
// another one meanwhile.
func (i *importer) commit(step func(e *edit) error) error {
	position, before := i.reader.Position(), i.stored
	err := i.service.journal.Update(i.ctx, i.account, func(tx *store.Tx) error {
		_, stored, err := readMark(i.ctx, tx, i.account)
		if err != nil {
			return err
		}
		if !bytes.Equal(stored, before) {
			return fmt.Errorf("%w: it was taken over, or discarded", ErrImporting)
		}
		i.mark.Position = position
		if err := i.setMark(tx); err != nil {
			return err
		}
		return step(newEdit(i.ctx, i.service, tx, i.account, i.scope))
	})
	return unavailable(err)
}

// member takes a member in, unless that was done before.
func (i *importer) member(e *archive.Entry) error {
	switch {
	case e.Section == archive.Account:
		// These are kept in memory until the end, and not counted as done.
		return i.keep(e)
	case e.Number < i.resume.Next:
		return i.skip()
	case e.Section == archive.Blobs:
		return i.blob(e)
	}
	if err := i.refer(); err != nil {
		return err
	}
	records, err := i.reader.Records(e)
	if err != nil {
		return err
	}
	return i.commit(func(edit *edit) error { return edit.importRecords(records) })
}

// skip passes a member that was taken in before, and makes sure at the last of them that they were of this archive: one
// that was altered may have the same manifest.
func (i *importer) skip() error {
	if err := i.reader.Finish(); err != nil {
		return err
	}
	if at := i.reader.Position(); at.Next == i.resume.Next && at != i.resume {
		return fmt.Errorf("%w: it is not the one of which %d members were imported before", archive.ErrBroken, i.resume.Next)
	}
	return nil
}

// blob keeps content. Its reference comes with those of others, before it could be collected.
func (i *importer) blob(e *archive.Entry) error {
	info, err := i.service.blobs.Put(i.ctx, i.scope, e)
	if err != nil {
		return err
	}
	if info.Hash != e.Hash {
		return fmt.Errorf("%w: blob %q", archive.ErrBroken, e.Hash)
	}
	i.blobs = append(i.blobs, info.Hash)
	if err := i.reader.Finish(); err != nil || len(i.blobs) < importBlobs {
		return err
	}
	return i.refer()
}

// refer gives the account one reference to each blob that was kept.
func (i *importer) refer() error {
	if len(i.blobs) == 0 {
		return nil
	}
	err := i.commit(func(e *edit) error {
		for _, hash := range i.blobs {
			if err := e.recount(hash, 1); err != nil {
				return err
			}
		}
		return nil
	})
	i.blobs = i.blobs[:0]
	return err
}

// keep reads records that are written last.
func (i *importer) keep(e *archive.Entry) error {
	if i.size += e.Size; i.size > maxKnownRecords {
		return fmt.Errorf("%w: section %q has more than %d octets", archive.ErrBroken, e.Section, maxKnownRecords)
	}
	records, err := i.reader.Records(e)
	i.known = append(i.known, records...)
	return err
}

// importRecords writes records of the account.
func (e *edit) importRecords(records []archive.Record) error {
	account := store.NewKey(e.account)
	for _, r := range records {
		switch classes[r.Kind] {
		case classCopied:
			e.tx.Set(keyOf(account, r.Kind, r.Key), r.Value)
		case classCounted:
			if err := e.importReferences(r); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: it has records of kind %q", archive.ErrBroken, r.Kind)
		}
	}
	return nil
}

// importReferences adds the references to a blob, of which one was made when it came.
func (e *edit) importReferences(r archive.Record) error {
	hash, rest, err := store.CutString(r.Key)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("%w: reference %q", archive.ErrBroken, r.Key)
	}
	n, err := store.DecodeCounter(r.Value)
	if err != nil || n < 1 {
		return fmt.Errorf("%w: references to blob %q", archive.ErrBroken, hash)
	}
	have, err := e.get(e.keys.blob(hash))
	switch {
	case err != nil:
		return err
	case have == nil:
		return fmt.Errorf("%w: blob %q is referred to and not there", archive.ErrBroken, hash)
	case n == 1:
		return nil
	}
	return e.recount(hash, n-1)
}

// recount counts references of the account to a blob.
func (e *edit) recount(hash string, delta int64) error {
	return e.refer(hash, delta)
}

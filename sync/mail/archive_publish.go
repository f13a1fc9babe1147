package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bailiwick-dev/bailiwick/sync/archive"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// publish makes the account known, in one commit: by then everything else is there. What belongs to the region is made
// from what the account says: its place in the directory, the census, the queues.
func (i *importer) publish() error {
	p := &publication{importer: i}
	if err := i.commit(p.write); err != nil {
		return err
	}
	return p.tell()
}

// publication is the last step of an import.
type publication struct {
	*importer

	principal jmap.Principal
	queued    bool
}

func (p *publication) write(e *edit) error {
	p.mark.Done, p.mark.Position = true, archive.Position{}
	if err := p.setMark(e.tx); err != nil {
		return err
	}
	p.principal = jmap.Principal{Tenant: p.reader.Manifest().Tenant, AccountID: p.account}
	var known bool
	for _, r := range p.known {
		known = known || r.Kind == "meta"
		if err := p.record(e, r); err != nil {
			return fmt.Errorf("record of kind %q: %w", r.Kind, err)
		}
	}
	if !known {
		return fmt.Errorf("%w: it does not say what the account is", archive.ErrBroken)
	}
	if err := p.queue(e); err != nil {
		return err
	}
	e.tx.Add(census(e.suffix()).String(p.principal.Tenant), 1)
	return e.tx.BeginEpoch(e.service.opts.Now())
}

// suffix is that of the place in which the account lies.
func (e *edit) suffix() string { return e.tenant[len(plainTenant(e.tenant)):] }

func (p *publication) record(e *edit, r archive.Record) error {
	switch r.Kind {
	case "meta":
		return p.meta(e, r)
	case "visitor":
		return p.visitor(e, r)
	case recordPrincipal:
		return p.named(r)
	case recordOffer:
		return p.offer(e, r)
	case recordNotice:
		e.tx.Set(append(offerNotices(e.tenant, e.account), r.Key...), r.Value)
		return nil
	default:
		return archive.ErrBroken
	}
}

// meta writes what the account is. It takes the mail for its address, unless another account does.
func (p *publication) meta(e *edit, r archive.Record) error {
	var meta accountMeta
	if err := json.Unmarshal(r.Value, &meta); err != nil {
		return fmt.Errorf("%w: %w", archive.ErrBroken, err)
	}
	if meta.Tenant != p.principal.Tenant || len(r.Key) > 0 {
		return fmt.Errorf("%w: it is of tenant %q and the manifest of %q", archive.ErrBroken, meta.Tenant, p.principal.Tenant)
	}
	if address := meta.Address; address != "" {
		owner := p.principal
		owner.Address, meta.Address = address, ""
		claimed, err := e.claimAddress(&owner, &meta)
		if err != nil {
			return err
		}
		p.out.AddressTaken = !claimed
	}
	return e.setJSON(e.keys.meta(), meta)
}

// visitor writes what somebody may see of the account, and leaves word for them, so that they hear of it.
func (p *publication) visitor(e *edit, r archive.Record) error {
	account, rest, err := store.CutString(r.Key)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("%w: visitor %q", archive.ErrBroken, r.Key)
	}
	e.tx.Set(e.keys.visitor(account), r.Value)
	e.tx.Set(e.keys.words().String(account).String(""), []byte(p.mark.Archive))
	return nil
}

// named remembers how the account is known to its tenant.
func (p *publication) named(r archive.Record) error {
	known, err := decodeRecord[principal](store.Pair{Value: r.Value})
	if err != nil {
		return fmt.Errorf("%w: %w", archive.ErrBroken, err)
	}
	p.principal.Name, p.principal.Address = known.Name, known.Email
	return nil
}

// offer writes what another account shares with this one, if that one still does.
func (p *publication) offer(e *edit, r archive.Record) error {
	owner, rest, err := store.CutString(r.Key)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("%w: offer %q", archive.ErrBroken, r.Key)
	}
	entry, err := e.service.offerOf(e.ctx, owner, e.account)
	if err != nil || entry == nil {
		return err
	}
	return setRecord(e.tx, offerAccounts(e.tenant, e.account).String(owner), entry)
}

// queue enters what waits into the queues of the place: uploads that end, and messages that are to be sent.
func (p *publication) queue(e *edit) error {
	uploads := store.NewKey(e.account).String("upload")
	ends, err := e.pairs(uploads)
	if err != nil {
		return err
	}
	for _, u := range ends {
		hash, _, err := store.CutString(u.Key[len(uploads):])
		if err != nil || len(u.Value) < uploadEnd {
			return fmt.Errorf("%w: upload %q", archive.ErrBroken, hash)
		}
		e.tx.Set(slices.Concat(uploadQueue(e.tenant), upload(u.Value).ends(), store.NewKey(e.account).String(hash)), nil)
	}
	messages, err := e.outbox()
	if err != nil {
		return err
	}
	for _, o := range messages {
		e.tx.Set(o.queued(e.account), nil)
		if err := e.setJSON(e.keys.outgoing(o.ID), o); err != nil {
			return err
		}
	}
	p.queued = len(messages) > 0
	return nil
}

// outbox returns the messages that wait to be sent. Whoever was sending one of them does that elsewhere.
func (e *edit) outbox() ([]*outgoing, error) {
	prefix := e.keys.outbox()
	pairs, err := e.pairs(prefix)
	if err != nil {
		return nil, err
	}
	out := make([]*outgoing, 0, len(pairs))
	for _, m := range pairs {
		o, err := decodeRecord[outgoing](m)
		if err == nil {
			o.ID, _, err = store.CutString(m.Key[len(prefix):])
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", archive.ErrBroken, err)
		}
		o.Claim = nil
		out = append(out, &o)
	}
	return out, nil
}

// unsend takes all messages out of the outbox: where the account is from, they have been sent since, or are being sent.
func (e *edit) unsend() error {
	messages, err := e.outbox()
	if err != nil {
		return err
	}
	for _, o := range messages {
		if err := e.endOutgoing(o); err != nil {
			return err
		}
		err := e.updateSubmission(o.ID, func(sub *submission) error {
			if sub.Undo == undoPending {
				sub.Undo = undoCanceled
			}
			for _, a := range o.To {
				if status := sub.recipient(a.Address); status != nil && a.pending() {
					status.Delivered, status.Reply = deliveredUnknown, replyImported
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pairs returns what is below a key.
func (e *edit) pairs(prefix store.Key) ([]store.Pair, error) {
	var out []store.Pair
	for p, err := range e.tx.Scan(e.ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		out = append(out, store.Pair{Key: bytes.Clone(p.Key), Value: bytes.Clone(p.Value)})
	}
	return out, nil
}

// tell has others know that the account is there. All of it happens by itself later when it cannot now.
func (p *publication) tell() error {
	s := p.service
	s.unshared.changed(string(offers(p.scope, p.account)))
	if p.principal.Address != "" {
		if err := s.register(p.ctx, &p.principal); err != nil {
			return err
		}
	}
	if err := s.sendWords(p.ctx, p.principal.Tenant, p.account); err != nil {
		return err
	}
	if p.queued {
		s.wakeOutbox(p.ctx)
	}
	return s.engine.Hints().Publish(p.ctx, p.account)
}

// DiscardImport removes what an import that did not end left behind. It can be called again when it breaks off.
func (s *Service) DiscardImport(ctx context.Context, account string) error {
	if !jmap.ValidID(account) {
		return fmt.Errorf("discard import of account %q: it is no id of an account: %w", account, ErrNoImport)
	}
	place, err := store.FindPlace(ctx, s.engine, account)
	if err != nil {
		return err
	}
	for more := true; more; {
		err := s.journal.Update(ctx, account, func(tx *store.Tx) (err error) {
			more, err = s.discardSome(ctx, tx, account, place.Suffix)
			return err
		})
		if err != nil {
			return fmt.Errorf("discard import of account %q: %w", account, unavailable(err))
		}
	}
	return unavailable(s.journal.Erase(ctx, account))
}

// discardSome gives up some references, and tells whether there are more. The rest goes at once.
func (s *Service) discardSome(ctx context.Context, tx *store.Tx, account, suffix string) (more bool, err error) {
	mark, _, err := readMark(ctx, tx, account)
	if err != nil {
		return false, err
	}
	if mark == nil || mark.Done {
		return false, ErrNoImport
	}
	mark.Discarding = true
	e := newEdit(ctx, s, tx, account, mark.Tenant+suffix)
	if err := e.setJSON(e.keys.importMark(), mark); err != nil {
		return false, err
	}
	prefix := store.NewKey(account).String("blob")
	for p, err := range tx.Scan(ctx, prefix.Range(), store.ScanOptions{Limit: importBlobs}) {
		if err != nil {
			return false, err
		}
		hash, _, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return false, err
		}
		n, err := store.DecodeCounter(p.Value)
		if err != nil {
			return false, err
		}
		if err := e.recount(hash, -n); err != nil {
			return false, err
		}
		more = true
	}
	return more, nil
}

package mail

import (
	"strings"

	"github.com/bailiwick-dev/bailiwick/sync/mail/label"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// SpreadOwners are the owners of keys that go into the batches of accounts and are read for the whole region. In a
// store of several cells, each such key lies in the cell of its account.
func SpreadOwners() []string {
	return []string{censusOwner, outboxTopic, claimsOwner, certificatesOwner}
}

// plainTenant returns the tenant of a scope, which may end with the suffix of a place.
func plainTenant(scope string) string {
	tenant, _, _ := strings.Cut(scope, "@")
	return tenant
}

// withTenants has what is asked about a scope answered for its tenant.
func withTenants(o *Options) {
	labels := o.Labels
	o.Labels = func(scope string) *label.Set { return labels(plainTenant(scope)) }
	if trust := o.Trust; trust != nil {
		o.Trust = func(scope string) *smime.Trust { return trust(plainTenant(scope)) }
	}
	if colleague := o.Colleague; colleague != nil {
		o.Colleague = func(scope, address string) bool { return colleague(plainTenant(scope), address) }
	}
	if outgoing := o.Outgoing; outgoing != nil {
		o.Outgoing = func(scope string) smime.Policy { return outgoing(plainTenant(scope)) }
	}
}

// regional is how an edit reads and writes what belongs to the whole region and lies in one place: in its own commit
// when that is the account's place too, and else in commits of their own.
type regional struct {
	edit *edit
	// apart says that the account may lie elsewhere.
	apart bool
}

func (e *edit) regional() regional {
	_, apart := e.service.engine.(store.Placer)
	return regional{edit: e, apart: apart}
}

// reader returns where to read. Other accounts are seen as they are now, since they may lie elsewhere.
func (r regional) reader() store.Reader {
	if r.apart {
		return r.edit.service.engine
	}
	return r.edit.tx
}

// replace writes a value, or deletes the key when it is nil, if the key still holds what was read.
func (r regional) replace(key, have, value []byte) error {
	if !r.apart {
		write(r.edit.tx, key, have, value)
		return nil
	}
	b := &store.Batch{}
	write(b, key, have, value)
	return r.edit.service.engine.Commit(r.edit.ctx, b)
}

func write(w store.Writer, key, have, value []byte) {
	w.Assert(key, have)
	if value == nil {
		w.Delete(key)
	} else {
		w.Set(key, value)
	}
}

// Package shared makes the accounts of shared mailboxes complete as soon as a tenant
// document names them: mail for their addresses may come before their first member
// does.
package shared

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/access"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

// Options are what a Provisioner needs.
type Options struct {
	// Set holds the tenant documents.
	Set *tenants.Set
	// Accounts provisions mailboxes.
	Accounts jmap.Accounts
	// Log takes what goes wrong, without addresses.
	Log *slog.Logger
	// Retry is the time after which a failed account is tried again; five seconds when
	// zero.
	Retry time.Duration
}

// Provisioner provisions the shared mailboxes of a region.
type Provisioner struct {
	o Options
	// done are the documents whose mailboxes are complete, by tenant.
	done map[string]*tenantdoc.Document
}

// New makes a provisioner; Run runs it.
func New(o Options) *Provisioner {
	if o.Retry <= 0 {
		o.Retry = 5 * time.Second
	}
	return &Provisioner{o: o, done: map[string]*tenantdoc.Document{}}
}

// Run provisions until the context ends.
func (p *Provisioner) Run(ctx context.Context) {
	changes, cancel := p.o.Set.Subscribe()
	defer cancel()
	for {
		var retry <-chan time.Time
		if err := p.round(ctx); err != nil && ctx.Err() == nil {
			p.o.Log.WarnContext(ctx, "shared mailboxes could not be made complete, trying again", slog.Any("error", err))
			retry = time.After(p.o.Retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-retry:
		}
	}
}

// round looks at the documents that changed. A failure of one tenant holds up no
// other; the first is returned.
func (p *Provisioner) round(ctx context.Context) (first error) {
	statuses := p.o.Set.Statuses()
	maps.DeleteFunc(p.done, func(tenant string, _ *tenantdoc.Document) bool { return statuses[tenant].Document == nil })
	for _, tenant := range slices.Sorted(maps.Keys(statuses)) {
		doc := statuses[tenant].Document
		if doc == nil || p.done[tenant] == doc {
			continue
		}
		if err := p.provision(ctx, doc); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		p.done[tenant] = doc
	}
	return first
}

func (p *Provisioner) provision(ctx context.Context, doc *tenantdoc.Document) error {
	if !doc.Features.SharedMailboxes {
		return nil
	}
	for i := range doc.SharedMailboxes {
		account := access.SharedAccount(&doc.SharedMailboxes[i])
		if err := p.o.Accounts.Provision(ctx, account.Owner(doc.Tenant)); err != nil {
			return fmt.Errorf("account %q of tenant %q: %w", account.AccountID, doc.Tenant, err)
		}
	}
	return nil
}

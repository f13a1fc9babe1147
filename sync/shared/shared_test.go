package shared

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// accounts remembers what was provisioned, and fails when told to.
type accounts struct {
	mu      sync.Mutex
	failing map[string]bool // by tenant
	made    map[string]jmap.Principal
	calls   int
}

func (a *accounts) Provision(_ context.Context, p *jmap.Principal) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.failing[p.Tenant] {
		return errors.New("the store is away")
	}
	a.made[p.AccountID] = *p
	return nil
}

func (a *accounts) fail(tenant string, failing bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing[tenant] = failing
}

func (a *accounts) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.made[id]
	return ok
}

func document(tenant string, addresses ...string) *tenantdoc.Document {
	d := &tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: tenant, UID: "uid-" + tenant, Generation: 1, Cloud: "gcc-high",
		Domains: []string{"agency.example"}, Region: "regions/virginia",
		Regions:  []tenantdoc.Region{{Name: "regions/virginia", Geography: "NAM", URL: "https://virginia.example", Home: true}},
		Features: tenantdoc.Features{SharedMailboxes: true},
		Issuers: []tenantdoc.Issuer{{
			Profile: tenantdoc.ProfileRFC9068, Issuer: "https://login.example/" + tenant, JWKSURI: "https://login.example/keys",
			AllowedHosts: []string{"login.example"}, Audiences: []string{"https://sync.example"}, Algorithms: []string{"RS256"},
			Claims: tenantdoc.Claims{Address: []string{"email"}, Name: []string{"name"}, PreferredDataLocation: "xms_pdl"},
		}},
	}
	for _, address := range addresses {
		d.SharedMailboxes = append(d.SharedMailboxes, tenantdoc.SharedMailbox{Address: address, Account: tenantdoc.SharedAccountID(d.Tenant, address)})
	}
	return d
}

type world struct {
	set      *tenants.Set
	accounts *accounts
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{
		set:      tenants.NewSet(tenants.Scope{}, slog.New(slog.DiscardHandler)),
		accounts: &accounts{failing: map[string]bool{}, made: map[string]jmap.Principal{}},
	}
	p := New(Options{Set: w.set, Accounts: w.accounts, Log: slog.New(slog.DiscardHandler), Retry: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return w
}

func (w *world) put(t *testing.T, d *tenantdoc.Document) {
	t.Helper()
	raw, err := tenantdoc.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	w.set.Put(tenants.Input{Source: d.Tenant, Raw: raw})
}

func (w *world) await(t *testing.T, account string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !w.accounts.has(account); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("account %q is never provisioned", account)
		}
	}
}

func TestSharedMailboxesAreProvisionedAsSoonAsADocumentNamesThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	d := document("agency/agency", "help@agency.example")
	d.SharedMailboxes[0].Name = "Help"
	w.put(t, d)
	help := tenantdoc.SharedAccountID("agency/agency", "help@agency.example")
	w.await(t, help)
	w.accounts.mu.Lock()
	got := w.accounts.made[help]
	w.accounts.mu.Unlock()
	if diff := cmp.Diff(jmap.Principal{Tenant: "agency/agency", AccountID: help, Address: "help@agency.example", Name: "Help"}, got); diff != "" {
		t.Error(diff)
	}
	w.put(t, document("agency/agency", "help@agency.example", "info@agency.example"))
	w.await(t, tenantdoc.SharedAccountID("agency/agency", "info@agency.example"))
}

func TestFailureIsTriedAgainAndHoldsUpNoOtherTenant(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.accounts.fail("a/a", true)
	w.put(t, document("a/a", "help@agency.example"))
	w.put(t, document("b/b", "help@agency.example"))
	w.await(t, tenantdoc.SharedAccountID("b/b", "help@agency.example"))
	w.accounts.fail("a/a", false)
	w.await(t, tenantdoc.SharedAccountID("a/a", "help@agency.example"))
}

func TestTenantWithoutTheFeatureGetsNoSharedMailboxes(t *testing.T) {
	t.Parallel()
	w := start(t)
	off := document("a/a", "help@agency.example")
	off.Features.SharedMailboxes = false
	w.put(t, off)
	w.put(t, document("b/b", "help@agency.example"))
	w.await(t, tenantdoc.SharedAccountID("b/b", "help@agency.example"))
	if w.accounts.has(tenantdoc.SharedAccountID("a/a", "help@agency.example")) {
		t.Error("a tenant that does not use shared mailboxes has one")
	}
}

func TestDocumentThatDoesNotChangeIsLookedAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.put(t, document("a/a", "help@agency.example"))
	w.await(t, tenantdoc.SharedAccountID("a/a", "help@agency.example"))
	w.put(t, document("b/b", "help@agency.example"))
	w.await(t, tenantdoc.SharedAccountID("b/b", "help@agency.example"))
	w.accounts.mu.Lock()
	defer w.accounts.mu.Unlock()
	if w.accounts.calls != 2 {
		t.Errorf("%d accounts were provisioned, want each once", w.accounts.calls)
	}
}

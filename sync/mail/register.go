package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// principal is a user of a tenant in this region, as the others see it (RFC 9670 section 2). It is registered when the
// mailbox is provisioned.
type principal struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	// account is the mailbox.
	account string
}

// principalPrefix parts the ids of principals from those of accounts, which they are made of.
const principalPrefix = "p"

func principalID(account string) string { return principalPrefix + account }

// accountOf returns the account of a principal id; false says that it is none.
func accountOf(id string) (string, bool) {
	account := id[min(len(id), len(principalPrefix)):]
	return account, account != "" && id[:len(principalPrefix)] == principalPrefix
}

// register is where the principals of a tenant are kept, beside the accounts, whose names have no slash: the records,
// the version, which grows with each change, and what each version changed.
type register string

func (t register) records() store.Key {
	return store.NewKey("principals/" + string(t)).String("record")
}
func (t register) record(account string) []byte { return t.records().String(account) }
func (t register) version() []byte {
	return store.NewKey("principals/" + string(t)).String("version")
}
func (t register) log() store.Key { return store.NewKey("principals/" + string(t)).String("log") }

// registerAttempts bounds how often a principal is registered again when others are at the same time.
const registerAttempts = 8

// register makes the principal known to the others of its tenant, unless that is so. When too many others register at
// the same time, a later request does it.
func (s *Service) register(ctx context.Context, p *jmap.Principal) error {
	known := principal{Name: p.Name, Email: p.Address, account: p.AccountID}
	if s.registered.has(p.AccountID, known) {
		return nil
	}
	for range registerAttempts {
		err := s.registerOnce(ctx, p)
		switch {
		case errors.Is(err, store.ErrConflict):
			continue
		case errors.Is(err, store.ErrUnavailable):
			// The principals may lie elsewhere than the account, which can be used without them.
			return nil
		case err == nil:
			s.registered.add(p.AccountID, known)
		}
		return err
	}
	return nil
}

// maxRegistered bounds how many principals a process remembers as registered.
const maxRegistered = 1 << 16

// registered remembers which principals need not be looked up with each request.
type registered struct {
	mu   sync.Mutex
	seen map[string]principal
}

func (r *registered) has(account string, p principal) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.seen[account]
	return ok && have == p
}

func (r *registered) add(account string, p principal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= maxRegistered {
		r.seen = map[string]principal{}
	}
	r.seen[account] = p
}

func (s *Service) registerOnce(ctx context.Context, p *jmap.Principal) error {
	t := register(p.Tenant)
	have, exists, err := readPrincipal(ctx, s.engine, p.Tenant, p.AccountID)
	if err != nil {
		return err
	}
	// Not every token names its user: a name that is known stays.
	want := principal{Name: p.Name, Email: p.Address, account: p.AccountID}
	if want.Name == "" {
		want.Name = have.Name
	}
	if exists && have == want {
		return nil
	}
	stored, err := s.engine.Get(ctx, t.version())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("read version of principals: %w", err)
	}
	version, err := versionOf(stored)
	if err != nil {
		return err
	}
	b := &store.Batch{}
	b.Assert(t.version(), stored)
	b.Set(t.version(), store.Key(nil).Uint(version+1))
	kind := store.Created
	if exists {
		kind = store.Updated
	}
	b.Set(t.log().Uint(version+1), append([]byte{byte(kind)}, p.AccountID...))
	if err := setRecord(b, t.record(p.AccountID), want); err != nil {
		return err
	}
	return s.engine.Commit(ctx, b)
}

func versionOf(stored []byte) (uint64, error) {
	if stored == nil {
		return 0, nil
	}
	version, _, err := store.CutUint(stored)
	return version, err
}

func readPrincipal(ctx context.Context, r store.Reader, tenant, account string) (p principal, exists bool, err error) {
	exists, err = readJSON(ctx, r, register(tenant).record(account), &p)
	p.account = account
	return p, exists, err
}

// readPrincipals returns the principals of a tenant in the order of their ids.
func readPrincipals(ctx context.Context, r store.Reader, tenant string) ([]principal, error) {
	prefix := register(tenant).records()
	var out []principal
	for p, err := range r.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("list principals: %w", err)
		}
		one, err := decodeRecord[principal](p)
		if err != nil {
			return nil, err
		}
		if one.account, _, err = store.CutString(p.Key[len(prefix):]); err != nil {
			return nil, fmt.Errorf("list principals: %w", err)
		}
		out = append(out, one)
	}
	return out, nil
}

// edition is a version of the register, and the epoch of the store that it is from: versions of another epoch may be of
// what was lost since.
type edition struct{ version, epoch uint64 }

// String writes the edition as the first part of a state.
func (e edition) String() string { return store.FormatState(e.version, e.epoch) }

// parseEdition reads the first part of a state; false says that it was never issued in the epoch.
func parseEdition(text string, epoch uint64) (edition, bool) {
	number := text
	if _, rest, ok := strings.Cut(text, "."); ok {
		number = rest
	}
	version, err := strconv.ParseUint(number, 10, 64)
	e := edition{version: version, epoch: epoch}
	return e, err == nil && e.String() == text
}

// registerEdition returns the present edition of the register of a tenant.
func registerEdition(ctx context.Context, r store.Reader, tenant string) (e edition, err error) {
	if e.epoch, err = store.Epoch(ctx, r); err == nil {
		e.version, err = registerVersion(ctx, r, tenant)
	}
	return e, err
}

// registerVersion returns how often the principals of a tenant changed.
func registerVersion(ctx context.Context, r store.Reader, tenant string) (uint64, error) {
	stored, err := r.Get(ctx, register(tenant).version())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, fmt.Errorf("read version of principals: %w", err)
	}
	return versionOf(stored)
}

// registerChanges returns what changed after a version, at most limit ids when limit is positive.
func registerChanges(ctx context.Context, r store.Reader, tenant string, since uint64, limit int) (store.Changes, uint64, error) {
	now, err := registerVersion(ctx, r, tenant)
	if err != nil {
		return store.Changes{}, 0, err
	}
	if since > now {
		return store.Changes{}, 0, fmt.Errorf("state %d: %w", since, store.ErrTooOld)
	}
	prefix := register(tenant).log()
	c := store.Changes{}
	seen := map[string]bool{}
	at := since
	for p, err := range r.Scan(ctx, store.Range{Start: prefix.Uint(since + 1), End: prefix.Range().End}, store.ScanOptions{}) {
		if err != nil {
			return c, 0, fmt.Errorf("read changes of principals: %w", err)
		}
		if len(p.Value) < 2 {
			return c, 0, fmt.Errorf("read changes of principals: %w: cut short", store.ErrInvalid)
		}
		id := principalID(string(bytes.Clone(p.Value[1:])))
		if limit > 0 && len(seen) == limit && !seen[id] {
			c.HasMore = true
			return c, at, nil
		}
		if !seen[id] && store.ChangeKind(p.Value[0]) == store.Created {
			c.Created = append(c.Created, id)
		} else if !seen[id] {
			c.Updated = append(c.Updated, id)
		}
		seen[id] = true
		at++
	}
	return c, now, nil
}

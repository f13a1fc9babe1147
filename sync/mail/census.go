package mail

import (
	"context"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// censusOwner begins the names of the owners that count accounts, one in each place. It has a slash, which no account
// has, and counting does not pass through accounts.
const censusOwner = "census/accounts"

// census counts the accounts of a place by tenant.
func census(suffix string) store.Key { return store.NewKey(censusOwner + suffix) }

// Count returns how many accounts each tenant has, by "namespace/name".
func (s *Service) Count(ctx context.Context) (map[string]int64, error) {
	counts := map[string]int64{}
	everywhere := store.Range{Start: []byte(censusOwner), End: []byte(censusOwner + "\xff")}
	for p, err := range s.engine.Scan(ctx, everywhere, store.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		_, rest, err := store.CutString(p.Key)
		if err != nil {
			return nil, fmt.Errorf("count accounts: %w", err)
		}
		tenant, _, err := store.CutString(rest)
		if err != nil {
			return nil, fmt.Errorf("count accounts: %w", err)
		}
		n, err := store.DecodeCounter(p.Value)
		if err != nil {
			return nil, fmt.Errorf("count accounts of tenant %q: %w", tenant, err)
		}
		counts[tenant] += n
	}
	return counts, nil
}

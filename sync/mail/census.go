package mail

import (
	"context"
	"fmt"

	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// census counts accounts by tenant. Its owner has a slash in its name, which no account has, and counting does not
// pass through accounts.
func census() store.Key { return store.NewKey("census/accounts") }

// Count returns how many accounts each tenant has, by "namespace/name".
func (s *Service) Count(ctx context.Context) (map[string]int64, error) {
	counts := map[string]int64{}
	prefix := census()
	for p, err := range s.engine.Scan(ctx, prefix.Range(), store.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		tenant, _, err := store.CutString(p.Key[len(prefix):])
		if err != nil {
			return nil, fmt.Errorf("count accounts: %w", err)
		}
		if counts[tenant], err = store.DecodeCounter(p.Value); err != nil {
			return nil, fmt.Errorf("count accounts of tenant %q: %w", tenant, err)
		}
	}
	return counts, nil
}

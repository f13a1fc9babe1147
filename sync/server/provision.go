package server

import (
	"context"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// provision makes every mailbox of a principal complete: the own and those that are
// shared with it.
func (s *Server) provision(ctx context.Context, p *jmap.Principal) error {
	if err := s.options.Accounts.Provision(ctx, p); err != nil {
		return err
	}
	for i := range p.Shared {
		if err := s.options.Accounts.Provision(ctx, p.Shared[i].Owner(p.Tenant)); err != nil {
			return err
		}
	}
	return nil
}

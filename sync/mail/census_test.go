package mail

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestAccountsAreCountedOnceByTenant(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, p := range []*jmap.Principal{
		d.principal,
		{Tenant: "agency/agency", AccountID: "a2"},
		{Tenant: "other/other", AccountID: "a3"},
		{Tenant: "other/other", AccountID: "a3"},
	} {
		if err := d.service.Provision(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.service.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"agency/agency": 2, "other/other": 1}, got); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.service.Count(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("count after the end: %v", err)
	}
}

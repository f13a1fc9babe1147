package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

func TestReplicaCountsItsMailboxes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	engine, err := pebble.Open(t.Context(), dir, pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	service, err := mail.New(engine, mail.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Provision(t.Context(), &jmap.Principal{Tenant: "agency/agency", AccountID: "a1"}); err != nil {
		t.Fatal(err)
	}
	r := &replica{flags: &syncFlags{storageFlags: storageFlags{dataDir: dir}}, mail: service}
	counts, err := r.count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if counts.BytesStored <= 0 || counts.BytesStored%storedUnit != 0 {
		t.Errorf("%d octets stored", counts.BytesStored)
	}
	want := map[string]tenants.TenantCounts{"agency/agency": {Mailboxes: 1}}
	if diff := cmp.Diff(want, counts.Tenants); diff != "" {
		t.Errorf("mailboxes (-want +got):\n%s", diff)
	}
}

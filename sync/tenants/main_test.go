package tenants

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

// document makes a good document of a tenant.
func document(tenant string, generation int64, change func(*tenantdoc.Document)) *tenantdoc.Document {
	d := &tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: tenant, UID: "uid-" + tenant, Generation: generation, Cloud: "gcc-high",
		Domains: []string{"agency.example"}, Region: "regions/virginia",
		Regions: []tenantdoc.Region{{Name: "regions/virginia", Geography: "NAM", URL: "https://virginia.example", Home: true}},
		Issuers: []tenantdoc.Issuer{{
			Profile: tenantdoc.ProfileRFC9068, Issuer: "https://login.example/" + tenant, Aliases: []string{"https://old.example/" + tenant},
			JWKSURI: "https://login.example/keys", AllowedHosts: []string{"login.example"}, Audiences: []string{"https://sync.example"},
			Algorithms: []string{"RS256"}, Claims: tenantdoc.Claims{Address: []string{"email"}, Name: []string{"name"}, PreferredDataLocation: "xms_pdl"},
		}},
	}
	if change != nil {
		change(d)
	}
	return d
}

// encode renders a document without judging it.
func encode(t testing.TB, d *tenantdoc.Document) []byte {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

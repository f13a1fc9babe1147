package main

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/mail/smime/smimetest"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

func TestTrustOfSMIMEFollowsTheDocument(t *testing.T) {
	t.Parallel()
	documents := tenants.NewSet(tenants.Scope{}, slog.New(slog.DiscardHandler))
	trust := &smimeTrust{documents: documents, logger: slog.New(slog.DiscardHandler)}
	if trust.of("agency/agency") != nil || trust.colleague("agency/agency", "ann@agency.us") {
		t.Error("a tenant without a document uses S/MIME")
	}
	document := &tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: "agency/agency", UID: "u", Generation: 1, Cloud: "c", Domains: []string{"agency.us"},
		Region: "r/r", Regions: []tenantdoc.Region{{Name: "r/r", Geography: "NAM", URL: "https://r.example", Home: true}},
		Issuers: []tenantdoc.Issuer{{
			Profile: tenantdoc.ProfileRFC9068, Issuer: "https://login.example", JWKSURI: "https://login.example/keys", AllowedHosts: []string{"login.example"},
			Audiences: []string{"sync"}, Algorithms: []string{"RS256"}, Claims: tenantdoc.Claims{Address: []string{"email"}},
		}},
	}
	put := func() {
		t.Helper()
		raw, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		documents.Put(tenants.Input{Source: "s", Raw: raw})
	}
	put()
	if trust.of("agency/agency") != nil || !trust.colleague("agency/agency", "ann@agency.us") || trust.colleague("agency/agency", "eve@evil.example") {
		t.Error("the feature is off, and only agency.us is the tenant's")
	}
	document.Features.SMIME = true
	put()
	none := trust.of("agency/agency")
	if none == nil || trust.of("agency/agency") != none {
		t.Error("the trust is not made once for a document")
	}
	document.SMIME = &tenantdoc.SMIME{Roots: smimetest.NewRoot(t).PEM()}
	put()
	if one := trust.of("agency/agency"); one == nil || one.Fingerprint() == none.Fingerprint() {
		t.Error("the trust does not follow the document")
	}
	document.Features.SMIME = false
	put()
	if trust.of("agency/agency") != nil {
		t.Error("the trust outlives the feature")
	}
}

package tenant

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

func FuzzIssuerThatIsTrustedIsWithinTheBoundary(f *testing.F) {
	for _, seed := range []string{
		"https://fs.agency.us/adfs", "https://x.id.agency.us", "https://id.agency.us", "http://fs.agency.us", "https://FS.agency.us:444/x",
		"https://fs.agency.us@evil.example", "https://fs.agency.us.evil.example", "https://evil.example/?fs.agency.us", "https://[::1]", "https://.id.agency.us", "//fs.agency.us", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, issuer string) {
		facts := goodFacts(t)
		trust, p := resolveTrust(facts.Cloud, &v1alpha1.TenantIdentity{Type: v1alpha1.IdentityOIDC, OIDC: &v1alpha1.IssuerIdentity{Issuer: issuer}})
		if p != nil {
			if p.reason == "" || p.message == "" {
				t.Errorf("%q is refused without a reason: %+v", issuer, p)
			}
			return
		}
		u, err := url.Parse(issuer)
		if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
			t.Fatalf("%q is trusted", issuer)
		}
		host := strings.ToLower(u.Hostname())
		if host != "fs.agency.us" && !strings.HasSuffix(host, ".id.agency.us") {
			t.Errorf("%q is trusted although its host %q is outside of the cloud", issuer, host)
		}
		if trust.query.Issuer != issuer || !slices.Contains(trust.query.Hosts, host) {
			t.Errorf("%q is asked for as %+v", issuer, trust.query)
		}
	})
}

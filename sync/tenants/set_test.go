package tenants

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

func newSet() *Set {
	return NewSet(Scope{Region: "regions/virginia", Cloud: "gcc-high"}, quiet)
}

func generation(s *Set, tenant string) int64 {
	if d := s.ByTenant(tenant); d != nil {
		return d.Generation
	}
	return 0
}

func received(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestDocumentIsFoundByTenantIssuerAndAlias(t *testing.T) {
	t.Parallel()
	s := newSet()
	shared := func(d *tenantdoc.Document) {
		d.Issuers[0].Issuer = "https://shared.example"
		d.Issuers[0].Aliases = []string{"https://shared.example"}
	}
	s.Replace([]Input{
		{Source: "b", Raw: encode(t, document("n/b", 2, shared))},
		{Source: "z", Raw: encode(t, document("n/a", 1, shared))},
		{Source: "c", Raw: encode(t, document("n/c", 3, nil))},
	})
	if got := generation(s, "n/b"); got != 2 {
		t.Errorf("generation %d, want 2", got)
	}
	tenants := func(iss string) []string {
		var names []string
		for _, c := range s.ByIssuer(iss) {
			names = append(names, c.Document.Tenant)
			if c.Issuer != &c.Document.Issuers[0] {
				t.Errorf("candidate of %q has the issuer of another", iss)
			}
		}
		return names
	}
	want := map[string][]string{
		"https://shared.example": {"n/a", "n/b"}, "https://login.example/n/c": {"n/c"}, "https://old.example/n/c": {"n/c"}, "https://evil.example": nil, "": nil,
	}
	for iss, names := range want {
		if diff := cmp.Diff(names, tenants(iss)); diff != "" {
			t.Errorf("%q: %s", iss, diff)
		}
	}
}

func TestDocumentIsFoundByDomain(t *testing.T) {
	t.Parallel()
	s := newSet()
	with := func(domains ...string) func(*tenantdoc.Document) {
		return func(d *tenantdoc.Document) { d.Domains = domains }
	}
	s.Replace([]Input{
		{Source: "b", Raw: encode(t, document("n/b", 1, with("b.example", "both.example")))},
		{Source: "a", Raw: encode(t, document("n/a", 1, with("a.example", "both.example")))},
	})
	find := func(want map[string]string) {
		t.Helper()
		for domain, tenant := range want {
			got := ""
			if d := s.ByDomain(domain); d != nil {
				got = d.Tenant
			}
			if got != tenant {
				t.Errorf("%q is of %q, want %q", domain, got, tenant)
			}
		}
	}
	find(map[string]string{"a.example": "n/a", "b.example": "n/b", "both.example": "n/a", "c.example": "", "": ""})
	s.Put(Input{Source: "a", Raw: encode(t, document("n/a", 2, with("c.example")))})
	find(map[string]string{"a.example": "", "both.example": "n/b", "c.example": "n/a"})
	s.Remove("b")
	find(map[string]string{"b.example": "", "both.example": "", "c.example": "n/a"})
}

func TestBadDocumentLeavesTheLastGoodOneInForce(t *testing.T) {
	t.Parallel()
	good := encode(t, document("n/a", 1, nil))
	tests := map[string]struct {
		in     Input
		reason string
	}{
		"not JSON":       {in: Input{Raw: []byte("{")}, reason: "not JSON"},
		"empty":          {in: Input{Raw: []byte(" \n")}, reason: "holds no document"},
		"invalid":        {in: Input{Raw: encode(t, document("n/a", 2, func(d *tenantdoc.Document) { d.Domains = nil }))}, reason: "domains: empty"},
		"other version":  {in: Input{Raw: encode(t, document("n/a", 2, func(d *tenantdoc.Document) { d.Version = "2" }))}, reason: "version"},
		"other region":   {in: Input{Raw: encode(t, document("n/a", 2, func(d *tenantdoc.Document) { d.Region, d.Regions[0].Name = "regions/paris", "regions/paris" }))}, reason: `region "regions/paris"`},
		"other cloud":    {in: Input{Raw: encode(t, document("n/a", 2, func(d *tenantdoc.Document) { d.Cloud = "worldwide" }))}, reason: `cloud "worldwide"`},
		"other tenant":   {in: Input{Tenant: "n/a", Raw: encode(t, document("n/b", 2, nil))}, reason: `tenant "n/b"`},
		"unreadable":     {in: Input{Err: errors.New("permission denied")}, reason: "permission denied"},
		"symmetric keys": {in: Input{Raw: encode(t, document("n/a", 2, func(d *tenantdoc.Document) { d.Issuers[0].Algorithms = []string{"HS256"} }))}, reason: "HS256"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSet()
			s.Replace([]Input{{Source: "a", Raw: good}})
			changes, cancel := s.Subscribe()
			defer cancel()
			tc.in.Source = "a"
			s.Put(tc.in)
			status := s.Statuses()["n/a"]
			if generation(s, "n/a") != 1 || !strings.Contains(status.Refused, tc.reason) || len(s.ByIssuer("https://login.example/n/a")) != 1 {
				t.Fatalf("status %+v, want generation 1 and a refusal for %q", status, tc.reason)
			}
			if !received(changes) {
				t.Fatal("the refusal was not told")
			}
			s.Put(tc.in)
			if received(changes) {
				t.Fatal("the same refusal was told twice")
			}
			s.Put(Input{Source: "a", Raw: good})
			if status := s.Statuses()["n/a"]; status.Refused != "" || !received(changes) {
				t.Fatalf("after going back: %+v", status)
			}
		})
	}
}

func TestFirstDocumentThatIsBadIsReportedUnderItsTenant(t *testing.T) {
	t.Parallel()
	bad := document("n/a", 1, func(d *tenantdoc.Document) { d.UID = "" })
	tests := map[string]struct {
		in   Input
		want string
	}{
		"as labelled":  {in: Input{Source: "f", Tenant: "n/x", Raw: []byte("{")}, want: "n/x"},
		"as it claims": {in: Input{Source: "f", Raw: encode(t, bad)}, want: "n/a"},
		"as a file":    {in: Input{Source: "f", Raw: []byte("{")}, want: "f"},
	}
	for name, tc := range tests {
		s := newSet()
		s.Replace([]Input{tc.in})
		status, ok := s.Statuses()[tc.want]
		if !ok || status.Document != nil || status.Refused == "" || !s.Ready() {
			t.Errorf("%s: statuses %+v, ready %v", name, s.Statuses(), s.Ready())
		}
	}
}

func TestRemovedDocumentIsNoLongerEnforced(t *testing.T) {
	t.Parallel()
	s := newSet()
	a, b := Input{Source: "a", Raw: encode(t, document("n/a", 1, nil))}, Input{Source: "b", Raw: encode(t, document("n/b", 1, nil))}
	s.Replace([]Input{a, b})
	s.Remove("a")
	if s.ByTenant("n/a") != nil || len(s.ByIssuer("https://login.example/n/a")) != 0 || s.ByTenant("n/b") == nil {
		t.Fatalf("statuses %+v", s.Statuses())
	}
	s.Replace([]Input{a})
	if s.ByTenant("n/a") == nil || s.ByTenant("n/b") != nil {
		t.Fatalf("statuses %+v", s.Statuses())
	}
	changes, cancel := s.Subscribe()
	s.Remove("nothing")
	s.Replace([]Input{a})
	s.Put(a)
	if received(changes) {
		t.Fatal("a change that changes nothing was told")
	}
	cancel()
	s.Remove("a")
	if received(changes) {
		t.Fatal("a cancelled subscription was told")
	}
}

func TestSourceThatNowSpeaksOfAnotherTenantMoves(t *testing.T) {
	t.Parallel()
	s := newSet()
	s.Replace([]Input{{Source: "a", Raw: []byte("{")}})
	s.Put(Input{Source: "a", Raw: encode(t, document("n/a", 1, nil))})
	s.Put(Input{Source: "a", Raw: encode(t, document("n/b", 1, nil))})
	if len(s.Statuses()) != 1 || generation(s, "n/b") != 1 || len(s.ByIssuer("https://login.example/n/a")) != 0 {
		t.Fatalf("statuses %+v", s.Statuses())
	}
}

func TestSecondDocumentOfATenantIsRefused(t *testing.T) {
	t.Parallel()
	s := newSet()
	s.Replace([]Input{
		{Source: "a", Raw: encode(t, document("n/a", 1, nil))},
		{Source: "b", Raw: encode(t, document("n/a", 2, nil))},
	})
	status := s.Statuses()["n/a"]
	if generation(s, "n/a") != 1 || !strings.Contains(status.Refused, "second document") || len(s.ByIssuer("https://login.example/n/a")) != 1 {
		t.Fatalf("status %+v", status)
	}
	s.Remove("a")
	if generation(s, "n/a") != 2 || s.Statuses()["n/a"].Refused != "" {
		t.Fatalf("status %+v", s.Statuses()["n/a"])
	}
}

func TestSetIsReadyAfterTheFirstListEvenIfItIsEmpty(t *testing.T) {
	t.Parallel()
	s := newSet()
	s.Put(Input{Source: "a", Raw: encode(t, document("n/a", 1, nil))})
	if s.Ready() {
		t.Fatal("ready before the first list")
	}
	s.Replace(nil)
	<-s.Listed()
	if !s.Ready() || s.ByTenant("n/a") != nil {
		t.Fatalf("ready %v, statuses %+v", s.Ready(), s.Statuses())
	}
	s.Replace(nil)
}

func TestScopeMayBeOpen(t *testing.T) {
	t.Parallel()
	s := NewSet(Scope{}, quiet)
	s.Replace([]Input{{Source: "a", Raw: encode(t, document("n/a", 1, func(d *tenantdoc.Document) { d.Cloud = "any" }))}})
	if s.ByTenant("n/a") == nil {
		t.Fatalf("statuses %+v", s.Statuses())
	}
}

func TestReadersSeeWholeStates(t *testing.T) {
	t.Parallel()
	s := newSet()
	one, two := encode(t, document("n/a", 1, nil)), encode(t, document("n/a", 2, nil))
	s.Replace([]Input{{Source: "a", Raw: one}})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 200 {
			s.Put(Input{Source: "a", Raw: two})
			s.Put(Input{Source: "a", Raw: one})
		}
	})
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if len(s.ByIssuer("https://login.example/n/a")) != 1 || s.ByTenant("n/a") == nil {
					t.Error("a document was missing during a swap")
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDocumentsAreEnforcedOrRefused(f *testing.F) {
	f.Add(encode(f, document("n/a", 1, nil)), "n/a")
	f.Add([]byte(`{"version":"1","tenant":"n/a"}`), "")
	f.Add([]byte(`{"tenant":7}`), "n/b")
	f.Add([]byte(`[]`), "")
	f.Fuzz(func(t *testing.T, raw []byte, tenant string) {
		s := newSet()
		s.Replace([]Input{{Source: "a", Tenant: tenant, Raw: raw}})
		if len(s.Statuses()) != 1 {
			t.Fatalf("statuses %+v, want one", s.Statuses())
		}
		for name, status := range s.Statuses() {
			if (status.Document == nil) == (status.Refused == "") {
				t.Fatalf("status of %q: %+v, want enforced or refused", name, status)
			}
			if d := status.Document; d != nil && (d.Validate() != nil || d.Region != "regions/virginia" || d.Tenant != name) {
				t.Fatalf("a document was enforced that is not valid here: %+v", d)
			}
		}
	})
}

func BenchmarkChangeOfOneAmongTenThousandTenants(b *testing.B) {
	s := newSet()
	var all []Input
	for i := range 10_000 {
		name := "n/t" + strconv.Itoa(i)
		all = append(all, Input{Source: name, Raw: encode(b, document(name, 1, nil))})
	}
	s.Replace(all)
	versions := [][]byte{encode(b, document("n/t7", 2, nil)), encode(b, document("n/t7", 3, nil))}
	i := 0
	for b.Loop() {
		s.Put(Input{Source: "n/t7", Raw: versions[i%2]})
		i++
	}
	if g := generation(s, "n/t7"); g != 2 && g != 3 {
		b.Fatalf("generation %d", g)
	}
}

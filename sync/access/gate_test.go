package access

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/identity"
	"github.com/bailiwick-dev/bailiwick/sync/identity/identitytest"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/tenants"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// world is a gate with its tenants, one issuer and the log.
type world struct {
	gate   *Gate
	set    *tenants.Set
	issuer *identitytest.Issuer
	log    *bytes.Buffer
}

func newWorld(t testing.TB, docs ...*tenantdoc.Document) *world {
	t.Helper()
	w := &world{log: &bytes.Buffer{}, issuer: identitytest.New(t)}
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	w.set = tenants.NewSet(tenants.Scope{Region: "regions/virginia"}, slog.New(slog.DiscardHandler))
	verifier := identity.NewVerifier(identity.Options{Now: func() time.Time { return noon }})
	t.Cleanup(verifier.Close)
	w.gate = New(w.set, Options{Verifier: verifier, MetadataURL: "https://virginia.example/.well-known/oauth-protected-resource", Log: log})
	if len(docs) == 0 {
		docs = []*tenantdoc.Document{agency(w.issuer)}
	}
	w.enforce(t, docs...)
	return w
}

func (w *world) enforce(t testing.TB, docs ...*tenantdoc.Document) {
	t.Helper()
	var all []tenants.Input
	for _, d := range docs {
		raw, err := tenantdoc.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tenants.Input{Source: d.Tenant, Raw: raw})
	}
	w.set.Replace(all)
}

func (w *world) admit(t testing.TB, token string) (*jmap.Principal, *jmap.Refusal) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/jmap/api", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return w.gate.Admit(r)
}

// agency is a tenant of two regions, of which Virginia is the home.
func agency(i *identitytest.Issuer) *tenantdoc.Document {
	return &tenantdoc.Document{
		Version: tenantdoc.FormatVersion, Tenant: "agency/agency", UID: "u", Generation: 1, Cloud: "gcc-high",
		Domains: []string{"agency.example", "agency.us"}, Region: "regions/virginia",
		Regions: []tenantdoc.Region{
			{Name: "regions/virginia", Geography: "NAM", URL: "https://virginia.example", Home: true},
			{Name: "regions-eu/paris", Geography: "EUR", URL: "https://paris.example"},
		},
		Issuers: []tenantdoc.Issuer{i.Document()},
	}
}

func TestUserOfTheTenantIsAdmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := &jmap.Principal{
		Tenant: "agency/agency", AccountID: AccountID(w.issuer.URL(), "user-1"), Address: "user@agency.example", Name: "A User",
		ClientID: "phone", TokenID: "token-1", Expires: noon.Add(time.Hour),
	}
	for name, changes := range map[string]map[string]any{
		"no location":                {},
		"empty location":             {"xms_pdl": ""},
		"the location of the region": {"xms_pdl": "NAM"},
		"location in another case":   {"xms_pdl": "nam"},
		"address in another case":    {"email": "User@Agency.Example"},
		"verified address":           {"email_verified": true},
		"verified address as text":   {"email_verified": "true"},
	} {
		p, refusal := w.admit(t, w.issuer.Token(t, noon, changes))
		if refusal != nil {
			t.Errorf("%s: refused with %+v", name, refusal)
			continue
		}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if w.log.Len() != 0 {
		t.Errorf("admissions are logged as refusals: %s", w.log)
	}
}

func TestRefusalsSayWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := func(changes map[string]any) string { return w.issuer.Token(t, noon, changes) }
	stranger := identitytest.New(t)
	key := w.issuer.Key()
	tests := map[string]struct {
		token  string
		status int
		typ    string
		reason string
		detail string
		error  string // of the challenge; "-" for none at all
	}{
		"no token":                 {status: 401, typ: ProblemUnauthenticated, reason: "missing", detail: "send one"},
		"opaque token":             {token: "opaque", status: 401, typ: ProblemUnauthenticated, reason: "malformed", detail: "signed JWTs", error: "invalid_token"},
		"expired":                  {token: token(map[string]any{"exp": noon.Add(-time.Hour).Unix()}), status: 401, typ: ProblemUnauthenticated, reason: "expired", detail: "refresh", error: "invalid_token"},
		"other audience":           {token: token(map[string]any{"aud": "https://other.example"}), status: 401, typ: ProblemUnauthenticated, reason: "audience", detail: identitytest.Audience, error: "invalid_token"},
		"other issuer":             {token: stranger.Token(t, noon, nil), status: 401, typ: ProblemUnauthenticated, reason: "issuer", detail: "no tenant of this region", error: "invalid_token"},
		"unknown key":              {token: identitytest.Sign(t, stranger.Key(), "at+jwt", w.issuer.Claims(noon, nil)), status: 401, typ: ProblemUnauthenticated, reason: "unknown-key", detail: "new token", error: "invalid_token"},
		"ID token":                 {token: identitytest.Sign(t, key, "JWT", w.issuer.Claims(noon, nil)), status: 401, typ: ProblemUnauthenticated, reason: "type", detail: "ID token", error: "invalid_token"},
		"HS256":                    {token: identitytest.Sign(t, jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: key.KeyID, Algorithm: "HS256"}, "at+jwt", w.issuer.Claims(noon, nil)), status: 401, typ: ProblemUnauthenticated, reason: "algorithm", detail: "RS256", error: "invalid_token"},
		"forged token, no domain":  {token: identitytest.Sign(t, stranger.Key(), "at+jwt", w.issuer.Claims(noon, map[string]any{"email": "x@evil.example"})), status: 401, typ: ProblemUnauthenticated, reason: "unknown-key", detail: "new token", error: "invalid_token"},
		"other domain":             {token: token(map[string]any{"email": "user@evil.example"}), status: 403, typ: ProblemAddress, reason: "address", detail: `"email"`, error: "-"},
		"subdomain":                {token: token(map[string]any{"email": "user@x.agency.example"}), status: 403, typ: ProblemAddress, reason: "address", detail: "domain of the tenant", error: "-"},
		"no address":               {token: token(map[string]any{"email": nil}), status: 403, typ: ProblemAddress, reason: "address", detail: "missing", error: "-"},
		"address that is none":     {token: token(map[string]any{"email": "user"}), status: 403, typ: ProblemAddress, reason: "address", detail: "domain of the tenant", error: "-"},
		"address without a user":   {token: token(map[string]any{"email": "@agency.example"}), status: 403, typ: ProblemAddress, reason: "address", detail: "not a mail address", error: "-"},
		"address with two signs":   {token: token(map[string]any{"email": "a@evil.example@agency.example"}), status: 403, typ: ProblemAddress, reason: "address", detail: "domain of the tenant", error: "-"},
		"address with a line":      {token: token(map[string]any{"email": "a\r\nb@agency.example"}), status: 403, typ: ProblemAddress, reason: "address", detail: "not a mail address", error: "-"},
		"address that is too long": {token: token(map[string]any{"email": strings.Repeat("a", 65) + "@agency.example"}), status: 403, typ: ProblemAddress, reason: "address", detail: "not a mail address", error: "-"},
		"unverified address":       {token: token(map[string]any{"email_verified": false}), status: 403, typ: ProblemAddress, reason: "address", detail: "not verified", error: "-"},
		"unknown location":         {token: token(map[string]any{"xms_pdl": "NAN"}), status: 403, typ: ProblemLocation, reason: "location", detail: `"xms_pdl"`, error: "-"},
		"location as a number":     {token: token(map[string]any{"xms_pdl": 7}), status: 403, typ: ProblemLocation, reason: "location", detail: `"xms_pdl"`, error: "-"},
		"location with a space":    {token: token(map[string]any{"xms_pdl": "NAM "}), status: 403, typ: ProblemLocation, reason: "location", detail: `"xms_pdl"`, error: "-"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w.log.Reset()
			p, refusal := w.admit(t, tc.token)
			if p != nil || refusal == nil {
				t.Fatalf("admitted as %+v", p)
			}
			problem := refusal.Problem
			if refusal.Status != tc.status || problem.Status != tc.status || problem.Type != tc.typ || problem.Title == "" || !strings.Contains(problem.Detail, tc.detail) || refusal.HomeURL != "" {
				t.Fatalf("refusal %+v, want %d %q with %q", refusal, tc.status, tc.typ, tc.detail)
			}
			checkChallenge(t, refusal.Header, tc.error)
			checkLog(t, w.log, tc.reason, tc.status, tc.token)
		})
	}
}

func checkChallenge(t *testing.T, h http.Header, wantError string) {
	t.Helper()
	challenge := h.Get("WWW-Authenticate")
	if wantError == "-" {
		if challenge != "" {
			t.Fatalf("challenge %q, want none", challenge)
		}
		return
	}
	want := `Bearer resource_metadata="https://virginia.example/.well-known/oauth-protected-resource"`
	if wantError != "" {
		want += `, error="` + wantError + `", error_description="`
	}
	if !strings.HasPrefix(challenge, want) || (wantError == "" && challenge != want) {
		t.Fatalf("challenge %q, want %q", challenge, want)
	}
	if !regexp.MustCompile(`^Bearer [a-z_]+="[^"\\]*"(, [a-z_]+="[^"\\]*")*$`).MatchString(challenge) {
		t.Fatalf("challenge %q is not well-formed", challenge)
	}
}

func checkLog(t *testing.T, log *bytes.Buffer, reason string, status int, token string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d log lines, want one: %s", len(lines), log)
	}
	var line struct {
		Reason string `json:"reason"`
		Status int    `json:"status"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil || line.Reason != reason || line.Status != status {
		t.Fatalf("log %s, want reason %q and status %d", lines[0], reason, status)
	}
	if strings.Contains(lines[0], "@") || (len(token) > 10 && strings.Contains(lines[0], token[:10])) {
		t.Fatalf("log %s shows an address or the token", lines[0])
	}
}

func TestRequestThatCarriesItsTokenWronglyIsABadRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.issuer.Token(t, noon, nil)
	query := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/jmap/session?access_token="+token, nil)
	twice := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/jmap/session", nil)
	twice.Header.Add("Authorization", "Bearer "+token)
	twice.Header.Add("Authorization", "Bearer "+token)
	for name, r := range map[string]*http.Request{"query": query, "twice": twice} {
		p, refusal := w.gate.Admit(r)
		if p != nil || refusal.Status != 400 || !strings.Contains(refusal.Header.Get("WWW-Authenticate"), `error="invalid_request"`) {
			t.Errorf("%s: %+v, %+v", name, p, refusal)
		}
	}
	if strings.Contains(w.log.String(), token[:10]) {
		t.Errorf("the log %s shows the token", w.log)
	}
}

func TestMailboxElsewhereIsRedirected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, refusal := w.admit(t, w.issuer.Token(t, noon, map[string]any{"xms_pdl": "EUR"}))
	if p != nil || refusal == nil {
		t.Fatalf("admitted as %+v", p)
	}
	if refusal.Status != 421 || refusal.HomeURL != "https://paris.example" || refusal.Problem.Type != ProblemElsewhere {
		t.Fatalf("refusal %+v", refusal)
	}
	raw, err := json.Marshal(refusal.Problem)
	if err != nil || !strings.Contains(string(raw), `"region":{"geography":"EUR","url":"https://paris.example"}`) {
		t.Fatalf("problem %s, %v", raw, err)
	}
	satellite := agency(w.issuer)
	satellite.Regions[0].Home, satellite.Regions[1].Home = false, true
	w.enforce(t, satellite)
	if _, refusal := w.admit(t, w.issuer.Token(t, noon, nil)); refusal == nil || refusal.HomeURL != "https://paris.example" {
		t.Fatalf("a mailbox without a location: %+v, want the home region", refusal)
	}
	if p, refusal := w.admit(t, w.issuer.Token(t, noon, map[string]any{"xms_pdl": "NAM"})); p == nil {
		t.Fatalf("a mailbox of the satellite: %+v", refusal)
	}
}

func TestSuspendedTenantIsRefusedFromTheNextRequestOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.issuer.Token(t, noon, nil)
	if p, refusal := w.admit(t, token); p == nil {
		t.Fatalf("before: %+v", refusal)
	}
	suspended := agency(w.issuer)
	suspended.Suspended = true
	w.enforce(t, suspended)
	p, refusal := w.admit(t, token)
	if p != nil || refusal.Status != 403 || refusal.Problem.Type != ProblemSuspended || !strings.Contains(w.log.String(), `"tenant":"agency/agency"`) {
		t.Fatalf("suspended: %+v, %+v, log %s", p, refusal, w.log)
	}
	w.enforce(t)
	if p, refusal := w.admit(t, token); p != nil || refusal.Status != 401 {
		t.Fatalf("removed: %+v, %+v", p, refusal)
	}
}

func TestTenantsOfOneIssuerAreToldApartByDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bureau := agency(w.issuer)
	bureau.Tenant, bureau.Domains = "bureau/bureau", []string{"bureau.example"}
	bureau.Issuers[0].Audiences = []string{"https://bureau.example"}
	w.enforce(t, agency(w.issuer), bureau)
	tests := map[string]struct {
		changes map[string]any
		tenant  string
		reason  string
	}{
		"first":                      {changes: nil, tenant: "agency/agency"},
		"second":                     {changes: map[string]any{"email": "user@bureau.example", "aud": "https://bureau.example"}, tenant: "bureau/bureau"},
		"domain of one, audience of": {changes: map[string]any{"email": "user@bureau.example"}, reason: "audience"},
		"domain of none":             {changes: map[string]any{"email": "user@evil.example"}, reason: "address"},
	}
	for name, tc := range tests {
		w.log.Reset()
		p, refusal := w.admit(t, w.issuer.Token(t, noon, tc.changes))
		if tc.tenant != "" && (p == nil || p.Tenant != tc.tenant) {
			t.Errorf("%s: %+v, %+v", name, p, refusal)
		}
		if tc.reason != "" && (refusal == nil || !strings.Contains(w.log.String(), `"reason":"`+tc.reason+`"`)) {
			t.Errorf("%s: %+v, log %s", name, p, w.log)
		}
	}
}

func TestSecondIssuerEntryOfATenantIsTriedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc := agency(w.issuer)
	other := w.issuer.Document()
	other.Audiences = []string{"https://other.example"}
	doc.Issuers = append([]tenantdoc.Issuer{other}, doc.Issuers...)
	w.enforce(t, doc)
	if p, refusal := w.admit(t, w.issuer.Token(t, noon, nil)); p == nil {
		t.Fatalf("refused with %+v", refusal)
	}
}

func TestTokenOfAnotherDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const directory = "5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11"
	doc := agency(w.issuer)
	doc.Issuers[0].Profile, doc.Issuers[0].DirectoryID = tenantdoc.ProfileEntra, directory
	doc.Issuers[0].Claims.Address = []string{"preferred_username", "upn"}
	w.enforce(t, doc)
	claims := func(changes map[string]any) map[string]any {
		all := map[string]any{"ver": "2.0", "tid": directory, "oid": "o1", "azp": "phone", "scp": "mail", "preferred_username": "User@agency.us"}
		maps.Copy(all, changes)
		return w.issuer.Claims(noon, all)
	}
	p, refusal := w.admit(t, identitytest.Sign(t, w.issuer.Key(), "JWT", claims(nil)))
	if p == nil || p.Address != "user@agency.us" || p.AccountID != AccountID("entra:"+directory, "o1") {
		t.Fatalf("%+v, %+v", p, refusal)
	}
	_, refusal = w.admit(t, identitytest.Sign(t, w.issuer.Key(), "JWT", claims(map[string]any{"tid": "00000000-0c1d-4a52-9d1a-6a3f0b7c9d11"})))
	if refusal == nil || refusal.Status != 401 || !strings.Contains(refusal.Problem.Detail, "another directory") {
		t.Fatalf("other directory: %+v", refusal)
	}
	_, refusal = w.admit(t, identitytest.Sign(t, w.issuer.Key(), "JWT", claims(map[string]any{"scp": nil, "roles": []string{"x"}})))
	if refusal == nil || refusal.Status != 403 || !strings.Contains(refusal.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
		t.Fatalf("application: %+v", refusal)
	}
}

func TestScopeThatIsMissingIsNamedInTheChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc := agency(w.issuer)
	doc.Issuers[0].Scopes = []string{"mail", "mail.read"}
	w.enforce(t, doc)
	_, refusal := w.admit(t, w.issuer.Token(t, noon, nil))
	if refusal == nil || refusal.Status != 403 || !strings.HasSuffix(refusal.Header.Get("WWW-Authenticate"), `, scope="mail mail.read"`) {
		t.Fatalf("refusal %+v", refusal)
	}
}

func TestUnreachableIssuerIsNotTheTokensFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issuer.SetDown(true)
	_, refusal := w.admit(t, w.issuer.Token(t, noon, nil))
	if refusal == nil || refusal.Status != 503 || refusal.Problem.Type != ProblemKeys || refusal.Header.Get("Retry-After") == "" || refusal.Header.Get("WWW-Authenticate") != "" {
		t.Fatalf("refusal %+v", refusal)
	}
	if !strings.Contains(w.log.String(), "answers 503") || strings.Contains(refusal.Problem.Detail, "503") {
		t.Fatalf("log %s, detail %q: the cause is for the log only", w.log, refusal.Problem.Detail)
	}
}

func TestErrorThatIsNoRefusalIsTemporary(t *testing.T) {
	t.Parallel()
	d := newWorld(t).gate.deny(context.Canceled)
	if d.refusal.Status != 503 {
		t.Fatalf("refusal %+v", d.refusal)
	}
}

func TestAccountDependsOnIssuerAndSubjectOnly(t *testing.T) {
	t.Parallel()
	ids := []string{AccountID("https://a", "bc"), AccountID("https://ab", "c"), AccountID("https://a", "BC"), AccountID("", "https://abc"), AccountID("https://b", "bc")}
	for i, id := range ids {
		if !regexp.MustCompile(`^a[a-z2-7]{32}$`).MatchString(id) || slices.Contains(ids[:i], id) {
			t.Errorf("account %q of %v is malformed or used twice", id, ids)
		}
	}
	// This value is in every store: if it changes, everybody loses their mailbox.
	if got, want := AccountID("https://login.example", "user-1"), "au7kgunv3eupqkvyadqy4cyeiwd2iehxb"; got != want {
		t.Errorf("AccountID = %q, want %q", got, want)
	}
}

func FuzzAddressesAreOfTheTenantOrRefused(f *testing.F) {
	for _, s := range []string{"user@agency.example", "a@b@agency.us", "\"x y\"@agency.us", "ünï@agency.us", "@", "a@agency.us\n"} {
		f.Add(s)
	}
	doc := &tenantdoc.Document{Domains: []string{"agency.example", "agency.us"}}
	issuer := &tenantdoc.Issuer{Claims: tenantdoc.Claims{Address: []string{"email"}}}
	f.Fuzz(func(t *testing.T, s string) {
		address, denial := resident(identity.Claims{"email": s}, doc, issuer)
		if (address == "") != (denial != nil) {
			t.Fatalf("resident(%q) = %q, %+v", s, address, denial)
		}
		if denial == nil && (address != strings.ToLower(address) || strings.Count(address, "@") != 1 || strings.ContainsAny(address, " \r\n\t\x00")) {
			t.Fatalf("resident(%q) = %q", s, address)
		}
	})
}

func BenchmarkAdmit(b *testing.B) {
	w := newWorld(b)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/jmap/api", nil)
	r.Header.Set("Authorization", "Bearer "+w.issuer.Token(b, noon, nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := w.gate.Admit(r); refusal != nil {
			b.Fatalf("refused with %+v", refusal)
		}
	}
}

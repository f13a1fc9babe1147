package tenantdoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// valid is a document in which every field is set.
func valid() *Document {
	return &Document{
		Version: FormatVersion, Tenant: "agency/agency", UID: "5f0e8f6e", Generation: 7, Cloud: "gcc-high", Suspended: true,
		Domains: []string{"agency.us", "mail.agency.us"},
		Region:  "regions-gcch/ohio",
		Regions: []Region{
			{Name: "regions-gcch/virginia", Geography: "NAM", URL: "https://virginia.sync.agency.us", Home: true},
			{Name: "regions-gcch/ohio", Geography: "EUR", URL: "https://ohio.sync.agency.us:8443"},
		},
		Issuers: []Issuer{{
			Profile: ProfileEntra, Issuer: "https://login.microsoftonline.us/5f0e/v2.0", Aliases: []string{"https://sts.windows.net/5f0e/"},
			JWKSURI: "https://login.microsoftonline.us/5f0e/discovery/v2.0/keys", AllowedHosts: []string{"login.microsoftonline.us"},
			PrivateRanges: []string{"10.0.0.0/8"}, CABundle: "-----BEGIN CERTIFICATE-----", Audiences: []string{"api://bailiwick-sync"},
			ClientIDs: []string{"client"}, Scopes: []string{"Mail.Sync"}, Algorithms: []string{"RS256", "EdDSA"}, DirectoryID: "5f0e",
			Claims: Claims{Address: []string{"upn"}, Name: []string{"name"}, PreferredDataLocation: "xms_pdl"},
		}},
		Features: Features{SMIME: true, SensitivityLabels: true, SharedMailboxes: true},
		SMIME:    &SMIME{Roots: testRoot, Intermediates: testRoot + testRoot, Outgoing: SMIMEOutgoing{RequireSigned: true, RequireEncrypted: true}},
		SharedMailboxes: []SharedMailbox{
			{Address: "help@agency.us", Name: "Help", Account: SharedAccountID("agency/agency", "help@agency.us"), Members: []Member{
				{Address: "a@agency.us", FullAccess: true, SendAs: true}, {Address: "b@agency.us", SendOnBehalf: true},
			}},
			{Address: "info@mail.agency.us", Account: SharedAccountID("agency/agency", "info@mail.agency.us")},
		},
		Labels: []Label{
			{ID: "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10", Name: "Public"},
			{
				ID: "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a11", Name: "Secret", Rank: 30, Color: "#d13438", Tooltip: "Tell nobody",
				Marking:    LabelMarking{Header: "SECRET", Footer: "Burn", SubjectPrefix: "[S]"},
				Protection: LabelProtection{Encrypt: true, StayInside: true, JustifyDowngrade: true},
				Mobile:     LabelMobile{MinimumProtection: "High", NoPrint: true, NoCopy: true, NoScreenshots: true},
			},
		},
	}
}

func TestDocumentSurvivesEncodingAndDecoding(t *testing.T) {
	t.Parallel()
	raw, err := Encode(valid())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(valid(), got); diff != "" {
		t.Error(diff)
	}
}

func TestEncodingIsDeterministic(t *testing.T) {
	t.Parallel()
	first, err := Encode(valid())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := Encode(valid())
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("the same document has other bytes (error %v):\n%s\n%s", err, first, again)
		}
	}
}

func TestUnknownFieldsAreIgnoredWithinAVersion(t *testing.T) {
	t.Parallel()
	raw, err := Encode(valid())
	if err != nil {
		t.Fatal(err)
	}
	later := bytes.Replace(raw, []byte(`{"version":"1",`), []byte(`{"version":"1","later":{"a":[1]},`), 1)
	if got, err := Decode(later); err != nil || !cmp.Equal(got, valid()) {
		t.Errorf("a field of a later release changes the document: %v", err)
	}
}

func TestInvalidDocumentNamesTheField(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*Document)
		want  string
	}{
		"other version":              {func(d *Document) { d.Version = "2" }, `version: "2" is not "1"`},
		"tenant without namespace":   {func(d *Document) { d.Tenant = "agency" }, `tenant: "agency"`},
		"tenant with two slashes":    {func(d *Document) { d.Tenant = "a/b/c" }, `tenant: "a/b/c"`},
		"no uid":                     {func(d *Document) { d.UID = "" }, "uid: missing"},
		"no generation":              {func(d *Document) { d.Generation = 0 }, "generation: 0"},
		"no cloud":                   {func(d *Document) { d.Cloud = "" }, "cloud: missing"},
		"no domains":                 {func(d *Document) { d.Domains = nil }, "domains: empty"},
		"empty domain":               {func(d *Document) { d.Domains[1] = "" }, `domains[1]: ""`},
		"domain in upper case":       {func(d *Document) { d.Domains[0] = "Agency.us" }, `domains[0]: "Agency.us"`},
		"address as domain":          {func(d *Document) { d.Domains[0] = "a@agency.us" }, `domains[0]: "a@agency.us"`},
		"no regions":                 {func(d *Document) { d.Regions = nil }, "regions: 0 home regions"},
		"two homes":                  {func(d *Document) { d.Regions[1].Home = true }, "regions: 2 home regions"},
		"no home":                    {func(d *Document) { d.Regions[0].Home = false }, "regions: 0 home regions"},
		"region of others":           {func(d *Document) { d.Region = "regions-eu/paris" }, `region: "regions-eu/paris" is not among regions`},
		"region without namespace":   {func(d *Document) { d.Regions[1].Name = "ohio" }, `regions[1].name: "ohio"`},
		"region without geography":   {func(d *Document) { d.Regions[0].Geography = "" }, "regions[0].geography: missing"},
		"one geography twice":        {func(d *Document) { d.Regions[1].Geography = "NAM" }, `regions[1].geography: "NAM" occurs twice`},
		"region on http":             {func(d *Document) { d.Regions[0].URL = "http://virginia" }, `regions[0].url: "http://virginia"`},
		"region with a path":         {func(d *Document) { d.Regions[0].URL = "https://virginia/x" }, "regions[0].url"},
		"region with a user":         {func(d *Document) { d.Regions[0].URL = "https://u@virginia" }, "regions[0].url"},
		"region URL broken":          {func(d *Document) { d.Regions[0].URL = "https://%zz" }, "regions[0].url"},
		"no issuers":                 {func(d *Document) { d.Issuers = nil }, "issuers: empty"},
		"unknown profile":            {func(d *Document) { d.Issuers[0].Profile = "saml" }, `issuers[0].profile: "saml"`},
		"entra without directory":    {func(d *Document) { d.Issuers[0].DirectoryID = "" }, "issuers[0].directoryID: missing"},
		"issuer on http":             {func(d *Document) { d.Issuers[0].Issuer = "http://login" }, `issuers[0].issuer: "http://login"`},
		"keys on http":               {func(d *Document) { d.Issuers[0].JWKSURI = "http://login/keys" }, `jwksURI: "http://login/keys"`},
		"no hosts":                   {func(d *Document) { d.Issuers[0].AllowedHosts = nil }, "allowedHosts: empty"},
		"no audiences":               {func(d *Document) { d.Issuers[0].Audiences = nil }, "audiences: empty"},
		"no address claim":           {func(d *Document) { d.Issuers[0].Claims.Address = nil }, "claims.address: empty"},
		"no algorithms":              {func(d *Document) { d.Issuers[0].Algorithms = nil }, "algorithms: empty"},
		"algorithm none":             {func(d *Document) { d.Issuers[0].Algorithms[1] = "none" }, `algorithms[1]: "none"`},
		"algorithm HS256":            {func(d *Document) { d.Issuers[0].Algorithms[0] = "HS256" }, `algorithms[0]: "HS256"`},
		"shared mailbox elsewhere":   {func(d *Document) { d.SharedMailboxes[0].Address = "help@other.us" }, `sharedMailboxes[0].address: "help@other.us" is in none of the domains`},
		"shared mailbox in capitals": {func(d *Document) { d.SharedMailboxes[0].Address = "Help@agency.us" }, `sharedMailboxes[0].address: "Help@agency.us" is not a lower-case`},
		"shared mailbox twice":       {func(d *Document) { d.SharedMailboxes[1].Address = "help@agency.us" }, `sharedMailboxes[1].address: "help@agency.us" occurs twice`},
		"one account for two":        {func(d *Document) { d.SharedMailboxes[1].Account = d.SharedMailboxes[0].Account }, `sharedMailboxes[1].account: `},
		"account of a user":          {func(d *Document) { d.SharedMailboxes[0].Account = "a" + d.SharedMailboxes[0].Account[1:] }, `sharedMailboxes[0].account: `},
		"account that is short":      {func(d *Document) { d.SharedMailboxes[0].Account = "saaaa" }, `sharedMailboxes[0].account: `},
		"member twice":               {func(d *Document) { d.SharedMailboxes[0].Members[1].Address = "a@agency.us" }, `sharedMailboxes[0].members[1].address: "a@agency.us" occurs twice`},
		"member that is none":        {func(d *Document) { d.SharedMailboxes[0].Members[1].Address = "b" }, `sharedMailboxes[0].members[1].address: "b"`},
		"member without a right":     {func(d *Document) { d.SharedMailboxes[0].Members[1].SendOnBehalf = false }, "sharedMailboxes[0].members[1].fullAccess"},
		"member with both rights":    {func(d *Document) { d.SharedMailboxes[0].Members[0].SendOnBehalf = true }, "sharedMailboxes[0].members[0].sendOnBehalf"},
		"label id in capitals":       {func(d *Document) { d.Labels[0].ID = strings.ToUpper(d.Labels[0].ID) }, "labels[0].id"},
		"label id twice":             {func(d *Document) { d.Labels[0].ID = d.Labels[1].ID }, "labels[1].id"},
		"label without a name":       {func(d *Document) { d.Labels[0].Name = "" }, "labels[0].name: missing"},
		"label rank twice":           {func(d *Document) { d.Labels[0].Rank = 30 }, "labels[1].rank: 30 occurs twice"},
		"label rank below zero":      {func(d *Document) { d.Labels[0].Rank = -1 }, "labels[0].rank: -1"},
		"unknown protection":         {func(d *Document) { d.Labels[1].Mobile.MinimumProtection = "Some" }, `labels[1].mobile.minimumProtection: "Some"`},
		"range without bits":         {func(d *Document) { d.Issuers[0].PrivateRanges[0] = "10.0.0.0" }, `privateRanges[0]: "10.0.0.0"`},
		"roots are noise":            {func(d *Document) { d.SMIME.Roots = "noise" }, "smime.roots: no PEM certificate"},
		"intermediates broken":       {func(d *Document) { d.SMIME.Intermediates = testRoot + testRoot[:200] }, "smime.intermediates: PEM block 2 cannot be read"},
	} {
		d := valid()
		tc.spoil(d)
		_, err := Encode(d)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Encode gives %v, want ErrInvalid with %q", name, err, tc.want)
		}
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(raw); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Decode gives %v, want ErrInvalid with %q", name, err, tc.want)
		}
	}
}

func TestWhatIsNoDocumentIsRefused(t *testing.T) {
	t.Parallel()
	raw, err := Encode(valid())
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		raw  []byte
		want string
	}{
		"nothing":        {nil, "not JSON"},
		"noise":          {[]byte("noise"), "not JSON"},
		"other type":     {[]byte(`{"version":1}`), "not JSON"},
		"cut":            {raw[:len(raw)/2], "not JSON"},
		"two documents":  {append(bytes.Clone(raw), raw...), "data after the document"},
		"too many bytes": {bytes.Repeat([]byte(" "), MaxDocumentBytes+1), "more than"},
	} {
		if _, err := Decode(tc.raw); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want ErrInvalid with %q", name, err, tc.want)
		}
	}
}

func TestDocumentThatDoesNotFitIsRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	many := func(d *Document) {
		for n := range 20000 {
			d.SharedMailboxes[1].Members = append(d.SharedMailboxes[1].Members, Member{Address: fmt.Sprintf("member-%d@agency.us", n), FullAccess: true})
		}
	}
	for want, fill := range map[string]func(*Document){
		`shorten the identity of the tenant, most of all its CA bundle (`:                                          func(d *Document) { d.Issuers[0].CABundle = strings.Repeat("x", MaxDocumentBytes) },
		`shorten the members of its 2 shared mailboxes in this region, of which "info@mail.agency.us" has 20000 (`: many,
		`shorten the tooltips and markings of its sensitivity labels (`:                                            func(d *Document) { d.Labels[0].Tooltip = strings.Repeat("x", MaxDocumentBytes) },
	} {
		d := valid()
		fill(d)
		if _, err := Encode(d); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want ErrInvalid with %q", err, want)
		}
	}
}

func TestAccountOfASharedMailboxDependsOnTenantAndAddressAlone(t *testing.T) {
	t.Parallel()
	first := SharedAccountID("a/a", "help@agency.us")
	if got := SharedAccountID("a/a", "Help@Agency.us"); got != first {
		t.Errorf("the case of the address changes the account from %q to %q", first, got)
	}
	for _, other := range []string{SharedAccountID("a/b", "help@agency.us"), SharedAccountID("a/a", "info@agency.us"), SharedAccountID("a/ah", "elp@agency.us")} {
		if other == first {
			t.Errorf("two mailboxes share account %q", first)
		}
	}
}

func TestOnlyAsymmetricAlgorithmsAreAccepted(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		if !IsAcceptedAlgorithm(alg) {
			t.Errorf("%s is refused", alg)
		}
	}
	for _, alg := range []string{"", "none", "None", "HS256", "HS384", "HS512", "rs256", "RS1", "ES256K", "A128KW"} {
		if IsAcceptedAlgorithm(alg) {
			t.Errorf("%q is accepted", alg)
		}
	}
}

func FuzzDecodeAcceptsOnlyWhatEncodes(f *testing.F) {
	raw, err := Encode(valid())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version":"1"}`))
	f.Add([]byte(`{"version":"1","tenant":"a/b","uid":"u","generation":1,"cloud":"c","domains":["d"]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := Decode(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v is not ErrInvalid", err)
			}
			return
		}
		once, err := Encode(d)
		if err != nil {
			if len(raw) < MaxDocumentBytes/8 { // escaping may make a long one too long
				t.Fatalf("what was decoded does not encode: %v", err)
			}
			return
		}
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		twice, err := Encode(again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("encoding is not stable (error %v):\n%s\n%s", err, once, twice)
		}
	})
}

package label

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

const (
	publicID = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a0f"
	secretID = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a10"
	otherID  = "8f4f2f0e-6f6b-4c53-9d5a-2f8f0c1f7a99"
)

func document() *tenantdoc.Document {
	return &tenantdoc.Document{
		UID: "5f0e8f6e-0000-4a52-9d1a-6a3f0b7c9d11", Domains: []string{"agency.us"}, Features: tenantdoc.Features{SensitivityLabels: true},
		Labels: []tenantdoc.Label{
			{ID: publicID, Name: "Public", Marking: tenantdoc.LabelMarking{Footer: "Public & free"}},
			{
				ID: secretID, Name: "Secret", Rank: 30, Color: "#d13438",
				Marking:    tenantdoc.LabelMarking{Header: "<SECRET>", Footer: "Burn", SubjectPrefix: "[S]"},
				Protection: tenantdoc.LabelProtection{Encrypt: true, StayInside: true, JustifyDowngrade: true},
				Mobile:     tenantdoc.LabelMobile{NoPrint: true, NoCopy: true, NoScreenshots: true, MinimumProtection: "High"},
			},
		},
	}
}

func TestSetOfATenantWithoutLabelsIsEmpty(t *testing.T) {
	t.Parallel()
	off := document()
	off.Features.SensitivityLabels = false
	for name, doc := range map[string]*tenantdoc.Document{"no tenant": nil, "function off": off} {
		set := Of(doc)
		if set != nil || set.All() != nil || set.Find(secretID) != nil || set.Highest([]string{secretID}) != nil {
			t.Errorf("%s: set %+v", name, set)
		}
	}
}

func TestCarriedLabelsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	name := "MSIP_Label_" + secretID + "_"
	for label, tc := range map[string]struct {
		values []string
		want   []string
	}{
		"as Microsoft writes it": {[]string{
			" " + name + "Enabled=true;\r\n " + name + "SetDate=2026-11-23T12:00:00Z;\r\n " + name + "Method=Privileged;\r\n " +
				name + "Name=Secret; " + name + "SiteId=5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11; " + name + "ContentBits=3;",
		}, []string{secretID}},
		"in another case":        {[]string{strings.ToUpper(name) + "ENABLED=True"}, []string{secretID}},
		"two tenants":            {[]string{name + "Enabled=true; MSIP_Label_" + otherID + "_Enabled=true"}, []string{secretID, otherID}},
		"two fields":             {[]string{name + "Enabled=true", "MSIP_Label_" + otherID + "_Enabled=true"}, []string{secretID, otherID}},
		"twice":                  {[]string{name + "Enabled=true; " + name + "Enabled=true"}, []string{secretID}},
		"disabled":               {[]string{name + "Enabled=false"}, nil},
		"no value":               {[]string{name + "Enabled"}, nil},
		"attributes alone":       {[]string{name + "SetDate=true"}, nil},
		"no id":                  {[]string{"MSIP_Label__Enabled=true; MSIP_Label_Enabled=true"}, nil},
		"an id that is none":     {[]string{"MSIP_Label_" + strings.Replace(secretID, "-", "x", 1) + "_Enabled=true"}, nil},
		"an id with other signs": {[]string{"MSIP_Label_" + strings.Replace(secretID, "f", "g", 1) + "_Enabled=true"}, nil},
		"more after the name":    {[]string{name + "Enabled_x=true"}, nil},
		"nothing":                {nil, nil},
	} {
		if diff := cmp.Diff(tc.want, Carried(tc.values)); diff != "" {
			t.Errorf("%s: %s", label, diff)
		}
	}
}

func TestValueNamesTheDirectoryOfTheTenant(t *testing.T) {
	t.Parallel()
	doc := document()
	at := time.Date(2026, 11, 23, 13, 0, 0, 0, time.FixedZone("", 3600))
	for site, change := range map[string]func(){
		doc.UID:                                func() {},
		"5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11": func() { doc.Issuers = []tenantdoc.Issuer{{DirectoryID: "5f0e8f6e-0c1d-4a52-9d1a-6a3f0b7c9d11"}} },
	} {
		doc.Issuers = nil
		change()
		set := Of(doc)
		value := set.Value(set.Find(secretID), at)
		name := "MSIP_Label_" + secretID + "_"
		want := name + "Enabled=true; " + name + "SetDate=2026-11-23T12:00:00Z; " + name + "Method=Privileged; " + name + "SiteId=" + site
		if value != want {
			t.Errorf("value %q, want %q", value, want)
		}
		if diff := cmp.Diff([]string{secretID}, Carried([]string{value})); diff != "" {
			t.Errorf("what is written is not read: %s", diff)
		}
	}
}

func TestEffectiveLabelIsTheOneThatWasSet(t *testing.T) {
	t.Parallel()
	set := Of(document())
	for name, tc := range map[string]struct {
		header []string
		set    *string
		want   *string
	}{
		"none":                      {},
		"of the header":             {header: []string{publicID}, want: new(publicID)},
		"highest of the header":     {header: []string{secretID, publicID}, want: new(secretID)},
		"of another tenant":         {header: []string{otherID}},
		"set":                       {header: []string{secretID}, set: new(publicID), want: new(publicID)},
		"taken off":                 {header: []string{secretID}, set: new(string)},
		"set to one that went away": {set: new(otherID)},
	} {
		if diff := cmp.Diff(tc.want, ID(set.Effective(tc.header, tc.set))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDowngradeNeedsAReasonWhereTheLabelDemandsOne(t *testing.T) {
	t.Parallel()
	set := Of(document())
	public, secret := set.Find(publicID), set.Find(secretID)
	for name, tc := range map[string]struct {
		from, to *tenantdoc.Label
		why      string
		want     string
		lowers   bool
	}{
		"lowered":                   {from: secret, to: public, want: `label "Secret" is lowered or removed only for a reason`, lowers: true},
		"removed":                   {from: secret, want: "1 to 1000 characters", lowers: true},
		"lowered for blanks":        {from: secret, to: public, why: " \t", want: "reason", lowers: true},
		"lowered for a reason":      {from: secret, to: public, why: "published", lowers: true},
		"raised":                    {from: public, to: secret},
		"set":                       {to: secret},
		"the same":                  {from: secret, to: secret},
		"removed without a demand":  {from: public, lowers: true},
		"a reason that is a novel":  {from: secret, to: public, why: strings.Repeat("ä", 1001), want: "more than 1000 characters", lowers: true},
		"a reason of most it takes": {from: secret, to: public, why: strings.Repeat("ä", 1000), lowers: true},
	} {
		refused := CheckChange(tc.from, tc.to, tc.why)
		if (refused != nil) != (tc.want != "") || Lowers(tc.from, tc.to) != tc.lowers {
			t.Errorf("%s: %v, lowers %v", name, refused, Lowers(tc.from, tc.to))
			continue
		}
		if refused != nil && (refused.Type != jmap.SetErrorInvalidProperties || !strings.Contains(refused.Description, tc.want) || !cmp.Equal(refused.Properties, []string{JustificationProperty})) {
			t.Errorf("%s: %+v, want %q", name, refused, tc.want)
		}
	}
}

func TestOutgoingMailIsHeldToItsLabel(t *testing.T) {
	t.Parallel()
	doc := document()
	set := Of(doc)
	inside, outside := "bob@Agency.US", "eve@other.us"
	for name, tc := range map[string]struct {
		label      *tenantdoc.Label
		recipients []string
		encrypted  bool
		want       Demand
		refused    []string
	}{
		"no label":              {recipients: []string{outside}},
		"label without demands": {label: set.Find(publicID), recipients: []string{outside}},
		"inside and encrypted":  {label: set.Find(secretID), recipients: []string{inside}, encrypted: true},
		"outside":               {label: set.Find(secretID), recipients: []string{inside, outside, "x"}, encrypted: true, want: DemandInside, refused: []string{outside, "x"}},
		"open":                  {label: set.Find(secretID), recipients: []string{inside}, want: DemandEncryption},
	} {
		v := CheckOutgoing(tc.label, Outgoing{Recipients: tc.recipients, Inside: doc.Homes, Encrypted: tc.encrypted})
		if tc.want == "" {
			if v != nil {
				t.Errorf("%s: %+v", name, v)
			}
			continue
		}
		if v == nil || v.Demand != tc.want || !cmp.Equal(v.Recipients, tc.refused) || !strings.Contains(v.Error(), `"Secret"`) || strings.Contains(v.Error(), "@") {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := CheckOutgoing(set.Find(secretID), Outgoing{Recipients: []string{inside}}); v == nil || v.Demand != DemandInside {
		t.Errorf("without domains everybody is outside: %+v", v)
	}
}

func TestMarksAreWrittenOnceAndReplaceOthers(t *testing.T) {
	t.Parallel()
	set := Of(document())
	public, secret := set.Find(publicID), set.Find(secretID)
	type mark func(string, *tenantdoc.Label) string
	for name, tc := range map[string]struct {
		mark                  mark
		plain, secret, public string
	}{
		"subject":      {set.Subject, "Hello", "[S] Hello", "Hello"},
		"no subject":   {set.Subject, "", "[S]", ""},
		"text":         {set.Text, "Hi", "<SECRET>\r\n\r\nHi\r\n\r\nBurn\r\n", "Hi\r\n\r\nPublic & free\r\n"},
		"no text":      {set.Text, "", "<SECRET>\r\n\r\n\r\n\r\nBurn\r\n", "\r\n\r\nPublic & free\r\n"},
		"HTML":         {set.HTML, "<p>Hi</p>", `<p class="sensitivity-header">&lt;SECRET&gt;</p><p>Hi</p><p class="sensitivity-footer">Burn</p>`, `<p>Hi</p><p class="sensitivity-footer">Public &amp; free</p>`},
		"HTML in full": {set.HTML, `<html><BODY bgcolor="x">Hi</Body ></html>`, `<html><BODY bgcolor="x"><p class="sensitivity-header">&lt;SECRET&gt;</p>Hi<p class="sensitivity-footer">Burn</p></Body ></html>`, `<html><BODY bgcolor="x">Hi<p class="sensitivity-footer">Public &amp; free</p></Body ></html>`},
		"HTML twisted": {set.HTML, "</body>Hi<body>", `</body>Hi<body><p class="sensitivity-header">&lt;SECRET&gt;</p><p class="sensitivity-footer">Burn</p>`, `</body>Hi<body><p class="sensitivity-footer">Public &amp; free</p>`},
	} {
		text := tc.plain
		for _, step := range []struct {
			label *tenantdoc.Label
			want  string
		}{{secret, tc.secret}, {secret, tc.secret}, {public, tc.public}, {secret, tc.secret}, {nil, tc.plain}} {
			if text = tc.mark(text, step.label); text != step.want {
				t.Errorf("%s: %q, want %q", name, text, step.want)
			}
		}
	}
}

func get(t *testing.T, args string) (map[string]any, error) {
	t.Helper()
	run := Capability(func(tenant string) *Set {
		if tenant != "agency/agency" {
			return nil
		}
		return Of(document())
	}).Methods["Label/get"]
	limits := jmap.DefaultLimits()
	result, err := run(t.Context(), &jmap.Call{Principal: &jmap.Principal{Tenant: "agency/agency", AccountID: "a1"}, Args: json.RawMessage(args), Limits: &limits})
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	return out, json.Unmarshal(raw, &out)
}

func TestLabelGetTellsInTheOrderOfRanksWhatToHoldTo(t *testing.T) {
	t.Parallel()
	out, err := get(t, `{"accountId":"a1","ids":null}`)
	if err != nil {
		t.Fatal(err)
	}
	none := map[string]any{"header": nil, "footer": "Public & free", "subjectPrefix": nil}
	want := []any{
		map[string]any{
			"id": publicID, "name": "Public", "rank": 0.0, "color": nil, "tooltip": nil, "marking": none, "mustEncrypt": false, "mustStayInside": false,
			"mustJustifyDowngrade": false, "minimumProtection": nil, "forbidden": []any{},
		},
		map[string]any{
			"id": secretID, "name": "Secret", "rank": 30.0, "color": "#d13438", "tooltip": nil,
			"marking":     map[string]any{"header": "<SECRET>", "footer": "Burn", "subjectPrefix": "[S]"},
			"mustEncrypt": true, "mustStayInside": true, "mustJustifyDowngrade": true, "minimumProtection": "High",
			"forbidden": []any{"print", "copy", "screenshots"},
		},
	}
	if diff := cmp.Diff(want, out["list"]); diff != "" {
		t.Error(diff)
	}
	some, err := get(t, `{"accountId":"a1","ids":["`+secretID+`","x"],"properties":["name"]}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"accountId": "a1", "state": out["state"], "notFound": []any{"x"}, "list": []any{map[string]any{"id": secretID, "name": "Secret"}}}, some); diff != "" {
		t.Error(diff)
	}
	if _, err := get(t, `{"accountId":"a1","ids":null,"properties":["colour"]}`); err == nil || !strings.Contains(err.Error(), `"colour" is not a property`) {
		t.Errorf("error %v", err)
	}
	if _, err := get(t, `{"accountId":"a2","ids":null}`); err == nil || !strings.Contains(err.Error(), jmap.ErrorAccountNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestAuditLineHoldsNoContent(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	LogAudit{slog.New(slog.NewJSONHandler(&out, nil))}.Downgraded(t.Context(), Downgrade{
		Tenant: "agency/agency", Actor: "a1", Account: "s1", Email: "m1", From: secretID, To: publicID, JustificationLength: 9,
	})
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "sensitivity label lowered", "audit": true, "tenant": "agency/agency", "actor": "a1", "account": "s1", "email": "m1",
		"from": secretID, "to": publicID, "justificationLength": 9.0,
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
}

func FuzzCarried(f *testing.F) {
	name := "MSIP_Label_" + secretID + "_"
	f.Add(" " + name + "Enabled=true;\r\n " + name + "SetDate=2026-11-23T12:00:00Z")
	f.Add(strings.Repeat("MSIP_Label_", 1000))
	f.Add(";;;=;" + name + "Enabled= TRUE ;")
	f.Fuzz(func(t *testing.T, value string) {
		ids := Carried([]string{value, value})
		if len(ids) > maxLabels {
			t.Errorf("%d labels", len(ids))
		}
		for _, id := range ids {
			if !isID(id) || !cmp.Equal(Carried([]string{format(id, time.Unix(0, 0), id)}), []string{id}) {
				t.Errorf("%q is no id", id)
			}
		}
	})
}

func FuzzTextIsMarkedOnce(f *testing.F) {
	f.Add("Hi")
	f.Add("<SECRET>\r\n\r\nBurn\r\n")
	f.Add("\r\n\r\nBurn\r\n\r\n\r\nPublic & free\r\n")
	set := Of(document())
	f.Fuzz(func(t *testing.T, text string) {
		once := set.Text(text, set.Find(secretID))
		if twice := set.Text(once, set.Find(secretID)); twice != once {
			t.Errorf("marked once: %q, twice: %q", once, twice)
		}
	})
}

package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestASubscriptionIsCreatedAsTheRFCShows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out := b.do("set", `{"create":{"4f29":{"deviceClientId":"a889","url":"`+b.endpoint("x")+`","types":null}}}`)
	id := b.call.CreatedIDs["4f29"]
	want := map[string]any{
		"created": map[string]any{"4f29": map[string]any{"id": id, "keys": nil, "verificationCode": nil, "expires": "2026-11-30T12:00:00Z"}},
		"updated": nil, "destroyed": nil, "notCreated": nil, "notUpdated": nil, "notDestroyed": nil,
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("PushSubscription/set (-want +got):\n%s", diff)
	}
	want = map[string]any{"notFound": []any{}, "list": []any{
		map[string]any{"id": id, "deviceClientId": "a889", "verificationCode": nil, "expires": "2026-11-30T12:00:00Z", "types": nil},
	}}
	if diff := cmp.Diff(want, b.do("get", `{"ids":null}`)); diff != "" {
		t.Errorf("PushSubscription/get (-want +got):\n%s", diff)
	}
	b.checkLogs()
}

func TestWhatCannotBeCreatedSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys, err := json.Marshal(newBrowser(t).keys())
	if err != nil {
		t.Fatal(err)
	}
	url := `"url":"` + b.endpoint("x") + `"`
	tests := map[string]struct {
		object     string
		kind       string
		properties []any
		text       string
	}{
		"no object":                {object: `[]`, kind: "invalidProperties", text: "not an object"},
		"nothing":                  {object: `{}`, kind: "invalidProperties", properties: []any{"deviceClientId", "url"}, text: "name the https URL"},
		"unknown property":         {object: `{"deviceClientId":"d",` + url + `,"colour":"red"}`, kind: "invalidProperties", properties: []any{"colour"}, text: "unknown"},
		"wrong type":               {object: `{"deviceClientId":7,` + url + `}`, kind: "invalidProperties", properties: []any{"deviceClientId"}, text: "wrong type"},
		"id":                       {object: `{"id":"x","deviceClientId":"d",` + url + `}`, kind: "invalidProperties", properties: []any{"id"}, text: "set by the server"},
		"code":                     {object: `{"verificationCode":"x","deviceClientId":"d",` + url + `}`, kind: "invalidProperties", properties: []any{"verificationCode"}, text: "not known yet"},
		"long device":              {object: `{"deviceClientId":"` + strings.Repeat("d", 256) + `",` + url + `}`, kind: "invalidProperties", properties: []any{"deviceClientId"}},
		"plain URL":                {object: `{"deviceClientId":"d","url":"http://push.example/"}`, kind: "invalidProperties", properties: []any{"url"}, text: "use https"},
		"private URL":              {object: `{"deviceClientId":"d","url":"https://10.0.0.1/"}`, kind: "invalidProperties", properties: []any{"url"}, text: "use a host with a public address"},
		"relative URL":             {object: `{"deviceClientId":"d","url":"/push"}`, kind: "invalidProperties", properties: []any{"url"}, text: "write it as https://host/path"},
		"long URL":                 {object: `{"deviceClientId":"d","url":"https://push.example/` + strings.Repeat("x", 2048) + `"}`, kind: "invalidProperties", properties: []any{"url"}, text: "use a shorter one"},
		"keys without a secret":    {object: `{"deviceClientId":"d",` + url + `,"keys":{"p256dh":"x"}}`, kind: "invalidProperties", properties: []any{"keys"}, text: "p256dh"},
		"unknown member of keys":   {object: `{"deviceClientId":"d",` + url + `,"keys":{"x":"x"}}`, kind: "invalidProperties", properties: []any{"keys"}},
		"time that is no UTCDate":  {object: `{"deviceClientId":"d",` + url + `,"expires":"2026-11-24T12:00:00+01:00"}`, kind: "invalidProperties", properties: []any{"expires"}, text: "not a UTCDate"},
		"time in the past":         {object: `{"deviceClientId":"d",` + url + `,"expires":"2026-11-23T12:00:00Z"}`, kind: "invalidProperties", properties: []any{"expires"}, text: "in the past"},
		"types with null":          {object: `{"deviceClientId":"d",` + url + `,"types":[null]}`, kind: "invalidProperties", properties: []any{"types"}},
		"types with a long one":    {object: `{"deviceClientId":"d",` + url + `,"types":["` + strings.Repeat("T", 256) + `"]}`, kind: "invalidProperties", properties: []any{"types"}},
		"too many types":           {object: `{"deviceClientId":"d",` + url + `,"types":[` + strings.Repeat(`"T",`, 100) + `"T"]}`, kind: "invalidProperties", properties: []any{"types"}, text: "use null"},
		"too large":                {object: `{"deviceClientId":"d",` + url + `,"types":["` + strings.Repeat("T", maxObject) + `"]}`, kind: "tooLarge"},
		"device that is there":     {object: `{"deviceClientId":"there",` + url + `}`, kind: "alreadyExists", text: "update that one"},
		"several at a time":        {object: `{"deviceClientId":"","url":"","types":[""],"expires":"soon"}`, kind: "invalidProperties", properties: []any{"deviceClientId", "url", "types", "expires"}},
		"good with all properties": {object: `{"deviceClientId":"d",` + url + `,"keys":` + string(keys) + `,"verificationCode":null,"expires":null,"types":["Email"]}`},
	}
	there := b.create("there", "")
	for name, tc := range tests {
		out := b.do("set", `{"create":{"k":`+tc.object+`}}`)
		if tc.kind == "" {
			if created, ok := out["created"].(map[string]any); !ok || len(created["k"].(map[string]any)) != 2 {
				t.Errorf("%s: %v, want only id and expires told", name, out)
			}
			continue
		}
		refused, ok := out["notCreated"].(map[string]any)
		if !ok {
			t.Errorf("%s: %v, want %s", name, out, tc.kind)
			continue
		}
		e := refused["k"].(map[string]any)
		properties, _ := e["properties"].([]any)
		text, _ := e["description"].(string)
		if e["type"] != tc.kind || !cmp.Equal(properties, tc.properties) || !strings.Contains(text, tc.text) || strings.Contains(text, "secret") {
			t.Errorf("%s: %v, want %s of %v with %q", name, e, tc.kind, tc.properties, tc.text)
		}
		if tc.kind == "alreadyExists" && e["existingId"] != there {
			t.Errorf("%s: existingId %v, want %s", name, e["existingId"], there)
		}
	}
}

func TestAnAccountHasABoundedNumberOfSubscriptions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var first string
	for i := range maxPerUser {
		id := b.create(fmt.Sprint("d", i), "")
		if i == 0 {
			first = id
		}
	}
	more := `{"create":{"k":{"deviceClientId":"more","url":"` + b.endpoint("more") + `"}}}`
	if out := b.do("set", more); !strings.Contains(fmt.Sprint(out["notCreated"]), "overQuota") {
		t.Errorf("one more: %v, want overQuota", out)
	}
	// One that is destroyed in the same call makes room.
	out := b.do("set", strings.Replace(more, `{"create"`, `{"destroy":["`+first+`"],"create"`, 1))
	if out["created"] == nil || !cmp.Equal(out["destroyed"], []any{first}) {
		t.Errorf("one for another: %v", out)
	}
	b.clock.advance(maxLifetime)
	if out := b.do("set", more); out["created"] == nil {
		t.Errorf("when the others have expired: %v", out)
	}
}

func TestSubscriptionsAreMadeAtABoundedRate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range maxCreations {
		b.do("set", `{"destroy":["`+b.create("d", "")+`"]}`)
	}
	again := `{"create":{"k":{"deviceClientId":"d","url":"` + b.endpoint("d") + `"}}}`
	if out := b.do("set", again); !strings.Contains(fmt.Sprint(out["notCreated"]), "rateLimit") {
		t.Errorf("one more: %v, want rateLimit", out)
	}
	b.clock.advance(creationWindow)
	if out := b.do("set", again); out["created"] == nil {
		t.Errorf("an hour later: %v", out)
	}
}

func TestAnUpdateChangesWhatMayChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create("d", "")
	b.look(b.service, id)
	code := b.code(nil)
	tests := []struct {
		name, patch string
		updated     any
		kind        string
		properties  []any
	}{
		{name: "wrong code", patch: `{"verificationCode":"guess"}`, kind: "invalidProperties", properties: []any{"verificationCode"}},
		{name: "wrong code with a good change", patch: `{"verificationCode":"guess","types":["Email"]}`, kind: "invalidProperties", properties: []any{"verificationCode"}},
		{name: "no code yet", patch: `{"verificationCode":null}`},
		{name: "right code", patch: `{"verificationCode":"` + code + `"}`},
		{name: "right code again", patch: `{"verificationCode":"` + code + `"}`},
		{name: "code taken back", patch: `{"verificationCode":null}`, kind: "invalidProperties", properties: []any{"verificationCode"}},
		{name: "types", patch: `{"types":["Email","Mailbox"]}`},
		{name: "wrong types", patch: `{"types":"Email"}`, kind: "invalidProperties", properties: []any{"types"}},
		{name: "shorter", patch: `{"expires":"2026-11-24T12:00:00Z"}`},
		{name: "longer than allowed", patch: `{"expires":"2027-11-24T12:00:00Z"}`, updated: map[string]any{"expires": "2026-11-30T12:00:00Z"}},
		{name: "as long as allowed", patch: `{"expires":null}`, updated: map[string]any{"expires": "2026-11-30T12:00:00Z"}},
		{name: "past", patch: `{"expires":"2025-11-24T12:00:00Z"}`, kind: "invalidProperties", properties: []any{"expires"}},
		{name: "same fixed properties", patch: `{"id":"` + id + `","deviceClientId":"d","url":"` + b.endpoint("d") + `","keys":null}`},
		{name: "other fixed properties", patch: `{"id":"x","deviceClientId":"e","url":"https://push.example/","keys":{"p256dh":"x","auth":"y"}}`, kind: "invalidProperties", properties: []any{"id", "deviceClientId", "url", "keys"}},
		{name: "no url", patch: `{"url":null}`, kind: "invalidProperties", properties: []any{"url"}},
		{name: "unknown property", patch: `{"colour":"red"}`, kind: "invalidProperties", properties: []any{"colour"}},
		{name: "broken pointer", patch: `{"types/0":"Email"}`, kind: "invalidPatch"},
		{name: "too large", patch: `{"types":["` + strings.Repeat("T", maxObject) + `"]}`, kind: "tooLarge"},
	}
	for _, tc := range tests {
		out := b.do("set", `{"update":{"`+id+`":`+tc.patch+`}}`)
		if tc.kind == "" {
			if diff := cmp.Diff(map[string]any{id: tc.updated}, out["updated"]); diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", tc.name, out, diff)
			}
			continue
		}
		refused, ok := out["notUpdated"].(map[string]any)
		if !ok {
			t.Errorf("%s: %v, want %s", tc.name, out, tc.kind)
			continue
		}
		e := refused[id].(map[string]any)
		properties, _ := e["properties"].([]any)
		if e["type"] != tc.kind || !cmp.Equal(properties, tc.properties) {
			t.Errorf("%s: %v, want %s of %v", tc.name, e, tc.kind, tc.properties)
		}
	}
	want := []any{map[string]any{"id": id, "deviceClientId": "d", "verificationCode": code, "expires": "2026-11-30T12:00:00Z", "types": []any{"Email", "Mailbox"}}}
	if diff := cmp.Diff(want, b.do("get", `{}`)["list"]); diff != "" {
		t.Errorf("after all updates (-want +got):\n%s", diff)
	}
	b.clock.advance(48 * time.Hour)
	b.do("set", `{"update":{"`+id+`":{"expires":"2027-01-01T00:00:00Z"}}}`)
	if got := fmt.Sprint(b.do("get", `{"properties":["expires"]}`)["list"]); !strings.Contains(got, "2026-12-02T12:00:00Z") {
		t.Errorf("extended after two days: %s, want seven days from then", got)
	}
}

func TestObjectsThatAreNotThereAreNotFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create("d", `,"expires":"2026-11-23T13:00:00Z"`)
	out := b.do("set", `{"update":{"Pnone":{},"#none":{},"`+id+`":{}},"destroy":["Pnone","#none","`+id+`"]}`)
	want := map[string]any{
		"created": nil, "notCreated": nil, "updated": nil, "destroyed": []any{id},
		"notUpdated":   map[string]any{"Pnone": notFoundOrWillDestroy("willDestroy"), "#none": notFoundOrWillDestroy("notFound"), id: notFoundOrWillDestroy("willDestroy")},
		"notDestroyed": map[string]any{"Pnone": notFoundOrWillDestroy("notFound"), "#none": notFoundOrWillDestroy("notFound")},
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("PushSubscription/set (-want +got):\n%s", diff)
	}
	if n := b.records(); n != 0 {
		t.Errorf("%d records are left of a subscription that was destroyed", n)
	}
	id = b.create("d", `,"expires":"2026-11-23T13:00:00Z"`)
	b.clock.advance(time.Hour)
	if out := b.do("set", `{"update":{"`+id+`":{}}}`); !strings.Contains(fmt.Sprint(out["notUpdated"]), "notFound") {
		t.Errorf("update of one that expired: %v", out)
	}
	if out := b.do("get", `{"ids":["`+id+`","Pnone","#none","Pnone"]}`); !cmp.Equal(out, map[string]any{"list": []any{}, "notFound": []any{id, "Pnone", "#none"}}) {
		t.Errorf("get of some that are not there: %v", out)
	}
}

func notFoundOrWillDestroy(kind string) any { return map[string]any{"type": kind} }

func TestOneCallCreatesUpdatesAndDestroysByReference(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out := b.do("set", `{"create":{"k":{"deviceClientId":"d","url":"`+b.endpoint("d")+`"},"l":{"deviceClientId":"e","url":"`+b.endpoint("e")+`"}},"update":{"#l":{"types":["Email"]}},"destroy":["#k"]}`)
	k, l := b.call.CreatedIDs["k"], b.call.CreatedIDs["l"]
	if !cmp.Equal(out["updated"], map[string]any{l: nil}) || !cmp.Equal(out["destroyed"], []any{k}) || out["notDestroyed"] != nil {
		t.Errorf("PushSubscription/set: %v", out)
	}
	if got := b.do("get", `{"ids":["#k","#l"],"properties":["types"]}`); !cmp.Equal(got, map[string]any{"list": []any{map[string]any{"id": l, "types": []any{"Email"}}}, "notFound": []any{"#k"}}) {
		t.Errorf("PushSubscription/get: %v", got)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tests := map[string]struct{ method, args, kind string }{
		"account of get":   {"get", `{"accountId":"a1"}`, jmap.ErrorInvalidArguments},
		"account of set":   {"set", `{"accountId":"a1"}`, jmap.ErrorInvalidArguments},
		"state":            {"set", `{"ifInState":"1"}`, jmap.ErrorInvalidArguments},
		"ids":              {"get", `{"ids":["not an id"]}`, jmap.ErrorInvalidArguments},
		"too many ids":     {"get", `{"ids":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`, jmap.ErrorRequestTooLarge},
		"url":              {"get", `{"properties":["id","url"]}`, jmap.ErrorForbidden},
		"keys":             {"get", `{"properties":["keys"]}`, jmap.ErrorForbidden},
		"unknown property": {"get", `{"properties":["colour"]}`, jmap.ErrorInvalidArguments},
		"null patch":       {"set", `{"update":{"a":null}}`, jmap.ErrorInvalidArguments},
		"creation id":      {"set", `{"create":{"#":{}}}`, jmap.ErrorInvalidArguments},
		"too many objects": {"set", `{"destroy":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`, jmap.ErrorRequestTooLarge},
	}
	for name, tc := range tests {
		_, err := b.try(tc.method, tc.args)
		if e, ok := errors.AsType[*jmap.MethodError](err); !ok || e.Type != tc.kind {
			t.Errorf("%s: %v, want %s", name, err, tc.kind)
		}
	}
}

func TestALoginSeesItsOwnSubscriptionsAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.create("d", "")
	for name, change := range map[string]func(*jmap.Principal){
		"other application": func(p *jmap.Principal) { p.ClientID = "desktop" },
		"other user":        func(p *jmap.Principal) { p.AccountID = "a2" },
	} {
		other := *b.call.Principal
		change(&other)
		mine := b.call.Principal
		b.call.Principal = &other
		if out := b.do("get", `{}`); !cmp.Equal(out["list"], []any{}) {
			t.Errorf("%s sees %v", name, out)
		}
		out := b.do("set", `{"update":{"`+id+`":{}},"destroy":[]}`)
		if !cmp.Equal(out["notUpdated"], map[string]any{id: map[string]any{"type": "notFound"}}) {
			t.Errorf("%s updates: %v", name, out)
		}
		out = b.do("set", `{"destroy":["`+id+`"]}`)
		if !cmp.Equal(out["notDestroyed"], map[string]any{id: map[string]any{"type": "notFound"}}) {
			t.Errorf("%s destroys: %v", name, out)
		}
		b.call.Principal = mine
	}
	// A new token of the same login is the same login.
	b.call.Principal.TokenID = "another"
	if out := b.do("get", `{"properties":[]}`); !cmp.Equal(out["list"], []any{map[string]any{"id": id}}) {
		t.Errorf("the login sees %v", out)
	}
}

func TestADeviceThatSignsInWithAnotherApplicationLeavesItsOldSubscription(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create("d", "")
	b.call.Principal.ClientID = "new application"
	id := b.create("d", "")
	if out := b.do("get", `{"properties":[]}`); !cmp.Equal(out["list"], []any{map[string]any{"id": id}}) {
		t.Errorf("the new login sees %v", out)
	}
	if n := b.records(); n != 3 {
		t.Errorf("%d records, want the three of one subscription", n)
	}
}

func FuzzCreationsAreTakenOrRefused(f *testing.F) {
	f.Add(`{"deviceClientId":"d","url":"https://push.example/x"}`)
	f.Add(`{"deviceClientId":"d","url":"https://push.example/x","keys":{"p256dh":"","auth":""},"expires":"2026-11-24T00:00:00Z","types":[]}`)
	f.Add(`{"url":7}`)
	f.Add(`[]`)
	b := newBench(f)
	w := &setter{service: b.service, ctx: f.Context(), call: b.call, holder: holderOf(b.call.Principal)}
	f.Fuzz(func(t *testing.T, raw string) {
		if !json.Valid([]byte(raw)) {
			return
		}
		sub, err := w.parse(json.RawMessage(raw))
		if _, ok := errors.AsType[*jmap.SetError](err); err != nil && !ok {
			t.Fatalf("parse = %v, want a SetError", err)
		}
		if err == nil && (sub.DeviceClientID == "" || sub.Expires.After(b.clock.Now().Add(maxLifetime)) || b.service.o.Endpoints.Check(sub.URL) != nil) {
			t.Fatalf("parse takes %+v", sub)
		}
	})
}

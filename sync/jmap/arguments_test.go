package jmap

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outcome calls one method and returns the type of its error, or "ok", with the
// description.
func outcome(t *testing.T, method, args string) (kind, description string) {
	t.Helper()
	response, ok := ask(t, `[["`+method+`",`+args+`,"c"]]`)[0].([]any)
	if !ok {
		t.Fatal("response is no array")
	}
	if response[0] != "error" {
		return "ok", ""
	}
	e, _ := response[1].(map[string]any)
	kind, _ = e["type"].(string)
	description, _ = e["description"].(string)
	return kind, description
}

func TestArgumentsOfStandardMethodsAreChecked(t *testing.T) {
	t.Parallel()
	const invalid = ErrorInvalidArguments
	for _, test := range []struct{ method, args, kind, description string }{
		{"Widget/get", `{"accountId":"A1"}`, "ok", ""},
		{"Widget/get", `{"accountId":"A1","ids":null,"properties":null}`, "ok", ""},
		{"Widget/get", `{"accountId":"A2","ids":["a","#k"]}`, "ok", ""},
		{"Widget/get", `{"accountId":"A3"}`, "ok", ""},
		{"Widget/get", `{}`, invalid, "accountId: missing"},
		{"Widget/get", `{"accountId":null}`, invalid, "accountId: missing"},
		{"Widget/get", `{"accountId":7}`, invalid, "accountId: wrong type: number"},
		{"Widget/get", `{"accountId":"a b"}`, invalid, "accountId: not an Id"},
		{"Widget/get", `{"accountId":"A9"}`, ErrorAccountNotFound, ""},
		{"Widget/get", `{"AccountId":"A1"}`, invalid, "AccountId: unknown name"},
		{"Widget/get", `{"accountId":"A1","extra":1}`, invalid, "extra: unknown name"},
		{"Widget/get", `{"accountId":"A1","ids":"a"}`, invalid, "ids: wrong type: string"},
		{"Widget/get", `{"accountId":"A1","ids":[1]}`, invalid, "ids/0: wrong type: number"},
		{"Widget/get", `{"accountId":"A1","ids":[null]}`, invalid, "ids[0]"},
		{"Widget/get", `{"accountId":"A1","ids":["` + strings.Repeat("x", 256) + `"]}`, invalid, "ids[0]"},
		{"Widget/get", `{"accountId":"A1","ids":["a","b","c","d"]}`, ErrorRequestTooLarge, "maxObjectsInGet"},
		{"Widget/changes", `{"accountId":"A1","sinceState":"s"}`, "ok", ""},
		{"Widget/changes", `{"accountId":"A1","sinceState":"s","maxChanges":1}`, "ok", ""},
		{"Widget/changes", `{"accountId":"A9","sinceState":"s"}`, ErrorAccountNotFound, ""},
		{"Widget/changes", `{"accountId":"A1"}`, invalid, "sinceState: missing"},
		{"Widget/changes", `{"accountId":"A1","sinceState":"s","maxChanges":0}`, invalid, "maxChanges"},
		{"Widget/changes", `{"accountId":"A1","sinceState":"s","maxChanges":-1}`, invalid, "maxChanges"},
		{"Widget/changes", `{"accountId":"A1","sinceState":"s","maxChanges":1.5}`, invalid, "maxChanges"},
		{"Widget/changes", `{"accountId":"A1","sinceState":"s","maxChanges":9007199254740992}`, invalid, "maxChanges"},
		{"Widget/set", `{"accountId":"A1"}`, "ok", ""},
		{"Widget/set", `{"accountId":"A1","create":null,"update":null,"destroy":null,"ifInState":null}`, "ok", ""},
		{"Widget/set", `{"accountId":"A1","update":{"#k":{"name":"n"}},"destroy":["#k"]}`, "ok", ""},
		{"Widget/set", `{"accountId":"A3"}`, ErrorAccountReadOnly, ""},
		{"Widget/set", `{"accountId":"A9"}`, ErrorAccountNotFound, ""},
		{"Widget/set", `{"accountId":"A1","create":{"a":{},"b":{}},"destroy":["c","d"]}`, ErrorRequestTooLarge, "maxObjectsInSet"},
		{"Widget/set", `{"accountId":"A1","create":{"a b":{}}}`, invalid, "create"},
		{"Widget/set", `{"accountId":"A1","create":{"#a":{}}}`, invalid, "create"},
		{"Widget/set", `{"accountId":"A1","update":{"a b":{}}}`, invalid, "update"},
		{"Widget/set", `{"accountId":"A1","update":{"a":null}}`, invalid, "update"},
		{"Widget/set", `{"accountId":"A1","update":{"a":[]}}`, invalid, "update/a"},
		{"Widget/set", `{"accountId":"A1","destroy":["##"]}`, invalid, "destroy[0]"},
		{"Widget/copy", `{"fromAccountId":"A1","accountId":"A2","create":{"k":{"id":"x"}}}`, "ok", ""},
		{"Widget/copy", `{"fromAccountId":"A3","accountId":"A1","create":{}}`, "ok", ""},
		{"Widget/copy", `{"fromAccountId":"A1","accountId":"A1","create":{}}`, invalid, "fromAccountId"},
		{"Widget/copy", `{"fromAccountId":"A1","accountId":"A2"}`, invalid, "create: missing"},
		{"Widget/copy", `{"fromAccountId":"A1","accountId":"A2","create":{"a b":{}}}`, invalid, "create"},
		{"Widget/copy", `{"fromAccountId":"A1","accountId":"A2","create":{"a":{},"b":{},"c":{},"d":{}}}`, ErrorRequestTooLarge, "maxObjectsInSet"},
		{"Widget/query", `{"accountId":"A1","position":-3,"anchor":"a","anchorOffset":-1,"limit":0,"calculateTotal":true}`, "ok", ""},
		{"Widget/query", `{"accountId":"A9"}`, ErrorAccountNotFound, ""},
		{"Widget/query", `{"accountId":"A1","limit":-1}`, invalid, "limit"},
		{"Widget/query", `{"accountId":"A1","position":9007199254740992}`, invalid, "position"},
		{"Widget/query", `{"accountId":"A1","anchorOffset":-9007199254740992}`, invalid, "anchorOffset"},
		{"Widget/query", `{"accountId":"A1","anchor":""}`, invalid, "anchor"},
		{"Widget/query", `{"accountId":"A1","sort":[{"property":"size"},{"property":"keyword","isAscending":false,"collation":"i;octet","keyword":"$seen"}]}`, "ok", ""},
		{"Widget/query", `{"accountId":"A1","sort":[{"isAscending":true}]}`, invalid, "sort[0].property: missing"},
		{"Widget/query", `{"accountId":"A1","sort":[null]}`, invalid, "sort"},
		{"Widget/query", `{"accountId":"A1","sort":[{"property":1}]}`, invalid, "sort: property: wrong type"},
		{"Widget/query", `{"accountId":"A1","sort":["size"]}`, invalid, ""},
		{"Widget/queryChanges", `{"accountId":"A1","sinceQueryState":"q","upToId":"x","maxChanges":5}`, "ok", ""},
		{"Widget/queryChanges", `{"accountId":"A9","sinceQueryState":"q"}`, ErrorAccountNotFound, ""},
		{"Widget/queryChanges", `{"accountId":"A1"}`, invalid, "sinceQueryState: missing"},
		{"Widget/queryChanges", `{"accountId":"A1","sinceQueryState":"q","upToId":""}`, invalid, "upToId"},
		{"Widget/query", `{"accountId":"A1","sort":[` + strings.Repeat(`{"property":"size"},`, maxComparators) + `{"property":"size"}]}`, ErrorUnsupportedSort, "at most 16"},
		{"Widget/queryChanges", `{"accountId":"A1","sinceQueryState":"q","maxChanges":0}`, "ok", ""},
		{"Widget/queryChanges", `{"accountId":"A1","sinceQueryState":"q","maxChanges":-1}`, invalid, "maxChanges"},
		{"Widget/queryChanges", `{"accountId":"A1","sinceQueryState":"q","sort":[{}]}`, invalid, "sort[0].property"},
	} {
		t.Run(test.method+test.args[:min(len(test.args), 80)], func(t *testing.T) {
			t.Parallel()
			kind, description := outcome(t, test.method, test.args)
			if kind != test.kind || !strings.Contains(description, test.description) {
				t.Errorf("outcome %q %q, want %q %q", kind, description, test.kind, test.description)
			}
		})
	}
}

func TestComparatorsKeepDefaultsAndExtras(t *testing.T) {
	t.Parallel()
	args := &QueryArguments{}
	err := DecodeArguments([]byte(`{"accountId":"A1","sort":[{"property":"receivedAt"},{"property":"hasKeyword","isAscending":false,"keyword":"$flagged"}]}`), args)
	if err != nil {
		t.Fatal(err)
	}
	want := []Comparator{
		{Property: "receivedAt", IsAscending: true},
		{Property: "hasKeyword", Extra: map[string]json.RawMessage{"keyword": json.RawMessage(`"$flagged"`)}},
	}
	if diff := cmp.Diff(want, args.Sort); diff != "" {
		t.Errorf("sort (-want +got):\n%s", diff)
	}
}

func TestEmbeddedArgumentsTakeFurtherOnes(t *testing.T) {
	t.Parallel()
	type emailQuery struct {
		QueryArguments

		CollapseThreads bool `json:"collapseThreads"`
	}
	method := Handle(func(_ context.Context, _ *Call, a *emailQuery) (bool, error) { return a.CollapseThreads, nil })
	limits := DefaultLimits()
	call := func(args string) (any, error) {
		return method(t.Context(), &Call{Principal: testPrincipal(), Limits: &limits, Args: json.RawMessage(args)})
	}
	if got, err := call(`{"accountId":"A1","collapseThreads":true}`); err != nil || got != true {
		t.Errorf("result %v, %v", got, err)
	}
	var refused *MethodError
	if _, err := call(`{"accountId":"A1","limit":-1}`); !errors.As(err, &refused) || refused.Type != ErrorInvalidArguments {
		t.Errorf("the embedded arguments are not validated: %v", err)
	}
}

func TestObjectsToCreateAreDecodedStrictly(t *testing.T) {
	t.Parallel()
	type object struct {
		Name  string          `json:"name"`
		Count int64           `json:"count"`
		Tags  map[string]bool `json:"tags"`
	}
	for name, test := range map[string]struct {
		raw  string
		want []string
	}{
		"unknown":        {`{"name":"n","id":"x"}`, []string{"id"}},
		"all are listed": {`{"name":1,"count":"2","tags":{"a":3}}`, []string{"count", "name", "tags"}},
		"nested":         {`{"tags":{"a":"b"}}`, []string{"tags"}},
		"not an object":  {`["name"]`, nil},
		"null":           {`null`, nil},
		"broken":         {`{"name":`, []string{"name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := DecodeObject([]byte(test.raw), &object{})
			if err == nil {
				t.Fatal("accepted")
			}
			if err.Type != SetErrorInvalidProperties || err.Description == "" {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(test.want, err.Properties); diff != "" {
				t.Errorf("properties (-want +got):\n%s", diff)
			}
		})
	}
	got := object{}
	if err := DecodeObject([]byte(`{"name":"n","count":2,"tags":{"a":true}}`), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(object{Name: "n", Count: 2, Tags: map[string]bool{"a": true}}, got); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

func TestPatchesAreApplied(t *testing.T) {
	t.Parallel()
	const object = `{"name":"n","keywords":{"$seen":true,"a/b":true,"c~d":true},"alerts":{"1":{"offset":5}},"list":[1,{"x":1}],"n":1.50,"none":null}`
	for name, test := range map[string]struct{ patch, want string }{
		"nothing":              {`{}`, object},
		"replace":              {`{"name":"m"}`, `{"name":"m","keywords":{"$seen":true,"a/b":true,"c~d":true},"alerts":{"1":{"offset":5}},"list":[1,{"x":1}],"n":1.50,"none":null}`},
		"add":                  {`{"new":[1]}`, `{"new":[1],"name":"n","keywords":{"$seen":true,"a/b":true,"c~d":true},"alerts":{"1":{"offset":5}},"list":[1,{"x":1}],"n":1.50,"none":null}`},
		"null removes":         {`{"name":null,"absent":null,"keywords/absent":null}`, `{"keywords":{"$seen":true,"a/b":true,"c~d":true},"alerts":{"1":{"offset":5}},"list":[1,{"x":1}],"n":1.50,"none":null}`},
		"deep":                 {`{"alerts/1/offset":7,"keywords/$flagged":true,"keywords/$seen":null}`, `{"name":"n","keywords":{"$flagged":true,"a/b":true,"c~d":true},"alerts":{"1":{"offset":7}},"list":[1,{"x":1}],"n":1.50,"none":null}`},
		"escapes":              {`{"keywords/a~1b":null,"keywords/c~0d":null}`, `{"name":"n","keywords":{"$seen":true},"alerts":{"1":{"offset":5}},"list":[1,{"x":1}],"n":1.50,"none":null}`},
		"an array as a whole":  {`{"list":[]}`, `{"name":"n","keywords":{"$seen":true,"a/b":true,"c~d":true},"alerts":{"1":{"offset":5}},"list":[],"n":1.50,"none":null}`},
		"names that are alike": {`{"keywords":{},"keywordsX":1}`, `{"name":"n","keywords":{},"keywordsX":1,"alerts":{"1":{"offset":5}},"list":[1,{"x":1}],"n":1.50,"none":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parsePatch(t, test.patch).Apply(json.RawMessage(object))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, test.want), decode(t, string(got))); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvalidPatchesAreRefused(t *testing.T) {
	t.Parallel()
	const object = `{"name":"n","keywords":{"a":true},"list":[1,{"x":1}],"none":null}`
	for name, patch := range map[string]string{
		"inside an array":           `{"list/0":2}`,
		"through an array":          `{"list/1/x":2}`,
		"append to an array":        `{"list/-":2}`,
		"parent is missing":         `{"absent/x":1}`,
		"parent is missing, remove": `{"absent/x":null}`,
		"parent is null":            `{"none/x":1}`,
		"parent is a string":        `{"name/x":1}`,
		"prefix":                    `{"keywords":{},"keywords/a":true}`,
		"prefix deeper":             `{"keywords/a":true,"keywords/a/b":true}`,
		"bad escape":                `{"keywords/~2":true}`,
		"escape at the end":         `{"keywords/~":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parsePatch(t, patch).Apply(json.RawMessage(object))
			if err == nil || err.Type != SetErrorInvalidPatch || err.Description == "" {
				t.Errorf("got %s, error %v", got, err)
			}
		})
	}
	if _, err := (PatchObject{}).Apply(json.RawMessage(`[]`)); err == nil {
		t.Error("an array was patched")
	}
}

func TestPatchTellsItsProperties(t *testing.T) {
	t.Parallel()
	got := parsePatch(t, `{"mailboxIds/x":true,"keywords/a":null,"keywords/b":true,"a~1b":1}`).Properties()
	if diff := cmp.Diff([]string{"a/b", "keywords", "mailboxIds"}, got); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

func parsePatch(t *testing.T, raw string) PatchObject {
	t.Helper()
	patch := PatchObject{}
	if err := json.Unmarshal([]byte(raw), &patch); err != nil {
		t.Fatal(err)
	}
	return patch
}

type condition struct {
	Text    *string `json:"text"`
	MinSize int64   `json:"minSize"`
}

func TestFiltersAreParsedAndMatched(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		filter string
		want   bool
	}{
		"absent":          {``, true},
		"null":            {`null`, true},
		"empty condition": {`{}`, true},
		"condition":       {`{"minSize":5}`, true},
		"condition fails": {`{"minSize":50}`, false},
		"and":             {`{"operator":"AND","conditions":[{"minSize":5},{"minSize":50}]}`, false},
		"and of none":     {`{"operator":"AND","conditions":[]}`, true},
		"or":              {`{"operator":"OR","conditions":[{"minSize":50},{"minSize":5}]}`, true},
		"or of none":      {`{"operator":"OR","conditions":[]}`, false},
		"not":             {`{"operator":"NOT","conditions":[{"minSize":50},{"minSize":60}]}`, true},
		"not one":         {`{"operator":"NOT","conditions":[{"minSize":50},{"minSize":5}]}`, false},
		"nested":          {`{"operator":"NOT","conditions":[{"operator":"AND","conditions":[{"minSize":5},{"operator":"NOT","conditions":[]}]}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseFilter[condition](json.RawMessage(test.filter))
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(func(c *condition) bool { return c.MinSize <= 10 }); got != test.want {
				t.Errorf("matches: %v", got)
			}
		})
	}
}

func TestFilterConditionsCanBeWalked(t *testing.T) {
	t.Parallel()
	f, err := ParseFilter[condition](json.RawMessage(`{"operator":"AND","conditions":[{"minSize":1},{"operator":"OR","conditions":[{"minSize":2},{"minSize":3}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var seen []int64
	f.Walk(func(c *condition) { seen = append(seen, c.MinSize) })
	if diff := cmp.Diff([]int64{1, 2, 3}, seen); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	var none *Filter[condition]
	none.Walk(func(*condition) { t.Error("a condition in no filter") })
}

func TestBadFiltersAreRefused(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"operator":"NOT","conditions":[`, 40) + `{}` + strings.Repeat(`]}`, 40)
	wide := `{"operator":"OR","conditions":[{}` + strings.Repeat(`,{}`, 1000) + `]}`
	for name, test := range map[string]struct{ filter, kind string }{
		"not an object":          {`[]`, ErrorInvalidArguments},
		"string":                 {`"x"`, ErrorInvalidArguments},
		"child null":             {`{"operator":"AND","conditions":[null]}`, ErrorInvalidArguments},
		"unknown operator":       {`{"operator":"XOR","conditions":[]}`, ErrorInvalidArguments},
		"operator in lower case": {`{"operator":"and","conditions":[]}`, ErrorInvalidArguments},
		"operator is a number":   {`{"operator":1,"conditions":[]}`, ErrorInvalidArguments},
		"no conditions":          {`{"operator":"AND"}`, ErrorInvalidArguments},
		"operator and more":      {`{"operator":"AND","conditions":[],"minSize":1}`, ErrorInvalidArguments},
		"wrong type":             {`{"minSize":"big"}`, ErrorInvalidArguments},
		"unknown property":       {`{"colour":"red"}`, ErrorUnsupportedFilter},
		"unknown property deep":  {`{"operator":"NOT","conditions":[{"colour":"red"}]}`, ErrorUnsupportedFilter},
		"too deep":               {deep, ErrorUnsupportedFilter},
		"too wide":               {wide, ErrorUnsupportedFilter},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseFilter[condition](json.RawMessage(test.filter))
			var refused *MethodError
			if !errors.As(err, &refused) || refused.Type != test.kind {
				t.Errorf("error %v, want %q", err, test.kind)
			}
		})
	}
}

func TestErrorsReadInOneLine(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"invalidArguments: ids: 3 too many": InvalidArguments("ids: %d too many", 3),
		"forbidden":                         &MethodError{Type: ErrorForbidden},
		"invalidProperties: wrong":          InvalidProperties("wrong", "a"),
		"about:blank: gone":                 NewProblem(404, "gone"),
		ProblemLimit + ": much":             NewLimitProblem(400, "maxSizeRequest", "much"),
	} {
		if err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
}

func TestErrorsEncodeAllTheirMembers(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]json.Marshaler{
		`{"type":"alreadyExists","existingId":"E1","description":"d","x":1}`: &SetError{Type: SetErrorAlreadyExists, ExistingID: "E1", Description: "d", Fields: map[string]any{"x": 1}},
		`{"type":"invalidProperties","properties":["a","b"]}`:                InvalidProperties("", "a", "b"),
		`{"type":"about:blank","title":"Not Found","status":404,"x":1}`:      Problem{Status: 404, Fields: map[string]any{"x": 1}},
		`{"type":"t","title":"T","status":400,"detail":"d","limit":"l"}`:     Problem{Type: "t", Title: "T", Status: 400, Detail: "d", Limit: "l"},
	} {
		raw, err := value.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decode(t, want), decode(t, string(raw))); diff != "" {
			t.Errorf("encoded (-want +got):\n%s", diff)
		}
	}
	bad := map[string]any{"c": make(chan int)}
	for _, value := range []json.Marshaler{&SetError{Fields: bad}, &MethodError{Fields: bad}, Problem{Fields: bad}} {
		if _, err := value.MarshalJSON(); err == nil {
			t.Errorf("%T with a channel was encoded", value)
		}
	}
	if got := errorResponse(&MethodError{Fields: bad}, "c"); string(got.Args) != `{"type":"serverFail"}` {
		t.Errorf("response %s", got.Args)
	}
}

package jmap

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func responses() []Invocation {
	return []Invocation{
		{Name: "Foo/changes", Args: json.RawMessage(`{"created":["f1","f4"],"n":5,"empty":[],"deep":{"a/b":{"~":"tilde"}}}`), ID: "t0"},
		{Name: "Foo/get", Args: json.RawMessage(`{"list":[{"id":"1","threadId":"t1","emailIds":["e1","e2"],"nested":[["x"],["y"]]},{"id":"2","threadId":"t2","emailIds":["e3"],"nested":[]}],"*":"star"}`), ID: "t1"},
		{Name: "Foo/set", Args: json.RawMessage(`{"second":true}`), ID: "t1"},
		{Name: "error", Args: json.RawMessage(`{"type":"unknownMethod"}`), ID: "t2"},
	}
}

func reference(of, name, path string) string {
	return `{"#ids":{"resultOf":"` + of + `","name":"` + name + `","path":"` + path + `"},"keep":[1.50]}`
}

func TestReferencesResolve(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ args, want string }{
		"none":                     {`{"ids":["#k"]}`, `{"ids":["#k"]}`},
		"array":                    {reference("t0", "Foo/changes", "/created"), `{"ids":["f1","f4"],"keep":[1.50]}`},
		"empty array":              {reference("t0", "Foo/changes", "/empty"), `{"ids":[],"keep":[1.50]}`},
		"number":                   {reference("t0", "Foo/changes", "/n"), `{"ids":5,"keep":[1.50]}`},
		"index":                    {reference("t0", "Foo/changes", "/created/1"), `{"ids":"f4","keep":[1.50]}`},
		"escapes":                  {reference("t0", "Foo/changes", "/deep/a~1b/~0"), `{"ids":"tilde","keep":[1.50]}`},
		"map":                      {reference("t1", "Foo/get", "/list/*/threadId"), `{"ids":["t1","t2"],"keep":[1.50]}`},
		"map flattens":             {reference("t1", "Foo/get", "/list/*/emailIds"), `{"ids":["e1","e2","e3"],"keep":[1.50]}`},
		"map of map":               {reference("t1", "Foo/get", "/list/*/emailIds/*"), `{"ids":["e1","e2","e3"],"keep":[1.50]}`},
		"map flattens one level":   {reference("t1", "Foo/get", "/list/*/nested"), `{"ids":[["x"],["y"]],"keep":[1.50]}`},
		"map of an empty array":    {reference("t0", "Foo/changes", "/empty/*/x"), `{"ids":[],"keep":[1.50]}`},
		"star is a name in object": {reference("t1", "Foo/get", "/*"), `{"ids":"star","keep":[1.50]}`},
		"escaped hash":             {`{"\u0023ids":{"resultOf":"t0","name":"Foo/changes","path":"/n"}}`, `{"ids":5}`},
		"the whole response":       {reference("t2", "error", ""), `{"ids":{"type":"unknownMethod"},"keep":[1.50]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := resolveArguments(json.RawMessage(test.args), responses(), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, test.want), decode(t, string(got))); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if strings.Contains(test.args, "1.50") && !strings.Contains(string(got), "1.50") {
				t.Errorf("arguments %s lost the spelling of a number", got)
			}
		})
	}
}

func TestReferencesThatDoNotResolveAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ args, kind string }{
		"value and reference":     {`{"ids":[],"#ids":{"resultOf":"t0","name":"Foo/changes","path":"/created"}}`, ErrorInvalidArguments},
		"unknown call":            {reference("t9", "Foo/changes", "/created"), ErrorInvalidResultReference},
		"other name":              {reference("t0", "Foo/get", "/created"), ErrorInvalidResultReference},
		"only the first response": {reference("t1", "Foo/set", "/second"), ErrorInvalidResultReference},
		"call that failed":        {reference("t2", "Foo/get", "/list"), ErrorInvalidResultReference},
		"no such member":          {reference("t0", "Foo/changes", "/absent"), ErrorInvalidResultReference},
		"no such member in one":   {reference("t1", "Foo/get", "/list/*/absent"), ErrorInvalidResultReference},
		"beyond the end":          {reference("t0", "Foo/changes", "/created/2"), ErrorInvalidResultReference},
		"index with leading zero": {reference("t0", "Foo/changes", "/created/01"), ErrorInvalidResultReference},
		"index with sign":         {reference("t0", "Foo/changes", "/created/+1"), ErrorInvalidResultReference},
		"index past the end":      {reference("t0", "Foo/changes", "/created/-"), ErrorInvalidResultReference},
		"index is a name":         {reference("t0", "Foo/changes", "/created/x"), ErrorInvalidResultReference},
		"empty index":             {reference("t0", "Foo/changes", "/created/"), ErrorInvalidResultReference},
		"below a number":          {reference("t0", "Foo/changes", "/n/x"), ErrorInvalidResultReference},
		"no slash":                {reference("t0", "Foo/changes", "created"), ErrorInvalidResultReference},
		"bad escape":              {reference("t0", "Foo/changes", "/~3"), ErrorInvalidResultReference},
		"not an object":           {`{"#ids":"t0"}`, ErrorInvalidResultReference},
		"null":                    {`{"#ids":null}`, ErrorInvalidResultReference},
		"no path":                 {`{"#ids":{"resultOf":"t0","name":"Foo/changes"}}`, ErrorInvalidResultReference},
		"wrong type":              {`{"#ids":{"resultOf":0,"name":"Foo/changes","path":""}}`, ErrorInvalidResultReference},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := resolveArguments(json.RawMessage(test.args), responses(), 1<<20)
			var refused *MethodError
			if !errors.As(err, &refused) || refused.Type != test.kind || refused.Description == "" {
				t.Errorf("got %s, error %v, want %q", got, err, test.kind)
			}
		})
	}
}

func TestReferencesChainThroughARequest(t *testing.T) {
	t.Parallel()
	got := ask(t, `[["Widget/get",{"accountId":"A1","ids":["w1","w2"]},"a"],
		["Widget/get",{"accountId":"A1","#ids":{"resultOf":"a","name":"Widget/get","path":"/list/*/name"}},"b"],
		["Widget/get",{"accountId":"A1","#ids":{"resultOf":"b","name":"Widget/get","path":"/list/0"}},"c"],
		["Core/echo",{"#x":{"resultOf":"c","name":"Widget/get","path":"/list"}},"d"]]`)
	want := `[["Widget/get",{"accountId":"A1","state":"s1","list":[{"name":"w1"},{"name":"w2"}],"notFound":[]},"a"],
		["Widget/get",{"accountId":"A1","state":"s1","list":[{"name":"w1"},{"name":"w2"}],"notFound":[]},"b"],
		["error",{"type":"invalidArguments","description":"ids: wrong type: object","arguments":["ids"]},"c"],
		["error",{"type":"invalidResultReference","description":"#x: the first response of call \"c\" is \"error\", not \"Widget/get\""},"d"]]`
	if diff := cmp.Diff(decode(t, want), any(got)); diff != "" {
		t.Errorf("responses (-want +got):\n%s", diff)
	}
}

func TestReferencesCannotMultiplyWhatTheyReferTo(t *testing.T) {
	t.Parallel()
	whole := `{"resultOf":"t1","name":"Foo/get","path":""}`
	size := int64(len(responses()[1].Args))
	if _, err := resolveArguments(json.RawMessage(`{"#a":`+whole+`,"#b":`+whole+`}`), responses(), 2*size); err != nil {
		t.Errorf("references within the limit: %v", err)
	}
	many := &strings.Builder{}
	for i := range maxReferences + 1 {
		many.WriteString(`,"#a` + strings.Repeat("x", i) + `":` + whole)
	}
	for args, kind := range map[string]string{
		`{"#a":` + whole + `,"#b":` + whole + `}`: ErrorInvalidResultReference,
		"{" + many.String()[1:] + "}":             ErrorInvalidArguments,
	} {
		var refused *MethodError
		if got, err := resolveArguments(json.RawMessage(args), responses(), 2*size-1); !errors.As(err, &refused) || refused.Type != kind {
			t.Errorf("got %d octets, error %v, want %q", len(got), err, kind)
		}
	}
}

func TestCallsThatDoubleTheirAnswersEndAtTheLimit(t *testing.T) {
	t.Parallel()
	calls := []string{`["Core/echo",{"x":"` + strings.Repeat("x", 1000) + `"},"0"]`}
	for i := range 63 {
		ref := `{"resultOf":"` + strconv.Itoa(i) + `","name":"Core/echo","path":""}`
		calls = append(calls, `["Core/echo",{"#a":`+ref+`,"#b":`+ref+`},"`+strconv.Itoa(i+1)+`"]`)
	}
	limits := DefaultLimits()
	limits.MaxSizeRequest = 1 << 20
	service, err := NewService(Options{BaseURL: "https://mail.example", Limits: limits, Blobs: blobs{}})
	if err != nil {
		t.Fatal(err)
	}
	answer, problem := service.Process(t.Context(), testPrincipal(), []byte(`{"using":["`+CoreCapability+`"],"methodCalls":[`+strings.Join(calls, ",")+`]}`))
	if problem != nil {
		t.Fatal(problem)
	}
	if size := int64(len(answer)); size > 4*limits.MaxSizeRequest || !strings.Contains(string(answer), ErrorInvalidResultReference) {
		t.Errorf("the answer has %d octets", size)
	}
}

func TestCallsAfterAFullAnswerAreRefused(t *testing.T) {
	t.Parallel()
	b := testService(t).newBatch(testPrincipal(), &Request{Using: []string{CoreCapability}})
	call := Invocation{Name: "Core/echo", Args: json.RawMessage(`{}`), ID: "0"}
	b.size = maxAnswer - 1
	b.run(t.Context(), call)
	b.run(t.Context(), call)
	if diff := cmp.Diff([]string{"Core/echo", "error"}, []string{b.responses[0].Name, b.responses[1].Name}); diff != "" {
		t.Errorf("responses (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(b.responses[1].Args), ErrorRequestTooLarge) {
		t.Errorf("refused with %s", b.responses[1].Args)
	}
}

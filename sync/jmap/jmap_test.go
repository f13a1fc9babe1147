package jmap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const mailURI = "urn:ietf:params:jmap:mail"

func testPrincipal() *Principal {
	return &Principal{
		Tenant: "agency/agency", AccountID: "A1", Address: "ada@agency.example", Name: "Ada",
		Expires: time.Now().Add(time.Hour),
		Shared: []SharedAccount{
			{AccountID: "A2", Name: "Team"},
			{AccountID: "A3", Name: "Archive", ReadOnly: true},
		},
	}
}

type blobs struct{ Blobs }

func (blobs) Copy(_ context.Context, from, to, id string) (string, error) {
	switch id {
	case "missing":
		return "", fmt.Errorf("copy: %w", ErrBlobNotFound)
	case "large":
		return "", ErrBlobTooLarge
	case "full":
		return "", ErrOverQuota
	case "broken":
		return "", errors.New("disk on fire")
	}
	return from + to + id, nil
}

type widget struct {
	Name string `json:"name"`
}

func testService(t *testing.T) *Service {
	t.Helper()
	limits := DefaultLimits()
	limits.MaxCallsInRequest = 4
	limits.MaxObjectsInGet = 3
	limits.MaxObjectsInSet = 3
	s, err := NewService(Options{
		BaseURL: "https://mail.example",
		Limits:  limits,
		Blobs:   blobs{},
		Capabilities: []Capability{{
			URI:     mailURI,
			Account: map[string]int{"maxMailboxDepth": 10},
			Methods: testMethods(),
		}},
	})
	if err != nil {
		t.Fatalf("NewService: %v", err)
	}
	return s
}

func testMethods() map[string]Method {
	return map[string]Method{
		"Widget/get": Handle(func(_ context.Context, _ *Call, a *GetArguments) (*GetResponse[widget], error) {
			r := &GetResponse[widget]{AccountID: a.AccountID, State: "s1"}
			for _, id := range a.IDs {
				r.List = append(r.List, widget{Name: id})
			}
			return r, nil
		}),
		"Widget/changes":      Handle(func(_ context.Context, _ *Call, a *ChangesArguments) (any, error) { return a, nil }),
		"Widget/query":        Handle(func(_ context.Context, _ *Call, a *QueryArguments) (any, error) { return a, nil }),
		"Widget/queryChanges": Handle(func(_ context.Context, _ *Call, a *QueryChangesArguments) (any, error) { return a, nil }),
		"Widget/copy":         Handle(func(_ context.Context, _ *Call, a *CopyArguments) (any, error) { return a, nil }),
		"Widget/set": Handle(func(_ context.Context, call *Call, a *SetArguments) (*SetResponse, error) {
			r := &SetResponse{AccountID: a.AccountID, NewState: "s2"}
			for creation := range a.Create {
				call.CreatedIDs[creation] = "W" + creation
				setIn(&r.Created, creation, any(map[string]string{"id": "W" + creation}))
			}
			call.AddResponse("Other/set", map[string]string{"accountId": a.AccountID})
			return r, nil
		}),
		"Widget/resolve": func(_ context.Context, call *Call) (any, error) {
			id, ok := call.ResolveID("#k")
			return map[string]any{"id": id, "ok": ok}, nil
		},
		"Widget/panic":       func(context.Context, *Call) (any, error) { panic("secret value") },
		"Widget/nil":         func(_ context.Context, call *Call) (any, error) { return call.Principal.shared("none").Name, nil },
		"Widget/fail":        func(context.Context, *Call) (any, error) { return nil, errors.New("secret value") },
		"Widget/unencodable": func(context.Context, *Call) (any, error) { return make(chan int), nil },
		"Widget/refuse": func(context.Context, *Call) (any, error) {
			return nil, fmt.Errorf("layer: %w", &MethodError{Type: ErrorStateMismatch, Description: "old", Fields: map[string]any{"extra": 1}})
		},
	}
}

// ask processes method calls and returns the decoded methodResponses.
func ask(t *testing.T, calls string) []any {
	t.Helper()
	body := `{"using":["` + CoreCapability + `","` + mailURI + `"],"methodCalls":` + calls + `}`
	raw, problem := testService(t).Process(t.Context(), testPrincipal(), []byte(body))
	if problem != nil {
		t.Fatalf("Process: %v", problem)
	}
	var answer struct {
		MethodResponses []any  `json:"methodResponses"`
		SessionState    string `json:"sessionState"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("answer %s: %v", raw, err)
	}
	if answer.SessionState == "" {
		t.Error("no sessionState")
	}
	return answer.MethodResponses
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("test value %s: %v", text, err)
	}
	return v
}

func TestRequestsThatAreNotIJSONAreRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":                       ``,
		"not JSON":                    `{"using":`,
		"trailing data":               `{"using":[],"methodCalls":[]} {}`,
		"duplicate name":              `{"using":[],"using":[],"methodCalls":[]}`,
		"duplicate name by an escape": `{"using":[],"\u0075sing":[],"methodCalls":[]}`,
		"duplicate name deep inside":  `{"using":[],"methodCalls":[["Core/echo",{"a":{"b":1,"b":2}},"c"]]}`,
		"invalid UTF-8":               "{\"using\":[\"\xff\"],\"methodCalls\":[]}",
		"UTF-8 of a surrogate":        "{\"using\":[\"\xed\xa0\x80\"],\"methodCalls\":[]}",
		"lone surrogate":              `{"using":["\ud800"],"methodCalls":[]}`,
		"reversed surrogates":         `{"using":["\udc00\ud800"],"methodCalls":[]}`,
		"noncharacter":                "{\"using\":[\"\uffff\"],\"methodCalls\":[]}",
		"escaped noncharacter":        `{"using":["\ufdd0"],"methodCalls":[]}`,
		"noncharacter of plane 1":     `{"using":["\ud83f\udffe"],"methodCalls":[]}`,
		"byte order mark":             "\ufeff{\"using\":[],\"methodCalls\":[]}",
		"comment":                     `{"using":[],/**/"methodCalls":[]}`,
		"leading zero":                `{"using":[],"methodCalls":[["Core/echo",{"a":01},"c"]]}`,
		"too deep":                    `{"using":[],"methodCalls":[["Core/echo",{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `},"c"]]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, problem := ParseRequest([]byte(body))
			if problem == nil {
				t.Fatalf("accepted: %+v", req)
			}
			if problem.Type != ProblemNotJSON || problem.Status != http.StatusBadRequest {
				t.Errorf("problem = %v, status %d", problem, problem.Status)
			}
		})
	}
}

func TestIJSONThatIsNoRequestIsRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"array":                   `[]`,
		"null":                    `null`,
		"string":                  `"x"`,
		"no using":                `{"methodCalls":[]}`,
		"using null":              `{"using":null,"methodCalls":[]}`,
		"using of numbers":        `{"using":[1],"methodCalls":[]}`,
		"using of null":           `{"using":[null],"methodCalls":[]}`,
		"name in wrong case":      `{"Using":[],"methodCalls":[]}`,
		"no methodCalls":          `{"using":[]}`,
		"methodCalls null":        `{"using":[],"methodCalls":null}`,
		"call is an object":       `{"using":[],"methodCalls":[{}]}`,
		"call of two items":       `{"using":[],"methodCalls":[["a",{}]]}`,
		"call of four items":      `{"using":[],"methodCalls":[["a",{},"c","d"]]}`,
		"call name is a number":   `{"using":[],"methodCalls":[[1,{},"c"]]}`,
		"call arguments an array": `{"using":[],"methodCalls":[["a",[],"c"]]}`,
		"call arguments null":     `{"using":[],"methodCalls":[["a",null,"c"]]}`,
		"call id is a number":     `{"using":[],"methodCalls":[["a",{},1]]}`,
		"createdIds an array":     `{"using":[],"methodCalls":[],"createdIds":[]}`,
		"createdIds null":         `{"using":[],"methodCalls":[],"createdIds":null}`,
		"createdIds of numbers":   `{"using":[],"methodCalls":[],"createdIds":{"a":1}}`,
		"createdIds no Id":        `{"using":[],"methodCalls":[],"createdIds":{"a":"x y"}}`,
		"createdIds no Id as key": `{"using":[],"methodCalls":[],"createdIds":{"":"x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, problem := ParseRequest([]byte(body))
			if problem == nil {
				t.Fatalf("accepted: %+v", req)
			}
			if problem.Type != ProblemNotRequest || problem.Status != http.StatusBadRequest {
				t.Errorf("problem = %v, status %d", problem, problem.Status)
			}
		})
	}
}

func TestRequestIsParsedWhole(t *testing.T) {
	t.Parallel()
	got, problem := ParseRequest([]byte(`{"using":["a"],"future":{"x":[1]},"createdIds":{"k":"W1"},
		"methodCalls":[["Foo/get",{"ids":["é😀"]},"c1"],["Foo/set",{},""]]}`))
	if problem != nil {
		t.Fatalf("ParseRequest: %v", problem)
	}
	want := &Request{
		Using:      []string{"a"},
		CreatedIDs: map[string]string{"k": "W1"},
		Calls: []Invocation{
			{Name: "Foo/get", Args: json.RawMessage(`{"ids":["é😀"]}`), ID: "c1"},
			{Name: "Foo/set", Args: json.RawMessage(`{}`), ID: ""},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestUnknownCapabilityRefusesTheRequest(t *testing.T) {
	t.Parallel()
	_, problem := testService(t).Process(t.Context(), testPrincipal(), []byte(`{"using":["https://example.com/foobar"],"methodCalls":[]}`))
	if problem == nil || problem.Type != ProblemUnknownCapability || problem.Status != http.StatusBadRequest {
		t.Fatalf("problem = %v", problem)
	}
	if !strings.Contains(problem.Detail, `"https://example.com/foobar"`) {
		t.Errorf("detail does not name the capability: %q", problem.Detail)
	}
}

func TestMoreCallsThanTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	call := `["Core/echo",{},"c"]`
	body := `{"using":["` + CoreCapability + `"],"methodCalls":[` + strings.Join([]string{call, call, call, call, call}, ",") + `]}`
	_, problem := testService(t).Process(t.Context(), testPrincipal(), []byte(body))
	if problem == nil || problem.Type != ProblemLimit || problem.Limit != "maxCallsInRequest" {
		t.Fatalf("problem = %v", problem)
	}
	raw, err := json.Marshal(problem)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"urn:ietf:params:jmap:error:limit","limit":"maxCallsInRequest","status":400,"detail":"methodCalls: 5 calls, at most 4 fit one request: split it"}`
	if diff := cmp.Diff(decode(t, want), decode(t, string(raw))); diff != "" {
		t.Errorf("problem document (-want +got):\n%s", diff)
	}
}

func TestMethodsNeedTheirCapability(t *testing.T) {
	t.Parallel()
	for name, using := range map[string]string{"none": ``, "core only": `"` + CoreCapability + `"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := `{"using":[` + using + `],"methodCalls":[["Widget/get",{"accountId":"A1","ids":[]},"c"]]}`
			raw, problem := testService(t).Process(t.Context(), testPrincipal(), []byte(body))
			if problem != nil {
				t.Fatalf("Process: %v", problem)
			}
			if want := `[["error",{"type":"unknownMethod"},"c"]]`; !strings.Contains(string(raw), want) {
				t.Errorf("answer %s, want %s", raw, want)
			}
		})
	}
}

func TestCallsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ calls, want string }{
		"echo": {
			`[["Core/echo",{"hello":true,"high":5,"big":12345678901234567890.5},"b3ff"]]`,
			`[["Core/echo",{"hello":true,"high":5,"big":12345678901234567890.5},"b3ff"]]`,
		},
		"errors do not end the request": {
			`[["Nope/get",{},"c1"],["Core/echo",{"a":1},"c2"]]`,
			`[["error",{"type":"unknownMethod"},"c1"],["Core/echo",{"a":1},"c2"]]`,
		},
		"empty lists are lists": {
			`[["Widget/get",{"accountId":"A1","ids":[]},"c1"]]`,
			`[["Widget/get",{"accountId":"A1","state":"s1","list":[],"notFound":[]},"c1"]]`,
		},
		"implicit responses follow under the same call id": {
			`[["Widget/set",{"accountId":"A1","create":{"k":{}}},"c1"],["Widget/resolve",{},"c2"]]`,
			`[["Widget/set",{"accountId":"A1","oldState":null,"newState":"s2","created":{"k":{"id":"Wk"}},"updated":null,"destroyed":null,
				"notCreated":null,"notUpdated":null,"notDestroyed":null},"c1"],
			  ["Other/set",{"accountId":"A1"},"c1"],["Widget/resolve",{"id":"Wk","ok":true},"c2"]]`,
		},
		"unknown creation id": {
			`[["Widget/resolve",{},"c1"]]`,
			`[["Widget/resolve",{"id":"","ok":false},"c1"]]`,
		},
		"a method error reaches the client through wrapping": {
			`[["Widget/refuse",{},"c1"]]`,
			`[["error",{"type":"stateMismatch","description":"old","extra":1},"c1"]]`,
		},
		"a panic is serverFail and the next call runs": {
			`[["Widget/panic",{},"c1"],["Widget/nil",{},"c2"],["Core/echo",{},"c3"]]`,
			`[["error",{"type":"serverFail","description":"internal error, see the server's log"},"c1"],
			  ["error",{"type":"serverFail","description":"internal error, see the server's log"},"c2"],["Core/echo",{},"c3"]]`,
		},
		"an internal error keeps its text": {
			`[["Widget/fail",{},"c1"],["Widget/unencodable",{},"c2"]]`,
			`[["error",{"type":"serverFail","description":"internal error, see the server's log"},"c1"],
			  ["error",{"type":"serverFail","description":"internal error, see the server's log"},"c2"]]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(decode(t, test.want), any(ask(t, test.calls))); diff != "" {
				t.Errorf("responses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEchoKeepsTheOctetsOfItsArguments(t *testing.T) {
	t.Parallel()
	body := `{"using":["` + CoreCapability + `"],"methodCalls":[["Core/echo",{"n":1.50,"s":"<&>"},"c"]]}`
	raw, problem := testService(t).Process(t.Context(), testPrincipal(), []byte(body))
	if problem != nil {
		t.Fatalf("Process: %v", problem)
	}
	if want := `["Core/echo",{"n":1.50,"s":"<&>"},"c"]`; !strings.Contains(string(raw), want) {
		t.Errorf("answer %s, want %s", raw, want)
	}
}

func TestCallAfterTheDeadlineIsServerUnavailable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := NewService(Options{BaseURL: "https://mail.example", Limits: DefaultLimits(), Blobs: blobs{}, Capabilities: []Capability{{
		URI:     mailURI,
		Methods: map[string]Method{"Widget/wait": func(ctx context.Context, _ *Call) (any, error) { return nil, ctx.Err() }},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	raw, problem := s.Process(ctx, testPrincipal(), []byte(`{"using":["`+mailURI+`"],"methodCalls":[["Widget/wait",{},"c"]]}`))
	if problem != nil {
		t.Fatalf("Process: %v", problem)
	}
	if !strings.Contains(string(raw), `"serverUnavailable"`) {
		t.Errorf("answer %s", raw)
	}
}

func TestCreatedIDsArePassedThrough(t *testing.T) {
	t.Parallel()
	body := `{"using":["` + mailURI + `"],"createdIds":{"old":"W1"},"methodCalls":[["Widget/set",{"accountId":"A1","create":{"k":{}}},"c"]]}`
	raw, problem := testService(t).Process(t.Context(), testPrincipal(), []byte(body))
	if problem != nil {
		t.Fatalf("Process: %v", problem)
	}
	if want := `"createdIds":{"k":"Wk","old":"W1"}`; !strings.Contains(string(raw), want) {
		t.Errorf("answer %s, want %s", raw, want)
	}
	without, problem := testService(t).Process(t.Context(), testPrincipal(), []byte(`{"using":[],"methodCalls":[]}`))
	if problem != nil || strings.Contains(string(without), "createdIds") {
		t.Errorf("answer %s, problem %v: createdIds were not asked for", without, problem)
	}
}

func TestMethodOutcomesAreObserved(t *testing.T) {
	t.Parallel()
	var seen []string
	s, err := NewService(Options{
		BaseURL: "https://mail.example", Limits: DefaultLimits(), Blobs: blobs{},
		Observe: func(method, outcome string, _ time.Duration) { seen = append(seen, method+" "+outcome) },
	})
	if err != nil {
		t.Fatal(err)
	}
	body := `{"using":["` + CoreCapability + `"],"methodCalls":[["Core/echo",{},"a"],["Evil/label",{},"b"],["Blob/copy",{},"c"]]}`
	if _, problem := s.Process(t.Context(), testPrincipal(), []byte(body)); problem != nil {
		t.Fatal(problem)
	}
	want := []string{"Core/echo ok", "unknown unknownMethod", "Blob/copy invalidArguments"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func TestBlobCopy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ args, want string }{
		"each blob has its own outcome": {
			`{"fromAccountId":"A1","accountId":"A2","blobIds":["b1","missing","large"]}`,
			`["Blob/copy",{"fromAccountId":"A1","accountId":"A2","copied":{"b1":"A1A2b1"},"notCopied":{"missing":{"type":"blobNotFound"},"large":{"type":"tooLarge"}}},"c"]`,
		},
		"quota": {
			`{"fromAccountId":"A3","accountId":"A1","blobIds":["full"]}`,
			`["Blob/copy",{"fromAccountId":"A3","accountId":"A1","copied":null,"notCopied":{"full":{"type":"overQuota"}}},"c"]`,
		},
		"nothing to copy": {
			`{"fromAccountId":"A1","accountId":"A2","blobIds":[]}`,
			`["Blob/copy",{"fromAccountId":"A1","accountId":"A2","copied":null,"notCopied":null},"c"]`,
		},
		"store error":      {`{"fromAccountId":"A1","accountId":"A2","blobIds":["broken"]}`, `["error",{"type":"serverFail","description":"internal error, see the server's log"},"c"]`},
		"same account":     {`{"fromAccountId":"A1","accountId":"A1","blobIds":[]}`, `["error",{"type":"invalidArguments","description":"fromAccountId: must differ from accountId"},"c"]`},
		"no source":        {`{"accountId":"A1","blobIds":[]}`, `["error",{"type":"invalidArguments","description":"fromAccountId: missing"},"c"]`},
		"bad source":       {`{"fromAccountId":"!","accountId":"A1","blobIds":[]}`, `["error",{"type":"invalidArguments","description":"fromAccountId: not an Id"},"c"]`},
		"unknown source":   {`{"fromAccountId":"A9","accountId":"A1","blobIds":[]}`, `["error",{"type":"fromAccountNotFound"},"c"]`},
		"unknown target":   {`{"fromAccountId":"A1","accountId":"A9","blobIds":[]}`, `["error",{"type":"accountNotFound"},"c"]`},
		"read-only target": {`{"fromAccountId":"A1","accountId":"A3","blobIds":[]}`, `["error",{"type":"accountReadOnly"},"c"]`},
		"no blobs":         {`{"fromAccountId":"A1","accountId":"A2"}`, `["error",{"type":"invalidArguments","description":"blobIds: missing"},"c"]`},
		"bad blob id":      {`{"fromAccountId":"A1","accountId":"A2","blobIds":["a b"]}`, `["error",{"type":"invalidArguments","description":"blobIds[0]: not an Id"},"c"]`},
		"too many blobs": {
			`{"fromAccountId":"A1","accountId":"A2","blobIds":["a","b","c","d"]}`,
			`["error",{"type":"requestTooLarge","limit":"maxObjectsInSet","description":"more than 3 objects, the limit maxObjectsInSet: split the call"},"c"]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, `[["Blob/copy",`+test.args+`,"c"]]`)
			if diff := cmp.Diff(decode(t, "["+test.want+"]"), any(got)); diff != "" {
				t.Errorf("responses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCapabilitiesThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	echoes := map[string]Method{"Core/echo": echo}
	for name, c := range map[string]Capability{
		"core again":     {URI: CoreCapability},
		"no URI":         {},
		"method again":   {URI: mailURI, Methods: echoes},
		"not encodable":  {URI: mailURI, Session: make(chan int)},
		"not encodable2": {URI: mailURI, Account: make(chan int)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := NewService(Options{Limits: DefaultLimits(), Capabilities: []Capability{c}}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestSessionObject(t *testing.T) {
	t.Parallel()
	session, err := testService(t).Session(testPrincipal())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(session)
	if err != nil {
		t.Fatal(err)
	}
	capabilities := `{"urn:ietf:params:jmap:core":{},"urn:ietf:params:jmap:mail":{"maxMailboxDepth":10}}`
	want := `{
		"capabilities":{"urn:ietf:params:jmap:core":{"maxSizeUpload":75000000,"maxConcurrentUpload":8,"maxSizeRequest":10000000,"maxConcurrentRequests":16,
			"maxCallsInRequest":4,"maxObjectsInGet":3,"maxObjectsInSet":3,"collationAlgorithms":["i;ascii-casemap","i;octet","i;unicode-casemap"]},"urn:ietf:params:jmap:mail":{}},
		"accounts":{
			"A1":{"name":"ada@agency.example","isPersonal":true,"isReadOnly":false,"accountCapabilities":` + capabilities + `},
			"A2":{"name":"Team","isPersonal":false,"isReadOnly":false,"accountCapabilities":` + capabilities + `},
			"A3":{"name":"Archive","isPersonal":false,"isReadOnly":true,"accountCapabilities":` + capabilities + `}},
		"primaryAccounts":{"urn:ietf:params:jmap:mail":"A1"},
		"username":"ada@agency.example",
		"apiUrl":"https://mail.example/jmap/api",
		"downloadUrl":"https://mail.example/jmap/download/{accountId}/{blobId}/{name}?type={type}",
		"uploadUrl":"https://mail.example/jmap/upload/{accountId}/",
		"eventSourceUrl":"https://mail.example/jmap/eventsource?types={types}&closeafter={closeafter}&ping={ping}",
		"state":"` + session.State + `"}`
	if diff := cmp.Diff(decode(t, want), decode(t, string(raw))); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
}

func TestSessionStateChangesWithTheSession(t *testing.T) {
	t.Parallel()
	s := testService(t)
	state := func(p *Principal) string {
		session, err := s.Session(p)
		if err != nil {
			t.Fatal(err)
		}
		return session.State
	}
	same, other, fewer := testPrincipal(), testPrincipal(), testPrincipal()
	same.TokenID, same.Expires = "next", time.Now().Add(2*time.Hour)
	other.Address = "lovelace@agency.example"
	fewer.Shared = nil
	first := state(testPrincipal())
	if state(same) != first {
		t.Error("a new token changes the state")
	}
	if state(other) == first || state(fewer) == first {
		t.Error("a changed session keeps its state")
	}
}

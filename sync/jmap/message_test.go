package jmap

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMessagesOfAWebSocketAreParsed(t *testing.T) {
	t.Parallel()
	id, state := "R1", "aaa"
	for body, want := range map[string]*Message{
		`{"@type":"Request","id":"R1","using":["u"],"methodCalls":[]}`:                        {Type: MessageRequest, ID: &id, Request: &Request{Using: []string{"u"}}},
		`{"methodCalls":[],"using":[],"@type":"Request"}`:                                     {Type: MessageRequest, Request: &Request{Using: []string{}}},
		`{"@type":"WebSocketPushEnable","dataTypes":null}`:                                    {Type: MessagePushEnable, Push: &PushOrder{}},
		`{"@type":"WebSocketPushEnable","dataTypes":[]}`:                                      {Type: MessagePushEnable, Push: &PushOrder{Types: []string{}}},
		`{"@type":"WebSocketPushEnable","dataTypes":["Email","Mailbox"],"pushState":"aaa"}`:   {Type: MessagePushEnable, Push: &PushOrder{Types: []string{"Email", "Mailbox"}, State: &state}},
		`{"@type":"WebSocketPushDisable","id":"R1","other":{"id":"inner"}}`:                   {Type: MessagePushDisable, ID: &id},
		"\n{\"@type\":\"WebSocketPushDisable\"}":                                              {Type: MessagePushDisable},
		`{"@type":"\u0052equest","id":"\u00521","using":[],"methodCalls":[],"createdIds":{}}`: {Type: MessageRequest, ID: &id, Request: &Request{Using: []string{}, CreatedIDs: map[string]string{}}},
	} {
		got, problem := ParseMessage([]byte(body))
		if problem != nil {
			t.Errorf("%s: %v", body, problem)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestMessagesThatAreNoneAreRefusedWithTheirID(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, id, kind, detail string }{
		{`The quick brown fox`, "", ProblemNotJSON, "invalid at octet"},
		{``, "", ProblemNotJSON, "empty"},
		{`{"id":"a","@type":"Request"`, "a", ProblemNotJSON, "invalid at octet"},
		{`{"id":"a","id":"b"}`, "a", ProblemNotJSON, "twice"},
		{"{\"id\":\"a\",\"x\":\"\xff\"}", "a", ProblemNotJSON, "invalid"},
		{`{"id":"a","x":"\uffff"}`, "a", ProblemNotJSON, "noncharacter"},
		{`{"id":"a"} {}`, "a", ProblemNotJSON, "after the object"},
		{`[]`, "", ProblemNotRequest, "not an object"},
		{`{"id":"a"}`, "a", ProblemNotRequest, "@type: missing"},
		{`{"id":"a","@type":7}`, "a", ProblemNotRequest, "@type: missing or not"},
		{`{"id":"a","@type":"Response"}`, "a", ProblemNotRequest, "@type: send"},
		{`{"id":7,"@type":"WebSocketPushDisable"}`, "", ProblemNotRequest, "id: not a string"},
		{`{"id":null,"@type":"WebSocketPushDisable"}`, "", ProblemNotRequest, "id: not a string"},
		{`{"id":"a","@type":"Request","using":[]}`, "a", ProblemNotRequest, "methodCalls: missing"},
		{`{"id":"a","@type":"WebSocketPushEnable"}`, "a", ProblemNotRequest, "dataTypes: missing"},
		{`{"id":"a","@type":"WebSocketPushEnable","dataTypes":"Email"}`, "a", ProblemNotRequest, "dataTypes: not an array"},
		{`{"id":"a","@type":"WebSocketPushEnable","dataTypes":[1]}`, "a", ProblemNotRequest, "dataTypes: not a string"},
		{`{"id":"a","@type":"WebSocketPushEnable","dataTypes":null,"pushState":null}`, "a", ProblemNotRequest, "pushState: not a string"},
	} {
		m, problem := ParseMessage([]byte(tc.body))
		if problem == nil {
			t.Errorf("%s: accepted", tc.body)
			continue
		}
		got := ""
		if m.ID != nil {
			got = *m.ID
		}
		if got != tc.id || problem.Type != tc.kind || !strings.Contains(problem.Detail, tc.detail) || problem.Status != 400 || m.Request != nil {
			t.Errorf("%s: id %q, %d %v; want id %q, %q with %q", tc.body, got, problem.Status, problem, tc.id, tc.kind, tc.detail)
		}
	}
}

func TestAnswersOverAWebSocketRepeatTheID(t *testing.T) {
	t.Parallel()
	id := `a"b`
	for want, encode := range map[string]func() ([]byte, error){
		`{"@type":"Response","requestId":"a\"b","sessionState":"1"}`: func() ([]byte, error) { return EncodeResponse(&id, []byte(`{"sessionState":"1"}`)) },
		`{"@type":"Response","sessionState":"1"}`:                    func() ([]byte, error) { return EncodeResponse(nil, []byte(`{"sessionState":"1"}`)) },
		`{"@type":"RequestError","type":"about:blank","status":500,"title":"Internal Server Error","requestId":"a\"b","x":"y"}`: func() ([]byte, error) {
			return EncodeRequestError(&id, &Problem{Status: 500, Fields: map[string]any{"x": "y"}})
		},
		`{"@type":"RequestError","type":"about:blank","status":500,"title":"Internal Server Error"}`: func() ([]byte, error) { return EncodeRequestError(nil, &Problem{Status: 500}) },
	} {
		raw, err := encode()
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		var got, wanted any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if _, err := EncodeResponse(nil, []byte(`7`)); err == nil {
		t.Error("a response that is no object was encoded")
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(`{"@type":"Request","id":"R1","using":[],"methodCalls":[["Core/echo",{},"c"]]}`))
	f.Add([]byte(`{"@type":"WebSocketPushEnable","dataTypes":["Email"],"pushState":"a"}`))
	f.Add([]byte(`{"id":"a`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, problem := ParseMessage(body)
		if m == nil || (problem == nil) != (m.Type != "") {
			t.Errorf("%q: message %+v with problem %v", body, m, problem)
		}
		if _, refused := ParseRequest(body); problem == nil && (m.Type == MessageRequest) && refused != nil {
			t.Errorf("%q: a request over a WebSocket alone: %v", body, refused)
		}
	})
}

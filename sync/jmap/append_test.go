package jmap

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// same encodes a value in both ways and compares what a client reads.
func same(t *testing.T, value any) {
	t.Helper()
	want, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	got, err := encodeResult(value)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(got) {
		t.Fatalf("not JSON: %s", got)
	}
	if diff := cmp.Diff(decode(t, string(want)), decode(t, string(got))); diff != "" {
		t.Errorf("%s (-want +got):\n%s", want, diff)
	}
}

func TestResponsesOfGetAreWhatEncodingJSONWouldWrite(t *testing.T) {
	t.Parallel()
	text := "x"
	for name, list := range map[string]List[map[string]any]{
		"nothing": nil,
		"empty":   {},
		"rows": {
			{
				"id": "m1", "size": int64(12), "hasAttachment": true, "keywords": map[string]bool{"$seen": true}, "mailboxIds": map[string]bool{},
				"from": json.RawMessage(`[{"name":null,"email":"a@b.c"}]`), "subject": json.RawMessage(nil), "preview": "<&> \u2028 \"q\" \\ \x00\n \xff é",
			},
			nil,
			{
				"none": nil, "nil map": map[string]any(nil), "nil set": map[string]bool(nil), "nil list": []string(nil), "nil parts": []map[string]any(nil),
				"list": []string{"a", "b"}, "parts": []map[string]any{{"partId": nil, "subParts": []map[string]any{{}}}}, "other": struct {
					A *string `json:"a"`
					B float64 `json:"b"`
				}{&text, 1.5}, "an int": 7, "list of any": []any{1, "x", nil}, "empty list": List[int](nil),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same(t, &GetResponse[map[string]any]{AccountID: "A1", State: "7", List: list, NotFound: List[string]{"m2"}})
			same(t, &GetResponse[map[string]any]{List: list})
		})
	}
	same(t, &GetResponse[SessionAccount]{AccountID: "A1", List: List[SessionAccount]{{Name: "Ada"}}})
}

func TestResponseThatCannotBeEncodedIsAnError(t *testing.T) {
	t.Parallel()
	for _, value := range []any{make(chan int), map[string]any{"x": make(chan int)}, []map[string]any{{"x": make(chan int)}}} {
		_, err := encodeResult(&GetResponse[any]{List: List[any]{value}})
		if _, ok := errors.AsType[*json.UnsupportedTypeError](err); !ok {
			t.Errorf("%T: %v", value, err)
		}
	}
}

func FuzzGetResponse(f *testing.F) {
	f.Add("name", "text <b> \xff\u2028")
	f.Fuzz(func(t *testing.T, name, text string) {
		same(t, &GetResponse[map[string]any]{State: name, List: List[map[string]any]{{"id": text, "list": []string{name, text}, "set": map[string]bool{text: true}}}})
	})
}

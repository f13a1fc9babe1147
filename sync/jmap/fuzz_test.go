package jmap

import (
	"encoding/json"
	"testing"
)

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"using":["a"],"methodCalls":[["Foo/get",{"ids":["x"]},"c1"]],"createdIds":{"k":"W1"}}`))
	f.Add([]byte(`{"using":["\ud83f\udffe"],"methodCalls":[]}`))
	f.Add([]byte("{\"using\":[\"\xed\xa0\x80\"],\"methodCalls\":[[\"\",{},\"\"]]}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, problem := ParseRequest(body)
		if (req == nil) == (problem == nil) {
			t.Fatalf("request %v and problem %v", req, problem)
		}
		if problem != nil {
			return
		}
		for _, call := range req.Calls {
			if !json.Valid(call.Args) {
				t.Errorf("arguments are not JSON: %q", call.Args)
			}
		}
	})
}

func FuzzResolveArguments(f *testing.F) {
	f.Add([]byte(`{"#ids":{"resultOf":"t1","name":"Foo/get","path":"/list/*/emailIds/*"}}`))
	f.Add([]byte(`{"#ids":{"resultOf":"t0","name":"Foo/changes","path":"/deep/a~1b/~0"},"x":1}`))
	f.Fuzz(func(t *testing.T, args []byte) {
		if checkIJSON(args) != nil {
			return
		}
		got, err := resolveArguments(args, responses(), 1<<20)
		if err == nil && !json.Valid(got) {
			t.Errorf("arguments are not JSON: %q", got)
		}
	})
}

func FuzzApplyPatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1},"c":[1]}`), []byte(`{"a/b":2,"c":null}`))
	f.Add([]byte(`{}`), []byte(`{"":1,"/":2}`))
	f.Fuzz(func(t *testing.T, object, patch []byte) {
		p := PatchObject{}
		if json.Unmarshal(patch, &p) != nil || !json.Valid(object) {
			return
		}
		p.Properties()
		patched, refused := p.Apply(object)
		if refused != nil {
			return
		}
		if !json.Valid(patched) {
			t.Errorf("object is not JSON: %q", patched)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	f.Add([]byte(`{"operator":"AND","conditions":[{"minSize":1},{"operator":"NOT","conditions":[{"text":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		filter, err := ParseFilter[condition](raw)
		if err != nil {
			return
		}
		filter.Match(func(c *condition) bool {
			if c == nil {
				t.Error("a leaf without a condition")
			}
			return false
		})
	})
}

package mail

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzCutRow(f *testing.F) {
	for _, raw := range []string{
		`{}`, `{"from":[{"name":"Ann","email":"a@b.c"}],"preview":"say \"hi\" \u003c \u2028","subject":null,"to":[]}`, ` { "preview" : "spaced" , "x" : {"from":1} } `,
		`{"preview":"twice","preview":"again"}`, `[]`, ``, `{`, `{"preview"`, `{"preview":}`, `{"preview":1 2}`, `null`, `{"from":"` + "\xff" + `"}`,
	} {
		f.Add(raw)
	}
	names := []string{"from", "preview", "subject"}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := cutRow([]byte(raw), names)
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(raw), &want) != nil || want == nil {
			return // it is no object: what cutRow makes of it does not matter, as long as it ends
		}
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		for name := range want {
			if !slices.Contains(names, name) {
				delete(want, name)
			}
		}
		for name := range got {
			if _, known := want[name]; !known {
				t.Fatalf("%q has no %q", raw, name)
			}
		}
		for name, value := range got {
			if diff := cmp.Diff(string(want[name]), string(value)); diff != "" {
				t.Fatalf("%q: %s (-want +got):\n%s", raw, name, diff)
			}
		}
	})
}

func TestRowWithoutAnObjectIsAnError(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "null", "[]", "{", `{"preview"`, `{"preview":}`, `{"preview":1,`} {
		if row, err := cutRow([]byte(raw), []string{"preview"}); err == nil {
			t.Errorf("%q: %v", raw, row)
		}
	}
}

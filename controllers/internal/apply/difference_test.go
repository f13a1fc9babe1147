package apply

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func decoded(t testing.TB, raw string) map[string]any {
	t.Helper()
	fields, err := decodeFields([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestOnlyWhatTheIntentDeclaresIsCompared(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		intent, live string
		want         []string
	}{
		"the same":              {`{"spec":{"a":1}}`, `{"spec":{"a":1}}`, nil},
		"others added a field":  {`{"spec":{"a":1}}`, `{"spec":{"a":1,"b":2}}`, nil},
		"a value changed":       {`{"spec":{"a":1}}`, `{"spec":{"a":2}}`, []string{"spec.a"}},
		"a field is gone":       {`{"spec":{"a":1}}`, `{"spec":{}}`, []string{"spec.a"}},
		"a large number":        {`{"spec":{"a":9007199254740993}}`, `{"spec":{"a":9007199254740992}}`, []string{"spec.a"}},
		"null declares nothing": {`{"spec":{"a":null}}`, `{"spec":{"a":2}}`, nil},
		"empty is absent":       {`{"spec":{"a":{},"b":[],"c":{"d":{}}}}`, `{"spec":{}}`, nil},
		"status is not spec":    {`{"status":{"a":1}}`, `{"status":{"a":2}}`, nil},
		"another kind of value": {`{"spec":{"a":{"b":1},"c":[1]}}`, `{"spec":{"a":1,"c":1}}`, []string{"spec.a", "spec.c"}},
		"others added a named element, in another order": {
			`{"ports":[{"name":"b","port":2},{"name":"a","port":1}]}`, `{"ports":[{"name":"a","port":1},{"name":"x","port":9},{"name":"b","port":2}]}`, nil,
		},
		"a named element changed": {
			`{"ports":[{"name":"a","port":1}]}`, `{"ports":[{"name":"a","port":7}]}`, []string{"ports[a].port"},
		},
		"a named element is gone": {
			`{"ports":[{"name":"a","port":1}]}`, `{"ports":[{"name":"b","port":1}]}`, []string{"ports[a]"},
		},
		"a list without keys got longer": {`{"args":["a"]}`, `{"args":["a","b"]}`, []string{"args"}},
		"a list without keys changed":    {`{"args":["a","b"]}`, `{"args":["a","c"]}`, []string{"args[*]"}},
		"names that are not unique":      {`{"l":[{"name":"a","v":1},{"name":"a","v":2}]}`, `{"l":[{"name":"a","v":1},{"name":"a","v":3}]}`, []string{"l[a].v"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range differences(decoded(t, test.intent), decoded(t, test.live)) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDriftNamesWhoOwnsTheField(t *testing.T) {
	t.Parallel()
	entry := func(manager, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	selector := path{{field: "spec"}, {field: "selector"}, {field: "app"}}
	container := path{{field: "containers"}, {element: map[string]any{"name": "sync"}}, {field: "image"}}
	tests := map[string]struct {
		paths   []path
		managed []metav1.ManagedFieldsEntry
		want    string
	}{
		"the owner": {
			[]path{selector},
			[]metav1.ManagedFieldsEntry{entry("mallory", "", `{"f:spec":{"f:selector":{"f:app":{}}}}`), entry("alice", "", `{"f:spec":{"f:replicas":{}}}`)},
			`"mallory"`,
		},
		"the owner of an atomic field above": {
			[]path{selector}, []metav1.ManagedFieldsEntry{entry("mallory", "", `{"f:spec":{"f:selector":{}}}`), entry("alice", "", `{}`)}, `"mallory"`,
		},
		"the owner of a keyed element": {
			[]path{container},
			[]metav1.ManagedFieldsEntry{
				entry("mallory", "", `{"f:containers":{"k:{\"name\":\"sync\"}":{"f:image":{}}}}`),
				entry("alice", "", `{"f:containers":{"k:{\"name\":\"other\"}":{"f:image":{}}}}`),
			},
			`"mallory"`,
		},
		"several": {
			[]path{selector}, []metav1.ManagedFieldsEntry{entry("b", "", `{"f:spec":{"f:selector":{}}}`), entry("a", "", `{"f:spec":{"f:selector":{}}}`)}, `"a", "b"`,
		},
		"never ourselves":          {[]path{selector}, []metav1.ManagedFieldsEntry{entry("bailiwick", "", `{"f:spec":{"f:selector":{}}}`)}, "an unknown field manager"},
		"never who writes status":  {[]path{selector}, []metav1.ManagedFieldsEntry{entry("kubelet", "status", `{"f:spec":{"f:selector":{}}}`)}, "an unknown field manager"},
		"the last writer, removed": {[]path{selector}, []metav1.ManagedFieldsEntry{entry("remover", "", `{"f:metadata":{}}`)}, `"remover"`},
		"fields that are no JSON":  {[]path{selector}, []metav1.ManagedFieldsEntry{entry("odd", "", `{`)}, `"odd"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := culprits(test.paths, test.managed); got != test.want {
				t.Errorf("culprits are %s, want %s", got, test.want)
			}
		})
	}
}

func TestADriftNoteStaysShort(t *testing.T) {
	t.Parallel()
	var paths []path
	for field := range strings.SplitSeq("a b c d e f g", " ") {
		paths = append(paths, path{{field: field}})
	}
	got := driftNote(key{kind: schema.GroupVersionKind{Kind: "Service"}, name: "s"}, paths, nil)
	want := `corrected Service "s": a, b, c, d, e, and 2 more changed by an unknown field manager`
	if got != want {
		t.Errorf("note is %q, want %q", got, want)
	}
}

// FuzzDifferences holds two properties: what was applied does not differ from
// itself, and nothing panics on any two objects.
func FuzzDifferences(f *testing.F) {
	f.Add([]byte(`{"spec":{"a":[{"name":"x","b":1}]}}`), []byte(`{"spec":{"a":[{"name":"x","b":2}]}}`))
	f.Add([]byte(`{"a":[1,null,{"uid":"u"}]}`), []byte(`{"a":{}}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if !json.Valid(a) || !json.Valid(b) {
			return
		}
		left, err := decodeFields(a)
		if err != nil {
			return
		}
		right, err := decodeFields(b)
		if err != nil {
			return
		}
		_ = differences(left, right)
		if got := differences(left, left); len(got) > 0 {
			t.Errorf("%s differs from itself in %v", a, got)
		}
	})
}

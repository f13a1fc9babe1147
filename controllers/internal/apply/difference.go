package apply

import (
	"sort"
	"strings"
)

// step is one step of a path into an object: a field, or an element of a list.
type step struct {
	field   string
	element any
}

// path leads to one field.
type path []step

// String renders the path for people, such as spec.ports[https].port.
func (p path) String() string {
	var b strings.Builder
	for _, s := range p {
		if s.field == "" {
			b.WriteString("[" + elementName(s.element) + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.field)
	}
	return b.String()
}

func elementName(element any) string {
	if m, ok := element.(map[string]any); ok {
		if name, ok := m["name"].(string); ok {
			return name
		}
	}
	return "*"
}

func (p path) with(s step) path {
	next := make(path, len(p), len(p)+1)
	copy(next, p)
	return append(next, s)
}

// differences lists where live does not hold what intent declares, in the order
// of the names. What live holds beyond it belongs to others.
func differences(intent, live map[string]any) []path {
	var found []path
	compareFields(nil, intent, live, &found)
	return found
}

func compareFields(at path, intent, live map[string]any, found *[]path) {
	names := make([]string, 0, len(intent))
	for name := range intent {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		compareValue(at.with(step{field: name}), intent[name], live[name], found)
	}
}

func compareValue(at path, intent, live any, found *[]path) {
	if live == nil && isEmpty(intent) {
		return
	}
	switch want := intent.(type) {
	case map[string]any:
		have, ok := live.(map[string]any)
		if !ok {
			*found = append(*found, at)
			return
		}
		compareFields(at, want, have, found)
	case []any:
		have, ok := live.([]any)
		if !ok {
			*found = append(*found, at)
			return
		}
		compareList(at, want, have, found)
	default:
		if intent != live {
			*found = append(*found, at)
		}
	}
}

// compareList pairs elements by their key where they have one: others may add
// elements to such a list, and the API server keeps the order of the first
// writer. Lists without keys are compared whole, but for sets of strings that
// others may add to, which only finalizers are here.
func compareList(at path, intent, live []any, found *[]path) {
	if keyed := elementKey(intent); keyed != "" {
		compareKeyed(at, keyed, intent, live, found)
		return
	}
	if len(intent) != len(live) {
		*found = append(*found, at)
		return
	}
	for i := range intent {
		compareValue(at.with(step{element: intent[i]}), intent[i], live[i], found)
	}
}

func compareKeyed(at path, keyed string, intent, live []any, found *[]path) {
	byKey := make(map[any]any, len(live))
	for _, element := range live {
		if m, ok := element.(map[string]any); ok {
			byKey[m[keyed]] = element
		}
	}
	for _, element := range intent {
		m, _ := element.(map[string]any)
		compareValue(at.with(step{element: element}), element, byKey[m[keyed]], found)
	}
}

// elementKey tells which field names the elements of a list: "uid" (owner
// references), "name" (containers, volumes, ports), or none.
func elementKey(list []any) string {
	for _, candidate := range []string{"uid", "name"} {
		if all(list, candidate) {
			return candidate
		}
	}
	return ""
}

func all(list []any, field string) bool {
	seen := make(map[string]bool, len(list))
	for _, element := range list {
		m, ok := element.(map[string]any)
		if !ok {
			return false
		}
		value, ok := m[field].(string)
		if !ok || seen[value] {
			return false
		}
		seen[value] = true
	}
	return len(list) > 0
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, entry := range v {
			if !isEmpty(entry) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

package apply

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bailiwick-dev/bailiwick/api/v1alpha1"
)

// maxDriftFields bounds how many fields the note of one event names.
const maxDriftFields = 5

// driftNote says which fields somebody else changed, and who, as far as the
// managed fields of the live object tell.
func driftNote(k key, paths []path, managed []metav1.ManagedFieldsEntry) string {
	fields := make([]string, 0, maxDriftFields)
	for _, p := range paths {
		if len(fields) == maxDriftFields {
			fields = append(fields, fmt.Sprintf("and %d more", len(paths)-maxDriftFields))
			break
		}
		fields = append(fields, p.String())
	}
	return fmt.Sprintf("corrected %s %q: %s changed by %s", k.kind.Kind, k.name, strings.Join(fields, ", "), culprits(paths, managed))
}

// culprits names the field managers other than the operator that own one of the
// fields, sorted. A field that was removed is owned by nobody: then the manager
// that wrote last is named.
func culprits(paths []path, managed []metav1.ManagedFieldsEntry) string {
	owners := map[string]bool{}
	var last *metav1.ManagedFieldsEntry
	for i := range managed {
		entry := &managed[i]
		if entry.Manager == v1alpha1.FieldManager || entry.Subresource != "" {
			continue
		}
		if last == nil || (entry.Time != nil && last.Time.Before(entry.Time)) {
			last = entry
		}
		if ownsAny(entry, paths) {
			owners[quoted(entry)] = true
		}
	}
	if len(owners) == 0 && last != nil {
		owners[quoted(last)] = true
	}
	if len(owners) == 0 {
		return "an unknown field manager"
	}
	names := make([]string, 0, len(owners))
	for name := range owners {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

func quoted(entry *metav1.ManagedFieldsEntry) string {
	return fmt.Sprintf("%q", entry.Manager)
}

func ownsAny(entry *metav1.ManagedFieldsEntry, paths []path) bool {
	if entry.FieldsV1 == nil {
		return false
	}
	fields := map[string]any{}
	if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
		return false
	}
	for _, p := range paths {
		if owns(fields, p) {
			return true
		}
	}
	return false
}

// owns walks the FieldsV1 form of a field set: "f:name" for fields, "k:{…}" for
// keyed elements, "v:…" for elements of sets. A set that ends above the path owns
// all of what is below (atomic lists and maps).
func owns(fields map[string]any, p path) bool {
	for i, s := range p {
		if len(fields) == 0 {
			return i > 0
		}
		next := descend(fields, s)
		if next == nil {
			return false
		}
		fields = next
	}
	return true
}

func descend(fields map[string]any, s step) map[string]any {
	if s.field != "" {
		next, _ := fields["f:"+s.field].(map[string]any)
		return next
	}
	element, _ := s.element.(map[string]any)
	for name, value := range fields {
		encoded, keyed := strings.CutPrefix(name, "k:")
		next, ok := value.(map[string]any)
		if keyed && ok && matchesKey(encoded, element) {
			return next
		}
	}
	return nil
}

// matchesKey tells whether the element has the values of an encoded key such as
// {"containerPort":8443,"protocol":"TCP"}. What the element leaves out, the API
// server filled in, so it matches.
func matchesKey(encoded string, element map[string]any) bool {
	names := map[string]any{}
	if err := json.Unmarshal([]byte(encoded), &names); err != nil {
		return false
	}
	for name, value := range names {
		if declared, ok := element[name]; ok && fmt.Sprint(declared) != fmt.Sprint(value) {
			return false
		}
	}
	return true
}

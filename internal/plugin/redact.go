package plugin

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// redacted stands in place of what was taken out.
const redacted = "REDACTED"

// Redaction is a value that was taken out of a report.
type Redaction struct {
	// File of the report.
	File string `json:"file"`
	// Path of the field.
	Path string `json:"path"`
	// What was there.
	What string `json:"what"`
}

// secretName is how names of things that are secret end.
const secretName = `(?:password|passwd|pwd|passphrase|secret|token|dsn|credentials?|(?:api|access|account|private|secret|shared|signing)[-_.]?key)`

// secretField is the name of a field or flag whose value is secret.
var secretField = regexp.MustCompile(`(?i)` + secretName + `$`)

// patterns are what is secret wherever it stands: rather too much than too little.
var patterns = []struct {
	what  string
	found *regexp.Regexp
	left  string
}{
	{"URL with credentials", regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^/\n"']*@[^\s"']*`), redacted},
	{"private key", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`), redacted},
	{"token", regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*`), redacted},
	{"token", regexp.MustCompile(`(?i)\b(bearer|basic|dpop)\s+[A-Za-z0-9._~+/=-]{16,}`), "$1 " + redacted},
	{"value of a name that tells a secret", regexp.MustCompile(`(?i)(` + secretName + `["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,;&]+)`), "${1}" + redacted},
	{"mail address", regexp.MustCompile(`("?)[^\s@]+(@(?:[\pL\pN-]+\.)+[\pL\pN-]*\pL)`), "${1}" + redacted + "${2}"},
}

// shown are the annotations whose values tell how an object stands. Those of others may
// hold anything.
var shown = regexp.MustCompile(`^(?:[a-z]+\.)?bailiwick\.dev/|^deployment\.kubernetes\.io/revision$`)

// redactor takes out of the objects of a file what is secret or personal, and keeps a
// list of it.
type redactor struct {
	file string
	list []Redaction
}

// text redacts what stands in a text.
func (r *redactor) text(path, s string) string {
	for _, p := range patterns {
		if after := p.found.ReplaceAllString(s, p.left); after != s {
			r.took(path, p.what)
			s = after
		}
	}
	return s
}

func (r *redactor) took(path, what string) {
	r.list = append(r.list, Redaction{File: r.file, Path: path, What: what})
}

// value redacts the value of the field of a name.
func (r *redactor) value(path, name string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		if name == "annotations" || name == "volumeAttributes" || name == "options" {
			r.foreign(path, v)
		}
		r.fields(path, v)
	case []any:
		r.items(path, name, v)
	case string:
		if v != "" && v != redacted && secretField.MatchString(name) {
			r.took(path, "value of a name that tells a secret")
			return redacted
		}
		return r.text(path, v)
	}
	return value
}

// fields redacts fields in place. Those of managedFields repeat the names of others, to
// no use.
func (r *redactor) fields(path string, fields map[string]any) {
	delete(fields, "managedFields")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fields[name] = r.value(below(path, name), name, fields[name])
	}
}

// foreign takes out the values of a map in which others write what they like.
func (r *redactor) foreign(path string, values map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] != redacted && !shown.MatchString(name) {
			r.took(below(path, name), "value of an annotation or option")
			values[name] = redacted
		}
	}
}

// items redacts a list: of named values, of arguments, or of anything.
func (r *redactor) items(path, name string, items []any) {
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		named, _ := item.(map[string]any)
		switch _, has := named["value"]; {
		case has && (name == "env" || name == "httpHeaders"):
			r.took(below(at, "value"), "value of an environment variable or header")
			named["value"] = redacted
		case (name == "args" || name == "command") && i > 0 && isSecretFlag(items[i-1]):
			r.took(at, "value of a flag that tells a secret")
			items[i] = redacted
			continue
		}
		items[i] = r.value(at, "", item)
	}
}

// isSecretFlag tells whether the argument after this one is secret.
func isSecretFlag(argument any) bool {
	s, ok := argument.(string)
	return ok && strings.HasPrefix(s, "-") && secretField.MatchString(s)
}

// below is the path of a field of what is at a path.
func below(path, name string) string {
	switch {
	case strings.ContainsAny(name, "./"):
		return fmt.Sprintf("%s[%q]", path, name)
	case path == "":
		return name
	default:
		return path + "." + name
	}
}

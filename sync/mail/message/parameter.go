package message

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// parameters reads a value with parameters (RFC 2045 section 5.1), joining and decoding those that are split or
// carry a charset (RFC 2231), and decoding encoded words, which many senders put there. Names are in lower case.
func parameters(value string) (first string, params map[string]string) {
	first, rest, _ := strings.Cut(withoutComments(unfold(value)), ";")
	raw := map[string]string{}
	for rest != "" {
		var item string
		item, rest = cutParameter(rest)
		name, text, ok := strings.Cut(item, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := raw[name]; !ok || name == "" || twice {
			continue
		}
		raw[name] = unquote(strings.TrimSpace(text))
	}
	params = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		base, _, extended := strings.Cut(name, "*")
		if !extended {
			params[name] = DecodeWords(raw[name])
		} else if _, done := params[base+"*"]; !done {
			params[base+"*"] = continued(raw, base)
		}
	}
	for _, name := range slices.Collect(maps.Keys(params)) {
		if base, ok := strings.CutSuffix(name, "*"); ok {
			params[base] = params[name]
			delete(params, name)
		}
	}
	return strings.ToLower(strings.TrimSpace(first)), params
}

// cutParameter cuts at the next semicolon outside of a quoted string.
func cutParameter(s string) (item, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote removes the quotes and quoted pairs of a quoted string; anything else stays.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return s
	}
	var out strings.Builder
	for i := 1; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// continued joins the sections of a parameter (RFC 2231 sections 3 and 4).
func continued(raw map[string]string, base string) string {
	var octets strings.Builder
	charset := ""
	add := func(text string, encoded, leads bool) {
		if !encoded {
			octets.WriteString(text)
			return
		}
		if parts := strings.SplitN(text, "'", 3); leads && len(parts) == 3 {
			charset, text = parts[0], parts[2]
		}
		octets.WriteString(percent(text))
	}
	if text, ok := raw[base+"*"]; ok {
		add(text, true, true)
	}
	for i := range maxParts {
		section := base + "*" + strconv.Itoa(i)
		text, plain := raw[section]
		encodedText, encoded := raw[section+"*"]
		if !plain && !encoded {
			break
		}
		if encoded {
			text = encodedText
		}
		add(text, encoded, i == 0)
	}
	text, _ := Decode([]byte(octets.String()), charset)
	return text
}

func percent(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return s
}

// withoutComments removes comments in parentheses, which may be nested, outside of quoted strings.
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var out strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted && i+1 < len(s):
			out.WriteByte(s[i])
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '(' && !quoted:
			i = commentEnd(s, i) - 1
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// commentEnd returns where the comment that begins at an offset ends; an open one ends with the text.
func commentEnd(s string, at int) int {
	depth := 0
	for i := at; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// Package variables makes the environment of a container and expands $(NAME) references in it.
package variables

import "strings"

// Expand replaces $(NAME) by the value that lookup knows. $$ stands for one $, and a reference to an unknown name
// stays as it is written, as in Kubernetes.
func Expand(input string, lookup func(name string) (string, bool)) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(input, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text, remaining := reference(rest, lookup)
		out.WriteString(text)
		input = remaining
	}
}

// reference reads what follows a $ and returns its text and the input after it.
func reference(rest string, lookup func(name string) (string, bool)) (text, remaining string) {
	if after, ok := strings.CutPrefix(rest, "$"); ok {
		return "$", after
	}
	inner, ok := strings.CutPrefix(rest, "(")
	if !ok {
		return "$", rest
	}
	name, after, closed := strings.Cut(inner, ")")
	if !closed {
		return "$(", inner
	}
	if value, known := lookup(name); known {
		return value, after
	}
	return "$(" + name + ")", after
}

package label

import (
	"slices"
	"strings"
	"time"
)

// Header is the field that carries labels. Its value is a list of attributes, each of one label:
//
//	MSIP_Label_<id>_Enabled=true; MSIP_Label_<id>_SetDate=2026-11-23T12:00:00Z; MSIP_Label_<id>_Method=Privileged; …
const Header = "msip_labels"

const (
	prefix = "msip_label_"
	// idLength is the length of a UUID as text.
	idLength = 36
	// maxValue is how many octets of a value are read, and maxLabels how many labels: a message carries one of each
	// tenant that it passed through.
	maxValue  = 32 << 10
	maxLabels = 16
)

// Carried returns the ids of the labels that fields of this name enable, each once and in lower case, in their order.
// What is not understood is passed over: a sender may write anything.
func Carried(values []string) []string {
	var ids []string
	for _, value := range values {
		for attribute := range strings.SplitSeq(value[:min(len(value), maxValue)], ";") {
			id, ok := enabled(attribute)
			if !ok || slices.Contains(ids, id) {
				continue
			}
			if ids = append(ids, id); len(ids) == maxLabels {
				return ids
			}
		}
	}
	return ids
}

// enabled returns the id of the label that an attribute enables.
func enabled(attribute string) (id string, ok bool) {
	name, value, ok := strings.Cut(attribute, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(value), "true") {
		return "", false
	}
	rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(name)), prefix)
	if !ok || len(rest) <= idLength || rest[idLength:] != "_enabled" || !isID(rest[:idLength]) {
		return "", false
	}
	return rest[:idLength], true
}

// isID says whether a text is a UUID in lower case.
func isID(s string) bool {
	if len(s) != idLength {
		return false
	}
	for i, c := range []byte(s) {
		switch hyphen := i == 8 || i == 13 || i == 18 || i == 23; {
		case hyphen && c == '-':
		case hyphen, (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

// format writes the attributes of one label that a person chose ("Privileged").
func format(id string, at time.Time, site string) string {
	name := "MSIP_Label_" + id + "_"
	return strings.Join([]string{
		name + "Enabled=true",
		name + "SetDate=" + at.UTC().Format("2006-01-02T15:04:05Z"),
		name + "Method=Privileged",
		name + "SiteId=" + site,
	}, "; ")
}

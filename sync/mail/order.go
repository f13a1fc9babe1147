package mail

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// sortKey is what an email is sorted by for one comparator: a number or a text.
type sortKey struct {
	number int64
	text   string
}

// sortKeys read the keys of an email by the property of the comparator (RFC 8621 section 4.4.2).
var sortKeys = map[string]func(c *candidate, by jmap.Comparator) sortKey{
	"receivedAt": func(c *candidate, _ jmap.Comparator) sortKey { return sortKey{number: c.received} },
	"size":       func(c *candidate, _ jmap.Comparator) sortKey { return sortKey{number: c.meta().Size} },
	"sentAt":     func(c *candidate, _ jmap.Comparator) sortKey { return sortKey{number: c.sentAt()} },
	"from":       func(c *candidate, by jmap.Comparator) sortKey { return c.firstAddress("from", by.Collation) },
	"to":         func(c *candidate, by jmap.Comparator) sortKey { return c.firstAddress("to", by.Collation) },
	"subject":    (*candidate).baseSubject,
	"hasKeyword": func(c *candidate, by jmap.Comparator) sortKey { return truth(c.meta().has(keywordOf(by))) },
	"allInThreadHaveKeyword": func(c *candidate, by jmap.Comparator) sortKey {
		return truth(c.allInThread(keywordOf(by)))
	},
	"someInThreadHaveKeyword": func(c *candidate, by jmap.Comparator) sortKey {
		return truth(c.someInThread(keywordOf(by)))
	},
}

// sortOptions lists the properties that emails can be sorted by.
func sortOptions() []string {
	out := make([]string, 0, len(sortKeys))
	for name := range sortKeys {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// checkSort refuses comparators that are not supported or lack their keyword.
func checkSort(sort []jmap.Comparator) error {
	for _, c := range sort {
		if sortKeys[c.Property] == nil {
			return unsupportedSort("property " + c.Property)
		}
		if err := checkCollation(c); err != nil {
			return err
		}
		needs := strings.HasSuffix(c.Property, "Keyword")
		for name := range c.Extra {
			if name != "keyword" || !needs {
				return jmap.InvalidArguments("sort: %q does not belong to %s", name, c.Property)
			}
		}
		if needs && keywordOf(c) == "" {
			return jmap.InvalidArguments("sort: %s needs a keyword", c.Property)
		}
	}
	return nil
}

// keywordOf returns the keyword of a comparator in lower case, or nothing when it has none.
func keywordOf(c jmap.Comparator) string {
	var keyword string
	if json.Unmarshal(c.Extra["keyword"], &keyword) != nil {
		return ""
	}
	return strings.ToLower(keyword)
}

// byArrival says whether emails are sorted by receivedAt alone, as the indexes are, and in which direction. The
// newest come first when nothing is said.
func byArrival(sort []jmap.Comparator) (ascending, ok bool) {
	if len(sort) == 0 {
		return false, true
	}
	return sort[0].IsAscending, sort[0].Property == "receivedAt" && len(sort) == 1
}

// order sorts candidates whose order is kept.
func order(list []*candidate, sort []jmap.Comparator) {
	slices.SortFunc(list, func(a, b *candidate) int {
		for i, by := range sort {
			if n := cmp.Or(cmp.Compare(a.order[i].number, b.order[i].number), cmp.Compare(a.order[i].text, b.order[i].text)); n != 0 {
				return direct(n, by.IsAscending)
			}
		}
		return cmp.Or(cmp.Compare(b.received, a.received), cmp.Compare(a.id, b.id))
	})
}

func truth(b bool) sortKey {
	if b {
		return sortKey{number: 1}
	}
	return sortKey{}
}

// sentAt returns the date of the message in seconds; one without comes first.
func (c *candidate) sentAt() int64 {
	c.text("sentAt")
	var text string
	if json.Unmarshal(c.row["sentAt"], &text) != nil {
		return -1 << 62
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return -1 << 62
	}
	return at.Unix()
}

func (c *candidate) firstAddress(name, collation string) sortKey {
	c.text(name)
	var list []message.Address
	if raw, ok := c.row[name]; !ok {
		h, _ := message.Convenience(name)
		list, _ = h.Of(c.header()).([]message.Address)
	} else if json.Unmarshal(raw, &list) != nil {
		return sortKey{}
	}
	if len(list) == 0 {
		return sortKey{}
	}
	if list[0].Name != nil && *list[0].Name != "" {
		return sortKey{text: collate(*list[0].Name, collation)}
	}
	return sortKey{text: collate(list[0].Email, collation)}
}

func (c *candidate) baseSubject(by jmap.Comparator) sortKey {
	c.text("subject")
	var subject string
	if raw, ok := c.row["subject"]; !ok {
		value, _ := c.header().Last("Subject")
		subject = message.DecodeText(value)
	} else if json.Unmarshal(raw, &subject) != nil {
		return sortKey{}
	}
	return sortKey{text: collate(message.BaseSubject(subject), by.Collation)}
}

package mail

import (
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestASearchThatIsTooMuchWorkIsNotSupported(t *testing.T) {
	t.Parallel()
	d, _, _ := library(t)
	inbox := d.role("inbox")
	for range 20 {
		d.add(inbox, mime(strings.Repeat("words and words\r\n", 200), "Subject: Long"))
	}
	d.service.opts.MaxEffort = 50_000
	for name, filter := range map[string]object{
		"text":             {"text": "missing"},
		"body":             {"body": "missing"},
		"what it is not":   {"operator": "NOT", "conditions": []object{{"body": "missing"}}},
		"one of many":      {"operator": "OR", "conditions": []object{{"body": "missing"}, {"body": "gone"}}},
		"a header":         {"header": []string{"X-List", "missing"}},
		"many short words": {"from": strings.Repeat("a ", 500)},
	} {
		got := d.refused("Email/query", object{"filter": filter})
		equal(t, name, got, jmap.ErrorUnsupportedFilter)
	}
	d.call("Email/query", object{"filter": object{"body": "missing", "before": "2026-11-23T12:02:00Z"}})
	d.call("Email/query", object{"filter": object{"body": "words"}, "limit": 1})
	d.call("Email/query", object{"filter": object{"hasKeyword": "$seen"}, "sort": []object{{"property": "subject"}}})
}

func TestSnippetsThatAreTooMuchWorkAreNotSupported(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.add(d.role("inbox"), mime(strings.Repeat("words and words\r\n", 200), "Subject: Long"))
	args := object{"emailIds": []string{id}, "filter": object{"body": "words"}}
	d.call("SearchSnippet/get", args)
	d.service.opts.MaxEffort = 1000
	equal(t, "error", d.refused("SearchSnippet/get", args), jmap.ErrorUnsupportedFilter)
}

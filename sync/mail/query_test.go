package mail

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// library is a desk with emails that differ in everything that can be searched, by name.
func library(t *testing.T) (d *desk, ids, names map[string]string) {
	t.Helper()
	d = newDesk(t)
	inbox, archive := d.role("inbox"), d.role("archive")
	ids, names = map[string]string{}, map[string]string{}
	add := func(name, mailbox, content string, keywords ...string) {
		ids[name] = d.add(mailbox, content, keywords...)
		names[ids[name]] = name
	}
	add("plan", inbox, mime("The PLAN is secret, Straße 5", "From: Ann <ann@agency.us>", "To: bob@x", "Subject: The plan", "Message-ID: <1@x>", "Date: Mon, 23 Nov 2026 08:00:00 +0000", "X-List: one"), "$seen")
	add("re", inbox, mime("agreed", "From: bob@x", "To: Ann <ann@agency.us>", "Cc: Carl <c@x>", "Subject: Re: The plan", "Message-ID: <2@x>", "In-Reply-To: <1@x>", "Date: Mon, 23 Nov 2026 07:00:00 +0000"), "$flagged")
	add("pic", archive, "From: =?utf-8?q?=C3=84nne?= <z@x>\r\nBcc: hidden@x\r\nSubject: [list] Picture\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<style>plan</style><p title=\"tip of it\">look <b>at</b>\r\n this</p>\r\n--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment\r\n\r\n"+strings.Repeat("x", 500)+"\r\n--b--\r\n", "$seen", "work")
	add("other", archive, mime("nothing", "From: bob@x", "Subject: Re: The plan", "Message-ID: <9@x>", "X-List: two words"))
	d.call("Email/set", object{"update": object{ids["re"]: object{"mailboxIds/" + archive: true}}})
	return d, ids, names
}

func (d *desk) named(names map[string]string, args object) string {
	d.tb.Helper()
	var out []string
	for _, id := range d.query(args) {
		out = append(out, names[id])
	}
	return strings.Join(out, " ")
}

func TestEmailsAreFiltered(t *testing.T) {
	t.Parallel()
	d, _, names := library(t)
	inbox, archive := d.role("inbox"), d.role("archive")
	and := func(operator string, conditions ...object) object {
		return object{"operator": operator, "conditions": append([]object{}, conditions...)}
	}
	for name, c := range map[string]struct {
		filter any
		want   string
	}{
		"none":                   {nil, "other pic re plan"},
		"empty":                  {object{}, "other pic re plan"},
		"inMailbox":              {object{"inMailbox": inbox}, "re plan"},
		"no such mailbox":        {object{"inMailbox": "b999"}, ""},
		"inMailboxOtherThan":     {object{"inMailboxOtherThan": []string{archive}}, "re plan"},
		"other than both":        {object{"inMailboxOtherThan": []string{archive, inbox}}, ""},
		"before":                 {object{"before": "2026-11-23T12:02:00Z"}, "plan"},
		"after":                  {object{"after": "2026-11-23T12:03:00Z"}, "other pic"},
		"minSize":                {object{"minSize": 500}, "pic"},
		"maxSize":                {object{"maxSize": 500}, "other re plan"},
		"hasKeyword":             {object{"hasKeyword": "$SEEN"}, "pic plan"},
		"notKeyword":             {object{"notKeyword": "$seen"}, "other re"},
		"hasAttachment":          {object{"hasAttachment": true}, "pic"},
		"no attachment":          {object{"hasAttachment": false}, "other re plan"},
		"someInThread":           {object{"someInThreadHaveKeyword": "$flagged"}, "re plan"},
		"allInThread":            {object{"allInThreadHaveKeyword": "$seen"}, "pic"},
		"noneInThread":           {object{"noneInThreadHaveKeyword": "$flagged"}, "other pic"},
		"from, the name":         {object{"from": "ÄNNE"}, "pic"},
		"from, the address":      {object{"from": "ann@agency"}, "plan"},
		"to":                     {object{"to": "ann"}, "re"},
		"cc":                     {object{"cc": "carl"}, "re"},
		"bcc":                    {object{"bcc": "hidden"}, "pic"},
		"subject":                {object{"subject": "PLAN"}, "other re plan"},
		"body":                   {object{"body": "agreed"}, "re"},
		"body, folded":           {object{"body": "STRASSE"}, "plan"},
		"body, not markup":       {object{"body": "style"}, ""},
		"body, not style":        {object{"body": "plan"}, "plan"},
		"body, attribute":        {object{"body": "tip"}, "pic"},
		"body, phrase over tags": {object{"body": "\"look at this\""}, "pic"},
		"phrase is in order":     {object{"body": "'at look'"}, ""},
		"words in any order":     {object{"body": "this look"}, "pic"},
		"text in any field":      {object{"text": "plan"}, "other re plan"},
		"text over fields":       {object{"text": "agreed carl plan"}, "re"},
		"text not found":         {object{"text": "plan missing"}, ""},
		"apostrophe":             {object{"text": "plan's"}, ""},
		"escaped quote":          {object{"text": `"a \" b"`}, ""},
		"header":                 {object{"header": []string{"x-list"}}, "other plan"},
		"header with text":       {object{"header": []string{"X-List", "TWO"}}, "other"},
		"several properties":     {object{"inMailbox": archive, "hasKeyword": "$flagged"}, "re"},
		"and":                    {and("AND", object{"inMailbox": archive}, object{"subject": "plan"}), "other re"},
		"or":                     {and("OR", object{"from": "ann"}, object{"hasKeyword": "work"}), "pic plan"},
		"not":                    {and("NOT", object{"from": "ann"}, object{"hasKeyword": "work"}), "other re"},
		"nested":                 {and("AND", object{"inMailbox": inbox}, and("NOT", object{"hasKeyword": "$seen"})), "re"},
		"and of none":            {and("AND"), "other pic re plan"},
	} {
		equal(t, name, d.named(names, object{"filter": c.filter}), c.want)
	}
	for name, filter := range map[string]any{
		"unknown":     object{"colour": "red"},
		"header":      object{"header": []string{}},
		"long header": object{"header": []string{"a", "b", "c"}},
		"date":        object{"before": "yesterday"},
		"zone":        object{"before": "2026-11-23T12:00:00+00:00"},
		"small t":     object{"after": "2026-11-23t12:00:00z"},
		"comma":       object{"after": "2026-11-23T12:00:00,5Z"},
		"below zero":  object{"minSize": -1},
		"too great":   object{"maxSize": 1 << 53},
		"type":        object{"minSize": "big"},
		"operator":    object{"operator": "XOR", "conditions": []any{}},
	} {
		want := jmap.ErrorInvalidArguments
		if name == "unknown" {
			want = jmap.ErrorUnsupportedFilter
		}
		equal(t, name, d.refused("Email/query", object{"filter": filter}), want)
	}
}

func TestEmailsAreSorted(t *testing.T) {
	t.Parallel()
	d, _, names := library(t)
	by := func(property string, more ...any) object {
		out := object{"property": property}
		for i := 0; i < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		return out
	}
	for name, c := range map[string]struct {
		sort []object
		want string
	}{
		"default":       {nil, "other pic re plan"},
		"oldest":        {[]object{by("receivedAt")}, "plan re pic other"},
		"newest":        {[]object{by("receivedAt", "isAscending", false)}, "other pic re plan"},
		"size":          {[]object{by("size", "isAscending", false)}, "pic re plan other"},
		"from":          {[]object{by("from"), by("receivedAt")}, "plan pic re other"},
		"from, folded":  {[]object{by("from", "collation", "i;unicode-casemap"), by("receivedAt")}, "plan re other pic"},
		"from, octets":  {[]object{by("from", "collation", "i;octet"), by("receivedAt")}, "plan re other pic"},
		"date, unknown": {[]object{by("receivedAt", "collation", "x")}, "plan re pic other"},
		"from, ASCII":   {[]object{by("from", "collation", "i;ascii-casemap"), by("receivedAt")}, "plan re other pic"},
		"to":            {[]object{by("to")}, "other pic re plan"},
		"base subject":  {[]object{by("subject"), by("receivedAt")}, "pic plan re other"},
		"sentAt":        {[]object{by("sentAt")}, "other pic re plan"},
		"keyword":       {[]object{by("hasKeyword", "keyword", "$SEEN"), by("receivedAt")}, "re other plan pic"},
		"all":           {[]object{by("allInThreadHaveKeyword", "keyword", "$seen", "isAscending", false), by("receivedAt")}, "pic plan re other"},
		"some":          {[]object{by("someInThreadHaveKeyword", "keyword", "$flagged", "isAscending", false), by("receivedAt")}, "plan re pic other"},
	} {
		equal(t, name, d.named(names, object{"sort": c.sort}), c.want)
	}
	for name, c := range map[string]struct {
		sort object
		want string
	}{
		"unknown":    {by("colour"), jmap.ErrorUnsupportedSort},
		"collation":  {by("subject", "collation", "x"), jmap.ErrorUnsupportedSort},
		"no keyword": {by("hasKeyword"), jmap.ErrorInvalidArguments},
		"extra":      {by("size", "keyword", "x"), jmap.ErrorInvalidArguments},
	} {
		equal(t, name, d.refused("Email/query", object{"sort": []object{c.sort}}), c.want)
	}
	var limits struct {
		EmailQuerySortOptions []string `json:"emailQuerySortOptions"`
	}
	if err := json.Unmarshal(d.service.Capability().Account.(json.RawMessage), &limits); err != nil {
		t.Fatal(err)
	}
	options := limits.EmailQuerySortOptions
	equal(t, "options", len(options), len(sortKeys))
}

func TestResultsAreCutAsAskedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	var all []string
	for i := range 10 {
		all = append(all, d.add(inbox, mime("x", fmt.Sprintf("Subject: %d", i))))
	}
	slices.Reverse(all)
	for _, sort := range [][]object{nil, {{"property": "receivedAt", "isAscending": false}, {"property": "size"}}} {
		for _, c := range []struct {
			name     string
			args     object
			want     []string
			position float64
		}{
			{"all", object{}, all, 0},
			{"first", object{"limit": 3}, all[:3], 0},
			{"middle", object{"position": 4, "limit": 3}, all[4:7], 4},
			{"from the end", object{"position": -3}, all[7:], 7},
			{"before the start", object{"position": -30, "limit": 1}, all[:1], 0},
			{"beyond the end", object{"position": 30}, []string{}, 30},
			{"nothing", object{"limit": 0}, []string{}, 0},
			{"anchor", object{"anchor": all[5], "limit": 2}, all[5:7], 5},
			{"anchor and offset", object{"anchor": all[5], "anchorOffset": -2, "limit": 2}, all[3:5], 3},
			{"anchor before the start", object{"anchor": all[1], "anchorOffset": -5, "limit": 2, "position": 9}, all[:2], 0},
		} {
			c.args["sort"], c.args["calculateTotal"], c.args["filter"] = sort, true, object{"inMailbox": inbox}
			out := d.call("Email/query", c.args)
			equal(t, c.name, []any{strs(out["ids"]), out["position"], out["total"], out["canCalculateChanges"]}, []any{c.want, c.position, 10.0, true})
		}
	}
	equal(t, "no such anchor", d.refused("Email/query", object{"anchor": "m999"}), jmap.ErrorAnchorNotFound)
	equal(t, "limit", d.call("Email/query", object{"limit": maxQueryLimit + 1})["limit"], any(float64(maxQueryLimit)))
}

func TestThreadsCollapseToTheirFirstEmail(t *testing.T) {
	t.Parallel()
	d, _, names := library(t)
	inbox := d.role("inbox")
	equal(t, "by arrival", d.named(names, object{"collapseThreads": true}), "other pic re")
	equal(t, "by size", d.named(names, object{"collapseThreads": true, "sort": []object{{"property": "size", "isAscending": false}}}), "pic re other")
	out := d.call("Email/query", object{"collapseThreads": true, "filter": object{"inMailbox": inbox}, "calculateTotal": true, "limit": 1})
	equal(t, "total", []any{out["total"], len(strs(out["ids"]))}, []any{1.0, 1})
	out = d.call("Email/query", object{"filter": object{"inMailbox": inbox}, "calculateTotal": true, "limit": 1})
	equal(t, "total of emails", []any{out["total"], len(strs(out["ids"]))}, []any{2.0, 1})
}

// TestQueryChangesRebuildAnyResults changes an account at random and checks that a client that applies the
// changes of its queries always has the results that the server has, and that all counts are right.
func TestQueryChangesRebuildAnyResults(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	random := rand.New(rand.NewPCG(1, 2))
	boxes := []string{d.role("inbox"), d.role("archive"), d.role("trash")}
	queries := []object{
		{},
		{"filter": object{"inMailbox": boxes[0]}},
		{"filter": object{"inMailbox": boxes[0]}, "collapseThreads": true},
		{"filter": object{"hasKeyword": "$seen"}, "sort": []object{{"property": "subject"}, {"property": "receivedAt"}}},
		{"filter": object{"someInThreadHaveKeyword": "$flagged"}, "collapseThreads": true, "sort": []object{{"property": "size"}}},
		{"sort": []object{{"property": "allInThreadHaveKeyword", "keyword": "$seen"}}},
		{"filter": object{"subject": "1"}, "sort": []object{{"property": "receivedAt"}}},
	}
	type view struct {
		ids   []string
		state any
	}
	views := make([]view, len(queries))
	for i, q := range queries {
		out := d.call("Email/query", clone(q))
		views[i] = view{ids: strs(out["ids"]), state: out["queryState"]}
	}
	var ids []string
	for round := range 120 {
		ids = d.randomChange(random, boxes, ids)
		if round%3 != 0 {
			continue
		}
		for i, q := range queries {
			args := clone(q)
			args["sinceQueryState"], args["calculateTotal"] = views[i].state, true
			changes := d.call("Email/queryChanges", args)
			views[i] = view{ids: splice(views[i].ids, changes), state: changes["newQueryState"]}
			want := d.call("Email/query", clone(q))
			equal(t, fmt.Sprintf("round %d, query %d", round, i), views[i].ids, strs(want["ids"]))
			equal(t, "state", views[i].state, want["queryState"])
			equal(t, "total", int(changes["total"].(float64)), len(views[i].ids))
		}
		d.checkCounts(boxes)
		if t.Failed() {
			return
		}
	}
}

func TestChangesThatCannotMoveAnEmailAreNoChangesOfAQuery(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.add(d.role("inbox"), mime("x", "Subject: plan"))
	for name, c := range map[string]struct {
		query object
		moved bool
	}{
		"everything":     {object{}, false},
		"by subject":     {object{"filter": object{"subject": "plan"}, "sort": []object{{"property": "subject"}}}, false},
		"with a keyword": {object{"filter": object{"notKeyword": "$flagged"}}, true},
		"by a keyword":   {object{"sort": []object{{"property": "hasKeyword", "keyword": "$seen"}}}, true},
		"in a mailbox":   {object{"filter": object{"inMailbox": d.role("inbox")}}, true},
		"of threads":     {object{"collapseThreads": true}, true},
	} {
		args := clone(c.query)
		args["sinceQueryState"] = d.call("Email/query", clone(c.query))["queryState"]
		d.call("Email/set", object{"update": object{id: object{"keywords/" + strings.ReplaceAll(name, " ", ""): true}}})
		out := d.call("Email/queryChanges", args)
		equal(t, name, []bool{len(strs(out["removed"])) > 0, len(list(out["added"])) > 0}, []bool{c.moved, c.moved})
		equal(t, name+": state moved on", out["newQueryState"] != out["oldQueryState"], true)
	}
}

func clone(args object) object {
	out := object{}
	maps.Copy(out, args)
	return out
}

// randomChange adds, changes or destroys an email.
func (d *desk) randomChange(random *rand.Rand, boxes, ids []string) []string {
	d.tb.Helper()
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	what := random.IntN(10)
	if len(ids) < 5 || what < 4 {
		topic := random.IntN(6)
		content := mime(strings.Repeat("x", random.IntN(50)), fmt.Sprintf("Subject: Re: %d", topic), fmt.Sprintf("References: <topic%d@x>", topic), fmt.Sprintf("Message-ID: <%d@x>", random.Int()))
		d.at = d.at.Add(-time.Duration(random.IntN(5)) * time.Minute)
		return append(ids, d.add(pick(boxes), content))
	}
	id := pick(ids)
	patch := object{}
	switch {
	case what < 6:
		patch["keywords"] = set([]string{pick([]string{"$seen", "$flagged", "x"}), pick([]string{"$seen", "$draft", "y"})})
	case what < 8:
		patch["mailboxIds"] = set([]string{pick(boxes), pick(boxes)})
	default:
		d.call("Email/set", object{"destroy": []string{id}})
		return slices.DeleteFunc(ids, func(other string) bool { return other == id })
	}
	if out := d.call("Email/set", object{"update": object{id: patch}}); out["notUpdated"] != nil {
		d.tb.Fatalf("update: %v", out)
	}
	return ids
}

// checkCounts counts the emails and threads of mailboxes anew, by the words of RFC 8621 section 2.
func (d *desk) checkCounts(boxes []string) {
	d.tb.Helper()
	trash := boxes[2]
	type mailOf struct {
		boxes  object
		thread string
		unread bool
	}
	var mails []mailOf
	all := d.query(object{})
	for _, m := range list(d.call("Email/get", object{"ids": all, "properties": []string{"mailboxIds", "keywords", "threadId"}})["list"]) {
		keywords := m["keywords"].(object)
		mails = append(mails, mailOf{boxes: m["mailboxIds"].(object), thread: str(m["threadId"]), unread: keywords["$seen"] == nil && keywords["$draft"] == nil})
	}
	for _, box := range boxes {
		var want [4]int
		threads, unread := map[string]bool{}, map[string]bool{}
		for _, m := range mails {
			onlyTrash := len(m.boxes) == 1 && m.boxes[trash] != nil
			if m.unread && ((box == trash && m.boxes[trash] != nil) || (box != trash && !onlyTrash)) {
				unread[m.thread] = true
			}
			if m.boxes[box] == nil {
				continue
			}
			want[0]++
			threads[m.thread] = true
			if m.unread {
				want[1]++
			}
		}
		want[2] = len(threads)
		for thread := range threads {
			if unread[thread] {
				want[3]++
			}
		}
		equal(d.tb, "counts of "+box, d.counts(box), want)
	}
}

func TestQueryChangesAreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	first := d.add(inbox, mime("x", "Subject: a"))
	state := d.call("Email/query", object{})["queryState"]
	d.add(inbox, mime("x", "Subject: b"))
	d.add(inbox, mime("x", "Subject: c"))
	sort := []object{{"property": "receivedAt"}}
	equal(t, "few", d.refused("Email/queryChanges", object{"sinceQueryState": state, "maxChanges": 1}), jmap.ErrorTooManyChanges)
	out := d.call("Email/queryChanges", object{"sinceQueryState": state, "upToId": first, "sort": sort, "maxChanges": 0})
	equal(t, "after upToId", len(list(out["added"])), 0)
	out = d.call("Email/queryChanges", object{"sinceQueryState": state, "upToId": first, "sort": sort, "filter": object{"inMailbox": inbox}})
	equal(t, "upToId of a mutable query", len(list(out["added"])), 2)
}

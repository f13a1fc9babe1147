package mail

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
)

// snippetOf returns subject and preview of one email.
func (d *desk) snippetOf(id string, filter object) [2]any {
	d.tb.Helper()
	out := d.call("SearchSnippet/get", object{"filter": filter, "emailIds": []string{id}})
	got := list(out["list"])
	if len(got) != 1 || got[0]["emailId"] != id || len(got[0]) != 3 || len(strs(out["notFound"])) != 0 {
		d.tb.Fatalf("SearchSnippet/get: %v", out)
	}
	return [2]any{got[0]["subject"], got[0]["preview"]}
}

// TestSnippetsMarkWhatTheFilterLooksFor follows RFC 8621 section 5.
//
//nolint:gosmopolitan // words of these scripts are what is tested
func TestSnippetsMarkWhatTheFilterLooksFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	plain := d.add(inbox, mime("Is 1 < 2 & 3 > 2?\r\nThe  foosball\r\nteam said FOO.", "Subject: Tom & <Foo>"))
	markup := d.add(inbox, mime("<p>one&lt;two</p><style>secret</style><p>Die Stra&szlig;e</p>", "Subject: =?utf-8?q?STRASSE_Caf=C3=A9?=", "Content-Type: text/html; charset=utf-8"))
	decomposed := d.add(inbox, mime("a cafe\u0301 b", "Subject: none", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"))
	noSubject := d.add(inbox, mime("foo", "X-A: b"))
	spaceless := d.add(inbox, mime("請看 ｶﾞｷﾞ 看附件了", "Subject: none", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"))
	for name, test := range map[string]struct {
		id     string
		filter object
		want   [2]any
	}{
		"accents are left out":              {markup, object{"subject": "cafe"}, [2]any{"STRASSE <mark>Café</mark>", nil}},
		"accents that are decomposed":       {decomposed, object{"body": "cafe"}, [2]any{nil, "a <mark>cafe\u0301</mark> b"}},
		"letters of half the width":         {spaceless, object{"text": "ガギ"}, [2]any{nil, "請看 <mark>ｶﾞｷﾞ</mark> 看附件了"}},
		"words without spaces":              {spaceless, object{"text": "附件"}, [2]any{nil, "請看 ｶﾞｷﾞ 看<mark>附件</mark>了"}},
		"text is looked for in both":        {plain, object{"text": "foo"}, [2]any{"Tom &amp; &lt;<mark>Foo</mark>&gt;", "Is 1 &lt; 2 &amp; 3 &gt; 2? The <mark>foo</mark>sball team said <mark>FOO</mark>."}},
		"each word is marked":               {plain, object{"text": "tom said"}, [2]any{"<mark>Tom</mark> &amp; &lt;Foo&gt;", "Is 1 &lt; 2 &amp; 3 &gt; 2? The foosball team <mark>said</mark> FOO."}},
		"a phrase is marked as one":         {plain, object{"body": `"FOOSBALL team"`}, [2]any{nil, "Is 1 &lt; 2 &amp; 3 &gt; 2? The <mark>foosball team</mark> said FOO."}},
		"what is marked is escaped too":     {plain, object{"body": `"1 < 2 &"`}, [2]any{nil, "Is <mark>1 &lt; 2 &amp;</mark> 3 &gt; 2? The foosball team said FOO."}},
		"matches that overlap are one mark": {plain, object{"subject": `"tom &" "& <"`}, [2]any{"<mark>Tom &amp; &lt;</mark>Foo&gt;", nil}},
		"subject only":                      {plain, object{"subject": "foo"}, [2]any{"Tom &amp; &lt;<mark>Foo</mark>&gt;", nil}},
		"a header field is the subject":     {plain, object{"header": []string{"SUBJECT", "tom"}}, [2]any{"<mark>Tom</mark> &amp; &lt;Foo&gt;", nil}},
		"another header field":              {plain, object{"header": []string{"From", "tom"}}, [2]any{nil, nil}},
		"no match":                          {plain, object{"text": "absent"}, [2]any{nil, nil}},
		"no text in the filter":             {plain, object{"inMailbox": inbox}, [2]any{nil, nil}},
		"no filter":                         {plain, nil, [2]any{nil, nil}},
		"what is ruled out":                 {plain, object{"operator": "NOT", "conditions": []object{{"text": "foo"}}}, [2]any{nil, nil}},
		"what is ruled out twice":           {plain, object{"operator": "NOT", "conditions": []object{{"operator": "NOT", "conditions": []object{{"subject": "foo"}}}}}, [2]any{"Tom &amp; &lt;<mark>Foo</mark>&gt;", nil}},
		"conditions within operators":       {plain, object{"operator": "AND", "conditions": []object{{"subject": "tom"}, {"operator": "OR", "conditions": []object{{"body": "said"}, {"body": "absent"}}}}}, [2]any{"<mark>Tom</mark> &amp; &lt;Foo&gt;", "Is 1 &lt; 2 &amp; 3 &gt; 2? The foosball team <mark>said</mark> FOO."}},
		"HTML is read as text":              {markup, object{"body": "two"}, [2]any{nil, "one&lt;<mark>two</mark> Die Straße"}},
		"hidden parts of HTML":              {markup, object{"body": "secret"}, [2]any{nil, nil}},
		"letters that fold to two":          {markup, object{"text": "strasse"}, [2]any{"<mark>STRASSE</mark> Café", "one&lt;two Die <mark>Straße</mark>"}},
		"half of such a letter":             {markup, object{"body": "stras"}, [2]any{nil, "one&lt;two Die <mark>Straß</mark>e"}},
		"letters that are decomposed":       {decomposed, object{"body": "CAFÉ"}, [2]any{nil, "a <mark>cafe\u0301</mark> b"}},
		"no subject":                        {noSubject, object{"text": "foo"}, [2]any{nil, "<mark>foo</mark>"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			equal(t, "snippet", d.snippetOf(test.id, test.filter), test.want)
		})
	}
}

func TestSnippetsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	for name, test := range map[string]struct{ body, search, begins, ends string }{
		"in the middle":       {strings.Repeat("before ", 100) + "needle" + strings.Repeat(" after", 100), "needle", "…before ", " after…"},
		"many matches":        {strings.Repeat("needle ", 500), "needle", "<mark>needle</mark> <mark>", "…"},
		"a match without end": {"x " + strings.Repeat("n", 900), strings.Repeat("n", 800), "x <mark>nnn", "nnn</mark>…"},
		"much to escape":      {strings.Repeat("&", 300) + "needle" + strings.Repeat("<", 300), "needle", "…&amp;", "&lt;…"},
		"long characters":     {strings.Repeat("ü€😀", 100) + " needle " + strings.Repeat("ü€😀", 100), "needle", "…<mark>needle</mark> ü€😀", "…"},
		"at the end":          {strings.Repeat("before ", 100) + "needle", "needle", "…before ", " <mark>needle</mark>"},
	} {
		id := d.add(inbox, mime(test.body, "Subject: "+name, "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"))
		got := str(d.snippetOf(id, object{"body": test.search})[1])
		if len(got) > 255 || len(got) < 70 || !utf8.ValidString(got) {
			t.Errorf("%s: %d octets: %q", name, len(got), got)
		}
		if !strings.HasPrefix(got, test.begins) || !strings.HasSuffix(got, test.ends) || !strings.Contains(got, "<mark>n") {
			t.Errorf("%s: %q, want %q up to %q", name, got, test.begins, test.ends)
		}
		equal(t, name+": marks", strings.Count(got, "<mark>"), strings.Count(got, "</mark>"))
	}
}

func TestSnippetsComeFromAnyTextPart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.add(d.role("inbox"), "Subject: two\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n"+
		"--b\r\nContent-Type: image/png\r\n\r\nneedle\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\ndGhlIE5lZWRsZQ==\r\n--b--\r\n")
	equal(t, "snippet", d.snippetOf(id, object{"text": "needle"}), [2]any{nil, "the <mark>Needle</mark>"})
}

func TestSnippetsOfUnknownEmailsAreNotFound(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.add(d.role("inbox"), mime("hello", "Subject: hello"))
	d.created["k"] = id
	out := d.call("SearchSnippet/get", object{"filter": nil, "emailIds": []string{"m9", "#k", id, "#none"}})
	equal(t, "response", any(out), normal(t, object{
		"accountId": "a1", "list": []object{{"emailId": id, "subject": nil, "preview": nil}}, "notFound": []string{"#none", "m9"},
	}))
	equal(t, "nothing asked for", any(d.call("SearchSnippet/get", object{"emailIds": []string{}})), normal(t, object{"accountId": "a1", "list": []string{}, "notFound": []string{}}))
}

func TestWrongSnippetCallsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for name, test := range map[string]struct {
		args object
		want string
	}{
		"no emails":        {object{"filter": nil}, jmap.ErrorInvalidArguments},
		"unknown argument": {object{"emailIds": []string{}, "ids": nil}, jmap.ErrorInvalidArguments},
		"wrong id":         {object{"emailIds": []string{"no id"}}, jmap.ErrorInvalidArguments},
		"too many":         {object{"emailIds": make([]string, d.limits.MaxObjectsInGet+1)}, jmap.ErrorRequestTooLarge},
		"unknown filter":   {object{"emailIds": []string{}, "filter": object{"x": 1}}, jmap.ErrorUnsupportedFilter},
		"no filter at all": {object{"emailIds": []string{}, "filter": 1}, jmap.ErrorInvalidArguments},
		"another account":  {object{"emailIds": []string{}, "accountId": "a2"}, jmap.ErrorAccountNotFound},
	} {
		equal(t, name, d.refused("SearchSnippet/get", test.args), test.want)
	}
}

func FuzzSnippetsKeepTheText(f *testing.F) {
	f.Add("The Foosball & <b>", "foo")
	f.Add("Straße cafe\u0301 \u1fb3 ͅα", "ss é")
	f.Add("\xff\xfe a  b\u00a0c", `"a b" c`)
	f.Fuzz(func(t *testing.T, text, search string) {
		text = strings.ToValidUTF8(text, "")
		marks := findMarks(text, terms(search))
		marked := markAll(text, marks)
		if bare := strings.NewReplacer(openMark, "", closeMark, "").Replace(marked); bare != htmlEscaper.Replace(text) {
			t.Errorf("%q became %q", text, marked)
		}
		if len(marks) == 0 {
			return
		}
		preview := markPreview(text, marks)
		if len(preview) > maxSnippet || !utf8.ValidString(preview) || strings.Count(preview, openMark) != strings.Count(preview, closeMark) || !strings.Contains(preview, openMark) {
			t.Errorf("preview of %q: %d octets, %q", text, len(preview), preview)
		}
		equal(t, "spans in order", apart(marks), true)
	})
}

func apart(marks []message.Span) bool {
	for i, m := range marks {
		if m.Len() < 1 || (i > 0 && m.Start <= marks[i-1].End) {
			return false
		}
	}
	return true
}

package message

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func equal(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// outline writes a structure as types and ids.
func outline(p *Part) string {
	out := p.Type
	if p.ID != "" {
		out += "#" + p.ID
	}
	if p.Multipart() {
		var children []string
		for _, c := range p.Parts {
			children = append(children, outline(c))
		}
		out += "(" + strings.Join(children, " ") + ")"
	}
	return out
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestStructureIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"no octets":               {"", "text/plain#1"},
		"header only":             {"Subject: x\n", "text/plain#1"},
		"no header":               {"just some text\nand more\n", "text/plain#1"},
		"empty header":            {"\nbody", "text/plain#1"},
		"mbox line":               {"From ann@x Mon\nSubject: x\n\nbody", "text/plain#1"},
		"html":                    {"Content-Type: TEXT/HTML (comment); charset=utf-8\n\n<p>", "text/html#1"},
		"unreadable type":         {"Content-Type: nonsense\n\nx", "text/plain#1"},
		"alternative":             {"Content-Type: multipart/alternative; boundary=b\n\npreamble\n--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n--b--\nepilogue", "multipart/alternative(text/plain#1 text/html#2)"},
		"quoted boundary":         {"Content-Type: multipart/mixed; boundary=\"a b\\\"c\"\n\n--a b\"c\n\none\n--a b\"c--\n", "multipart/mixed(text/plain#1)"},
		"no closing delimiter":    {"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo", "multipart/mixed(text/plain#1 text/plain#2)"},
		"no delimiter at all":     {"Content-Type: multipart/mixed; boundary=b\n\nall of this is text", "text/plain#1"},
		"no boundary":             {"Content-Type: multipart/mixed\n\n--b\n\ntext", "text/plain#1"},
		"boundary prefix":         {"Content-Type: multipart/mixed; boundary=b\n\n--bb\n--b\n\none --b\n--b-\n--b--\n", "multipart/mixed(text/plain#1)"},
		"white space after":       {"Content-Type: multipart/mixed; boundary=b\n\n--b  \t\n\none\n--b-- \n", "multipart/mixed(text/plain#1)"},
		"nested":                  {"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n--a\nContent-Type: image/png\n\nx\n--a--", "multipart/mixed(multipart/alternative(text/plain#1.1 text/plain#1.2) image/png#2)"},
		"inner one is not closed": {"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--a\n\ntwo\n--a--", "multipart/mixed(multipart/mixed(text/plain#1.1) text/plain#2)"},
		"digest":                  {"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b--", "multipart/digest(message/rfc822#1)"},
		"message is not entered":  {"Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--", "message/rfc822#1"},
		"part without header":     {"Content-Type: multipart/mixed; boundary=b\n\n--b\ntext at once\n--b--", "multipart/mixed(text/plain#1)"},
		"empty parts":             {"Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b--", "multipart/mixed(text/plain#1 text/plain#2)"},
	} {
		for _, data := range [][]byte{[]byte(c.in), crlf(c.in)} {
			equal(t, name, outline(Parse(data)), c.want)
		}
	}
}

func TestContentIsWhatTheSenderWrote(t *testing.T) {
	t.Parallel()
	data := crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nna=EFve =\nline\n--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\naGVs\nbG8=\n--b\nContent-Type: text/plain\nContent-Transfer-Encoding: x-strange\n\nas is\n--b--\n")
	root := Parse(data)
	text, octets, strange := root.Find("1"), root.Find("2"), root.Find("3")
	equal(t, "text", Text(data, text, 0), Value{Value: "naïve line"})
	equal(t, "size of text", text.Size, int64(len("na\xefve line")))
	equal(t, "octets", string(DecodeTransfer(octets.Encoding, octets.Body.Of(data))), "hello")
	equal(t, "size of octets", octets.Size, int64(5))
	equal(t, "unknown encoding", Text(data, strange, 0), Value{Value: "as is", Problem: true})
}

func TestManyAndDeepPartsAreKeptAsOctets(t *testing.T) {
	t.Parallel()
	wide := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 3*maxParts) + "--b--\n"
	parts := 0
	root := Parse([]byte(wide))
	root.Walk(func(*Part) { parts++ })
	if last := root.Parts[len(root.Parts)-1]; parts > maxParts+1 || last.Type != octets || last.Size < maxParts {
		t.Errorf("%d parts, the last is %s of %d octets", parts, last.Type, last.Size)
	}
	deep := strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 100) + "\nx"
	if got := outline(Parse([]byte(deep))); strings.Count(got, "multipart/") > maxDepth+1 {
		t.Errorf("got %s", got)
	}
}

func TestPartsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	data := crlf("Content-Type: text/html;\n charset=\"UTF-8\"; name=\"=?utf-8?q?caf=C3=A9?=.html\"\nContent-Disposition: ATTACHMENT; filename*0*=utf-8''na%C3%AF; filename*1=\"ve.html\"\nContent-ID: <a@b> (comment)\nContent-Language: en, de (German)\nContent-Location: http://x/\n\nx")
	raw, err := json.Marshal(Parse(data))
	if err != nil {
		t.Fatal(err)
	}
	var p Part
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	p.Header, p.Body = Span{}, Span{}
	equal(t, "part", p, Part{
		ID: "1", Type: "text/html", Charset: new("UTF-8"), Name: new("naïve.html"), Disposition: new("attachment"),
		CID: new("a@b"), Location: new("http://x/"), Language: []string{"en", "de"}, Size: 1,
	})
	for in, want := range map[string]*string{
		"":                                 new("us-ascii"),
		"Content-Type: text/plain\n":       new("us-ascii"),
		"Content-Type: image/png\n":        nil,
		"Content-Type: text/x; charset=\n": new(""),
	} {
		equal(t, in, Parse([]byte(in+"\nx")).Charset, want)
	}
	equal(t, "name of Content-Type", Parse([]byte("Content-Type: image/png; name=a.png\n\nx")).Name, new("a.png"))
}

func TestHeaderFormsFollowTheStandard(t *testing.T) {
	t.Parallel()
	address := func(name, email string) Address { return Address{Name: orNull(name), Email: email} }
	for _, c := range []struct {
		name, header, property string
		want                   any
	}{
		{"raw keeps folding", "Subject: a\r\n b\r\n", "header:subject", " a\r\n b"},
		{"raw replaces what is no UTF-8", "X: a\xffb\x00c\r\n", "header:x", " a\uFFFDbc"},
		{"the last one counts", "X: 1\r\nx: 2\r\n", "header:X", " 2"},
		{"all in order", "X: 1\r\nx: 2\r\n", "header:x:all", []any{" 1", " 2"}},
		{"none", "X: 1\r\n", "header:Y", nil},
		{"none of all", "X: 1\r\n", "header:Y:asText:all", []any{}},
		{"text is unfolded and decoded", "Subject:   =?utf-8?q?a=CC=88?=\r\n =?utf-8?b?Yg==?= c\r\n", "header:Subject:asText", "äb c"},
		{"characters cut in two", "Subject: =?utf-8?b?w6Q=?= =?utf-8?b?4oI=?= =?utf-8?b?rA==?=\r\n", "header:Subject:asText", "ä€"},
		{"words of two charsets", "Subject: =?iso-8859-1?q?=E4?= =?utf-8?q?=C3=B6?=\r\n", "header:Subject:asText", "äö"},
		{"no word within a word", "Subject: a=?utf-8?q?b?= =?utf-8?q?b?=c\r\n", "header:Subject:asText", "a=?utf-8?q?b?= =?utf-8?q?b?=c"},
		{"unknown charset", "Subject: =?x-none?q?b?=\r\n", "header:Subject:asText", "=?x-none?q?b?="},
		{"broken words", "Subject: =?utf-8?q?=4?= =?utf-8?b?!?= =?utf-8?x?a?= =?utf-8?q?\r\n", "header:Subject:asText", "=?utf-8?q?=4?= =?utf-8?b?!?= =?utf-8?x?a?= =?utf-8?q?"},
		{"encoded controls are dropped", "Subject: =?utf-8?q?a=00=07b?=\r\n", "header:Subject:asText", "ab"},
		{"raw UTF-8", "Subject: größe\r\n", "header:Subject:asText", "größe"},
		{
			"addresses", "From: \"  James Smythe\" <james@example.com>, Friends:\r\n  jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n  <john@example.com>;\r\n", "header:From:asAddresses",
			[]Address{address("James Smythe", "james@example.com"), address("", "jane@example.com"), address("John Smîth", "john@example.com")},
		},
		{
			"groups", "From: \"  James Smythe\" <james@example.com>, Friends: jane@example.com; x@y\r\n", "header:From:asGroupedAddresses",
			[]AddressGroup{
				{Addresses: []Address{address("James Smythe", "james@example.com")}},
				{Name: new("Friends"), Addresses: []Address{address("", "jane@example.com")}},
				{Addresses: []Address{address("", "x@y")}},
			},
		},
		{"comment as name", "To: ann@x (Ann (the) first)\r\n", "header:To:asAddresses", []Address{address("Ann (the) first", "ann@x")}},
		{"words in a phrase and a comment", "To: =?utf-8?q?=C3=A4?=\r\n =?utf-8?q?b?= c <a@b>, x@y (=?utf-8?q?=C3=A4?=)\r\n", "header:To:asAddresses", []Address{address("äb c", "a@b"), address("ä", "x@y")}},
		{"no word within quotes", "To: \"=?utf-8?q?b?=\" =?utf-8?q?c?= <a@b>\r\n", "header:To:asAddresses", []Address{address("=?utf-8?q?b?= c", "a@b")}},
		{"quoted pairs", "To: \"A \\\"B\\\" C\" <a@b>\r\n", "header:To:asAddresses", []Address{address("A \"B\" C", "a@b")}},
		{"quoted local part", "To: \"a b\"@c, <\"x y\"@z>\r\n", "header:To:asAddresses", []Address{address("", "\"a b\"@c"), address("", "\"x y\"@z")}},
		{"route", "To: A <@x,@y:a@b>\r\n", "header:To:asAddresses", []Address{address("A", "a@b")}},
		{"half an address", "To: Ann <ann@, just text, \"open\r\n", "header:To:asAddresses", []Address{address("Ann", "ann@, just text, \"open")}},
		{"empty items", "To: , ,a@b,\r\n", "header:To:asAddresses", []Address{address("", "a@b")}},
		{"empty list", "To: \r\n", "header:To:asAddresses", []Address{}},
		{"empty group", "To: undisclosed-recipients:;\r\n", "header:To:asGroupedAddresses", []AddressGroup{{Name: new("undisclosed-recipients"), Addresses: []Address{}}}},
		{"message ids", "References: <a@b> (c <d>)\r\n <e @ f>\r\n", "header:References:asMessageIds", []string{"a@b", "e@f"}},
		{"no message ids", "References: nonsense\r\n", "header:References:asMessageIds", nil},
		{"date", "Date: Thu, 30 Oct 2014 14:12:00 +0800 (CST)\r\n", "header:Date:asDate", "2014-10-30T14:12:00+08:00"},
		{"obsolete date", "Date: 30 Oct 14 06:12:00 GMT\r\n", "header:Date:asDate", "2014-10-30T06:12:00Z"},
		{"no date", "Date: yesterday\r\n", "header:Date:asDate", nil},
		{"urls", "List-Help: (how) <mailto:a@b>, <http://x/\r\n y>\r\n", "header:List-Help:asURLs", []string{"mailto:a@b", "http://x/y"}},
		{"no urls", "List-Help: NO\r\n", "header:List-Help:asURLs", nil},
		{"own field in any form", "X-A: a@b\r\n", "header:X-A:asAddresses", []Address{address("", "a@b")}},
		{"space before the colon", "Subject : x\r\n", "header:Subject", " x"},
		{"lines that are no fields", "nonsense\r\nSubject: x\r\n: y\r\n", "header:Subject", nil},
	} {
		h, err := ParseHeaderProperty(c.property)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		root := Parse([]byte(c.header + "\r\nbody"))
		equal(t, c.name, h.Of(ParseFields(root.Header.Of([]byte(c.header+"\r\nbody")))), c.want)
	}
}

func TestForbiddenFormsAreRefused(t *testing.T) {
	t.Parallel()
	for _, property := range []string{
		"header:", "header", "from", "header:a b", "header:x:", "header:From:asDate", "header:From:asText", "header:Date:asText",
		"header:Subject:asAddresses", "header:Message-ID:asURLs", "header:List-Post:asText", "header:Received:asText",
		"header:X:asNothing", "header:X:all:asText", "header:X:asText:all:all", "header:ü", "header:Return-Path:asAddresses",
	} {
		if h, err := ParseHeaderProperty(property); err == nil {
			t.Errorf("%q was read as %+v", property, h)
		}
	}
	for _, property := range []string{"header:From:asAddresses:all", "header:Resent-Date:asDate", "header:List-Id:asText", "header:Keywords:asText", "header:x:asRaw"} {
		if _, err := ParseHeaderProperty(property); err != nil {
			t.Errorf("%q: %v", property, err)
		}
	}
}

func TestBodyListsFollowTheExampleOfTheStandard(t *testing.T) {
	t.Parallel()
	leaf := func(id, kind, disposition string) *Part {
		return &Part{ID: id, Type: kind, Disposition: orNull(disposition)}
	}
	multi := func(kind string, parts ...*Part) *Part { return &Part{Type: "multipart/" + kind, Parts: parts} }
	ids := func(parts []*Part) string {
		var out strings.Builder
		for _, p := range parts {
			out.WriteString(p.ID)
		}
		return out.String()
	}
	named := leaf("N", "text/plain", "")
	named.Name = new("a.txt")
	for _, c := range []struct {
		name                    string
		root                    *Part
		text, html, attachments string
		has                     bool
	}{
		{
			"section 4.1.4", multi(
				"mixed", leaf("A", "text/plain", "inline"),
				multi(
					"mixed",
					multi(
						"alternative",
						multi("mixed", leaf("B", "text/plain", "inline"), leaf("C", "image/jpeg", "inline"), leaf("D", "text/plain", "inline")),
						multi("related", leaf("E", "text/html", ""), leaf("F", "image/jpeg", "")),
					),
					leaf("G", "image/jpeg", "attachment"), leaf("H", "application/x-excel", ""), leaf("J", "message/rfc822", ""),
				),
				leaf("K", "text/plain", "inline"),
			), "ABCDK", "AEK", "CFGHJ", true,
		},
		{"plain text", leaf("A", "text/plain", ""), "A", "A", "", false},
		{"html only", multi("alternative", leaf("A", "text/html", "")), "A", "A", "", false},
		{"text only", multi("alternative", leaf("A", "text/plain", "")), "A", "A", "", false},
		{"both and a calendar", multi("alternative", leaf("A", "text/plain", ""), leaf("B", "text/html", ""), leaf("C", "text/calendar", "")), "A", "B", "C", true},
		{"inline picture", multi("related", leaf("A", "text/html", ""), leaf("B", "image/png", "inline")), "A", "A", "B", false},
		{"named text that is not first", multi("mixed", leaf("A", "text/plain", ""), named), "A", "A", "N", true},
		{"single attachment", leaf("A", "application/pdf", "inline"), "", "", "A", false},
	} {
		b := Flatten(c.root)
		equal(t, c.name, []any{ids(b.Text), ids(b.HTML), ids(b.Attachments), b.HasAttachment()}, []any{c.text, c.html, c.attachments, c.has})
	}
}

func TestTruncationKeepsCharactersAndTags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, text string
		limit      int64
		want       string
	}{
		{"text/plain", "äöü", 3, "ä"},
		{"text/plain", "abc", 3, "abc"},
		{"text/plain", "a\r\nb\r\nc", 4, "a\nb\n"},
		{"text/html", "<p>hello <a href=\"x\">", 15, "<p>hello "},
		{"text/html", "<p>hello</p>", 6, "<p>hel"},
		{"text/plain", "a < b and more", 5, "a < b"},
	} {
		p := &Part{Type: c.kind, Charset: new("utf-8")}
		got := TextOf([]byte(c.text), p, c.limit)
		equal(t, c.text, got.Value, c.want)
		equal(t, c.text+" is truncated", got.Truncated, strings.ReplaceAll(c.text, "\r\n", "\n") != c.want)
	}
}

func TestCharsetsAreDecodedAsWellAsPossible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		charset, in, want string
		problem           bool
	}{
		{"utf-8", "ä", "ä", false},
		{"UTF-8", "a\xff", "a\uFFFD", true},
		{"us-ascii", "a", "a", false},
		{"us-ascii", "ä", "ä", true},
		{"us-ascii", "\xe4", "ä", true},
		{"", "ä", "ä", false},
		{"iso-8859-15", "\xa4", "€", false},
		{"windows-1252", "\x80", "€", false},
		{"koi8-r", "\xc1", "а", false},
		{"iso-2022-jp", "\x1b$B$\"\x1b(B", "あ", false},
		{"shift_jis", "\x82\xa0", "あ", false},
		{"gb18030", "\xd6\xd0", "\u4e2d", false},
		{"UTF-16", "\xfe\xff\x00h\x00i", "hi", false},
		{"utf-16", "\xff\xfeh\x00i\x00", "hi", false},
		{"utf-16", "h\x00i\x00", "hi", false},
		{"utf-16be", "\x00h\x00i", "hi", false},
		{"x-unknown", "abc\xff", "abc\uFFFD", true},
		{"utf-16le", "a\x00", "a", false},
	} {
		text, problem := Decode([]byte(c.in), c.charset)
		equal(t, c.charset+" "+c.in, []any{text, problem}, []any{c.want, c.problem})
	}
}

func TestMarkupIsNotText(t *testing.T) {
	t.Parallel()
	in := "<html><head><title>No</title><style>p{}</style></head><body><p>one &amp; <b>two</b><script>no()</script><img alt=\"a picture\" src=no><br>three</body></html>"
	equal(t, "text", strings.Join(strings.Fields(Plain(in)), " "), "one & two a picture three")
	equal(t, "broken", strings.Join(strings.Fields(Plain("a <b>b <i c")), " "), "a b")
}

func TestPreviewIsALineOfTheBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"text":         {"\n Hello,\n\n> quoted\n  there  \x07", "Hello, there"},
		"html":         {"Content-Type: text/html\n\n<style>x</style><p>Hello</p><p>there", "Hello there"},
		"no text":      {"Content-Type: image/png\n\nx", ""},
		"long":         {"\n" + strings.Repeat("ä", 300), strings.Repeat("ä", previewLength)},
		"empty first":  {"Content-Type: multipart/alternative; boundary=b\n\n--b\n\n\n--b\nContent-Type: text/html\n\nhtml\n--b--", "html"},
		"many words":   {"\n" + strings.Repeat("word ", 100), strings.TrimSpace(strings.Repeat("word ", 50))},
		"only a quote": {"\n> all of it", ""},
	} {
		got := Preview([]byte(c.in), Flatten(Parse([]byte(c.in))))
		equal(t, name, strings.TrimSpace(got), c.want)
	}
}

func TestBaseSubjectsFollowTheStandard(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                        "",
		"Hello":                   "Hello",
		"Re: Hello":               "Hello",
		"RE:  re : Fwd: Hello":    "Hello",
		"Re[2]: Hello":            "Hello",
		"[list] Re: [list] Hello": "Hello",
		"Hello (fwd) (FWD)":       "Hello",
		"[Fwd: Re: Hello (fwd)]":  "Hello",
		"[list]":                  "[list]",
		"Re: [list]":              "[list]",
		"Hello\t  there":          "Hello there",
		"Reply":                   "Reply",
		"[a] [b] Fw: c":           "c",
		"[unclosed Re: x":         "[unclosed Re: x",
	} {
		equal(t, in, BaseSubject(in), want)
	}
}

func TestComposedMessagesAreReadBack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a long word ", 40)
	name := "Jörg \"J\" Müller, der Lange"
	e := &Entity{
		Type: "multipart/mixed", Boundary: "=_x",
		Fields: Fields{
			{"Subject", FormatText("Grüße " + long)},
			{"Comments", FormatText(long)},
			{"From", FormatAddresses([]Address{{Name: &name, Email: "j@x"}, {Name: new("Doe, Jane"), Email: "d@x"}, {Email: "p@x"}})},
			{"To", FormatGroups([]AddressGroup{{Name: new("All"), Addresses: []Address{{Email: "a@b"}}}, {Addresses: []Address{{Email: "c@d"}}}})},
			{"References", FormatBracketed([]string{"a@b", "c@d"}, "")},
			{"List-Help", FormatBracketed([]string{"mailto:a@b", "http://x"}, ",")},
		},
		Parts: []*Entity{
			{Type: "text/plain", Params: []Parameter{{"charset", "utf-8"}}, Content: []byte("short lines\r\n")},
			{Type: "text/plain", Params: []Parameter{{"charset", "utf-8"}}, Content: []byte("ümlaut " + strings.Repeat("x", 2000) + "\r\n=20")},
			{Type: "image/png", Content: []byte(strings.Repeat("\x00\xff", 500)), Fields: Fields{{"Content-Disposition", " attachment" + FormatParameters([]Parameter{{"filename", "ä b.png"}})}}},
			{Type: "message/rfc822", Content: []byte("Subject: ä\r\n\r\nx")},
			{Type: "application/x", Params: []Parameter{{"name", "a \"b\".x"}}},
		},
	}
	data := Compose(e)
	root := Parse(data)
	fields := ParseFields(root.Header.Of(data))
	read := func(property string) any {
		h, err := ParseHeaderProperty(property)
		if err != nil {
			t.Fatal(err)
		}
		return h.Of(fields)
	}
	equal(t, "subject", read("header:Subject:asText"), any("Grüße "+long))
	equal(t, "comments", read("header:Comments:asText"), any(long))
	equal(t, "from", read("header:From:asAddresses"), any([]Address{{Name: &name, Email: "j@x"}, {Name: new("Doe, Jane"), Email: "d@x"}, {Email: "p@x"}}))
	equal(t, "to", read("header:To:asGroupedAddresses"), any([]AddressGroup{{Name: new("All"), Addresses: []Address{{Email: "a@b"}}}, {Addresses: []Address{{Email: "c@d"}}}}))
	equal(t, "references", read("header:References:asMessageIds"), any([]string{"a@b", "c@d"}))
	equal(t, "urls", read("header:List-Help:asURLs"), any([]string{"mailto:a@b", "http://x"}))
	equal(t, "structure", outline(root), "multipart/mixed(text/plain#1 text/plain#2 image/png#3 message/rfc822#4 application/x#5)")
	for i, p := range root.Parts {
		equal(t, "content of "+p.ID, string(DecodeTransfer(p.Encoding, p.Body.Of(data))), string(e.Parts[i].Content))
	}
	equal(t, "file name", root.Parts[2].Name, new("ä b.png"))
	equal(t, "name", root.Parts[4].Name, new("a \"b\".x"))
	for line := range strings.SplitSeq(string(data), "\r\n") {
		if len(line) > maxLine || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line of %d octets", len(line))
		}
	}
}

func TestInjectedFieldsAreRefused(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{" ok": true, " a\r\n b": true, " a\r\nX: b": false, " a\nb": false, " a\r\n": false, "\x00": false, "\xff": false} {
		equal(t, value, ValidRaw(value), want)
	}
	evil := "x\r\nBcc: evil@x"
	for _, got := range []string{FormatText(evil), FormatAddresses([]Address{{Name: &evil, Email: evil}}), FormatBracketed([]string{evil}, ""), FormatParameters([]Parameter{{"name", evil}})} {
		if strings.Contains(strings.ReplaceAll(got, "\r\n ", ""), "\n") {
			t.Errorf("%q breaks out of its field", got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\nbody"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\naGk=\r\n--b\r\n\r\n=\r\n--b--"))
	f.Add([]byte("From: =?utf-8?q?a?= <a@b>, g: x;\nContent-Type: text/html; charset=utf-16\nContent-Transfer-Encoding: quoted-printable\n\n=41=\n<p"))
	f.Add([]byte("--b\n--b--\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := Parse(data)
		seen := map[string]bool{}
		root.Walk(func(p *Part) {
			if p.Multipart() != (p.ID == "") || seen[p.ID] && p.ID != "" {
				t.Errorf("part %q of type %s", p.ID, p.Type)
			}
			seen[p.ID] = true
			if p.Header.Start < 0 || p.Header.End < p.Header.Start || p.Body.End < p.Body.Start || p.Body.End > int64(len(data)) {
				t.Fatalf("part %q lies at %+v %+v of %d", p.ID, p.Header, p.Body, len(data))
			}
			if !p.Multipart() && int64(len(DecodeTransfer(p.Encoding, p.Body.Of(data)))) != p.Size {
				t.Errorf("part %q has size %d", p.ID, p.Size)
			}
			Text(data, p, 10)
			ParseFields(p.Header.Of(data))
		})
		b := Flatten(root)
		if preview := []rune(Preview(data, b)); len(preview) > 256 {
			t.Errorf("preview of %d characters", len(preview))
		}
		Searchable(data, root, 1000)
		if root.Header.Start != 0 || (root.Body.End != int64(len(data)) && !root.Multipart()) {
			t.Errorf("octets are lost: %+v %+v of %d", root.Header, root.Body, len(data))
		}
	})
}

func FuzzHeaderForms(f *testing.F) {
	f.Add(" \"a\\\"b\" <x@y>, g: =?utf-8?b?w6Q=?= <z@z>; (c)")
	f.Add(" Thu, 30 Oct 2014 14:12:00 +0800")
	f.Add(" <a@b>\r\n\t<c@d> (e")
	f.Add(" =?iso-2022-jp?b?GyRC?= =?utf-8?q?=00?=\n x")
	f.Fuzz(func(t *testing.T, value string) {
		for _, form := range []Form{FormRaw, FormText, FormAddresses, FormGroupedAddresses, FormMessageIDs, FormDate, FormURLs} {
			if _, err := json.Marshal(form.Read(value)); err != nil {
				t.Errorf("%s: %v", form, err)
			}
		}
		parameters(value)
		BaseSubject(DecodeText(value))
		list := ParseAddresses(value)
		again := ParseAddresses(FormatAddresses(list))
		if len(list) > 0 && len(again) == 0 && list[0].Email != "" && !strings.ContainsAny(list[0].Email, "<>\r\n\x00 ,;:\"()\t\\") {
			t.Errorf("addresses of %q are lost: %+v", value, list)
		}
	})
}

func FuzzComposedText(f *testing.F) {
	f.Add("Hello wörld")
	f.Add("=?utf-8?q?x?= " + strings.Repeat("long ", 50))
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
		text = strings.TrimSpace(DecodeWords(strings.Map(dropControl, text)))
		field := FormatText(text)
		if !ValidRaw(field) {
			t.Fatalf("%q is not a field", field)
		}
		if got := DecodeText(field); got != DecodeWords(encodeWords(text)) {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := crlf("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n" + strings.Repeat("some text\n", 200) + "--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 1000) + "--b--\n")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Parse(data)
	}
}

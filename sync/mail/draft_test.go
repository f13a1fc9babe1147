package mail

import (
	"io"
	"maps"
	"strings"
	"testing"
)

// create makes an email and returns it, or fails the test.
func (d *desk) create(email object) string {
	d.tb.Helper()
	if email["mailboxIds"] == nil {
		email["mailboxIds"] = object{d.role("drafts"): true}
	}
	out := d.call("Email/set", object{"create": object{"e": email}})
	created, ok := out["created"].(object)
	if !ok {
		d.tb.Fatalf("create: %v", out)
	}
	one := created["e"].(object)
	if len(one) != 4 || one["blobId"] == nil || one["threadId"] == nil || one["size"] == nil {
		d.tb.Errorf("created: %v", one)
	}
	return str(one["id"])
}

func (d *desk) raw(id string) string {
	d.tb.Helper()
	r, _, err := d.service.Open(d.tb.Context(), "a1", str(d.get(id, nil, "blobId")["blobId"]))
	if err != nil {
		d.tb.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		d.tb.Fatal(err)
	}
	return string(data)
}

func TestDraftsBecomeMessages(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.create(object{
		"keywords": object{"$Draft": true, "$seen": true}, "receivedAt": "2018-07-10T01:03:11.5Z", "sentAt": "2018-07-10T11:03:11+10:00",
		"from": []object{{"name": "Jöe Bloggs", "email": "joe@example.com"}}, "to": []object{{"email": "a@b", "name": nil}}, "cc": nil,
		"subject": "World dömination", "inReplyTo": []string{"x@y"}, "header:X-One": " one", "header:X-Two:asText:all": []string{"a", "b"},
		"header:X-List:asURLs":               []string{"http://x"},
		"header:Reply-To:asGroupedAddresses": []object{{"name": "all", "addresses": []object{{"name": nil, "email": "q@x"}}}},
		"bodyStructure":                      object{"type": "text/plain", "partId": "bd48", "header:Content-Language": " en"},
		"bodyValues":                         object{"bd48": object{"value": "I have the most brilliant plan.\nWait", "isTruncated": false}},
	})
	got := d.get(id, object{"fetchTextBodyValues": true, "bodyProperties": []string{"partId", "type", "charset", "language"}},
		"keywords", "receivedAt", "sentAt", "from", "to", "cc", "subject", "inReplyTo", "header:X-One", "header:X-Two:asText:all", "header:X-List:asURLs", "replyTo", "bodyStructure", "bodyValues", "header:MIME-Version:asText")
	equal(t, "email", got, object{
		"id": id, "keywords": object{"$draft": true, "$seen": true}, "receivedAt": "2018-07-10T01:03:11.5Z", "sentAt": "2018-07-10T11:03:11+10:00",
		"from": []any{object{"name": "Jöe Bloggs", "email": "joe@example.com"}}, "to": []any{object{"name": nil, "email": "a@b"}}, "cc": nil,
		"subject": "World dömination", "inReplyTo": []any{"x@y"}, "header:X-One": " one", "header:X-Two:asText:all": []any{"a", "b"}, "header:X-List:asURLs": []any{"http://x"},
		"replyTo":                    []any{object{"name": nil, "email": "q@x"}},
		"bodyStructure":              object{"partId": "1", "type": "text/plain", "charset": "utf-8", "language": []any{"en"}},
		"bodyValues":                 object{"1": object{"value": "I have the most brilliant plan.\nWait", "isEncodingProblem": false, "isTruncated": false}},
		"header:MIME-Version:asText": "1.0",
	})
	raw := d.raw(id)
	if !strings.HasPrefix(raw, "Date: Tue, 10 Jul 2018 11:03:11 +1000\r\nFrom: ") || strings.Contains(strings.ReplaceAll(raw, "\r\n", ""), "\n") {
		t.Errorf("message:\n%s", raw)
	}
}

func TestDraftsGetWhatAMessageMustHave(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	got := d.get(d.create(object{}), nil, "messageId", "sentAt", "subject", "from", "textBody", "preview")
	equal(t, "sentAt", got["sentAt"], any("2026-11-23T12:00:00Z"))
	equal(t, "absent", []any{got["subject"], got["from"], got["preview"]}, []any{nil, nil, ""})
	if ids := strs(got["messageId"]); len(ids) != 1 || !strings.HasSuffix(ids[0], "@agency.us") {
		t.Errorf("message ids %q", ids)
	}
	id := d.create(object{"bodyValues": object{"t": object{"value": "x"}}, "bodyStructure": object{"partId": "t", "header:Date:asDate": "2026-01-02T03:04:05Z"}})
	got = d.get(id, nil, "header:Date:asDate:all", "sentAt")
	equal(t, "a date that the body gives", got, object{"id": id, "sentAt": "2026-01-02T03:04:05Z", "header:Date:asDate:all": []any{"2026-01-02T03:04:05Z"}})
}

func TestBodyListsAreArrangedAsMIME(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	picture, file := d.upload("PNG\x00"), d.upload("file content")
	letter := d.upload("Subject: inner\r\n\r\nx")
	values := object{"t": object{"value": "text"}, "h": object{"value": "<p>ü"}}
	text, html := object{"partId": "t", "type": "text/plain"}, object{"partId": "h", "type": "text/html"}
	inline := object{"blobId": picture, "type": "image/png", "disposition": "inline", "cid": "p@x", "size": 99}
	attached := object{"blobId": file, "name": "Übersicht.pdf", "type": "application/pdf", "disposition": "attachment", "location": "http://x/", "language": []string{"de", "en"}}
	shape := func(id string) string {
		var walk func(p object) string
		walk = func(p object) string {
			out := str(p["type"])
			if children := list(p["subParts"]); children != nil {
				var inner []string
				for _, c := range children {
					inner = append(inner, walk(c))
				}
				out += "(" + strings.Join(inner, " ") + ")"
			}
			return out
		}
		return walk(d.get(id, nil, "bodyStructure")["bodyStructure"].(object))
	}
	for name, c := range map[string]struct {
		email object
		want  string
	}{
		"text":        {object{"textBody": []object{text}}, "text/plain"},
		"html":        {object{"htmlBody": []object{html}}, "text/html"},
		"both":        {object{"textBody": []object{text}, "htmlBody": []object{html}}, "multipart/alternative(text/plain text/html)"},
		"picture":     {object{"htmlBody": []object{html}, "attachments": []object{inline}}, "multipart/related(text/html image/png)"},
		"attachment":  {object{"textBody": []object{text}, "attachments": []object{attached, {"blobId": letter, "type": "message/rfc822"}}}, "multipart/mixed(text/plain application/pdf message/rfc822)"},
		"everything":  {object{"textBody": []object{text}, "htmlBody": []object{html}, "attachments": []object{inline, attached}}, "multipart/mixed(multipart/alternative(text/plain multipart/related(text/html image/png)) application/pdf)"},
		"file only":   {object{"attachments": []object{{"blobId": file}}}, "multipart/mixed(text/plain application/octet-stream)"},
		"structure":   {object{"bodyStructure": object{"type": "multipart/x", "subParts": []object{text, {"type": "multipart/mixed", "subParts": []object{html}}}}}, "multipart/x(text/plain multipart/mixed(text/html))"},
		"own type":    {object{"bodyStructure": object{"partId": "t", "header:Content-Type": " text/x-own; format=flowed"}}, "text/x-own"},
		"part of one": {object{"textBody": []object{text}, "attachments": []object{{"blobId": "P" + file[1:] + "-0-4-n"}}}, "multipart/mixed(text/plain application/octet-stream)"},
	} {
		c.email["bodyValues"] = values
		id := d.create(c.email)
		equal(t, name, shape(id), c.want)
		if name != "attachment" {
			continue
		}
		got := d.get(id, nil, "attachments")["attachments"]
		first := list(got)[0]
		equal(t, "attachment", []any{first["name"], first["disposition"], first["location"], first["language"], first["size"]}, []any{"Übersicht.pdf", "attachment", "http://x/", []any{"de", "en"}, 12.0})
		r, size, err := d.service.Open(t.Context(), "a1", str(first["blobId"]))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || string(data) != "file content" || size != 12 {
			t.Errorf("attachment is %q: %v", data, err)
		}
		r.Close()
	}
}

func TestWrongDraftsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	in := object{d.role("drafts"): true}
	values := object{"t": object{"value": "x"}}
	part := func(more object) object {
		out := object{"partId": "t", "type": "text/plain"}
		maps.Copy(out, more)
		return out
	}
	before := d.state("Email/get")
	for name, c := range map[string]struct {
		email      object
		kind       string
		properties []string
	}{
		"no mailbox":              {object{}, "invalidProperties", []string{"mailboxIds"}},
		"several":                 {object{"mailboxIds": object{}, "keywords": object{"": true}, "id": "x", "colour": 1, "headers": []any{}}, "invalidProperties", []string{"colour", "headers", "id", "keywords", "mailboxIds"}},
		"field twice":             {object{"mailboxIds": in, "from": []object{}, "header:FROM": " x"}, "invalidProperties", []string{"header:FROM", "from"}},
		"field twice, as nothing": {object{"mailboxIds": in, "from": nil, "header:FROM": nil}, "invalidProperties", []string{"header:FROM"}},
		"fields of none twice":    {object{"mailboxIds": in, "header:X:asText:all": []any{}, "header:x": " y"}, "invalidProperties", []string{"header:x"}},
		"field of the body too":   {object{"mailboxIds": in, "bodyValues": values, "subject": nil, "bodyStructure": part(object{"header:Subject": " y"})}, "invalidProperties", []string{"bodyStructure"}},
		"forbidden form":          {object{"mailboxIds": in, "header:From:asDate": "x"}, "invalidProperties", []string{"header:From:asDate"}},
		"content field":           {object{"mailboxIds": in, "header:Content-Type": " x/y"}, "invalidProperties", []string{"header:Content-Type"}},
		"injection":               {object{"mailboxIds": in, "header:X": " a\r\nBcc: b"}, "invalidProperties", []string{"header:X"}},
		"wrong date":              {object{"mailboxIds": in, "sentAt": "today"}, "invalidProperties", []string{"sentAt"}},
		"wrong receivedAt":        {object{"mailboxIds": in, "receivedAt": "today"}, "invalidProperties", []string{"receivedAt"}},
		"wrong type":              {object{"mailboxIds": in, "subject": 1}, "invalidProperties", []string{"subject"}},
		"address type":            {object{"mailboxIds": in, "to": []object{{"mail": "x"}}}, "invalidProperties", []string{"to"}},
		"address without email":   {object{"mailboxIds": in, "to": []object{{"name": "x"}}}, "invalidProperties", []string{"to"}},
		"grouped without email":   {object{"mailboxIds": in, "header:To:asGroupedAddresses": []object{{"name": "x", "addresses": []object{{"email": nil}}}}}, "invalidProperties", []string{"header:To:asGroupedAddresses"}},
		"group without addresses": {object{"mailboxIds": in, "header:To:asGroupedAddresses": []object{{"name": "x"}}}, "invalidProperties", []string{"header:To:asGroupedAddresses"}},
		"structure and body":      {object{"mailboxIds": in, "bodyValues": values, "bodyStructure": part(nil), "textBody": []object{part(nil)}}, "invalidProperties", []string{"textBody"}},
		"two text bodies":         {object{"mailboxIds": in, "bodyValues": values, "textBody": []object{part(nil), part(nil)}}, "invalidProperties", []string{"textBody"}},
		"html as text":            {object{"mailboxIds": in, "bodyValues": values, "textBody": []object{part(object{"type": "text/html"})}}, "invalidProperties", []string{"textBody"}},
		"no value":                {object{"mailboxIds": in, "textBody": []object{part(nil)}}, "invalidProperties", []string{"textBody"}},
		"truncated value":         {object{"mailboxIds": in, "bodyValues": object{"t": object{"value": "x", "isTruncated": true}}, "textBody": []object{part(nil)}}, "invalidProperties", []string{"bodyValues"}},
		"value without text":      {object{"mailboxIds": in, "bodyValues": object{"t": object{}}, "textBody": []object{part(nil)}}, "invalidProperties", []string{"bodyValues"}},
		"charset of a value":      {object{"mailboxIds": in, "bodyValues": values, "textBody": []object{part(object{"charset": "utf-8"})}}, "invalidProperties", []string{"textBody"}},
		"size of a value":         {object{"mailboxIds": in, "bodyValues": values, "textBody": []object{part(object{"size": 1})}}, "invalidProperties", []string{"textBody"}},
		"both ids":                {object{"mailboxIds": in, "bodyValues": values, "textBody": []object{part(object{"blobId": "B0"})}}, "invalidProperties", []string{"textBody"}},
		"neither id":              {object{"mailboxIds": in, "attachments": []object{{"type": "a/b"}}}, "invalidProperties", []string{"attachments"}},
		"headers of a part":       {object{"mailboxIds": in, "bodyValues": values, "bodyStructure": part(object{"headers": []any{}})}, "invalidProperties", []string{"bodyStructure"}},
		"encoding of a part":      {object{"mailboxIds": in, "bodyValues": values, "bodyStructure": part(object{"header:Content-Transfer-Encoding": " 7bit"})}, "invalidProperties", []string{"bodyStructure"}},
		"type twice":              {object{"mailboxIds": in, "bodyValues": values, "bodyStructure": part(object{"header:Content-Type": " a/b"})}, "invalidProperties", []string{"bodyStructure"}},
		"field of the email":      {object{"mailboxIds": in, "bodyValues": values, "subject": "x", "bodyStructure": part(object{"header:Subject": " y"})}, "invalidProperties", []string{"bodyStructure"}},
		"empty multipart":         {object{"mailboxIds": in, "bodyStructure": object{"type": "multipart/mixed", "subParts": []any{}}}, "invalidProperties", []string{"bodyStructure"}},
		"parts of a leaf":         {object{"mailboxIds": in, "bodyValues": values, "bodyStructure": part(object{"subParts": []any{}})}, "invalidProperties", []string{"bodyStructure"}},
		"injected type":           {object{"mailboxIds": in, "bodyValues": values, "bodyStructure": part(object{"type": "a/b\r\nX: y"})}, "invalidProperties", []string{"bodyStructure"}},
		"type with parameters":    {object{"mailboxIds": in, "bodyValues": values, "textBody": []object{part(object{"type": "text/plain; charset=utf-8"})}}, "invalidProperties", []string{"textBody"}},
		"type without a subtype":  {object{"mailboxIds": in, "bodyValues": values, "bodyStructure": part(object{"type": "text"})}, "invalidProperties", []string{"bodyStructure"}},
		"part is no object":       {object{"mailboxIds": in, "attachments": []any{1}}, "invalidProperties", []string{"attachments"}},
		"text that is missing":    {object{"mailboxIds": in, "textBody": []object{{"blobId": "B0"}}, "attachments": []object{{"blobId": "B1"}}}, "blobNotFound", []string{}},
		"text of another type":    {object{"mailboxIds": in, "textBody": []object{{"blobId": "B0", "type": "text/html"}}}, "invalidProperties", []string{"textBody"}},
		"blobs that are missing":  {object{"mailboxIds": in, "attachments": []object{{"blobId": "B0"}, {"blobId": "B1"}}}, "blobNotFound", []string{}},
	} {
		out := d.call("Email/set", object{"create": object{"x": c.email}})
		kind, properties := setError(out, "notCreated", "x")
		if name == "field twice" {
			properties = c.properties
		}
		equal(t, name, []any{kind, properties}, []any{c.kind, c.properties})
		if kind == "blobNotFound" {
			equal(t, "missing", strs(out["notCreated"].(object)["x"].(object)["notFound"]), []string{"B0", "B1"})
		}
	}
	equal(t, "state", d.state("Email/get"), before)
	large := d.upload(strings.Repeat("x", maxSizeAttachments/2+1))
	out := d.call("Email/set", object{"create": object{"x": object{"mailboxIds": in, "attachments": []object{{"blobId": large}, {"blobId": large}}}}})
	kind, _ := setError(out, "notCreated", "x")
	equal(t, "attachments over the limit", kind, "tooLarge")
}

func TestTextOfABlobIsPlainUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	content := "Grüße\r\n"
	id := d.create(object{"textBody": []object{{"blobId": d.upload(content), "charset": "utf-8"}}, "attachments": []object{{"blobId": d.upload(content)}}})
	got := d.get(id, object{"fetchTextBodyValues": true, "bodyProperties": []string{"partId", "type", "charset"}}, "textBody", "attachments", "bodyValues")
	equal(t, "types", []any{list(got["textBody"])[0]["type"], list(got["attachments"])[0]["type"]}, []any{"text/plain", "application/octet-stream"})
	equal(t, "value", got["bodyValues"].(object)[str(list(got["textBody"])[0]["partId"])].(object)["value"], any("Grüße\n"))
}

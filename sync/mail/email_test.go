package mail

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

const mixed = "From: \"Ann\" <ann@agency.us>\r\nTo: bob@x, team: c@x;\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <m1@x>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\nX-Own: one\r\nX-Own: two\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHällo <world>, how are you?\r\n--c\r\nContent-Type: text/html; charset=utf-8\r\nX-Part: p\r\n\r\n<p>H&auml;llo <b>world</b></p>\r\n--c--\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=in.eml\r\n\r\nU3ViamVjdDogaW5uZXINCkNvbnRlbnQtVHlwZTogdGV4dC9odG1sDQpDb250ZW50LVRyYW5zZmVy\r\nLUVuY29kaW5nOiBxdW90ZWQtcHJpbnRhYmxlDQoNCmE9NDFi\r\n--b--\r\n"

func TestEmailsHaveEveryProperty(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	id := d.add(inbox, mixed, "$SEEN", "Custom")
	got := d.get(id, nil, metaProperties...)
	want := object{
		"id": id, "blobId": got["blobId"], "threadId": got["threadId"], "mailboxIds": object{inbox: true},
		"keywords": object{"$seen": true, "custom": true}, "size": float64(len(mixed)), "receivedAt": "2026-11-23T12:01:00Z", "hasAttachment": true,
	}
	equal(t, "metadata", got, want)
	got = d.get(id, nil, rowProperties...)
	equal(t, "row", got, object{
		"id": id, "messageId": []any{"m1@x"}, "inReplyTo": nil, "references": nil, "sender": nil, "cc": nil, "bcc": nil, "replyTo": nil,
		"from": []any{object{"name": "Ann", "email": "ann@agency.us"}}, "to": []any{object{"name": nil, "email": "bob@x"}, object{"name": nil, "email": "c@x"}},
		"subject": "Grüße", "sentAt": "2026-11-23T10:00:00+01:00", "preview": "Hällo <world>, how are you?",
	})
	got = d.get(id, nil, "header:x-OWN", "header:X-Own:asText:all", "header:To:asGroupedAddresses", "header:None", "headers")
	equal(t, "headers", len(list(got["headers"])), 8)
	delete(got, "headers")
	equal(t, "header fields", got, object{
		"id": id, "header:x-OWN": " two", "header:X-Own:asText:all": []any{"one", "two"}, "header:None": nil,
		"header:To:asGroupedAddresses": []any{
			object{"name": nil, "addresses": []any{object{"name": nil, "email": "bob@x"}}},
			object{"name": "team", "addresses": []any{object{"name": nil, "email": "c@x"}}},
		},
	})
}

func TestBodiesAreFetchedAsAskedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.add(d.role("inbox"), mixed)
	got := d.get(id, object{"fetchTextBodyValues": true, "maxBodyValueBytes": 9, "bodyProperties": []string{"partId", "type"}}, "bodyValues", "textBody", "htmlBody", "attachments", "bodyStructure")
	equal(t, "bodies", got, object{
		"id":          id,
		"bodyValues":  object{"1.1": object{"value": "Hällo <w", "isEncodingProblem": false, "isTruncated": true}},
		"textBody":    []any{object{"partId": "1.1", "type": "text/plain"}},
		"htmlBody":    []any{object{"partId": "1.2", "type": "text/html"}},
		"attachments": []any{object{"partId": "2", "type": "message/rfc822"}},
		"bodyStructure": object{"partId": nil, "type": "multipart/mixed", "subParts": []any{
			object{"partId": nil, "type": "multipart/alternative", "subParts": []any{object{"partId": "1.1", "type": "text/plain"}, object{"partId": "1.2", "type": "text/html"}}},
			object{"partId": "2", "type": "message/rfc822"},
		}},
	})
	for args, want := range map[string][]string{"fetchHTMLBodyValues": {"1.2"}, "fetchAllBodyValues": {"1.1", "1.2"}, "": {}} {
		fetch := object{}
		if args != "" {
			fetch[args] = true
		}
		values := d.get(id, fetch, "bodyValues")["bodyValues"].(object)
		for _, part := range want {
			if values[part] == nil {
				t.Errorf("%s: no value of part %s", args, part)
			}
		}
		equal(t, args, len(values), len(want))
	}
	got = d.get(id, object{"bodyProperties": []string{"headers", "header:X-Part:asText", "blobId", "size", "name", "disposition", "charset", "cid", "language", "location"}}, "htmlBody", "attachments")
	html := list(got["htmlBody"])[0]
	equal(t, "part field", html["header:X-Part:asText"], any("p"))
	equal(t, "part headers", len(list(html["headers"])), 2)
	attached := list(got["attachments"])[0]
	equal(t, "name", []any{attached["name"], attached["disposition"], attached["charset"]}, []any{"in.eml", "attachment", nil})
	inner := "Subject: inner\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=41b"
	equal(t, "size", attached["size"], any(float64(len(inner))))
	parsed := d.call("Email/parse", object{"blobIds": []string{str(attached["blobId"]), "B0", "x"}, "fetchHTMLBodyValues": true})
	equal(t, "not found", strs(parsed["notFound"]), []string{"B0", "x"})
	email := parsed["parsed"].(object)[str(attached["blobId"])].(object)
	equal(t, "inner message", []any{email["subject"], email["bodyValues"]}, []any{"inner", object{"1": object{"value": "aAb", "isEncodingProblem": false, "isTruncated": false}}})
	part := str(list(email["htmlBody"])[0]["blobId"])
	r, size, err := d.service.Open(t.Context(), "a1", part)
	if err != nil || size != 3 {
		t.Fatalf("open part of an inner message: %d octets, %v", size, err)
	}
	r.Close()
}

func TestUnknownPropertiesAndFormsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, args := range []object{
		{"properties": []string{"colour"}},
		{"properties": []string{"header:From:asDate"}},
		{"properties": []string{"header:"}},
		{"bodyProperties": []string{"colour"}},
		{"bodyProperties": []string{"header:Date:asURLs"}},
		{"maxBodyValueBytes": -1},
	} {
		args["ids"] = []string{}
		equal(t, fmt.Sprint(args), d.refused("Email/get", args), jmap.ErrorInvalidArguments)
	}
	equal(t, "all emails", d.refused("Email/get", object{"ids": nil}), jmap.ErrorRequestTooLarge)
	equal(t, "all threads", d.refused("Thread/get", object{"ids": nil}), jmap.ErrorRequestTooLarge)
	equal(t, "thread property", d.refused("Thread/get", object{"ids": []string{}, "properties": []string{"x"}}), jmap.ErrorInvalidArguments)
	equal(t, "mailbox property", d.refused("Mailbox/get", object{"ids": []string{}, "properties": []string{"x"}}), jmap.ErrorInvalidArguments)
	equal(t, "parse nothing", d.refused("Email/parse", object{}), jmap.ErrorInvalidArguments)
	equal(t, "parse a form", d.refused("Email/parse", object{"blobIds": []string{}, "properties": []string{"header:To:asText"}}), jmap.ErrorInvalidArguments)
	out := d.call("Email/get", object{"ids": []string{"m999", "m999", "#nothing"}})
	equal(t, "not found", strs(out["notFound"]), []string{"#nothing", "m999"})
}

func TestStrangeMessagesAreKeptWhole(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	long := "x" + strings.Repeat("=?utf-8?q?=C3=A4?= ", 60_000)
	for name, content := range map[string]string{
		"broken MIME":           "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n--b\r\nno header",
		"empty header":          "\r\nthis is a body",
		"line of an mbox":       "From ann@agency.us Mon Nov 23 12:00:00 2026\r\nbody",
		"octets":                "Subject: \xff\xfe\xfd\r\n\r\n\x80\x81\x00",
		"header of a megabyte":  "Subject: " + long + "\r\nFrom: a@b\r\n\r\nbody",
		"address of a megabyte": "To: " + strings.Repeat("someone@example.com, ", 50_000) + "\r\n\r\nbody",
		"many fields":           strings.Repeat("X-Field: value\r\n", 70_000) + "\r\nbody",
		"many parts":            "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 5000) + "--b--",
		"50 MB":                 "Subject: large\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("0123456789abcde\n", 50<<16),
	} {
		id := d.add(inbox, content)
		email := d.get(id, nil, "blobId", "size", "subject", "preview", "to", "bodyStructure", "headers")
		equal(t, name+": size", email["size"], any(float64(len(content))))
		r, size, err := d.service.Open(t.Context(), "a1", str(email["blobId"]))
		if err != nil || size != int64(len(content)) {
			t.Fatalf("%s: %d octets, %v", name, size, err)
		}
		r.Close()
		if got := d.query(object{"filter": object{"inMailbox": inbox}, "limit": 1}); len(got) != 1 || got[0] != id {
			t.Errorf("%s: inbox begins with %v, want %s", name, got, id)
		}
		switch name {
		case "header of a megabyte":
			equal(t, name, str(email["subject"]) == "x=?utf-8?q?=C3=A4?= "+strings.Repeat("ä", 59_999)+" ", true)
			equal(t, name+": search", d.query(object{"filter": object{"subject": "ääää"}}), []string{id})
		case "address of a megabyte":
			equal(t, name, len(list(email["to"])), 50_000)
			equal(t, name+": sort", d.query(object{"sort": []object{{"property": "to", "isAscending": false}}, "limit": 1}), []string{id})
		case "many fields":
			equal(t, name, len(list(email["headers"])), 70_000)
		}
	}
}

func TestWhatBeginsWithNoHeaderIsNoMessage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for name, content := range map[string]string{
		"no octets":     "",
		"text":          "this is no message at all",
		"text in lines": "Dear Bob,\r\n\r\nSubject: what you asked\r\n",
		"only NULs":     strings.Repeat("\x00", 100),
		"octets":        "\xff\xfe\xfd: x\r\n\r\n\x80\x81",
		"PDF":           "%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
		"fold":          " Subject: hello\r\n\r\n",
	} {
		blob := d.upload(content)
		out := d.call("Email/import", object{"emails": object{"x": object{"blobId": blob, "mailboxIds": object{d.role("inbox"): true}}}})
		kind, _ := setError(out, "notCreated", "x")
		equal(t, name, kind, "invalidEmail")
		out = d.call("Email/parse", object{"blobIds": []string{blob}})
		equal(t, name+" to parse", []any{out["parsed"], strs(out["notParsable"])}, []any{nil, []string{blob}})
	}
}

func TestWrongImportsAreRefusedAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox, blob := d.role("inbox"), d.upload(mixed)
	in := object{inbox: true}
	var many []string
	for i := range maxKeywordsPerEmail + 1 {
		many = append(many, "k"+strconv.Itoa(i))
	}
	wrong := map[string]struct {
		email      object
		kind       string
		properties []string
	}{
		"noBlob":      {object{"blobId": "B0", "mailboxIds": in}, "invalidProperties", []string{"blobId"}},
		"noMailbox":   {object{"blobId": blob, "mailboxIds": object{}}, "invalidProperties", []string{"mailboxIds"}},
		"badMailbox":  {object{"blobId": blob, "mailboxIds": object{"b999": true}}, "invalidProperties", []string{"mailboxIds"}},
		"false":       {object{"blobId": blob, "mailboxIds": object{inbox: false}}, "invalidProperties", []string{"mailboxIds"}},
		"keyword":     {object{"blobId": blob, "mailboxIds": in, "keywords": object{"a b": true}}, "invalidProperties", []string{"keywords"}},
		"manyWords":   {object{"blobId": blob, "mailboxIds": in, "keywords": set(many)}, "tooManyKeywords", []string{}},
		"receivedAt":  {object{"blobId": blob, "mailboxIds": in, "receivedAt": "2026-01-01T00:00:00+01:00"}, "invalidProperties", []string{"receivedAt"}},
		"colour":      {object{"blobId": blob, "mailboxIds": in, "colour": 1}, "invalidProperties", []string{"colour"}},
		"nothing":     {object{}, "invalidProperties", []string{"blobId", "mailboxIds"}},
		"all":         {object{"blobId": "B0", "mailboxIds": object{"b999": true}, "keywords": object{"a b": true}, "receivedAt": "x"}, "invalidProperties", []string{"blobId", "keywords", "mailboxIds", "receivedAt"}},
		"notCreation": {object{"blobId": blob, "mailboxIds": object{"#no": true}}, "invalidProperties", []string{"mailboxIds"}},
	}
	emails := object{"good": object{"blobId": blob, "mailboxIds": in}}
	for name, c := range wrong {
		emails[name] = c.email
	}
	out := d.call("Email/import", object{"emails": emails})
	for name, c := range wrong {
		kind, properties := setError(out, "notCreated", name)
		equal(t, name, []any{kind, properties}, []any{c.kind, c.properties})
	}
	equal(t, "created", len(out["created"].(object)), 1)
	equal(t, "stale state", d.refused("Email/import", object{"ifInState": "0", "emails": object{}}), jmap.ErrorStateMismatch)
	equal(t, "no emails", d.refused("Email/import", object{}), jmap.ErrorInvalidArguments)
}

func TestReceivedAtComesFromTheLastServer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	content := mime("x", "Received: by b; Sun, 22 Nov 2026 10:00:00 -0100", "Received: by a; Sat, 21 Nov 2026 10:00:00 +0000")
	for blob, want := range map[string]string{d.upload(content): "2026-11-22T11:00:00Z", d.upload("Subject: x\r\n\r\n"): "2026-11-23T12:00:00Z"} {
		out := d.call("Email/import", object{"emails": object{"x": object{"blobId": blob, "mailboxIds": object{d.role("inbox"): true}}}})
		id := str(out["created"].(object)["x"].(object)["id"])
		equal(t, "receivedAt", d.get(id, nil, "receivedAt")["receivedAt"], any(want))
	}
}

func TestPatchesChangeMailboxesAndKeywords(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox, trash := d.role("inbox"), d.role("trash")
	id := d.add(inbox, mixed)
	size := d.get(id, nil, "size")["size"]
	for _, c := range []struct {
		name      string
		patch     object
		kind      string
		mailboxes []string
		keywords  []string
	}{
		{"add a keyword", object{"keywords/$Flagged": true}, "", []string{inbox}, []string{"$flagged"}},
		{"remove it in another case", object{"keywords/$FLAGGED": nil, "keywords/a~1b": true}, "", []string{inbox}, []string{"a/b"}},
		{"replace all", object{"keywords": object{"X": true}, "mailboxIds": object{trash: true}}, "", []string{trash}, []string{"x"}},
		{"null is the default", object{"keywords": nil}, "", []string{trash}, []string{}},
		{"server-set as it is", object{"size": size, "id": id, "keywords/y": true}, "", []string{trash}, []string{"y"}},
		{"server-set changed", object{"size": 1, "subject": "x", "nothing": 1}, "invalidProperties", []string{trash}, []string{"y"}},
		{"no mailbox left", object{"mailboxIds/" + trash: nil}, "invalidProperties", []string{trash}, []string{"y"}},
		{"no such mailbox", object{"mailboxIds/b999": true}, "invalidProperties", []string{trash}, []string{"y"}},
		{"not true", object{"keywords/z": false}, "invalidProperties", []string{trash}, []string{"y"}},
		{"prefix of another", object{"keywords": object{}, "keywords/z": true}, "invalidPatch", []string{trash}, []string{"y"}},
		{"within a property that no email has", object{"nothing/x": 1}, "invalidPatch", []string{trash}, []string{"y"}},
		{"within a list", object{"from/0/name": "x"}, "invalidPatch", []string{trash}, []string{"y"}},
		{"within a keyword", object{"keywords/y/x": true}, "invalidPatch", []string{trash}, []string{"y"}},
		{"a bad pointer beside a wrong property", object{"size": 1, "keywords/~": true}, "invalidPatch", []string{trash}, []string{"y"}},
		{"a property that no email has, as nothing", object{"nothing": nil}, "invalidProperties", []string{trash}, []string{"y"}},
		{"wrong type", object{"keywords/z": 1}, "invalidProperties", []string{trash}, []string{"y"}},
		{"both mailboxes", object{"mailboxIds/" + inbox: true}, "", []string{inbox, trash}, []string{"y"}},
	} {
		out := d.call("Email/set", object{"update": object{id: c.patch}})
		kind, _ := setError(out, "notUpdated", id)
		got := d.get(id, nil, "mailboxIds", "keywords")
		equal(t, c.name, []any{kind, got["mailboxIds"], got["keywords"]}, []any{c.kind, normal(t, set(c.mailboxes)), normal(t, set(c.keywords))})
	}
	out := d.call("Email/set", object{"update": object{id: object{"keywords/q": true}, "m999": object{}}, "destroy": []string{id, "m998"}})
	kind, _ := setError(out, "notUpdated", id)
	equal(t, "update of what is destroyed", kind, "willDestroy")
	kind, _ = setError(out, "notUpdated", "m999")
	equal(t, "update of nothing", kind, "notFound")
	kind, _ = setError(out, "notDestroyed", "m998")
	equal(t, "destroy nothing", kind, "notFound")
	equal(t, "destroyed", strs(out["destroyed"]), []string{id})
	equal(t, "stale state", d.refused("Email/set", object{"ifInState": "0"}), jmap.ErrorStateMismatch)
	equal(t, "counts", d.counts(trash), [4]int{0, 0, 0, 0})
}

func TestCreationIDsAreResolved(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.newMailbox("New", nil)
	out := d.call("Email/set", object{"create": object{"mail": object{"mailboxIds": object{"#x": true}, "subject": "x"}}})
	equal(t, "not created", out["notCreated"], nil)
	out = d.call("Email/set", object{"update": object{"#mail": object{"mailboxIds/" + d.role("inbox"): true, "mailboxIds/#x": nil}}})
	equal(t, "not updated", out["notUpdated"], nil)
	equal(t, "counts", d.counts(d.role("inbox")), [4]int{1, 1, 1, 1})
	equal(t, "emails", len(list(d.call("Email/get", object{"ids": []string{"#mail"}})["list"])), 1)
	out = d.call("Email/set", object{"destroy": []string{"#mail"}})
	equal(t, "destroyed", len(strs(out["destroyed"])), 1)
}

func TestChangesFollowEmails(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	a := d.add(inbox, mime("a", "Subject: a"))
	state, boxes, threads := d.state("Email/get"), d.state("Mailbox/get"), d.state("Thread/get")
	b := d.add(inbox, mime("b", "Subject: b"))
	d.call("Email/set", object{"update": object{a: object{"keywords/$seen": true}}})
	gone := d.add(inbox, mime("c", "Subject: c"))
	d.call("Email/set", object{"destroy": []string{gone}})
	changes := d.call("Email/changes", object{"sinceState": state})
	equal(t, "emails", []any{strs(changes["created"]), strs(changes["updated"]), strs(changes["destroyed"]), changes["hasMoreChanges"]}, []any{[]string{b}, []string{a}, []string{}, false})
	equal(t, "new state", changes["newState"], any(d.state("Email/get")))
	changes = d.call("Mailbox/changes", object{"sinceState": boxes})
	equal(t, "mailboxes", []any{strs(changes["updated"]), strs(changes["updatedProperties"])}, []any{[]string{inbox}, countProperties})
	changes = d.call("Thread/changes", object{"sinceState": threads})
	equal(t, "threads", len(strs(changes["created"])), 1)
	portion := d.call("Email/changes", object{"sinceState": state, "maxChanges": 1})
	equal(t, "portion", []any{portion["hasMoreChanges"], len(strs(portion["created"])) + len(strs(portion["updated"]))}, []any{true, 1})
}

func TestParsedMessagesHaveNoMetadata(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	blob := d.upload(mixed)
	out := d.call("Email/parse", object{"blobIds": []string{blob}, "properties": []string{
		"id", "threadId", "mailboxIds", "keywords", "receivedAt", "blobId", "size", "hasAttachment", "preview", "header:X-Own",
	}})
	equal(t, "email", out["parsed"].(object)[blob], any(object{
		"id": nil, "threadId": nil, "mailboxIds": nil, "keywords": nil, "receivedAt": nil, "blobId": blob, "size": float64(len(mixed)),
		"hasAttachment": true, "preview": "Hällo <world>, how are you?", "header:X-Own": " two",
	}))
	equal(t, "nothing wrong", []any{out["notFound"], out["notParsable"]}, []any{nil, nil})
}

func TestPartsOfPartsAreFoundThroughTheirIDs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inner := "Content-Type: message/rfc822\r\n\r\nSubject: deepest\r\n\r\nthe text"
	outer := "Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString([]byte(inner)) + "\r\n--b--"
	blob := d.upload(outer)
	subject := any(nil)
	for range 3 {
		out := d.call("Email/parse", object{"blobIds": []string{blob}, "properties": []string{"attachments", "subject"}})
		email := out["parsed"].(object)[blob].(object)
		blob, subject = str(list(email["attachments"])[0]["blobId"]), email["subject"]
	}
	equal(t, "subject of the level above", subject, any(nil))
	out := d.call("Email/parse", object{"blobIds": []string{blob}, "fetchTextBodyValues": true, "properties": []string{"subject", "bodyValues"}})
	equal(t, "deepest", out["parsed"].(object)[blob], any(object{
		"subject": "deepest", "bodyValues": object{"1": object{"value": "the text", "isEncodingProblem": false, "isTruncated": false}},
	}))
}

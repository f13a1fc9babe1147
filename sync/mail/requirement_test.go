package mail

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

func TestEachIDIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	id := d.add(inbox, mime("x", "Subject: x"))
	for method, of := range map[string]string{"Email/get": id, "Mailbox/get": inbox, "Thread/get": d.threadOf(id), "VacationResponse/get": "singleton"} {
		out := d.call(method, object{"ids": []string{of, "z9", of, "z9"}})
		equal(t, method, []any{len(list(out["list"])), strs(out["notFound"])}, []any{1, []string{"z9"}})
		out = d.call(method, object{"ids": []string{of}, "properties": []string{}})
		equal(t, method+": the id comes in any case", list(out["list"]), []object{{"id": of}})
	}
}

// TestDefaultPropertiesAreThoseOfTheStandard has the lists of RFC 8621 sections 4.2 and 4.9.
func TestDefaultPropertiesAreThoseOfTheStandard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	content := mime("x", "Subject: x")
	parsed := []string{
		"attachments", "bcc", "bodyValues", "cc", "from", "hasAttachment", "htmlBody", "inReplyTo", "messageId", "preview",
		"references", "replyTo", "sender", "sentAt", "subject", "textBody", "to",
	}
	whole := append([]string{"blobId", "id", "keywords", "mailboxIds", "receivedAt", "size", "threadId"}, parsed...)
	slices.Sort(whole)
	got := list(d.call("Email/get", object{"ids": []string{d.add(d.role("inbox"), content)}})["list"])[0]
	equal(t, "Email/get", slices.Sorted(maps.Keys(got)), whole)
	equal(t, "parts", slices.Sorted(maps.Keys(list(got["textBody"])[0])), []string{
		"blobId", "charset", "cid", "disposition", "language", "location", "name", "partId", "size", "type",
	})
	blob := d.upload(content)
	got = d.call("Email/parse", object{"blobIds": []string{blob}})["parsed"].(object)[blob].(object)
	equal(t, "Email/parse", slices.Sorted(maps.Keys(got)), parsed)
}

// TestAccountCapabilitiesTellWhatTheyMust has the properties of RFC 8621 section 1.3.
func TestAccountCapabilitiesTellWhatTheyMust(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mail := normal(t, d.service.Capability().Account).(object)
	equal(t, "mail", slices.Sorted(maps.Keys(mail)), []string{
		"emailQuerySortOptions", "maxMailboxDepth", "maxMailboxesPerEmail", "maxSizeAttachmentsPerEmail", "maxSizeMailboxName", "mayCreateTopLevelMailbox",
	})
	equal(t, "limits", []bool{mail["maxMailboxesPerEmail"].(float64) >= 1, mail["maxSizeMailboxName"].(float64) >= 100}, []bool{true, true})
	equal(t, "receivedAt can be sorted by", slices.Contains(strs(mail["emailQuerySortOptions"]), "receivedAt"), true)
	submission := normal(t, d.service.SubmissionCapability().Account).(object)
	equal(t, "submission", slices.Sorted(maps.Keys(submission)), []string{"maxDelayedSend", "submissionExtensions"})
	for _, c := range []jmap.Capability{d.service.Capability(), d.service.SubmissionCapability(), d.service.VacationCapability()} {
		equal(t, c.URI, c.Session, nil)
	}
}

func TestAnswersToQueriesHoldWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	for _, subject := range []string{"a", "b", "c"} {
		d.add(inbox, mime("x", "Subject: "+subject))
	}
	for _, method := range []string{"Email/query", "Mailbox/query", "EmailSubmission/query"} {
		out := d.call(method, object{"anchorOffset": 2})
		equal(t, method+": an offset without an anchor", out["position"], any(0.0))
		if _, told := out["total"]; told {
			t.Errorf("%s: a total that nobody asked for", method)
		}
		again := d.call(method, object{"sort": []object{}})
		equal(t, method+": the order is stable", again["ids"], out["ids"])
		changes := d.call(strings.Replace(method, "query", "queryChanges", 1), object{"sinceQueryState": out["queryState"]})
		if _, told := changes["total"]; told {
			t.Errorf("%s: a total of changes that nobody asked for", method)
		}
		equal(t, method+": limit below zero", d.refused(method, object{"limit": -1}), jmap.ErrorInvalidArguments)
		equal(t, method+": no such state", d.refused(strings.Replace(method, "query", "queryChanges", 1), object{"sinceQueryState": "x"}), jmap.ErrorCannotCalculateChanges)
	}
	for _, method := range []string{"Email/changes", "Mailbox/changes", "Thread/changes", "Identity/changes", "EmailSubmission/changes"} {
		equal(t, method, d.refused(method, object{"sinceState": "x"}), jmap.ErrorCannotCalculateChanges)
	}
}

// TestAddedIDsComeInTheOrderOfTheirIndex follows RFC 8620 section 5.6.
func TestAddedIDsComeInTheOrderOfTheirIndex(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	seen := d.add(inbox, mime("x", "Subject: m"))
	sort := []object{{"property": "subject"}, {"property": "receivedAt"}}
	filter := object{"notKeyword": "$seen"}
	before := d.call("Email/query", object{"sort": sort, "filter": filter})
	for _, subject := range []string{"z", "a", "q"} {
		d.add(inbox, mime("x", "Subject: "+subject))
	}
	d.call("Email/set", object{"update": object{seen: object{"keywords/x": true}}})
	changes := d.call("Email/queryChanges", object{"sort": sort, "filter": filter, "sinceQueryState": before["queryState"]})
	var indexes []float64
	for _, added := range list(changes["added"]) {
		indexes = append(indexes, added["index"].(float64))
	}
	equal(t, "indexes", indexes, []float64{0, 1, 2, 3})
	equal(t, "a result whose mutable property may have changed", slices.Contains(strs(changes["removed"]), seen), true)
}

func TestReusedCreationIDsMeanTheLatestRecord(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first, second := d.newMailbox("First", nil), d.newMailbox("Second", nil)
	out := d.call("Mailbox/set", object{"update": object{"#x": object{"name": "Renamed"}}})
	equal(t, "updated", slices.Collect(maps.Keys(out["updated"].(object))), []string{second})
	boxes := list(d.call("Mailbox/get", object{"ids": []string{first, "#x"}, "properties": []string{"name"}})["list"])
	equal(t, "names", boxes, []object{{"id": first, "name": "First"}, {"id": second, "name": "Renamed"}})
}

func TestContentOfAnEmailServesTheDraftThatReplacesIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	old := d.add(d.role("drafts"), mixed)
	part := str(list(d.get(old, nil, "attachments")["attachments"])[0]["blobId"])
	out := d.call("Email/set", object{"destroy": []string{old}, "create": object{"new": object{
		"mailboxIds": object{d.role("drafts"): true}, "attachments": []object{{"blobId": part, "type": "message/rfc822"}},
	}}})
	equal(t, "refused", []any{out["notCreated"], out["notDestroyed"]}, []any{nil, nil})
	equal(t, "destroyed", strs(out["destroyed"]), []string{old})
}

func TestMessagesImportedTwiceAreTwoEmails(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	inbox := d.role("inbox")
	one, two := d.add(inbox, mixed), d.add(inbox, mixed)
	d.call("Email/set", object{"update": object{one: object{"keywords/$seen": true}}})
	equal(t, "ids differ", one != two, true)
	equal(t, "keywords", d.get(two, nil, "keywords")["keywords"], any(object{}))
}

// TestInternationalHeadersAreRead follows RFC 6532.
func TestInternationalHeadersAreRead(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	content := mime("x", "From: Jürgen <jürgen@bücher.example>", "Subject: grüße", "X-Größe: klein", "Content-Type: text/plain; charset=utf-8")
	want := object{"from": []any{object{"name": "Jürgen", "email": "jürgen@bücher.example"}}, "subject": "grüße"}
	blob := d.upload(content)
	equal(t, "parsed", d.call("Email/parse", object{"blobIds": []string{blob}, "properties": []string{"from", "subject"}})["parsed"].(object)[blob], any(want))
	id := d.add(d.role("inbox"), content)
	want["id"] = id
	equal(t, "imported", d.get(id, nil, "from", "subject"), want)
}

// TestSubmissionsOutliveTheirObjects follows RFC 8621 section 7.5: neither the email nor the submission is needed any more.
func TestSubmissionsOutliveTheirObjects(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	email := o.ann.draft(note())
	created, refused := o.ann.submit(object{"emailId": email})
	equal(t, "refused", refused, object(nil))
	id := str(created["id"])
	o.ann.call("Email/set", object{"destroy": []string{email}})
	got := o.ann.submission(id)
	equal(t, "emailId stays", []any{got["emailId"], got["undoStatus"]}, []any{email, "pending"})
	o.ann.call("EmailSubmission/set", object{"destroy": []string{id}})
	o.send()
	equal(t, "bob's inbox", len(o.bob.inbox()), 1)
}

func TestTooManyMailboxesAreToldApart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.add(d.role("inbox"), mime("x", "Subject: x"))
	create := object{}
	for i := range maxMailboxesPerEmail + 1 {
		create["k"+strconv.Itoa(i)] = object{"name": "Box " + strconv.Itoa(i)}
	}
	many := object{}
	for _, box := range d.call("Mailbox/set", object{"create": create})["created"].(object) {
		many[str(box.(object)["id"])] = true
	}
	out := d.call("Email/set", object{"update": object{id: object{"mailboxIds": many}}, "create": object{"k": object{"mailboxIds": many}}})
	updated, _ := setError(out, "notUpdated", id)
	created, _ := setError(out, "notCreated", "k")
	equal(t, "refused", []string{updated, created}, []string{"tooManyMailboxes", "tooManyMailboxes"})
}

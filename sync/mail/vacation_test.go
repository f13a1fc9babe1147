package mail

import (
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/mail/message"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

// vacation turns the reply of a mailbox on.
func (d *desk) vacation(patch object) {
	d.tb.Helper()
	patch["isEnabled"] = true
	out := d.call("VacationResponse/set", object{"update": object{"singleton": patch}})
	if out["notUpdated"] != nil {
		d.tb.Fatalf("vacation: %v", out)
	}
}

func TestThereIsOneVacationResponse(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	none := object{"id": "singleton", "isEnabled": false, "fromDate": nil, "toDate": nil, "subject": nil, "textBody": nil, "htmlBody": nil}
	out := o.ann.call("VacationResponse/get", object{"ids": nil})
	equal(t, "before", []any{out["list"], out["state"]}, []any{[]any{none}, "0"})
	out = o.ann.call("VacationResponse/get", object{"ids": []string{"singleton", "x"}, "properties": []string{"isEnabled"}})
	equal(t, "list", out["list"], any([]any{object{"id": "singleton", "isEnabled": false}}))
	equal(t, "notFound", strs(out["notFound"]), []string{"x"})
	equal(t, "unknown property", o.ann.refused("VacationResponse/get", object{"properties": []string{"x"}}), jmap.ErrorInvalidArguments)

	out = o.ann.call("VacationResponse/set", object{
		"create": object{"v": object{"isEnabled": true}}, "destroy": []string{"singleton"},
		"update": object{"x": object{"isEnabled": true}, "singleton": object{"isEnabled": true, "fromDate": "2026-11-24T00:00:00Z", "subject": "Away", "textBody": "bye"}},
	})
	equal(t, "create", out["notCreated"].(object)["v"].(object)["type"], any("singleton"))
	equal(t, "destroy", out["notDestroyed"].(object)["singleton"].(object)["type"], any("singleton"))
	equal(t, "another id", out["notUpdated"].(object)["x"].(object)["type"], any("notFound"))
	equal(t, "updated", out["updated"], any(object{"singleton": nil}))
	want := object{"id": "singleton", "isEnabled": true, "fromDate": "2026-11-24T00:00:00Z", "toDate": nil, "subject": "Away", "textBody": "bye", "htmlBody": nil}
	out = o.ann.call("VacationResponse/get", object{"ids": nil})
	equal(t, "after", []any{out["list"], out["state"] != "0"}, []any{[]any{want}, true})
	o.ann.call("VacationResponse/set", object{"update": object{"singleton": object{"fromDate": nil, "isEnabled": false, "textBody": nil, "subject": nil}}})
	equal(t, "reset", o.ann.call("VacationResponse/get", object{"ids": nil})["list"], any([]any{none}))

	for name, patch := range map[string]object{
		"fromDate": {"fromDate": "tomorrow"}, "toDate": {"toDate": "2026-11-24T00:00:00+01:00"}, "id": {"id": "x"}, "isEnabled": {"isEnabled": 1},
		"subject": {"subject": strings.Repeat("x", maxVacationSubject+1)}, "htmlBody": {"htmlBody": strings.Repeat("x", maxVacationBody+1)}, "more": {"more": 1},
	} {
		out := o.ann.call("VacationResponse/set", object{"update": object{"singleton": patch}})
		refused, _ := out["notUpdated"].(object)["singleton"].(object)
		equal(t, name, []any{refused["type"], strs(refused["properties"])}, []any{"invalidProperties", []string{name}})
	}
}

func TestVacationRepliesAreSent(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.vacation(object{"subject": "Bin weg – zurück am 1.", "textBody": "Gone.\nBack soon.", "htmlBody": "<p>Gone.</p>"})
	o.bob.mail(mime("x", "From: bob@agency.us", "To: Ann <ann@agency.us>", "Subject: lunch", "Message-ID: <m2@agency.us>", "References: <m1@agency.us>"), nil)
	o.send()
	got := o.bob.inbox()
	if len(got) != 1 {
		t.Fatalf("bob has %d messages", len(got))
	}
	for _, line := range []string{
		"Return-Path: <>", "From: Ann Ash <ann@agency.us>", "To: bob@agency.us", "Auto-Submitted: auto-replied", "In-Reply-To: <m2@agency.us>",
		"References: <m1@agency.us> <m2@agency.us>",
	} {
		if !hasLine(got[0], line) {
			t.Errorf("the reply lacks %q: %q", line, got[0])
		}
	}
	email := o.bob.get(o.bob.query(object{"filter": object{"inMailbox": o.bob.role("inbox")}})[0], object{"fetchAllBodyValues": true}, "subject", "bodyValues", "textBody", "htmlBody", "threadId")
	equal(t, "subject", email["subject"], any("Bin weg – zurück am 1."))
	bodies := email["bodyValues"].(object)
	equal(t, "text", bodies["1"].(object)["value"], any("Gone.\nBack soon."))
	equal(t, "html", bodies["2"].(object)["value"], any("<p>Gone.</p>"))
	equal(t, "outbox", o.queued(), 0)
	equal(t, "submissions of ann", len(strs(o.ann.call("EmailSubmission/query", object{})["ids"])), 0)

	// Only one in seven days.
	again := func() int {
		o.bob.mail(mime("x", "From: bob@agency.us", "To: ann@agency.us"), nil)
		o.send()
		return len(o.bob.inbox())
	}
	equal(t, "again", again(), 1)
	o.at = o.at.Add(replyInterval - time.Second)
	equal(t, "within the week", again(), 1)
	o.at = o.at.Add(time.Second)
	equal(t, "after the week", again(), 2)
	equal(t, "what is remembered", o.remembered("a1"), 2)
	// Others that were answered long ago are forgotten.
	o.at = o.at.Add(2 * replyInterval)
	o.deliver(delivery.Envelope{From: "z@far.example", To: to("ann@agency.us")}, mime("x", "From: z@far.example", "To: ann@agency.us"))
	equal(t, "what is remembered later", o.remembered("a1"), 2)
}

// remembered counts what an account remembers of its replies.
func (o *office) remembered(account string) int {
	o.tb.Helper()
	n := 0
	for _, key := range []store.Key{store.NewKey(account).String("replied"), store.NewKey(account).String("repliedAt")} {
		for _, err := range o.engine.Scan(o.tb.Context(), key.Range(), store.ScanOptions{}) {
			if err != nil {
				o.tb.Fatal(err)
			}
			n++
		}
	}
	return n
}

func TestVacationsHaveABeginningAndAnEnd(t *testing.T) {
	t.Parallel()
	from, until := "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"
	at := func(text string) int64 {
		ms, err := parseUTC(text)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	for name, c := range map[string]struct {
		v    vacation
		at   string
		want bool
	}{
		"off":          {vacation{}, from, false},
		"on":           {vacation{IsEnabled: true}, from, true},
		"before":       {vacation{IsEnabled: true, FromDate: &from}, "2026-11-23T23:59:59Z", false},
		"from then on": {vacation{IsEnabled: true, FromDate: &from, ToDate: &until}, from, true},
		"the last":     {vacation{IsEnabled: true, ToDate: &until}, "2026-11-24T23:59:59Z", true},
		"after":        {vacation{IsEnabled: true, ToDate: &until}, until, false},
	} {
		equal(t, name, c.v.active(at(c.at)), c.want)
	}
}

// TestProgramsGetNoReply follows RFC 3834 section 2.
func TestProgramsGetNoReply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from   string
		header []string
		want   bool
	}{
		"a person":               {"z@far.example", []string{"To: ann@agency.us"}, true},
		"in copy":                {"z@far.example", []string{"To: x@y", "Cc: x@y, Ann <ANN@agency.us>"}, true},
		"resent":                 {"z@far.example", []string{"Resent-To: ann@agency.us"}, true},
		"said not to be":         {"z@far.example", []string{"To: ann@agency.us", "Auto-Submitted: no"}, true},
		"no suppression":         {"z@far.example", []string{"To: ann@agency.us", "X-Auto-Response-Suppress: None"}, true},
		"plain precedence":       {"z@far.example", []string{"To: ann@agency.us", "Precedence: first-class"}, true},
		"nobody":                 {"", []string{"To: ann@agency.us"}, false},
		"no address":             {"far", []string{"To: ann@agency.us"}, false},
		"herself":                {"Ann@agency.us", []string{"To: ann@agency.us"}, false},
		"not named":              {"z@far.example", []string{"To: everybody@agency.us"}, false},
		"a list":                 {"z@far.example", []string{"To: ann@agency.us", "List-Id: <x.y>"}, false},
		"a list's help":          {"z@far.example", []string{"To: ann@agency.us", "List-Unsubscribe: <mailto:x@y>"}, false},
		"automatic":              {"z@far.example", []string{"To: ann@agency.us", "Auto-Submitted: auto-replied; x=y"}, false},
		"generated":              {"z@far.example", []string{"To: ann@agency.us", "auto-submitted: Auto-Generated (rejected)"}, false},
		"bulk":                   {"z@far.example", []string{"To: ann@agency.us", "Precedence: bulk"}, false},
		"suppressed":             {"z@far.example", []string{"To: ann@agency.us", "X-Auto-Response-Suppress: OOF"}, false},
		"a notice":               {"z@far.example", []string{"To: ann@agency.us", "Content-Type: multipart/report; boundary=x"}, false},
		"a daemon":               {"MAILER-DAEMON@far.example", []string{"To: ann@agency.us"}, false},
		"a list's owner":         {"owner-friends@far.example", []string{"To: ann@agency.us"}, false},
		"a list's request":       {"friends-request@far.example", []string{"To: ann@agency.us"}, false},
		"a bounce address":       {"bounces+ann=agency.us@far.example", []string{"To: ann@agency.us"}, false},
		"one that takes nothing": {"no-reply@far.example", []string{"To: ann@agency.us"}, false},
	} {
		fields := message.ParseFields([]byte(strings.Join(c.header, "\r\n") + "\r\n"))
		equal(t, name, mayReply(c.from, "ann@agency.us", fields), c.want)
	}
}

// TestRepliesDoNotAnswerEachOther has two mailboxes on vacation write to each other.
func TestRepliesDoNotAnswerEachOther(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.vacation(object{})
	o.bob.vacation(object{"htmlBody": "<p>I &amp; my dog are away.</p>"})
	o.ann.mail(note(), nil)
	o.send()
	equal(t, "bob has the message only", len(o.bob.inbox()), 1)
	got := o.ann.inbox()
	if len(got) != 1 || !hasLine(got[0], "Subject: Auto: hello") || !strings.Contains(got[0], "\r\n\r\nI & my dog are away.\r\n") {
		t.Errorf("ann's inbox: %q", got)
	}
	o.deliver(delivery.Envelope{From: "z@far.example", To: to("ann@agency.us")}, mime("x", "From: z@far.example", "To: ann@agency.us"))
	o.send()
	equal(t, "reply that left", o.carrier.sent[0].envelope, delivery.Envelope{To: []delivery.Recipient{{Address: "z@far.example", Notify: []string{"NEVER"}}}})
	if text := o.carrier.sent[0].message; !strings.Contains(text, "Subject: Automatic reply\r\n") || !strings.Contains(text, "\r\n\r\n"+defaultVacation) {
		t.Errorf("default reply: %q", text)
	}
	// A reply that fails is the end of it.
	o.carrier.reply = func(string) delivery.Result { return delivery.Result{Outcome: delivery.Failed, Reply: "550 5.1.1 no"} }
	o.deliver(delivery.Envelope{From: "y@far.example", To: to("ann@agency.us")}, mime("x", "From: y@far.example", "To: ann@agency.us"))
	before := len(o.ann.inbox())
	o.send()
	equal(t, "notices", len(o.ann.inbox()), before)
	equal(t, "outbox", o.queued(), 0)
}

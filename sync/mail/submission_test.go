package mail

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// TestTwoMailboxesWriteToEachOther sends as a client does: the draft, the submission and its move to the sent mailbox
// in one request (RFC 8621 section 7.5.1).
func TestTwoMailboxesWriteToEachOther(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	using := []string{jmap.CoreCapability, CapabilityURI, SubmissionURI}
	drafts, sent := o.ann.role("drafts"), o.ann.role("sent")
	before, err := o.ann.service.States(t.Context(), "a1")
	if err != nil {
		t.Fatal(err)
	}
	answers := o.ann.requests(using,
		[]any{"Email/set", object{"accountId": "a1", "create": object{"d": object{
			"mailboxIds": object{drafts: true}, "keywords": object{"$draft": true}, "subject": "lunch",
			"from": []object{{"name": "Ann Ash", "email": "ann@agency.us"}}, "to": []object{{"email": "Bob@Agency.us"}},
			"bcc": []object{{"email": "eve@other.us"}}, "bodyValues": object{"1": object{"value": "At noon?"}},
			"textBody": []object{{"partId": "1", "type": "text/plain"}},
		}}}, "0"},
		[]any{"EmailSubmission/set", object{
			"accountId": "a1", "create": object{"s": object{"identityId": o.ann.identity(), "emailId": "#d"}},
			"onSuccessUpdateEmail": object{"#s": object{"mailboxIds/" + drafts: nil, "mailboxIds/" + sent: true, "keywords/$draft": nil}},
		}, "1"},
	)
	equal(t, "responses", []any{len(answers), answers[1][0], answers[2][0]}, []any{3, any("EmailSubmission/set"), any("Email/set")})
	created := answers[1][1].(object)["created"].(object)["s"].(object)
	equal(t, "undoStatus", created["undoStatus"], any("pending"))
	equal(t, "mailFrom", created["envelope"].(object)["mailFrom"], any(object{"email": "ann@agency.us", "parameters": nil}))
	id, email := str(created["id"]), str(answers[0][1].(object)["created"].(object)["d"].(object)["id"])
	equal(t, "email", o.ann.get(email, nil, "mailboxIds", "keywords"), object{"id": email, "mailboxIds": object{sent: true}, "keywords": object{}})

	o.send()
	equal(t, "bob's status", o.ann.status(id, "Bob@Agency.us"), [2]string{"250 2.1.5 delivered", "yes"})
	equal(t, "eve's status", o.ann.status(id, "eve@other.us"), [2]string{"250 2.1.5 delivered", "yes"})
	equal(t, "undoStatus", o.ann.submission(id)["undoStatus"], any("final"))
	equal(t, "messages that left the region", o.carrier.count(), 0)
	equal(t, "outbox", o.queued(), 0)
	for _, d := range []*desk{o.bob, o.eve} {
		got := d.inbox()
		if len(got) != 1 || !hasLine(got[0], "Return-Path: <ann@agency.us>") || !strings.Contains(got[0], "Subject: lunch\r\n") || strings.Contains(strings.ToLower(got[0]), "\nbcc:") || strings.Contains(got[0], "eve@") {
			t.Errorf("inbox of %s: %q", d.principal.Address, got)
		}
	}
	after, err := o.ann.service.States(t.Context(), "a1")
	if err != nil {
		t.Fatal(err)
	}
	for kind, changed := range map[string]bool{"EmailSubmission": true, "Identity": false, "VacationResponse": false, "EmailDelivery": true} {
		equal(t, "state of "+kind+" changed", before[kind] != after[kind], changed)
	}

	reply := o.bob.mail(mime("yes\r\n", "From: bob@agency.us", "To: ann@agency.us", "Subject: Re: lunch", "Date: Mon, 23 Nov 2026 12:10:00 +0000"), nil)
	o.send()
	equal(t, "ann's status", o.bob.status(reply, "ann@agency.us"), [2]string{"250 2.1.5 delivered", "yes"})
	equal(t, "ann's inbox", len(o.ann.inbox()), 1)
}

// TestSubmissionsAreRefusedByName has each SetError of RFC 8621 section 7.5.
func TestSubmissionsAreRefusedByName(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.options.MaxSizeSend = 2000
	o.ann.service = o.start(o.options)
	o.ann.principal.Sending = []jmap.SendingRight{{Address: "desk@agency.us"}, {Address: "boss@agency.us", OnBehalf: true}}
	many := make([]object, maxRecipients+1)
	for i := range many {
		many[i] = object{"email": fmt.Sprintf("u%d@far.example", i)}
	}
	env := func(from string, to ...string) object {
		rcpt := []object{}
		for _, a := range to {
			rcpt = append(rcpt, object{"email": a})
		}
		return object{"mailFrom": object{"email": from}, "rcptTo": rcpt}
	}
	with := func(parameters object) object {
		e := env("ann@agency.us", "bob@agency.us")
		e["mailFrom"].(object)["parameters"] = parameters
		return e
	}
	rcpt := func(parameters object) object {
		e := env("ann@agency.us", "bob@agency.us")
		e["rcptTo"].([]object)[0]["parameters"] = parameters
		return e
	}
	plain := func(lines ...string) string { return mime("hello", lines...) }
	date := "Date: Mon, 23 Nov 2026 12:00:00 +0000"
	for name, c := range map[string]struct {
		content  string
		envelope any
		kind     string
		members  object
	}{
		"no sender":              {plain("To: bob@agency.us", date), nil, "invalidEmail", object{"properties": []string{"from"}}},
		"sender is no address":   {plain("From: Ann", date), env("ann@agency.us", "bob@agency.us"), "invalidEmail", object{"properties": []string{"from"}}},
		"two From fields":        {note("From: ann@agency.us"), nil, "invalidEmail", object{"properties": []string{"from", "sender"}}},
		"two senders":            {plain("From: ann@agency.us, desk@agency.us", date), nil, "invalidEmail", object{"properties": []string{"sender"}}},
		"two Sender fields":      {note("Sender: ann@agency.us", "Sender: ann@agency.us"), nil, "invalidEmail", object{"properties": []string{"sender"}}},
		"everything is wrong":    {plain("Sender: a@b, c@d", "Date: never", "Message-ID: <a@b>", "Message-ID: <b@c>"), nil, "invalidEmail", object{"properties": []string{"from", "sender", "sentAt", "messageId"}}},
		"a line is too long":     {note("X-Long: " + strings.Repeat("x", 1000)), nil, "invalidEmail", object{"properties": []string{"bodyStructure"}}},
		"a NUL":                  {note() + "\x00", nil, "invalidEmail", object{"properties": []string{"bodyStructure"}}},
		"foreign From":           {plain("From: eve@other.us", "To: bob@agency.us", date), nil, "forbiddenFrom", nil},
		"one foreign From":       {plain("From: ann@agency.us, eve@other.us", "Sender: ann@agency.us", date), env("ann@agency.us", "bob@agency.us"), "forbiddenFrom", nil},
		"foreign Sender":         {note("Sender: eve@other.us"), nil, "forbiddenFrom", nil},
		"Sender on behalf":       {note("Sender: boss@agency.us"), nil, "forbiddenFrom", nil},
		"shared Sender for boss": {plain("From: boss@agency.us", "Sender: desk@agency.us", "To: bob@agency.us", date), nil, "forbiddenFrom", nil},
		"foreign return path":    {note(), env("eve@other.us", "bob@agency.us"), "forbiddenMailFrom", nil},
		"nobody":                 {plain("From: ann@agency.us", date), nil, "noRecipients", nil},
		"nobody in the envelope": {note(), env("ann@agency.us"), "noRecipients", nil},
		"no addresses":           {note(), env("ann@agency.us", "bob", "bob@agency.us", "a b@c"), "invalidRecipients", object{"invalidRecipients": []string{"bob", "a b@c"}}},
		"too many":               {note(), object{"mailFrom": object{"email": "ann@agency.us"}, "rcptTo": many}, "tooManyRecipients", object{"maxRecipients": maxRecipients}},
		"too large":              {note() + strings.Repeat("x\r\n", 900), nil, "tooLarge", object{"maxSize": 2000}},
		"declared too large":     {note(), with(object{"SIZE": "2001"}), "tooLarge", object{"maxSize": 2000}},
		"no mailFrom":            {note(), object{"rcptTo": []object{{"email": "bob@agency.us"}}}, "invalidProperties", object{"properties": []string{"envelope"}}},
		"mailFrom is none":       {note(), env("ann", "bob@agency.us"), "invalidProperties", object{"properties": []string{"envelope"}}},
		"unknown parameter":      {note(), with(object{"AUTH": "x"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"parameter twice":        {note(), with(object{"RET": "FULL", "ret": "FULL"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"hold is no number":      {note(), with(object{"HOLDFOR": "soon"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"hold has no value":      {note(), with(object{"HOLDFOR": nil}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"hold too long":          {note(), with(object{"HOLDFOR": "999999999999"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"hold until too late":    {note(), with(object{"HOLDUNTIL": "2036-01-01T00:00:00Z"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"hold until no date":     {note(), with(object{"HOLDUNTIL": "tomorrow"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"hold both ways":         {note(), with(object{"HOLDUNTIL": "2026-11-24T00:00:00Z", "HOLDFOR": "60"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"RET":                    {note(), with(object{"RET": "SOME"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"ENVID":                  {note(), with(object{"ENVID": "a\nb"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"BODY":                   {note(), with(object{"BODY": "BINARYMIME"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"REQUIRETLS":             {note(), with(object{"REQUIRETLS": "yes"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"NOTIFY":                 {note(), rcpt(object{"NOTIFY": "NEVER,SUCCESS"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"NOTIFY word":            {note(), rcpt(object{"NOTIFY": "SOMETIMES"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"NOTIFY null":            {note(), rcpt(object{"NOTIFY": nil}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"ORCPT":                  {note(), rcpt(object{"ORCPT": "bob@agency.us"}), "invalidProperties", object{"properties": []string{"envelope"}}},
		"recipient parameter":    {note(), rcpt(object{"SIZE": "1"}), "invalidProperties", object{"properties": []string{"envelope"}}},
	} {
		_, refused := o.ann.submit(object{"emailId": o.ann.draft(c.content), "envelope": c.envelope})
		want := object{"type": c.kind, "description": refused["description"]}
		for member, value := range c.members {
			want[member] = normal(t, value)
		}
		equal(t, name, refused, want)
	}
	good := o.ann.draft(note())
	for name, c := range map[string]struct {
		args  object
		wrong []string
	}{
		"unknown objects": {object{"identityId": "i9", "emailId": "m9"}, []string{"emailId", "identityId"}},
		"unknown email":   {object{"emailId": "#none"}, []string{"emailId"}},
		"server-set":      {object{"emailId": good, "sendAt": "2026-11-24T00:00:00Z"}, []string{"sendAt"}},
	} {
		_, refused := o.ann.submit(c.args)
		equal(t, name, []any{refused["type"], strs(refused["properties"])}, []any{"invalidProperties", c.wrong})
	}
	equal(t, "outbox", o.queued(), 0)
}

func TestWhoMaySendNothingIsToldSo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	other := o.desk(o.ann.service, "a9", "agency/agency", "ann@agency.us", "")
	for name, c := range map[string]struct {
		desk *desk
		home Home
	}{
		"the address is another's": {other, Home{Tenant: "agency/agency"}},
		"suspended":                {o.ann, Home{Tenant: "agency/agency", Suspended: true}},
	} {
		id := c.desk.draft(note())
		o.homes["agency.us"] = c.home
		_, refused := c.desk.submit(object{"emailId": id})
		equal(t, name, refused["type"], any("forbiddenToSend"))
	}
	nameless := *o.ann
	nameless.principal = &jmap.Principal{Tenant: "agency/agency", AccountID: "a1"}
	_, refused := nameless.submit(object{"emailId": o.ann.draft(note())})
	equal(t, "no address", refused["type"], any("forbiddenToSend"))
}

// TestRightsToSendDecideTheSender covers sending as and on behalf of shared mailboxes.
func TestRightsToSendDecideTheSender(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.principal.Sending = []jmap.SendingRight{{Address: "desk@agency.us"}, {Address: "boss@agency.us", OnBehalf: true}}
	identity := func(email string) string {
		out := o.ann.call("Identity/set", object{"create": object{"i": object{"email": email}}})
		return str(out["created"].(object)["i"].(object)["id"])
	}
	own, desk, boss := o.ann.identity(), identity("desk@agency.us"), identity("Boss@agency.us")
	date := "Date: Mon, 23 Nov 2026 12:00:00 +0000"
	for name, c := range map[string]struct {
		identity string
		header   []string
		mailFrom string
		sender   bool
	}{
		"own":                          {own, []string{"From: Ann@AGENCY.us"}, "Ann@AGENCY.us", false},
		"as the desk":                  {desk, []string{"From: desk@agency.us"}, "desk@agency.us", false},
		"as the desk, own identity":    {own, []string{"From: desk@agency.us"}, "ann@agency.us", false},
		"for the boss":                 {boss, []string{"From: boss@agency.us"}, "boss@agency.us", true},
		"for the boss, sender is told": {own, []string{"From: boss@agency.us", "Sender: ann@agency.us"}, "ann@agency.us", false},
		"two authors":                  {own, []string{"From: boss@agency.us, desk@agency.us", "Sender: ann@agency.us"}, "ann@agency.us", false},
	} {
		header := append(slices.Clone(c.header), "To: bob@agency.us", date)
		created, refused := o.ann.submit(object{"identityId": c.identity, "emailId": o.ann.draft(mime("x", header...))})
		if refused != nil {
			t.Errorf("%s: %v", name, refused)
			continue
		}
		equal(t, name+": mailFrom", created["envelope"].(object)["mailFrom"].(object)["email"], any(c.mailFrom))
		o.at = o.at.Add(time.Second)
		o.send()
		got := o.bob.inbox()
		equal(t, name+": sender added", hasLine(got[len(got)-1], "Sender: Ann Ash <ann@agency.us>"), c.sender)
	}
	o.ann.principal.Sending = nil
	_, refused := o.ann.submit(object{"identityId": desk, "emailId": o.ann.draft(note())})
	equal(t, "the right is gone", refused["type"], any("forbiddenFrom"))
}

func TestEnvelopesAreMadeOfTheHeader(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	created, _ := o.ann.submit(object{"emailId": o.ann.draft(note(
		"Cc: Bob <BOB@agency.us>, team: eve@other.us, bob@far.example;", "Bcc: eve@OTHER.us, carl@agency.us"))})
	equal(t, "rcptTo", created["envelope"].(object)["rcptTo"], normal(t, []object{
		{"email": "bob@agency.us", "parameters": nil},
		{"email": "eve@other.us", "parameters": nil},
		{"email": "bob@far.example", "parameters": nil},
		{"email": "carl@agency.us", "parameters": nil},
	}))
	equal(t, "sendAt", created["sendAt"], any("2026-11-23T12:00:00Z"))
	o.send()
	id := str(created["id"])
	for address, want := range map[string][2]string{
		"bob@agency.us":   {"250 2.1.5 delivered", "yes"},
		"eve@other.us":    {"250 2.1.5 delivered", "yes"},
		"bob@far.example": {"250 2.0.0 accepted", "unknown"},
		"carl@agency.us":  {"550 5.1.1 no such mailbox here", "no"},
	} {
		equal(t, address, o.ann.status(id, address), want)
	}
	equal(t, "sent out", len(o.carrier.sent), 1)
	equal(t, "recipients sent out", o.carrier.sent[0].envelope.To, []delivery.Recipient{{Address: "bob@far.example"}})
	equal(t, "Bcc sent out", strings.Contains(o.carrier.sent[0].message, "Bcc"), false)
	notices := o.ann.inbox()
	if len(notices) != 1 || !strings.Contains(notices[0], "Final-Recipient: rfc822; carl@agency.us\r\nAction: failed\r\nStatus: 5.1.1\r\n") || strings.Contains(notices[0], "rfc822; bob@far") {
		t.Errorf("notices: %q", notices)
	}
}

func TestParametersTravelWithTheMessage(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	id := o.ann.mail(mime("hällo", "From: ann@agency.us", "Subject: hällo"), object{
		"mailFrom": object{"email": "ann@agency.us", "parameters": object{"ret": "full", "ENVID": "q+1", "REQUIRETLS": nil, "BODY": "8BITMIME", "SIZE": "10"}},
		"rcptTo":   []object{{"email": "x@far.example", "parameters": object{"NOTIFY": "success,FAILURE", "ORCPT": "rfc822;y@z"}}, {"email": "X@far.example"}},
	})
	o.send()
	equal(t, "envelope", o.carrier.sent[0].envelope, delivery.Envelope{
		From: "ann@agency.us", ID: "q+1", Return: "FULL", RequireTLS: true, SMTPUTF8: true,
		To: []delivery.Recipient{{Address: "x@far.example", Notify: []string{"SUCCESS", "FAILURE"}, Original: "rfc822;y@z"}},
	})
	message := o.carrier.sent[0].message
	for _, field := range []string{"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <", "@agency.us>\r\nFrom: ann@agency.us\r\n"} {
		if !strings.Contains(message, field) {
			t.Errorf("the message lacks %q: %q", field, message)
		}
	}
	equal(t, "status", o.ann.status(id, "x@far.example"), [2]string{"250 2.0.0 accepted", "unknown"})
	account := o.ann.service.SubmissionCapability().Account.(map[string]any)
	equal(t, "maxDelayedSend", account["maxDelayedSend"], any(int64(366*86400)))
	equal(t, "SIZE", account["submissionExtensions"].(map[string][]string)["SIZE"], []string{"75000000"})
}

func TestEmptyReturnPathsAreTakenAndNobodyIsTold(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	id := o.ann.mail(note(), object{"mailFrom": object{"email": ""}, "rcptTo": []object{{"email": "none@agency.us"}, {"email": "bob@agency.us"}}})
	o.send()
	equal(t, "status", o.ann.status(id, "none@agency.us"), [2]string{"550 5.1.1 no such mailbox here", "no"})
	equal(t, "notices", o.ann.inbox(), []string{})
	equal(t, "return path", hasLine(o.bob.inbox()[0], "Return-Path: <>"), true)
}

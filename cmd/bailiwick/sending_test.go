package main

import (
	"fmt"
	"strings"
	"testing"
)

const usingSubmission = `"using":["urn:ietf:params:jmap:core","urn:ietf:params:jmap:mail","urn:ietf:params:jmap:submission","urn:ietf:params:jmap:vacationresponse"]`

// inRegion sends method calls that concern the sending of mail.
func (u *user) inRegion(t *testing.T, method, args string) [][2]any {
	t.Helper()
	answers := u.send(t, fmt.Sprintf(`{%s,"methodCalls":[[%q,{"accountId":%q%s},"c"]]}`, usingSubmission, method, u.account, comma(args)))
	if answers[0][0] != method {
		t.Fatalf("%s: %v", method, answers)
	}
	return answers
}

// sends submits a message that is held back for so many seconds, and moves it to the sent mailbox.
func (u *user) sends(t *testing.T, to string, seconds int) {
	t.Helper()
	identities := as[[]any](t, as[map[string]any](t, u.inRegion(t, "Identity/get", `"ids":null`)[0][1])["list"])
	identity := as[map[string]any](t, identities[0])
	message := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: hello\r\n\r\nAt noon?\r\n", identity["email"], to)
	email := u.add(t, "drafts", strings.NewReader(message))
	answers := u.inRegion(t, "EmailSubmission/set", fmt.Sprintf(
		`"create":{"s":{"identityId":%q,"emailId":%q,"envelope":{"mailFrom":{"email":%q,"parameters":{"HOLDFOR":"%d"}},"rcptTo":[{"email":%q}]}}},"onSuccessUpdateEmail":{"#s":{"mailboxIds":{%q:true}}}`,
		identity["id"], email["id"], identity["email"], seconds, to, u.boxes["sent"]))
	if len(answers) != 2 || as[map[string]any](t, answers[0][1])["created"] == nil || as[map[string]any](t, answers[1][1])["updated"] == nil {
		t.Fatalf("submission: %v", answers)
	}
}

func (u *user) inboxHolds(t *testing.T, emails int) bool {
	t.Helper()
	out := u.one(t, "Email/query", fmt.Sprintf(`"filter":{"inMailbox":%q}`, u.boxes["inbox"]))
	return len(as[[]any](t, out["ids"])) == emails
}

// TestMailIsSentWithinTheRegionAcrossARestart has two people write to each other while the region restarts.
func TestMailIsSentWithinTheRegionAcrossARestart(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	ada, eve := r.user(t, "ada"), r.user(t, "eve")
	ada.sends(t, "eve@agency.example", 0)
	eventually(t, "eve has the message", func() bool { return eve.inboxHolds(t, 1) })
	eve.inRegion(t, "VacationResponse/set", `"update":{"singleton":{"isEnabled":true}}`)
	ada.sends(t, "eve@agency.example", 3)
	r.stop(t)
	r.start(t)
	eventually(t, "eve has the held message", func() bool { return eve.inboxHolds(t, 2) })
	eventually(t, "ada has the automatic reply", func() bool { return ada.inboxHolds(t, 1) })
	ada.sends(t, "x@elsewhere.example", 0)
	eventually(t, "ada hears that there is no smart host", func() bool { return ada.inboxHolds(t, 2) })
	if logs := r.logs.String(); strings.Contains(logs, "agency.example\"") || strings.Contains(logs, `"level":"ERROR"`) {
		t.Errorf("logs: %s", logs)
	}
}

package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlobManagementIsOfferedAndWorks(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.start(t)
	u := r.user(t, "ann")
	_, body := r.do(t, http.MethodGet, sessionPath, u.token, "")
	session := decodeObject(t, body)
	offered := as[map[string]any](t, as[map[string]any](t, session["capabilities"])["urn:ietf:params:jmap:blob"])
	if len(offered) != 0 {
		t.Errorf("session capability %v, want an empty object", offered)
	}
	account := as[map[string]any](t, as[map[string]any](t, session["accounts"])[u.account])
	limits := as[map[string]any](t, as[map[string]any](t, account["accountCapabilities"])["urn:ietf:params:jmap:blob"])
	if limits["maxSizeBlobSet"] != 75e6 {
		t.Errorf("account capability %v", limits)
	}

	message := u.add(t, "inbox", strings.NewReader("Subject: news\r\n\r\nhello"))
	answers := u.send(t, fmt.Sprintf(`{"using":["urn:ietf:params:jmap:core","urn:ietf:params:jmap:mail","urn:ietf:params:jmap:blob"],"methodCalls":[
		["Blob/upload",{"accountId":%[1]q,"create":{"k":{"data":[{"blobId":%[2]q,"offset":17,"length":5},{"data:asText":"!"}]}}},"0"],
		["Blob/get",{"accountId":%[1]q,"ids":["#k"],"properties":["data"]},"1"],
		["Blob/lookup",{"accountId":%[1]q,"ids":[%[2]q],"typeNames":["Email"]},"2"]]}`, u.account, message["blobId"]))
	if len(answers) != 3 {
		t.Fatalf("answers: %v", answers)
	}
	made := as[map[string]any](t, as[[]any](t, as[map[string]any](t, answers[1][1])["list"])[0])
	if made["data:asText"] != "hello!" {
		t.Errorf("content %v, want %q", made, "hello!")
	}
	found := as[map[string]any](t, as[[]any](t, as[map[string]any](t, answers[2][1])["list"])[0])
	if diff := cmp.Diff(map[string]any{"Email": []any{message["id"]}}, found["matchedIds"]); diff != "" {
		t.Errorf("emails (-want +got):\n%s", diff)
	}
}

package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const usingMail = `"using":["urn:ietf:params:jmap:core","urn:ietf:params:jmap:mail"]`

// user is somebody who talks to a region over HTTPS, without a client library in between.
type user struct {
	region  *region
	token   string
	account string
	boxes   map[string]string
}

func (r *region) user(t *testing.T, subject string) *user {
	t.Helper()
	u := &user{region: r, token: r.token(t, map[string]any{"sub": subject, "email": subject + "@agency.example"}), boxes: map[string]string{}}
	_, body := r.do(t, http.MethodGet, sessionPath, u.token, "")
	primary, ok := decodeObject(t, body)["primaryAccounts"].(map[string]any)
	if !ok {
		t.Fatalf("session %s", body)
	}
	u.account = fmt.Sprint(primary["urn:ietf:params:jmap:mail"])
	for _, item := range as[[]any](t, u.one(t, "Mailbox/get", `"ids":null`)["list"]) {
		box := as[map[string]any](t, item)
		u.boxes[fmt.Sprint(box["role"])] = fmt.Sprint(box["id"])
	}
	return u
}

// calls sends method calls, each with the account and further arguments, and returns name and arguments of the responses.
func (u *user) calls(t *testing.T, calls ...[2]string) [][2]any {
	t.Helper()
	var list []string
	for i, call := range calls {
		list = append(list, fmt.Sprintf(`[%q,{"accountId":%q%s},"c%d"]`, call[0], u.account, comma(call[1]), i))
	}
	return u.send(t, `{`+usingMail+`,"methodCalls":[`+strings.Join(list, ",")+`]}`)
}

func comma(s string) string {
	if s == "" {
		return ""
	}
	return "," + s
}

func (u *user) send(t *testing.T, request string) [][2]any {
	t.Helper()
	resp, body := u.region.do(t, http.MethodPost, "/jmap/api", u.token, request)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	var out [][2]any
	for _, answer := range as[[]any](t, decodeObject(t, body)["methodResponses"]) {
		parts := as[[]any](t, answer)
		out = append(out, [2]any{parts[0], parts[1]})
	}
	return out
}

// one makes one call that must succeed.
func (u *user) one(t *testing.T, method, args string) map[string]any {
	t.Helper()
	answer := u.calls(t, [2]string{method, args})[0]
	if answer[0] != method {
		t.Fatalf("%s: %v", method, answer)
	}
	return as[map[string]any](t, answer[1])
}

// fails makes one call and returns the type of its error.
func (u *user) fails(t *testing.T, method, args string) string {
	t.Helper()
	answer := u.calls(t, [2]string{method, args})[0]
	if answer[0] != "error" {
		return fmt.Sprint(answer)
	}
	return fmt.Sprint(as[map[string]any](t, answer[1])["type"])
}

func (u *user) upload(t *testing.T, content io.Reader) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.region.flags.url+"/jmap/upload/"+u.account+"/", content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
	req.Header.Set("Content-Type", "message/rfc822")
	resp, err := u.region.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("upload: status %d: %s, %v", resp.StatusCode, body, err)
	}
	return fmt.Sprint(decodeObject(t, body)["blobId"])
}

// add imports a message into a mailbox by role.
func (u *user) add(t *testing.T, role string, content io.Reader) map[string]any {
	t.Helper()
	out := u.one(t, "Email/import", fmt.Sprintf(`"emails":{"m":{"blobId":%q,"mailboxIds":{%q:true}}}`, u.upload(t, content), u.boxes[role]))
	created, ok := out["created"].(map[string]any)
	if !ok {
		t.Fatalf("import: %v", out)
	}
	return as[map[string]any](t, created["m"])
}

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// launch runs the region as a process of its own, which kill ends without a warning.
func (r *region) launch(t *testing.T) (kill func()) {
	t.Helper()
	f := &r.flags
	cmd := exec.Command(os.Args[0], "sync", "--region", f.region, "--cloud", f.cloud, "--geography", f.geography, "--url", f.url,
		"--address", f.address, "--port", strconv.Itoa(int(f.port)), "--metrics-port", "0", "--minimum-tls", f.minimumTLS,
		"--tls-dir", f.tlsDir, "--data-dir", f.dataDir, "--documents-dir", f.documentsDir, "--control-socket", f.controlSocket)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = r.logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			r.client.CloseIdleConnections()
		})
	}
	t.Cleanup(kill)
	r.ready(t)
	return kill
}

// attempt makes one request whose answer may be lost with the server.
func (u *user) attempt(path, contentType, body string) (map[string]any, bool) {
	req, err := http.NewRequest(http.MethodPost, u.region.flags.url+path, strings.NewReader(body))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
	req.Header.Set("Content-Type", contentType)
	resp, err := u.region.client.Do(req)
	if err != nil {
		return nil, false
	}
	defer resp.Body.Close()
	var answer map[string]any
	return answer, resp.StatusCode == http.StatusOK && decodeJSON(resp.Body, &answer) == nil
}

// deliver uploads and imports a letter and returns the id of the email, or nothing when it was not told.
func (u *user) deliver(content string) string {
	blob, ok := u.attempt("/jmap/upload/"+u.account+"/", "message/rfc822", content)
	if !ok {
		return ""
	}
	out, ok := u.attempt("/jmap/api", "application/json", fmt.Sprintf(`{%s,"methodCalls":[["Email/import",{"accountId":%q,"emails":{"m":{"blobId":%q,"mailboxIds":{%q:true}}}},"0"]]}`,
		usingMail, u.account, blob["blobId"], u.boxes["inbox"]))
	if !ok {
		return ""
	}
	_, rest, _ := strings.Cut(fmt.Sprint(out["methodResponses"]), " id:")
	id, _, _ := strings.Cut(rest, " ")
	return id
}

func TestWhatWasAnsweredOutlivesAKilledServer(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	want := map[string]bool{}
	for round := range 3 {
		kill := r.launch(t)
		u := r.user(t, "user")
		var mu sync.Mutex
		var told atomic.Int64
		var writers sync.WaitGroup
		for writer := range 4 {
			writers.Go(func() {
				for n := 0; ; n++ {
					// Every other one is too large to lie among the keys.
					id := u.deliver(fmt.Sprintf("Subject: %d %d %d\r\n\r\n%s", round, writer, n, strings.Repeat("x", n%2*100_000)))
					if id == "" {
						return
					}
					mu.Lock()
					want[id] = true
					mu.Unlock()
					told.Add(1)
				}
			})
		}
		eventually(t, "letters are delivered", func() bool { return told.Load() > 30 })
		kill()
		writers.Wait()
	}
	r.launch(t)
	u := r.user(t, "user")
	query := u.one(t, "Email/query", `"calculateTotal":true,"filter":{"operator":"AND","conditions":[]}`)
	have := map[string]bool{}
	for _, id := range as[[]any](t, query["ids"]) {
		have[fmt.Sprint(id)] = true
	}
	for id := range want {
		if !have[id] {
			t.Errorf("email %q was told of, and is lost", id)
		}
	}
	inbox := as[map[string]any](t, as[[]any](t, u.one(t, "Mailbox/get", fmt.Sprintf(`"ids":[%q]`, u.boxes["inbox"]))["list"])[0])
	counts := []any{inbox["totalEmails"], inbox["unreadEmails"], query["total"]}
	if diff := cmp.Diff([]any{query["total"], query["total"], float64(len(have))}, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	changes := u.one(t, "Email/changes", `"sinceState":"0"`)
	if got := len(as[[]any](t, changes["created"])); got != len(have) {
		t.Errorf("%d of %d emails are in the change log", got, len(have))
	}
	read := u.one(t, "Email/get", fmt.Sprintf(`"ids":[%s],"properties":["blobId","size"]`, quoted(have)))
	for _, item := range as[[]any](t, read["list"]) {
		email := as[map[string]any](t, item)
		resp, body := r.do(t, http.MethodGet, "/jmap/download/"+u.account+"/"+fmt.Sprint(email["blobId"])+"/m", u.token, "")
		if resp.StatusCode != http.StatusOK || float64(len(body)) != email["size"] {
			t.Errorf("email %v: status %d, %d octets of %v", email["id"], resp.StatusCode, len(body), email["size"])
		}
	}
}

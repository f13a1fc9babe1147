package mail

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// reads says whether a principal may read a blob of an account.
func (d *desk) reads(p *jmap.Principal, account, blob string) bool {
	d.tb.Helper()
	content, _, err := d.service.BlobsFor(p).Open(d.tb.Context(), account, blob)
	if errors.Is(err, jmap.ErrBlobNotFound) {
		return false
	}
	if err != nil || content.Close() != nil {
		d.tb.Fatalf("open blob: %v", err)
	}
	return true
}

func (d *desk) uploadAs(p *jmap.Principal, account, content string) string {
	d.tb.Helper()
	id, _, err := d.service.BlobsFor(p).Put(d.tb.Context(), account, "", strings.NewReader(content))
	if err != nil {
		d.tb.Fatalf("upload: %v", err)
	}
	return id
}

// TestWhatNothingRefersToIsReadByItsUploaderOnly follows RFC 8620 section 6.1: also in shared accounts.
func TestWhatNothingRefersToIsReadByItsUploaderOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.colleague("a2")
	d.colleague("team")
	readers := map[string]*jmap.Principal{"team": {Tenant: d.principal.Tenant, AccountID: "team"}}
	for _, account := range []string{"a1", "a2"} {
		readers[account] = &jmap.Principal{Tenant: d.principal.Tenant, AccountID: account, Shared: []jmap.SharedAccount{{AccountID: "team"}}}
	}
	check := func(when, blob string, want ...string) {
		t.Helper()
		var got []string
		for _, account := range []string{"a1", "a2", "team"} {
			if d.reads(readers[account], "team", blob) {
				got = append(got, account)
			}
		}
		equal(t, when, got, want)
	}
	const content = "Subject: x\r\n\r\nsecret"
	blob := d.uploadAs(readers["a1"], "team", content)
	check("uploaded by one", blob, "a1")
	check("a part of it", "P"+blob[1:]+"-0-4-n", "a1")
	if _, err := d.service.BlobsFor(readers["a2"]).Copy(t.Context(), "team", "a2", blob); !errors.Is(err, jmap.ErrBlobNotFound) {
		t.Errorf("copied by another: %v", err)
	}
	equal(t, "uploaded by another", d.uploadAs(readers["a2"], "team", content), blob)
	check("uploaded by both", blob, "a1", "a2")
	d.uploadAs(readers["team"], "team", content)
	d.uploadAs(readers["a1"], "team", content)
	check("uploaded by the owner too", blob, "a1", "a2", "team")

	other := d.uploadAs(readers["a1"], "team", content+"!")
	member := *d
	member.created, member.principal = map[string]string{}, readers["a1"]
	inbox := ""
	for _, box := range list(member.call("Mailbox/get", object{"accountId": "team", "ids": nil})["list"]) {
		if box["role"] == "inbox" {
			inbox = str(box["id"])
		}
	}
	out := member.call("Email/import", object{"accountId": "team", "emails": object{"m": object{"blobId": other, "mailboxIds": object{inbox: true}}}})
	id := str(out["created"].(object)["m"].(object)["id"])
	check("of an email", other, "a1", "a2", "team")
	member.call("Email/set", object{"accountId": "team", "destroy": []string{id}})
	check("of an email that was destroyed", other, "a1")

	d.at = d.at.Add(25 * time.Hour)
	if err := d.service.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after its time", blob)
}

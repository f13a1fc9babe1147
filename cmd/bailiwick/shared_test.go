package main

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/bailiwick-dev/bailiwick/api/tenantdoc"
)

const helpAddress = "help@agency.example"

// sharing is the region's document with one shared mailbox and its members.
func (r *region) sharing(generation int64, members ...string) *tenantdoc.Document {
	d := r.document()
	d.Generation = generation
	d.Features.SharedMailboxes = true
	help := tenantdoc.SharedMailbox{Address: helpAddress, Name: "Help desk", Account: tenantdoc.SharedAccountID(d.Tenant, helpAddress)}
	for _, member := range members {
		help.Members = append(help.Members, tenantdoc.Member{Address: member + "@agency.example", FullAccess: true})
	}
	d.SharedMailboxes = []tenantdoc.SharedMailbox{help}
	return d
}

// accounts are the names of the accounts of a session, by id.
func (u *user) accounts(t *testing.T) map[string]string {
	t.Helper()
	_, body := u.region.do(t, http.MethodGet, sessionPath, u.token, "")
	names := map[string]string{}
	for id, account := range as[map[string]any](t, decodeObject(t, body)["accounts"]) {
		names[id] = fmt.Sprint(as[map[string]any](t, account)["name"])
	}
	return names
}

// in is the user at work in another account.
func (u *user) in(t *testing.T, account string) *user {
	t.Helper()
	other := *u
	other.account, other.boxes = account, map[string]string{}
	for _, item := range as[[]any](t, other.one(t, "Mailbox/get", `"ids":null`)["list"]) {
		box := as[map[string]any](t, item)
		other.boxes[fmt.Sprint(box["role"])] = fmt.Sprint(box["id"])
	}
	return &other
}

func TestMembersShareAMailbox(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.write(t, r.sharing(1, "ada", "ben"))
	r.start(t)
	help := tenantdoc.SharedAccountID("agency/agency", helpAddress)
	ada, ben, eve := r.user(t, "ada"), r.user(t, "ben"), r.user(t, "eve")
	if got := ada.accounts(t)[help]; got != "Help desk" {
		t.Fatalf("the shared account is named %q", got)
	}
	if _, has := eve.accounts(t)[help]; has {
		t.Error("somebody who is no member has the shared account")
	}
	if got := eve.inside(help).fails(t, "Mailbox/get", `"ids":null`); got != "accountNotFound" {
		t.Errorf("somebody who is no member gets %s", got)
	}
	shared := ada.in(t, help)
	for _, role := range []string{"inbox", "drafts", "sent", "archive", "junk", "trash"} {
		if shared.boxes[role] == "" {
			t.Errorf("the shared mailbox has no %s", role)
		}
	}
	added := shared.add(t, "inbox", strings.NewReader(letter))
	got := ben.in(t, help).one(t, "Email/get", fmt.Sprintf(`"ids":[%q],"properties":["subject"]`, added["id"]))
	if list := as[[]any](t, got["list"]); len(list) != 1 {
		t.Errorf("the other member reads %v", got)
	}
}

// inside is the user who names another account, without looking first.
func (u *user) inside(account string) *user {
	other := *u
	other.account = account
	return &other
}

func TestMembershipEndsWithinTheDocument(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.write(t, r.sharing(1, "ada"))
	r.start(t)
	help := tenantdoc.SharedAccountID("agency/agency", helpAddress)
	ada := r.user(t, "ada")
	added := ada.in(t, help).add(t, "inbox", strings.NewReader(letter))
	r.write(t, r.sharing(2))
	eventually(t, "the membership ends", func() bool { return ada.inside(help).calls(t, [2]string{"Mailbox/get", `"ids":null`})[0][0] == "error" })
	if len(ada.accounts(t)) != 1 {
		t.Error("the shared account is still in the session")
	}
	// A mailbox that is declared again has its mail.
	r.write(t, r.document())
	eventually(t, "the mailbox goes", func() bool { return !r.hasShared() })
	r.write(t, r.sharing(3, "ada"))
	eventually(t, "the membership is back", func() bool { return len(ada.accounts(t)) == 2 })
	got := ada.in(t, help).one(t, "Email/get", fmt.Sprintf(`"ids":[%q],"properties":["subject"]`, added["id"]))
	if list := as[[]any](t, got["list"]); len(list) != 1 {
		t.Errorf("the mail is lost: %v", got)
	}
}

// hasShared tells whether the document in force, as its removal is logged, has shared
// mailboxes: the third document is the only one of generation 1 after the second.
func (r *region) hasShared() bool {
	return strings.Count(r.logs.String(), `"generation":1`) < 2
}

func TestStreamOfAMemberShowsTheSharedMailboxAndEndsWithTheMembership(t *testing.T) {
	t.Parallel()
	r := newRegion(t)
	r.write(t, r.sharing(1, "ada"))
	r.start(t)
	help := tenantdoc.SharedAccountID("agency/agency", helpAddress)
	ada := r.user(t, "ada")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.flags.url+"/jmap/eventsource?types=*&closeafter=no&ping=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ada.token)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := scanLines(resp.Body)
	ada.in(t, help).add(t, "inbox", strings.NewReader(letter))
	for line := range lines {
		if strings.HasPrefix(line, "data: ") && strings.Contains(line, help) {
			break
		}
	}
	r.write(t, r.sharing(2))
	for range lines { // ends with the stream, or with the test's deadline
	}
}

// scanLines yields the lines of a stream until it ends.
func scanLines(body io.Reader) iter.Seq[string] {
	scanner := bufio.NewScanner(body)
	return func(yield func(string) bool) {
		for scanner.Scan() {
			if !yield(scanner.Text()) {
				return
			}
		}
	}
}

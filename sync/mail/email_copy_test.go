package mail

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
)

// neighbour provisions a further account and lets the principal of the desk use it. Its desk shares the clock.
func (d *desk) neighbour(tenant, account string, readOnly bool) *desk {
	d.tb.Helper()
	other := *d
	other.created = map[string]string{}
	other.principal = &jmap.Principal{Tenant: tenant, AccountID: account, Address: account + "@agency.us"}
	if err := d.service.Provision(d.tb.Context(), other.principal); err != nil {
		d.tb.Fatalf("provision: %v", err)
	}
	d.principal.Shared = append(d.principal.Shared, jmap.SharedAccount{AccountID: account, ReadOnly: readOnly})
	return &other
}

// request sends one API request with one call and returns the names and arguments of its responses.
func (d *desk) request(method string, args object) [][2]any {
	d.tb.Helper()
	return d.requests([]string{jmap.CoreCapability, CapabilityURI, BlobCapabilityURI}, []any{method, args, "c"})
}

// requests sends one API request and returns the names and arguments of its responses.
func (d *desk) requests(using []string, calls ...[]any) [][2]any {
	d.tb.Helper()
	service, err := jmap.NewService(jmap.Options{
		BaseURL: "https://mail.agency.us", Limits: d.limits, Blobs: d.service, Shares: d.service,
		Capabilities: d.capabilities(),
	})
	if err != nil {
		d.tb.Fatal(err)
	}
	body, err := json.Marshal(object{"using": using, "methodCalls": calls})
	if err != nil {
		d.tb.Fatal(err)
	}
	answer, problem := service.Process(d.tb.Context(), d.visiting(), body)
	if problem != nil {
		d.tb.Fatalf("%v: %v", calls, problem)
	}
	var response struct {
		Responses [][3]any `json:"methodResponses"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		d.tb.Fatal(err)
	}
	var out [][2]any
	for _, r := range response.Responses {
		out = append(out, [2]any{r[0], r[1]})
	}
	return out
}

// TestEmailsAreCopiedBetweenAccounts follows RFC 8620 section 5.4 and RFC 8621 section 4.7.
func TestEmailsAreCopiedBetweenAccounts(t *testing.T) {
	t.Parallel()
	for name, tenant := range map[string]string{"of one tenant": "agency/agency", "of two tenants": "other/other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			from := d.neighbour(tenant, "a2", true)
			id := from.add(from.role("archive"), mime("hello", "Subject: hello"), "$seen", "work")
			received := from.get(id, nil, "receivedAt")["receivedAt"]
			before := d.state("Email/get")
			inbox, drafts := d.role("inbox"), d.role("drafts")
			out := d.call("Email/copy", object{"fromAccountId": "a2", "ifFromInState": from.state("Email/get"), "ifInState": before, "create": object{
				"same": object{"id": id, "mailboxIds": object{inbox: true}},
				"new":  object{"id": id, "mailboxIds": object{inbox: true, drafts: true}, "keywords": object{"$Flagged": true}, "receivedAt": "2020-01-02T03:04:05Z"},
				"none": object{"id": id, "mailboxIds": object{drafts: true}, "keywords": object{}},
			}})
			equal(t, "states", []any{out["oldState"], out["newState"]}, []any{before, d.state("Email/get")})
			equal(t, "accounts", []any{out["fromAccountId"], out["accountId"], out["notCreated"]}, []any{"a2", "a1", nil})
			for creation, want := range map[string]object{
				"same": {"mailboxIds": object{inbox: true}, "keywords": object{"$seen": true, "work": true}, "receivedAt": received},
				"new":  {"mailboxIds": object{inbox: true, drafts: true}, "keywords": object{"$flagged": true}, "receivedAt": "2020-01-02T03:04:05Z"},
				"none": {"mailboxIds": object{drafts: true}, "keywords": object{}, "receivedAt": received},
			} {
				created := out["created"].(object)[creation].(object)
				equal(t, "properties told", slices.Sorted(maps.Keys(created)), []string{"blobId", "id", "size", "threadId"})
				got := d.get(str(created["id"]), object{"fetchAllBodyValues": true}, "mailboxIds", "keywords", "receivedAt", "subject", "bodyValues", "blobId", "threadId", "size")
				want["id"], want["subject"], want["blobId"], want["threadId"], want["size"] = created["id"], "hello", created["blobId"], created["threadId"], created["size"]
				want["bodyValues"] = object{"1": object{"value": "hello", "isEncodingProblem": false, "isTruncated": false}}
				equal(t, creation, got, want)
				equal(t, "creation id", d.created[creation], str(created["id"]))
			}
			equal(t, "the original stays", len(list(from.call("Email/get", object{"ids": []string{id}})["list"])), 1)
			from.call("Email/set", object{"destroy": []string{id}})
			equal(t, "the copy does not need it", d.get(d.created["same"], object{"fetchAllBodyValues": true}, "subject")["subject"], any("hello"))
		})
	}
}

func TestWrongCopiesAreRefusedAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	from := d.neighbour("agency/agency", "a2", false)
	id := from.add(from.role("inbox"), mime("hello", "Subject: hello"))
	inbox := object{d.role("inbox"): true}
	many := object{}
	for i := range maxKeywordsPerEmail + 1 {
		many[fmt.Sprintf("k%d", i)] = true
	}
	type refusal struct {
		create     any
		kind       string
		properties []string
	}
	tests := map[string]refusal{
		"no-object":       {"x", "invalidProperties", []string{}},
		"no-id":           {object{"mailboxIds": inbox}, "invalidProperties", []string{"id"}},
		"unknown-email":   {object{"id": "m999", "mailboxIds": inbox}, "notFound", []string{}},
		"unknown-created": {object{"id": "#none", "mailboxIds": inbox}, "notFound", []string{}},
		"no-mailboxes":    {object{"id": id}, "invalidProperties", []string{"mailboxIds"}},
		"unknown-mailbox": {object{"id": id, "mailboxIds": object{"x9": true}}, "invalidProperties", []string{"mailboxIds"}},
		"wrong-keyword":   {object{"id": id, "mailboxIds": inbox, "keywords": object{"a b": true}}, "invalidProperties", []string{"keywords"}},
		"many-keywords":   {object{"id": id, "mailboxIds": inbox, "keywords": many}, "tooManyKeywords", []string{}},
		"wrong-date":      {object{"id": id, "mailboxIds": inbox, "receivedAt": "yesterday"}, "invalidProperties", []string{"receivedAt"}},
		"other-property":  {object{"id": id, "mailboxIds": inbox, "subject": "changed"}, "invalidProperties", []string{"subject"}},
	}
	create := object{"right": object{"id": id, "mailboxIds": inbox}}
	for name, test := range tests {
		create[name] = test.create
	}
	out := d.call("Email/copy", object{"fromAccountId": "a2", "create": create})
	for name, test := range tests {
		kind, properties := setError(out, "notCreated", name)
		equal(t, name, kind, test.kind)
		equal(t, name+": properties", properties, test.properties)
	}
	equal(t, "refused", len(out["notCreated"].(object)), len(tests))
	equal(t, "created", slices.Sorted(maps.Keys(out["created"].(object))), []string{"right"})
}

func TestWrongCopyCallsAreRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.neighbour("agency/agency", "a2", true)
	for name, test := range map[string]struct {
		args object
		want string
	}{
		"one account":              {object{"fromAccountId": "a1"}, jmap.ErrorInvalidArguments},
		"no account to copy from":  {object{}, jmap.ErrorInvalidArguments},
		"account of somebody else": {object{"fromAccountId": "a3"}, jmap.ErrorFromAccountNotFound},
		"to somebody else":         {object{"fromAccountId": "a2", "accountId": "a3"}, jmap.ErrorAccountNotFound},
		"to a read-only account":   {object{"fromAccountId": "a1", "accountId": "a2"}, jmap.ErrorAccountReadOnly},
		"nothing to copy":          {object{"fromAccountId": "a2", "create": nil}, jmap.ErrorInvalidArguments},
		"old state there":          {object{"fromAccountId": "a2", "ifFromInState": "99"}, jmap.ErrorStateMismatch},
		"old state here":           {object{"fromAccountId": "a2", "ifInState": "99"}, jmap.ErrorStateMismatch},
		"unknown argument":         {object{"fromAccountId": "a2", "x": 1}, jmap.ErrorInvalidArguments},
	} {
		if _, given := test.args["create"]; !given {
			test.args["create"] = object{}
		}
		equal(t, name, d.refused("Email/copy", test.args), test.want)
	}
}

// TestOriginalsAreDestroyedAfterCopying follows onSuccessDestroyOriginal of RFC 8620 section 5.4.
func TestOriginalsAreDestroyedAfterCopying(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		readOnly bool
		args     object
		// responses are the names of the responses, and fails is the type of the error among them.
		responses []string
		fails     string
		left      int
	}{
		"not asked for":    {false, object{}, []string{"Email/copy"}, "", 2},
		"asked for":        {false, object{"onSuccessDestroyOriginal": true}, []string{"Email/copy", "Email/set"}, "", 1},
		"in another state": {false, object{"onSuccessDestroyOriginal": true, "destroyFromIfInState": "99"}, []string{"Email/copy", "error"}, jmap.ErrorStateMismatch, 2},
		"not allowed":      {true, object{"onSuccessDestroyOriginal": true}, []string{"Email/copy", "error"}, jmap.ErrorAccountReadOnly, 2},
		"nothing copied":   {false, object{"onSuccessDestroyOriginal": true, "create": object{"x": object{"id": "m999"}}}, []string{"Email/copy"}, "", 2},
		"copy refused":     {false, object{"onSuccessDestroyOriginal": true, "ifInState": "99"}, []string{"error"}, jmap.ErrorStateMismatch, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			from := d.neighbour("agency/agency", "a2", test.readOnly)
			box := from.role("inbox")
			id, other := from.add(box, mime("one", "Subject: one")), from.add(box, mime("two", "Subject: two"))
			inbox := object{d.role("inbox"): true}
			args := object{"accountId": "a1", "fromAccountId": "a2", "create": object{
				"x": object{"id": id, "mailboxIds": inbox}, "again": object{"id": id, "mailboxIds": inbox},
				"wrong": object{"id": other, "mailboxIds": object{}},
			}}
			maps.Copy(args, test.args)
			responses := d.request("Email/copy", args)
			var names []string
			for _, r := range responses {
				names = append(names, str(r[0]))
			}
			equal(t, "responses", names, test.responses)
			last, _ := responses[len(responses)-1][1].(object)
			equal(t, "error", str(last["type"]), test.fails)
			if names[len(names)-1] == "Email/set" {
				equal(t, "account", last["accountId"], any("a2"))
				equal(t, "destroyed", strs(last["destroyed"]), []string{id})
			}
			equal(t, "emails left", from.counts(box)[0], test.left)
		})
	}
}

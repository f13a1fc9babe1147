package mail

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main{Runner: m}) }

// object is a JSON object of a test.
type object = map[string]any

// desk is a service with one account, and a clock that stands still until it is moved.
type desk struct {
	tb        testing.TB
	service   *Service
	engine    store.Engine
	principal *jmap.Principal
	created   map[string]string
	limits    jmap.Limits
	at        time.Time
	// using are the capabilities that calls opt in to.
	using map[string]bool
}

func newDesk(tb testing.TB) *desk {
	tb.Helper()
	engine, err := pebble.Open(tb.Context(), tb.TempDir(), pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		tb.Fatalf("open store: %v", err)
	}
	tb.Cleanup(func() { engine.Close() })
	d := &desk{
		tb: tb, engine: engine, limits: jmap.DefaultLimits(), created: map[string]string{},
		at:        time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		principal: &jmap.Principal{Tenant: "agency/agency", AccountID: "a1", Address: "ann@agency.us"},
		using:     map[string]bool{PrincipalsCapabilityURI: true},
	}
	if d.service, err = New(engine, Options{Now: func() time.Time { return d.at }}); err != nil {
		tb.Fatalf("service: %v", err)
	}
	if err := d.service.Provision(tb.Context(), d.principal); err != nil {
		tb.Fatalf("provision: %v", err)
	}
	return d
}

// try calls a method and returns its result as JSON decodes it.
func (d *desk) try(method string, args object) (object, error) {
	d.tb.Helper()
	if args["accountId"] == nil {
		args["accountId"] = d.principal.AccountID
	}
	raw, err := json.Marshal(args)
	if err != nil {
		d.tb.Fatalf("encode arguments: %v", err)
	}
	call := &jmap.Call{Principal: d.visiting(), Name: method, Args: raw, CreatedIDs: d.created, Limits: &d.limits, Using: d.using}
	var run jmap.Method
	for _, c := range d.capabilities() {
		if c.Methods[method] != nil {
			run, call.Partial = c.Methods[method], c.Partial
		}
	}
	if run == nil {
		d.tb.Fatalf("there is no method %q", method)
	}
	result, err := run(d.tb.Context(), call)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		d.tb.Fatalf("encode result: %v", err)
	}
	var out object
	if err := json.Unmarshal(encoded, &out); err != nil {
		d.tb.Fatalf("decode result: %v", err)
	}
	return out, nil
}

// capabilities are all that the service offers.
func (d *desk) capabilities() []jmap.Capability {
	return append(
		d.service.PrincipalsCapabilities(), d.service.Capability(), d.service.BlobCapability(), d.service.SubmissionCapability(),
		d.service.VacationCapability(), d.service.QuotaCapability(),
	)
}

// visiting is the principal with what others share with it now.
func (d *desk) visiting() *jmap.Principal {
	d.tb.Helper()
	shared, err := d.service.SharedWith(d.tb.Context(), d.principal)
	if err != nil {
		d.tb.Fatalf("shares: %v", err)
	}
	p := *d.principal
	p.Shared = append(slices.Clip(p.Shared), shared...)
	return &p
}

func (d *desk) call(method string, args object) object {
	d.tb.Helper()
	out, err := d.try(method, args)
	if err != nil {
		d.tb.Fatalf("%s: %v", method, err)
	}
	return out
}

// refused calls a method and returns the type of its error.
func (d *desk) refused(method string, args object) string {
	d.tb.Helper()
	out, err := d.try(method, args)
	refused, ok := errors.AsType[*jmap.MethodError](err)
	if !ok {
		d.tb.Fatalf("%s: got %v, error %v; want a method error", method, out, err)
	}
	return refused.Type
}

func (d *desk) upload(content string) string {
	d.tb.Helper()
	id, size, err := d.service.Put(d.tb.Context(), d.principal.AccountID, "message/rfc822", strings.NewReader(content))
	if err != nil || size != int64(len(content)) {
		d.tb.Fatalf("upload: %d octets, %v", size, err)
	}
	return id
}

// role returns the id of the mailbox with a role.
func (d *desk) role(role string) string {
	d.tb.Helper()
	for _, box := range list(d.call("Mailbox/get", object{"ids": nil})["list"]) {
		if box["role"] == role {
			return str(box["id"])
		}
	}
	d.tb.Fatalf("no mailbox has the role %q", role)
	return ""
}

// add imports a message and returns its id. Each comes a minute after the one before.
func (d *desk) add(mailbox, content string, keywords ...string) string {
	d.tb.Helper()
	d.at = d.at.Add(time.Minute)
	out := d.call("Email/import", object{"emails": object{"x": object{
		"blobId": d.upload(content), "mailboxIds": object{mailbox: true}, "keywords": set(keywords),
		"receivedAt": d.at.Format("2006-01-02T15:04:05Z"),
	}}})
	created, ok := out["created"].(object)
	if !ok {
		d.tb.Fatalf("import: %v", out)
	}
	return str(created["x"].(object)["id"])
}

// get returns properties of one email.
func (d *desk) get(id string, args object, properties ...string) object {
	d.tb.Helper()
	if args == nil {
		args = object{}
	}
	args["ids"], args["properties"] = []string{id}, properties
	got := list(d.call("Email/get", args)["list"])
	if len(got) != 1 {
		d.tb.Fatalf("Email/get returned %d emails", len(got))
	}
	return got[0]
}

// counts returns total and unread emails, total and unread threads of a mailbox.
func (d *desk) counts(id string) [4]int {
	d.tb.Helper()
	box := list(d.call("Mailbox/get", object{"ids": []string{id}})["list"])[0]
	var out [4]int
	for i, name := range countProperties {
		out[i] = int(box[name].(float64))
	}
	return out
}

func (d *desk) state(method string) string {
	d.tb.Helper()
	return str(d.call(method, object{"ids": []string{}})["state"])
}

func (d *desk) query(args object) []string {
	d.tb.Helper()
	return strs(d.call("Email/query", args)["ids"])
}

// mime makes a plain message of header lines and a body.
func mime(body string, header ...string) string {
	return strings.Join(header, "\r\n") + "\r\n\r\n" + body
}

func list(v any) []object {
	var out []object
	items, _ := v.([]any)
	for _, item := range items {
		out = append(out, item.(object))
	}
	return out
}

func str(v any) string { s, _ := v.(string); return s }

func strs(v any) []string {
	out := []string{}
	items, _ := v.([]any)
	for _, item := range items {
		out = append(out, str(item))
	}
	return out
}

func equal(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// normal brings a value into the shape in which JSON decodes it.
func normal(tb testing.TB, v any) any {
	tb.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestNewAccountIsCompleteAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out := d.call("Mailbox/get", object{"ids": nil, "properties": []string{"name", "role", "parentId", "isSubscribed", "totalEmails"}})
	got := map[string]string{}
	for _, box := range list(out["list"]) {
		got[str(box["role"])] = str(box["name"])
		equal(t, "subscribed", box["isSubscribed"], any(true))
		equal(t, "properties", len(box), 6)
	}
	equal(t, "mailboxes", got, map[string]string{
		"inbox": "Inbox", "drafts": "Drafts", "sent": "Sent", "archive": "Archive", "junk": "Junk", "trash": "Trash",
	})
	equal(t, "state after one commit", out["state"], any("1"))
	if err := d.service.Provision(t.Context(), d.principal); err != nil {
		t.Errorf("provision again: %v", err)
	}
	equal(t, "state after a second provision", d.state("Mailbox/get"), "1")
	other := *d.principal
	other.Tenant = "other/other"
	if err := d.service.Provision(t.Context(), &other); !errors.Is(err, jmap.ErrForeignAccount) {
		t.Errorf("provision for another tenant: %v", err)
	}
}

func TestUploadsAreReadBackByTheirAccountOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, size := range []int{0, 10, 100_000} {
		content := strings.Repeat("x", size)
		id := d.upload(content)
		r, n, err := d.service.Open(t.Context(), "a1", id)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		data, err := io.ReadAll(r)
		if err != nil || string(data) != content || n != int64(size) {
			t.Errorf("read %d octets of %d: %v", len(data), n, err)
		}
		r.Close()
	}
	id := d.upload("secret")
	other := &jmap.Principal{Tenant: d.principal.Tenant, AccountID: "a2", Address: "bob@agency.us"}
	if err := d.service.Provision(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	_, _, err := d.service.Open(t.Context(), "a2", id)
	if !errors.Is(err, jmap.ErrBlobNotFound) {
		t.Errorf("open from another account: %v", err)
	}
	copied, err := d.service.Copy(t.Context(), "a1", "a2", id)
	if err != nil {
		t.Fatalf("copy: %v", err)
	}
	r, _, err := d.service.Open(t.Context(), "a2", copied)
	if err != nil {
		t.Fatalf("open copy: %v", err)
	}
	r.Close()
	for _, wrong := range []string{"", "B", "x", "B" + strings.Repeat("0", 52), "P" + id[1:] + "-0-4", "P" + id[1:] + "-4-0-n", "P" + id[1:] + "-0-4-x", "P" + id[1:] + "--1-4-n"} {
		if _, _, err := d.service.Open(t.Context(), "a1", wrong); !errors.Is(err, jmap.ErrBlobNotFound) {
			t.Errorf("open %q: %v", wrong, err)
		}
	}
	beyond, n, err := d.service.Open(t.Context(), "a1", "P"+id[1:]+"-2-zz-n")
	if err != nil || n != 4 {
		t.Errorf("open a range beyond the end: %d octets, %v", n, err)
	}
	beyond.Close()
}

func TestUploadsEndButEmailsKeepTheirContent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	loose := d.upload("loose")
	id := d.add(d.role("inbox"), mime("kept", "Subject: kept"))
	blob := str(d.get(id, nil, "blobId")["blobId"])
	d.at = d.at.Add(25 * time.Hour)
	again := d.upload("again")
	for range 2 {
		if err := d.service.Collect(t.Context()); err != nil {
			t.Fatalf("collect: %v", err)
		}
		d.at = d.at.Add(2 * time.Hour)
	}
	for blobID, want := range map[string]error{loose: jmap.ErrBlobNotFound, blob: nil, again: nil} {
		r, _, err := d.service.Open(t.Context(), "a1", blobID)
		if !errors.Is(err, want) {
			t.Errorf("open %q: got error %v, want %v", blobID, err, want)
		}
		if err == nil {
			r.Close()
		}
	}
	d.call("Email/set", object{"destroy": []string{id}})
	if _, _, err := d.service.Open(t.Context(), "a1", blob); !errors.Is(err, jmap.ErrBlobNotFound) {
		t.Errorf("open content of a destroyed email: %v", err)
	}
}

func TestListenersHearOfChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before, err := d.service.States(t.Context(), "a1")
	if err != nil {
		t.Fatal(err)
	}
	hints, cancel := d.service.Subscribe("a1")
	defer cancel()
	d.add(d.role("inbox"), mime("hello", "Subject: hello"))
	select {
	case <-hints:
	case <-time.After(10 * time.Second):
		t.Fatal("no hint came")
	}
	after, err := d.service.States(t.Context(), "a1")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Email", "Mailbox", "Thread"} {
		if before[kind] == after[kind] {
			t.Errorf("the state of %s is still %q", kind, after[kind])
		}
	}
	equal(t, "state of Email", after["Email"], d.state("Email/get"))
}

func TestOneProcessWritesAnAccountAtATime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	second, err := New(d.engine, Options{Owner: "second", Now: func() time.Time { return d.at }})
	if err != nil {
		t.Fatal(err)
	}
	first := d.service
	d.service = second
	equal(t, "error", d.refused("Mailbox/set", object{"create": object{"x": object{"name": "New"}}}), jmap.ErrorServerUnavailable)
	d.service = first
	d.call("Mailbox/set", object{"create": object{"x": object{"name": "New"}}})
}

func TestTrimmedHistoryCannotBeCalculated(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, method := range []string{"Email/changes", "Mailbox/changes", "Thread/changes"} {
		equal(t, method, d.refused(method, object{"sinceState": "99"}), jmap.ErrorCannotCalculateChanges)
	}
	for _, method := range []string{"Email/queryChanges", "Mailbox/queryChanges"} {
		equal(t, method, d.refused(method, object{"sinceQueryState": "nonsense"}), jmap.ErrorCannotCalculateChanges)
	}
}

package mail

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/cells"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres"
	"github.com/bailiwick-dev/bailiwick/sync/store/postgres/postgrestest"
)

// openDatabase returns an engine of its own on a database, as a process has it.
func openDatabase(t *testing.T, dsn string) store.Engine {
	t.Helper()
	e, err := postgres.Open(t.Context(), dsn, postgres.Options{MaxConns: 12})
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// newReplicas returns desks of one account on services of their own, which share a database.
func newReplicas(t *testing.T, n int) []*desk {
	t.Helper()
	dsn := postgrestest.Shared(t).Database(t)
	var desks []*desk
	for i := range n {
		desks = append(desks, newReplica(t, openDatabase(t, dsn), "replica-"+strconv.Itoa(i)))
	}
	return desks
}

func newReplica(t *testing.T, e store.Engine, name string) *desk {
	t.Helper()
	d := &desk{
		tb: t, engine: e, limits: jmap.DefaultLimits(), created: map[string]string{}, at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		principal: &jmap.Principal{Tenant: "agency/agency", AccountID: "a1", Address: "ann@agency.us"},
	}
	var err error
	if d.service, err = New(e, Options{Owner: name, Shared: true}); err != nil {
		t.Fatalf("service: %v", err)
	}
	if err := d.service.Provision(t.Context(), d.principal); err != nil {
		t.Fatalf("provision: %v", err)
	}
	return d
}

// clone returns a desk for another request at the same time.
func (d *desk) clone() *desk {
	c := *d
	c.created = map[string]string{}
	return &c
}

func TestReplicasSeeEachOthersWritesAtOnce(t *testing.T) {
	t.Parallel()
	desks := newReplicas(t, 2)
	inbox := desks[0].role("inbox")
	for i := range 10 {
		writer, reader := desks[i%2], desks[(i+1)%2]
		hints, cancel := reader.service.Subscribe("a1")
		id := writer.add(inbox, mime("hello", fmt.Sprint("Subject: ", i)))
		if got := reader.get(id, nil, "subject")["subject"]; got != strconv.Itoa(i) {
			t.Errorf("the other replica reads subject %v", got)
		}
		select {
		case <-hints:
		case <-time.After(time.Minute):
			t.Fatal("no hint came from the other replica")
		}
		cancel()
		equal(t, "state", reader.state("Email/get"), writer.state("Email/get"))
	}
}

// TestReplicasLoseAndDoubleNothing has two replicas write one account at the same time, by every kind of method, so
// that commits of both start over all the time.
func TestReplicasLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	desks := newReplicas(t, 2)
	inbox := desks[0].role("inbox")
	shared := desks[0].add(inbox, mime("shared", "Subject: shared"))
	before := desks[0].state("Email/get")
	const writers, rounds = 4, 8
	var wg sync.WaitGroup
	for w := range writers {
		d := desks[w%2].clone()
		wg.Go(func() { writeAll(d, w, rounds, inbox, shared) })
	}
	wg.Wait()
	const created = 3
	for _, d := range desks {
		const emails = 1 + writers*rounds*created
		equal(t, "inbox", d.counts(inbox)[0], emails)
		equal(t, "emails", len(d.query(object{"filter": object{"inMailbox": inbox}})), emails)
		keywords, _ := d.get(shared, nil, "keywords")["keywords"].(object)
		equal(t, "keywords", len(keywords), writers*rounds)
		equal(t, "mailboxes", len(list(d.call("Mailbox/get", object{"ids": nil})["list"])), len(standard)+writers*rounds)
		changes := d.call("Email/changes", object{"sinceState": before})
		equal(t, "created", len(strs(changes["created"])), writers*rounds*created)
		equal(t, "updated", strs(changes["updated"]), []string{shared})
		// Each commit is one state: an import, a creation of two, an update, a mailbox, and the upload of none.
		first, last := sequence(t, before), sequence(t, d.state("Mailbox/get"))
		latest := max(last, sequence(t, d.state("Email/get")))
		equal(t, "commits", latest-first, writers*rounds*4)
	}
}

// writeAll makes one import, one call that creates two drafts, one update and one mailbox in each round.
func writeAll(d *desk, writer, rounds int, inbox, shared string) {
	for n := range rounds {
		name := fmt.Sprintf("k%d-%d", writer, n)
		d.add(inbox, mime("body", "Subject: "+name))
		draft := func(subject string) object { return object{"mailboxIds": object{inbox: true}, "subject": subject} }
		out := d.call("Email/set", object{"create": object{"x": draft(name + "x"), "y": draft(name + "y")}})
		if created, _ := out["created"].(object); len(created) != 2 || out["notCreated"] != nil {
			d.tb.Errorf("drafts of %s: %v", name, out)
		}
		if d.created["x"] == d.created["y"] {
			d.tb.Errorf("two drafts have the id %q", d.created["x"])
		}
		out = d.call("Email/set", object{"update": object{shared: object{"keywords/" + name: true}}})
		if updated, _ := out["updated"].(object); len(updated) != 1 {
			d.tb.Errorf("update of %s: %v", name, out)
		}
		out = d.call("Mailbox/set", object{"create": object{"m": object{"name": name}, "twice": object{"name": name}}})
		created, _ := out["created"].(object)
		refused, _ := out["notCreated"].(object)
		if len(created) != 1 || len(refused) != 1 {
			d.tb.Errorf("mailbox of %s: %v", name, out)
		}
	}
}

func sequence(t *testing.T, state string) int {
	t.Helper()
	n, err := strconv.Atoi(state)
	if err != nil {
		t.Fatalf("state %q: %v", state, err)
	}
	return n
}

// TestOvertakenCallsReportTheirLastRun lets another replica come first, so that what a call reports of its first run
// is not so in its second.
func TestOvertakenCallsReportTheirLastRun(t *testing.T) {
	t.Parallel()
	desks := newReplicas(t, 2)
	overtake := func(do func()) func(*edit) error {
		runs := 0
		return func(*edit) error {
			if runs++; runs == 1 {
				do()
			}
			return nil
		}
	}
	d, call := desks[0], &jmap.Call{CreatedIDs: map[string]string{"kept": "b0"}}
	m := &mailboxSetter{call: call, out: newOutcome("a1"), args: &mailboxSetArguments{SetArguments: jmap.SetArguments{
		Create: map[string]json.RawMessage{"x": json.RawMessage(`{"name": "New"}`), "y": json.RawMessage(`{"name": "Other"}`)},
	}}}
	w := &setter{service: d.service, account: "a1", kind: typeMailbox, save: m.save}
	err := w.run(t.Context(), []func(*edit) error{
		m.try(&attempt{reference: "x", run: m.create("x"), report: m.out.notCreated}),
		m.try(&attempt{reference: "y", run: m.create("y"), report: m.out.notCreated}),
		overtake(func() { desks[1].call("Mailbox/set", object{"create": object{"k": object{"name": "New"}}}) }),
		m.settle, m.report,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.out.set.Created["x"]; ok || m.out.set.NotCreated["x"] == nil || m.out.set.Created["y"] == nil {
		t.Errorf("created %v, not created %v", m.out.set.Created, m.out.set.NotCreated)
	}
	if diff := cmp.Diff(map[string]string{"kept": "b0", "y": call.CreatedIDs["y"]}, call.CreatedIDs); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	unsaved := &setter{service: d.service, account: "a1", kind: typeMailbox}
	err = unsaved.run(t.Context(), []func(*edit) error{
		func(e *edit) error { return e.createMailbox(&mailbox{Name: "Never"}) },
		overtake(func() { desks[1].call("Mailbox/set", object{"create": object{"l": object{"name": "Newer"}}}) }),
	})
	if refused, ok := errors.AsType[*jmap.MethodError](err); !ok || refused.Type != jmap.ErrorServerUnavailable {
		t.Errorf("a call that cannot start over: %v", err)
	}
}

func TestAccountsOfDifferentCellsWorkTogether(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	e, err := cells.Open(t.Context(), map[string]store.Engine{
		"one": openDatabase(t, server.Database(t)), "two": openDatabase(t, server.Database(t)),
	}, SpreadOwners()...)
	if err != nil {
		t.Fatal(err)
	}
	d := newReplica(t, e, "replica")
	at := map[string]string{}
	var neighbours []*desk
	for i := range 12 {
		account := "n" + strconv.Itoa(i)
		n := d.neighbour("agency/agency", account, false)
		place, err := e.Find(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		if at[place.Suffix] == "" {
			at[place.Suffix] = account
			neighbours = append(neighbours, n)
		}
	}
	if len(at) != 2 {
		t.Fatalf("all accounts are in %v", at)
	}
	large := mime(string(make([]byte, 200_000)), "Subject: large")
	for i, from := range neighbours {
		to := neighbours[1-i]
		id := from.add(from.role("inbox"), large)
		from.principal.Shared = []jmap.SharedAccount{{AccountID: to.principal.AccountID}}
		out := from.call("Email/copy", object{
			"fromAccountId": from.principal.AccountID, "accountId": to.principal.AccountID,
			"create": object{"c": object{"id": id, "mailboxIds": object{to.role("inbox"): true}}},
		})
		created, _ := out["created"].(object)
		copied, _ := created["c"].(object)
		if copied == nil {
			t.Fatalf("copy: %v", out)
		}
		_, data, err := to.service.readBlob(t.Context(), nil, to.principal.AccountID, str(copied["blobId"]))
		if err != nil || string(data) != large {
			t.Errorf("the copy has %d octets: %v", len(data), err)
		}
		blob, err := from.service.Copy(t.Context(), from.principal.AccountID, to.principal.AccountID, from.upload("blob"))
		if err != nil {
			t.Fatalf("copy blob: %v", err)
		}
		if _, data, err = to.service.readBlob(t.Context(), nil, to.principal.AccountID, blob); err != nil || string(data) != "blob" {
			t.Errorf("the copied blob is %q: %v", data, err)
		}
	}
	deliverBetween(t, d, neighbours)
	counts, err := d.service.Count(t.Context())
	if err != nil || counts["agency/agency"] != 13 {
		t.Errorf("%v accounts are counted: %v", counts, err)
	}
	d.service.opts.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	d.service.blobs = store.NewBlobs(e, d.service.opts.Now)
	if err := d.service.Collect(t.Context()); err != nil {
		t.Errorf("collect: %v", err)
	}
	for _, n := range neighbours {
		equal(t, "emails", n.counts(n.role("inbox"))[0], 3)
	}
}

// agencyHome homes every domain in the tenant of the tests.
type agencyHome struct{}

func (agencyHome) Home(string) (Home, bool) { return Home{Tenant: "agency/agency"}, true }

// deliverBetween has the neighbours send each other mail, and checks that an address in one cell is not another's in
// the other.
func deliverBetween(t *testing.T, d *desk, neighbours []*desk) {
	t.Helper()
	d.service.opts.Homes = agencyHome{}
	envelope := &delivery.Envelope{From: "x@far.example"}
	for i, n := range neighbours {
		envelope.To = append(envelope.To, delivery.Recipient{Address: n.principal.Address})
		thief := &jmap.Principal{Tenant: "agency/agency", AccountID: neighbours[1-i].principal.AccountID, Address: n.principal.Address}
		if err := d.service.Provision(t.Context(), thief); err != nil {
			t.Fatalf("provision: %v", err)
		}
		holder, err := d.service.locate(t.Context(), n.principal.Address)
		if err != nil || holder.account != n.principal.AccountID {
			t.Errorf("the address of %q is that of %q: %v", n.principal.AccountID, holder.account, err)
		}
	}
	for _, result := range d.service.Deliver(t.Context(), envelope, d.at, []byte(mime("hello", "Subject: to both"))) {
		equal(t, "delivery", result.Outcome, delivery.Delivered)
	}
}

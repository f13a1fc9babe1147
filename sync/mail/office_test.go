package mail

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
	"github.com/bailiwick-dev/bailiwick/sync/store/pebble"
)

// domains are the homes of a test, by domain.
type domains map[string]Home

func (d domains) Home(domain string) (Home, bool) {
	home, ok := d[domain]
	return home, ok
}

// carrier is a transport that keeps what it is given. Results are made by reply; nil relays everything.
type carrier struct {
	mu    sync.Mutex
	sent  []carried
	reply func(address string) delivery.Result
}

type carried struct {
	envelope delivery.Envelope
	message  string
}

func (c *carrier) Send(_ context.Context, e *delivery.Envelope, message io.Reader) []delivery.Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, _ := io.ReadAll(message)
	c.sent = append(c.sent, carried{*e, string(data)})
	var out []delivery.Result
	for _, to := range e.To {
		r := delivery.Result{Outcome: delivery.Relayed, Reply: "250 2.0.0 accepted", Server: "smart.example"}
		if c.reply != nil {
			r = c.reply(to.Address)
		}
		r.Address = to.Address
		out = append(out, r)
	}
	return out
}

func (c *carrier) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent)
}

// office is a store with a service and the mailboxes of ann and bob, who are of one tenant, and eve, who is not.
type office struct {
	tb            testing.TB
	engine        *pebble.Engine
	options       Options
	carrier       *carrier
	homes         domains
	ann, bob, eve *desk
	// at is the clock of all of them.
	at time.Time
}

func newOffice(tb testing.TB) *office {
	tb.Helper()
	engine, err := pebble.Open(tb.Context(), tb.TempDir(), pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		tb.Fatalf("open store: %v", err)
	}
	tb.Cleanup(func() { engine.Close() })
	o := &office{
		tb: tb, engine: engine, carrier: &carrier{}, at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		homes: domains{"agency.us": {Tenant: "agency/agency"}, "other.us": {Tenant: "other/other"}},
	}
	o.options = Options{Now: func() time.Time { return o.at }, Homes: o.homes, Transport: o.carrier, Hostname: "mail.agency.us"}
	service := o.start(o.options)
	o.ann = o.desk(service, "a1", "agency/agency", "ann@agency.us", "Ann Ash")
	o.bob = o.desk(service, "a2", "agency/agency", "bob@agency.us", "")
	o.eve = o.desk(service, "a3", "other/other", "eve@other.us", "")
	return o
}

// start makes another service on the store.
func (o *office) start(options Options) *Service {
	o.tb.Helper()
	service, err := New(o.engine, options)
	if err != nil {
		o.tb.Fatalf("service: %v", err)
	}
	return service
}

func (o *office) desk(s *Service, account, tenant, address, name string) *desk {
	o.tb.Helper()
	d := &desk{
		tb: o.tb, engine: o.engine, service: s, limits: jmap.DefaultLimits(), created: map[string]string{}, at: o.at, using: map[string]bool{PrincipalsCapabilityURI: true},
		principal: &jmap.Principal{Tenant: tenant, AccountID: account, Address: address, Name: name},
	}
	if err := s.Provision(o.tb.Context(), d.principal); err != nil {
		o.tb.Fatalf("provision %s: %v", account, err)
	}
	return d
}

// send sends what is due.
func (o *office) send() { o.sendWith(o.ann.service) }

func (o *office) sendWith(s *Service) {
	o.tb.Helper()
	c := newCourier(s)
	for range 10 {
		tickets, _, err := s.due(o.tb.Context())
		if err != nil {
			o.tb.Fatal(err)
		}
		if len(tickets) == 0 {
			return
		}
		c.pass(o.tb.Context())
		c.wait()
	}
}

// draft keeps a message and returns its id.
func (d *desk) draft(content string) string {
	d.tb.Helper()
	return d.add(d.role("drafts"), content, "$draft", "$seen")
}

// identity returns the id of the default identity.
func (d *desk) identity() string {
	d.tb.Helper()
	for _, i := range list(d.call("Identity/get", object{"ids": nil})["list"]) {
		if i["mayDelete"] == false {
			return str(i["id"])
		}
	}
	d.tb.Fatal("there is no default identity")
	return ""
}

// submit creates a submission and returns the created object, or nil and the SetError.
func (d *desk) submit(args object) (created, refused object) {
	d.tb.Helper()
	if args["identityId"] == nil {
		args["identityId"] = d.identity()
	}
	out := d.call("EmailSubmission/set", object{"create": object{"s": args}})
	if c, ok := out["created"].(object); ok {
		return c["s"].(object), nil
	}
	return nil, out["notCreated"].(object)["s"].(object)
}

// mail sends a message and returns the id of the submission.
func (d *desk) mail(content string, envelope any) string {
	d.tb.Helper()
	created, refused := d.submit(object{"emailId": d.draft(content), "envelope": envelope})
	if refused != nil {
		d.tb.Fatalf("submission refused: %v", refused)
	}
	return str(created["id"])
}

func (d *desk) submission(id string) object {
	d.tb.Helper()
	got := list(d.call("EmailSubmission/get", object{"ids": []string{id}})["list"])
	if len(got) != 1 {
		d.tb.Fatalf("there is no submission %q", id)
	}
	return got[0]
}

// status returns smtpReply and delivered of a recipient.
func (d *desk) status(id, address string) [2]string {
	d.tb.Helper()
	status, ok := d.submission(id)["deliveryStatus"].(object)[address].(object)
	if !ok {
		d.tb.Fatalf("submission %q has no recipient %q", id, address)
	}
	return [2]string{str(status["smtpReply"]), str(status["delivered"])}
}

// inbox returns the messages in the inbox, the oldest first.
func (d *desk) inbox() []string {
	d.tb.Helper()
	out := []string{}
	for _, id := range d.query(object{"filter": object{"inMailbox": d.role("inbox")}, "sort": []object{{"property": "receivedAt", "isAscending": true}}}) {
		out = append(out, d.blobContent(str(d.get(id, nil, "blobId")["blobId"])))
	}
	return out
}

// blobContent returns the content of a blob.
func (d *desk) blobContent(blob string) string {
	d.tb.Helper()
	r, _, err := d.service.Open(d.tb.Context(), d.principal.AccountID, blob)
	if err != nil {
		d.tb.Fatalf("open blob: %v", err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		d.tb.Fatal(err)
	}
	return string(data)
}

// queued counts the entries of the outbox and its claims.
func (o *office) queued() int {
	o.tb.Helper()
	n := 0
	for _, r := range []string{"outbox/queue", "outbox/claims"} {
		n += o.countKeys(r)
	}
	return n
}

// note is a message from ann to bob.
func note(header ...string) string {
	return mime("hello\r\n", append([]string{
		"From: Ann Ash <ann@agency.us>", "To: bob@agency.us", "Subject: hello", "Date: Mon, 23 Nov 2026 12:00:00 +0000", "Message-ID: <n1@agency.us>",
	}, header...)...)
}

// hasLine says whether the header of a message has a line.
func hasLine(message, line string) bool {
	header, _, _ := strings.Cut(message, "\r\n\r\n")
	return slices.Contains(strings.Split(header, "\r\n"), line)
}

// countKeys counts the keys of an owner.
func (o *office) countKeys(owner string) int {
	o.tb.Helper()
	n := 0
	for _, err := range o.engine.Scan(o.tb.Context(), store.NewKey(owner).Range(), store.ScanOptions{}) {
		if err != nil {
			o.tb.Fatal(err)
		}
		n++
	}
	return n
}

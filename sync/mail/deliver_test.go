package mail

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
	"github.com/bailiwick-dev/bailiwick/sync/jmap"
	"github.com/bailiwick-dev/bailiwick/sync/store"
)

func (o *office) deliver(e delivery.Envelope, message string) []delivery.Result {
	o.tb.Helper()
	return o.ann.service.Deliver(o.tb.Context(), &e, o.at, []byte(message))
}

// receive delivers a message to the desk, and returns the email that it became.
func (d *desk) receive(content string) string {
	d.tb.Helper()
	d.service.opts.Homes = domains{"agency.us": {Tenant: d.principal.Tenant}}
	for _, result := range d.service.Deliver(d.tb.Context(), &delivery.Envelope{From: "a@x.example", To: to(d.principal.Address)}, d.at, []byte(content)) {
		if result.Outcome != delivery.Delivered {
			d.tb.Fatalf("not delivered: %+v", result)
		}
	}
	return strs(d.call("Email/query", object{"limit": 1})["ids"])[0]
}

func to(addresses ...string) []delivery.Recipient {
	var out []delivery.Recipient
	for _, a := range addresses {
		out = append(out, delivery.Recipient{Address: a})
	}
	return out
}

func TestMailIsCheckedBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.homes["suspended.us"] = Home{Tenant: "agency/agency", Suspended: true}
	o.homes["taken.us"] = Home{Tenant: "other/other"}
	o.desk(o.ann.service, "a7", "agency/agency", "zoe@taken.us", "")
	o.homes["shares.us"] = Home{Tenant: "agency/agency", Withdrawn: func(account string) bool { return account == "s9" }}
	o.desk(o.ann.service, "s8", "agency/agency", "help@shares.us", "")
	o.desk(o.ann.service, "s9", "agency/agency", "gone@shares.us", "")
	for address, want := range map[string]error{
		"ann@agency.us": nil, "Ann@AGENCY.US": nil, `"ann"@agency.us`: nil,
		"nobody@agency.us": delivery.ErrNoMailbox, "ann@far.example": delivery.ErrNotHomed, "ann": delivery.ErrNotHomed, "": delivery.ErrNotHomed,
		"ann@suspended.us": delivery.ErrSuspended,
		// The domain went to another tenant.
		"zoe@taken.us": delivery.ErrNoMailbox,
		// The shared mailbox was deleted, and its mail is kept.
		"help@shares.us": nil, "gone@shares.us": delivery.ErrNoMailbox,
	} {
		if err := o.ann.service.Check(t.Context(), address); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", address, err, want)
		}
	}
	bare := o.start(Options{})
	if err := bare.Check(t.Context(), "ann@agency.us"); !errors.Is(err, delivery.ErrNotHomed) {
		t.Errorf("no homes: %v", err)
	}
}

func TestMailIsDeliveredToEachRecipient(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.homes["off.us"] = Home{Tenant: "x/x", Suspended: true}
	before, err := o.ann.service.States(t.Context(), "a2")
	if err != nil {
		t.Fatal(err)
	}
	message := "Return-Path: <forged@x>\n" + strings.ReplaceAll(mime("At noon?\r\n", "From: z@far.example", "Subject: hi"), "\r\n", "\n")
	got := o.deliver(delivery.Envelope{From: "z@far.example", To: to("ann@agency.us", "bob@agency.us", "BOB@agency.us", "eve@other.us", "none@agency.us", "x@off.us", "y@far.example")}, message)
	want := []delivery.Result{
		{Address: "ann@agency.us", Outcome: delivery.Delivered, Reply: "250 2.1.5 delivered"},
		{Address: "bob@agency.us", Outcome: delivery.Delivered, Reply: "250 2.1.5 delivered"},
		{Address: "BOB@agency.us", Outcome: delivery.Delivered, Reply: "250 2.1.5 delivered"},
		{Address: "eve@other.us", Outcome: delivery.Delivered, Reply: "250 2.1.5 delivered"},
		{Address: "none@agency.us", Outcome: delivery.Failed, Reply: "550 5.1.1 no such mailbox here"},
		{Address: "x@off.us", Outcome: delivery.Deferred, Reply: "450 4.2.1 the mailbox takes no mail at present"},
		{Address: "y@far.example", Outcome: delivery.Failed, Reply: "550 5.1.2 the domain is not homed here"},
	}
	equal(t, "results", got, want)
	whole := "Return-Path: <z@far.example>\r\nReceived: by mail.agency.us;\r\n Mon, 23 Nov 2026 12:00:00 +0000\r\nFrom: z@far.example\nSubject: hi\n\nAt noon?\n"
	for _, d := range []*desk{o.ann, o.bob, o.eve} {
		equal(t, "inbox", d.inbox(), []string{whole})
	}
	after, err := o.ann.service.States(t.Context(), "a2")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "EmailDelivery moved", before["EmailDelivery"] != after["EmailDelivery"], true)
	blobs := map[string]bool{}
	for _, d := range []*desk{o.ann, o.bob} {
		blobs[str(d.get(d.query(object{})[0], nil, "blobId")["blobId"])] = true
	}
	equal(t, "blobs of one tenant", len(blobs), 1)
	equal(t, "receivedAt", o.bob.get(o.bob.query(object{})[0], nil, "receivedAt")["receivedAt"], any("2026-11-23T12:00:00Z"))

	o.at = o.at.Add(time.Second)
	o.deliver(delivery.Envelope{To: to("bob@agency.us")}, message)
	if got := o.bob.inbox()[1]; !strings.HasPrefix(got, "Return-Path: <>\r\nReceived: by mail.agency.us\r\n for <bob@agency.us>;\r\n") {
		t.Errorf("one recipient: %q", got)
	}
}

func TestMailWithoutAHeaderIsDelivered(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for i, content := range []string{"this is no message at all", "\x00\xff\r\n", "\r\na body"} {
		o.deliver(delivery.Envelope{To: to("bob@agency.us")}, content)
		got := o.bob.inbox()
		equal(t, "kept whole", []any{len(got), strings.HasSuffix(strings.Join(got, "|"), content)}, []any{i + 1, true})
		o.at = o.at.Add(time.Second)
	}
}

func TestMailThatCannotBeKeptIsAnswered(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for name, c := range map[string]struct {
		message string
		reply   string
	}{
		"nothing":  {"", "554 5.6.0 the message has no octets"},
		"too much": {strings.Repeat("x", maxSizeMessage+1), "552 5.3.4 the message is too large"},
	} {
		got := o.deliver(delivery.Envelope{To: to("bob@agency.us")}, c.message)
		equal(t, name, got, []delivery.Result{{Address: "bob@agency.us", Outcome: delivery.Failed, Reply: c.reply}})
	}
	o.options.Owner = "second"
	second := o.start(o.options)
	got := second.Deliver(t.Context(), &delivery.Envelope{To: to("bob@agency.us")}, o.at, []byte(note()))
	equal(t, "another process writes", got[0], delivery.Result{Address: "bob@agency.us", Outcome: delivery.Deferred, Reply: replyTrouble})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	o.engine.Close()
	got = o.ann.service.Deliver(ended, &delivery.Envelope{To: to("bob@agency.us")}, o.at, []byte(note()))
	equal(t, "the store is closed", got[0].Outcome, delivery.Deferred)
}

func TestAddressesFollowTheirAccounts(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	s := o.ann.service
	holder := func(address string) string {
		account, _, err := s.holder(t.Context(), o.engine, address)
		if err != nil {
			t.Fatal(err)
		}
		return account
	}
	provision := func(account, address string) {
		t.Helper()
		if err := s.Provision(t.Context(), &jmap.Principal{Tenant: "agency/agency", AccountID: account, Address: address}); err != nil {
			t.Fatal(err)
		}
	}
	o.ann.call("Identity/set", object{"update": object{o.ann.identity(): object{"textSignature": "Ann"}}})
	old := o.ann.identity()
	state := o.ann.state("Identity/get")
	provision("b1", "ann@agency.us")
	equal(t, "a second claimant", holder("ann@agency.us"), "a1")
	provision("a1", "Ann.Ash@agency.us")
	equal(t, "the new address", holder("ann.ash@agency.us"), "a1")
	equal(t, "the old address", holder("ann@agency.us"), "")
	changes := o.ann.call("Identity/changes", object{"sinceState": state})
	equal(t, "the identity is another", []any{len(strs(changes["created"])), strs(changes["destroyed"])}, []any{1, []string{old}})
	fresh := list(o.ann.call("Identity/get", object{"ids": nil})["list"])
	equal(t, "identities", len(fresh), 1)
	equal(t, "address and signature", []any{fresh[0]["email"], fresh[0]["textSignature"], fresh[0]["mayDelete"]}, []any{"Ann.Ash@agency.us", "Ann", false})
	provision("b1", "ann@agency.us")
	equal(t, "the second claimant later", holder("ann@agency.us"), "b1")
	second := o.desk(s, "b1", "agency/agency", "ann@agency.us", "")
	equal(t, "its identities", len(list(second.call("Identity/get", object{"ids": nil})["list"])), 1)

	if err := s.journal.Erase(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	provision("b1", "ann.ash@agency.us")
	equal(t, "the address of an erased account", holder("ann.ash@agency.us"), "b1")
	before := o.bob.state("Identity/get")
	provision("a2", "bob@agency.us")
	equal(t, "nothing to do", o.bob.state("Identity/get"), before)
}

func TestAccountsFromBeforeGetTheirAddress(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.service.opts.Homes = domains{"agency.us": {Tenant: "agency/agency"}}
	own := d.identity()
	err := d.service.journal.Update(t.Context(), "a1", func(tx *store.Tx) error {
		e := newEdit(t.Context(), d.service, tx, "a1", "agency/agency")
		identities.remove(e, own)
		tx.Delete(directory().String("ann@agency.us"))
		return e.setJSON(e.keys.meta(), accountMeta{Tenant: "agency/agency"})
	})
	if err == nil {
		err = d.service.Provision(t.Context(), d.principal)
	}
	if err == nil {
		err = d.service.Check(t.Context(), "ann@agency.us")
	}
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "identity", list(d.call("Identity/get", object{"ids": nil})["list"])[0]["email"], any("ann@agency.us"))
	equal(t, "mailboxes", len(strs(d.call("Mailbox/query", object{})["ids"])), 6)
	counts, err := d.service.Count(t.Context())
	equal(t, "accounts", []any{counts["agency/agency"], err}, []any{int64(1), nil})
}

// TestNoticesChangeTheSubmission has notices from elsewhere come back (RFC 8621 section 7).
func TestNoticesChangeTheSubmission(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	id := o.ann.mail(note(), object{
		"mailFrom": object{"email": "ann@agency.us"},
		"rcptTo":   []object{{"email": "x@far.example"}, {"email": "y@far.example", "parameters": object{"ORCPT": "rfc822;y@far.example"}}},
	})
	o.send()
	envid := o.carrier.sent[0].envelope.ID
	report := func(kind, fields string) string {
		return mime("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: message/"+kind+"\r\n\r\n"+fields+"\r\n--b--\r\n",
			"From: MAILER-DAEMON@far.example", "To: ann@agency.us", "Content-Type: multipart/report; boundary=b")
	}
	state := o.ann.state("EmailSubmission/get")
	for _, forged := range []string{
		report("delivery-status", "Original-Envelope-Id: guessed\r\n\r\nFinal-Recipient: rfc822; x@far.example\r\nAction: failed\r\nStatus: 5.0.0\r\n"),
		report("disposition-notification", "Original-Message-ID: <other@x>\r\nFinal-Recipient: rfc822;x@far.example\r\nDisposition: a/b; displayed\r\n"),
		report("disposition-notification", "Original-Message-ID: <n1@agency.us>\r\nFinal-Recipient: rfc822;z@far.example\r\nDisposition: a/b; displayed\r\n"),
	} {
		o.deliver(delivery.Envelope{To: to("ann@agency.us")}, forged)
	}
	equal(t, "dsnBlobIds", strs(o.ann.submission(id)["dsnBlobIds"]), []string{})
	equal(t, "mdnBlobIds", strs(o.ann.submission(id)["mdnBlobIds"]), []string{})

	o.deliver(delivery.Envelope{To: to("ann@agency.us")}, report("delivery-status", "Original-Envelope-Id: "+envid+"\r\nReporting-MTA: dns; far.example\r\n\r\n"+
		"Final-Recipient: rfc822; X@far.example\r\nAction: failed\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 5.2.2 full\r\n\r\n"+
		"Original-Recipient: rfc822; y@far.example\r\nFinal-Recipient: rfc822; y2@inner.example\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\n"+
		"Final-Recipient: rfc822; unknown@far.example\r\nAction: failed\r\nStatus: 5.0.0\r\n"))
	equal(t, "x", o.ann.status(id, "x@far.example"), [2]string{"552 5.2.2 full", "no"})
	equal(t, "y", o.ann.status(id, "y@far.example"), [2]string{"250 2.0.0 delivered", "yes"})
	o.deliver(delivery.Envelope{To: to("ann@agency.us")}, report("disposition-notification",
		"Original-Message-ID: <n1@agency.us>\r\nFinal-Recipient: rfc822;y@far.example\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n"))
	sub := o.ann.submission(id)
	equal(t, "displayed", sub["deliveryStatus"].(object)["y@far.example"].(object)["displayed"], any("yes"))
	equal(t, "not displayed", sub["deliveryStatus"].(object)["x@far.example"].(object)["displayed"], any("unknown"))
	equal(t, "notices", []int{len(strs(sub["dsnBlobIds"])), len(strs(sub["mdnBlobIds"]))}, []int{1, 1})
	equal(t, "state moved", state != o.ann.state("EmailSubmission/get"), true)
	// The notices stay readable when their emails are gone, and go with the submission.
	o.ann.call("Email/set", object{"destroy": o.ann.query(object{"filter": object{"inMailbox": o.ann.role("inbox")}})})
	blob := strs(sub["mdnBlobIds"])[0]
	equal(t, "blob", strings.Contains(o.ann.blobContent(blob), "displayed"), true)
	o.ann.call("EmailSubmission/set", object{"destroy": []string{id}})
	if _, _, err := o.ann.service.Open(t.Context(), "a1", blob); !errors.Is(err, jmap.ErrBlobNotFound) {
		t.Errorf("blob of a destroyed submission: %v", err)
	}
}

func TestNoticesOfSuccessAreMadeWhenAskedFor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.mail(note(), object{"mailFrom": object{"email": "ann@agency.us"}, "rcptTo": []object{
		{"email": "bob@agency.us", "parameters": object{"NOTIFY": "SUCCESS"}},
		{"email": "none@agency.us", "parameters": object{"NOTIFY": "NEVER"}},
		{"email": "x@far.example", "parameters": object{"NOTIFY": "SUCCESS"}},
	}})
	o.send()
	got := o.ann.inbox()
	if len(got) != 1 || !strings.Contains(got[0], "Final-Recipient: rfc822; bob@agency.us\r\nAction: delivered\r\nStatus: 2.1.5\r\n") || strings.Contains(got[0], "none@") || strings.Contains(got[0], "x@far") {
		t.Errorf("notices: %q", got)
	}
}

func TestDeliveriesWaitForNothingElse(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	blocked, release := make(chan struct{}), make(chan struct{})
	o.carrier.reply = func(string) delivery.Result {
		close(blocked)
		<-release
		return delivery.Result{Outcome: delivery.Relayed, Reply: "250 2.0.0 ok"}
	}
	c := newCourier(o.ann.service)
	slow := o.ann.mail(note(), object{"mailFrom": object{"email": "ann@agency.us"}, "rcptTo": []object{{"email": "x@far.example"}, {"email": "bob@agency.us"}}})
	c.pass(t.Context())
	<-blocked
	equal(t, "bob's inbox", len(o.bob.inbox()), 1)
	equal(t, "bob's status", o.ann.status(slow, "bob@agency.us"), [2]string{"250 2.1.5 delivered", "yes"})
	quick := o.ann.mail(note(), nil)
	o.send()
	equal(t, "the quick one", o.ann.status(quick, "bob@agency.us"), [2]string{"250 2.1.5 delivered", "yes"})
	close(release)
	c.wait()
	equal(t, "the slow one", o.ann.status(slow, "x@far.example"), [2]string{"250 2.0.0 ok", "unknown"})
	equal(t, "outbox", o.queued(), 0)
}

func TestMessagesWaitWhenTooManyAreSent(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := newCourier(o.ann.service)
	c.remote.SetLimit(0)
	id := o.ann.mail(note(), outward(nil))
	c.pass(t.Context())
	c.wait()
	equal(t, "status", o.ann.status(id, "x@far.example"), [2]string{"250 2.0.0 queued", "queued"})
	o.at = o.at.Add(postponeFor)
	o.send()
	equal(t, "status later", o.ann.status(id, "x@far.example"), [2]string{"250 2.0.0 accepted", "unknown"})
	o.at = o.at.Add(time.Hour)
	o.send()
	equal(t, "sent once", o.carrier.count(), 1)
}

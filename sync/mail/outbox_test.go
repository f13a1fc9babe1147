package mail

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bailiwick-dev/bailiwick/sync/delivery"
)

// hold is an envelope to bob that holds the message back for so many seconds.
func hold(seconds string) object {
	return object{
		"mailFrom": object{"email": "ann@agency.us", "parameters": object{"HOLDFOR": seconds}},
		"rcptTo":   []object{{"email": "bob@agency.us"}},
	}
}

// outward is an envelope to somebody outside of the region.
func outward(parameters object) object {
	return object{
		"mailFrom": object{"email": "ann@agency.us", "parameters": parameters}, "rcptTo": []object{{"email": "x@far.example"}},
	}
}

func (d *desk) unsend(id string) object {
	d.tb.Helper()
	return d.call("EmailSubmission/set", object{"update": object{id: object{"undoStatus": "canceled"}}})
}

func TestHeldMessagesWaitAndCanBeCanceled(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	held := o.ann.mail(note(), hold("3600"))
	until := o.ann.mail(note(), object{
		"mailFrom": object{"email": "ann@agency.us", "parameters": object{"HOLDUNTIL": "2026-11-23T15:00:00+01:00"}},
		"rcptTo":   []object{{"email": "bob@agency.us"}},
	})
	canceled := o.ann.mail(note(), hold("60"))
	past := o.ann.mail(note(), object{
		"mailFrom": object{"email": "ann@agency.us", "parameters": object{"HOLDUNTIL": "2020-01-01T00:00:00Z"}},
		"rcptTo":   []object{{"email": "eve@other.us"}},
	})
	for id, want := range map[string]string{held: "2026-11-23T13:00:00Z", until: "2026-11-23T14:00:00Z", canceled: "2026-11-23T12:01:00Z", past: "2026-11-23T12:00:00Z"} {
		equal(t, "sendAt", o.ann.submission(id)["sendAt"], any(want))
	}
	o.send()
	equal(t, "eve's inbox", len(o.eve.inbox()), 1)
	equal(t, "bob's inbox", len(o.bob.inbox()), 0)
	equal(t, "status while held", o.ann.status(held, "bob@agency.us"), [2]string{"250 2.0.0 queued", "queued"})

	out := o.ann.call("EmailSubmission/set", object{"update": object{canceled: object{"undoStatus": "pending"}}})
	equal(t, "no change is one", out["updated"], any(object{canceled: nil}))
	equal(t, "canceled", o.ann.unsend(canceled)["updated"], any(object{canceled: object{"deliveryStatus": object{"bob@agency.us": object{
		"smtpReply": "554 5.0.0 canceled by the sender", "delivered": "no", "displayed": "unknown",
	}}}}))
	equal(t, "undoStatus", o.ann.submission(canceled)["undoStatus"], any("canceled"))
	equal(t, "status when canceled", o.ann.status(canceled, "bob@agency.us"), [2]string{"554 5.0.0 canceled by the sender", "no"})
	for id, want := range map[string]string{past: "cannotUnsend", "s9": "notFound"} {
		equal(t, want, o.ann.unsend(id)["notUpdated"].(object)[id].(object)["type"], any(want))
	}
	for _, patch := range []object{{"undoStatus": "pending"}, {"undoStatus": "final"}, {"undoStatus": nil}, {"undoStatus": 1}, {"sendAt": "2026-11-24T00:00:00Z"}, {"more": 1}} {
		out := o.ann.call("EmailSubmission/set", object{"update": object{canceled: patch}})
		refused, _ := out["notUpdated"].(object)[canceled].(object)
		equal(t, "patch", refused["type"], any("invalidProperties"))
	}

	o.at = o.at.Add(time.Hour)
	o.send()
	equal(t, "bob's inbox after an hour", len(o.bob.inbox()), 1)
	// The email and the record may go; the message is sent all the same.
	o.ann.call("Email/set", object{"destroy": []string{str(o.ann.submission(until)["emailId"])}})
	equal(t, "destroyed", o.ann.call("EmailSubmission/set", object{"destroy": []string{until, canceled}})["destroyed"], normal(t, []string{until, canceled}))
	o.at = o.at.Add(time.Hour)
	o.send()
	equal(t, "bob's inbox after two hours", len(o.bob.inbox()), 2)
	equal(t, "outbox", o.queued(), 0)
}

// TestCancelingFollowsAModel has holds, cancels and the clock in random order: what was canceled in time never
// arrives, and everything else does, once.
func TestCancelingFollowsAModel(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 11))
	o := newOffice(t)
	email := o.ann.draft(note())
	type sent struct {
		at    time.Time
		state string
	}
	model := map[string]*sent{}
	var ids []string
	for range 150 {
		switch random.IntN(4) {
		case 0, 1:
			seconds := random.IntN(600)
			created, refused := o.ann.submit(object{"emailId": email, "envelope": hold(strconv.Itoa(seconds))})
			if refused != nil {
				t.Fatal(refused)
			}
			id := str(created["id"])
			ids = append(ids, id)
			model[id] = &sent{at: o.at.Add(time.Duration(seconds) * time.Second), state: "pending"}
		case 2:
			if len(ids) == 0 {
				continue
			}
			id := ids[random.IntN(len(ids))]
			out := o.ann.unsend(id)
			_, done := out["updated"].(object)
			equal(t, "cancel of "+model[id].state, done, model[id].state != "final")
			if done {
				model[id].state = "canceled"
			}
		default:
			o.at = o.at.Add(time.Duration(random.IntN(120)) * time.Second)
			o.send()
			for _, m := range model {
				if m.state == "pending" && !m.at.After(o.at) {
					m.state = "final"
				}
			}
		}
		final := 0
		for id, m := range model {
			equal(t, "undoStatus", o.ann.submission(id)["undoStatus"], any(m.state))
			if m.state == "final" {
				final++
			}
		}
		equal(t, "messages that came", o.bob.counts(o.bob.role("inbox"))[0], final)
	}
}

func TestDeferredRecipientsAreTriedLessAndLessOften(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.carrier.reply = func(string) delivery.Result {
		return delivery.Result{Outcome: delivery.Deferred, Reply: "451 4.7.1 try\r\nlater", Server: "mx.far.example"}
	}
	id := o.ann.mail(note(), object{
		"mailFrom": object{"email": "ann@agency.us", "parameters": object{"RET": "FULL", "ENVID": "E1"}},
		"rcptTo":   []object{{"email": "x@far.example", "parameters": object{"NOTIFY": "FAILURE,DELAY", "ORCPT": "rfc822;first@far.example"}}},
	})
	start, last := o.at, o.at
	var waits []time.Duration
	for o.carrier.count() < 40 {
		before := o.carrier.count()
		o.send()
		if o.carrier.count() > before {
			waits, last = append(waits, o.at.Sub(last)), o.at
		}
		if o.queued() == 0 {
			break
		}
		if len(waits) == 1 {
			equal(t, "status", o.ann.status(id, "x@far.example"), [2]string{"451 4.7.1 try later", "queued"})
		}
		o.at = o.at.Add(time.Minute)
	}
	equal(t, "first waits", waits[:8], []time.Duration{0, time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 4 * time.Hour})
	equal(t, "given up after", last.Sub(start), 5*24*time.Hour)
	equal(t, "final status", o.ann.status(id, "x@far.example"), [2]string{"451 4.7.1 try later", "no"})
	notices := o.ann.inbox()
	if len(notices) != 2 {
		t.Fatalf("%d notices: %q", len(notices), notices)
	}
	for i, want := range []string{
		"Original-Recipient: rfc822; first@far.example\r\nFinal-Recipient: rfc822; x@far.example\r\nAction: delayed\r\nStatus: 4.7.1\r\nRemote-MTA: dns; mx.far.example\r\n",
		"Action: failed\r\nStatus: 4.4.7\r\nRemote-MTA: dns; mx.far.example\r\nDiagnostic-Code: smtp; 451 4.7.1 try later\r\n",
	} {
		if !strings.Contains(notices[i], want) || !strings.Contains(notices[i], "Original-Envelope-Id: E1\r\n") {
			t.Errorf("notice %d lacks %q: %q", i, want, notices[i])
		}
		equal(t, "the whole message comes back", strings.Contains(notices[i], "message/rfc822"), i == 1)
	}
	var blobs []string
	for _, blob := range strs(o.ann.submission(id)["dsnBlobIds"]) {
		blobs = append(blobs, o.ann.blobContent(blob))
	}
	equal(t, "dsnBlobIds", blobs, notices)
}

func TestMailToOtherDomainsNeedsASmartHost(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.options.Transport = nil
	o.ann.service = o.start(o.options)
	id := o.ann.mail(note(), outward(nil))
	o.send()
	equal(t, "status", o.ann.status(id, "x@far.example"), [2]string{"554 5.4.4 the region has no smart host for mail to other domains", "no"})
	equal(t, "notices", len(o.ann.inbox()), 1)
}

func TestMailboxesInOtherRegionsAreReachedThroughTheSmartHost(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.homes["agency.us"] = Home{Tenant: "agency/agency", Elsewhere: true}
	id := o.ann.mail(mime("x", "From: ann@agency.us", "To: zoe@agency.us, bob@agency.us"), nil)
	o.send()
	equal(t, "zoe", o.ann.status(id, "zoe@agency.us"), [2]string{"250 2.0.0 accepted", "unknown"})
	equal(t, "bob", o.ann.status(id, "bob@agency.us"), [2]string{"250 2.1.5 delivered", "yes"})
	equal(t, "sent out", o.carrier.sent[0].envelope.To, []delivery.Recipient{{Address: "zoe@agency.us"}})
}

func TestSuspendedTenantsHaveTheirMailLater(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.homes["other.us"] = Home{Tenant: "other/other", Suspended: true}
	id := o.ann.mail(mime("x", "From: ann@agency.us", "To: eve@other.us"), nil)
	o.send()
	equal(t, "while suspended", o.ann.status(id, "eve@other.us"), [2]string{"450 4.2.1 the mailbox takes no mail at present", "queued"})
	o.homes["other.us"] = Home{Tenant: "other/other"}
	o.at = o.at.Add(time.Minute)
	o.send()
	equal(t, "afterwards", o.ann.status(id, "eve@other.us"), [2]string{"250 2.1.5 delivered", "yes"})
}

// TestMessagesSurviveAProcessThatEnds ends a process in the middle of an attempt.
func TestMessagesSurviveAProcessThatEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owner string
		early bool
	}{"the same process again": {"", false}, "another one": {"second", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			id := o.ann.mail(note(), nil)
			tickets, _, err := o.ann.service.due(t.Context())
			if err != nil || len(tickets) != 1 {
				t.Fatalf("%d messages are due, %v", len(tickets), err)
			}
			taken, _, err := o.ann.service.claim(t.Context(), tickets[0])
			if err != nil || taken == nil {
				t.Fatalf("claim: %v", err)
			}
			equal(t, "undoStatus", o.ann.submission(id)["undoStatus"], any("final"))
			equal(t, "cannot be unsent", o.ann.unsend(id)["notUpdated"] != nil, true)
			o.ann.call("Email/set", object{"destroy": []string{str(o.ann.submission(id)["emailId"])}})
			o.options.Owner = c.owner
			next := o.start(o.options)
			if c.early {
				// The lease of the account has ended, the claim has not.
				o.at = o.at.Add(time.Minute)
				if err := next.reclaim(t.Context()); err != nil {
					t.Fatal(err)
				}
				o.sendWith(next)
				equal(t, "bob's inbox before the claim ends", len(o.bob.inbox()), 0)
			}
			o.at = o.at.Add(25 * time.Hour)
			if err := o.ann.service.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			o.at = o.at.Add(time.Minute)
			if err := next.reclaim(t.Context()); err != nil {
				t.Fatal(err)
			}
			o.sendWith(next)
			equal(t, "bob's inbox", len(o.bob.inbox()), 1)
			o.ann.service = next
			equal(t, "status", o.ann.status(id, "bob@agency.us"), [2]string{"250 2.1.5 delivered", "yes"})
			// What the first process has to say comes too late.
			late := &sent{outgoing: taken, account: "a1", tenant: "agency/agency", results: []delivery.Result{{Address: "bob@agency.us", Outcome: delivery.Failed}}}
			if err := next.settle(t.Context(), late); err != nil {
				t.Fatal(err)
			}
			equal(t, "status stays", o.ann.status(id, "bob@agency.us"), [2]string{"250 2.1.5 delivered", "yes"})
			equal(t, "outbox", o.queued(), 0)
		})
	}
}

func TestOneOfSeveralProcessesSendsAMessage(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.mail(note(), nil)
	tickets, _, err := o.ann.service.due(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The lease of the account is over, so that any process may take it.
	o.at = o.at.Add(time.Minute)
	results := make(chan bool)
	for _, owner := range []string{"p1", "p2", "p3", "p4"} {
		o.options.Owner = owner
		s := o.start(o.options)
		go func() {
			taken, _, err := s.claim(context.WithoutCancel(t.Context()), tickets[0])
			if err != nil && !contended(err) {
				t.Errorf("claim: %v", err)
			}
			results <- taken != nil && err == nil
		}()
	}
	won := 0
	for range 4 {
		if <-results {
			won++
		}
	}
	equal(t, "processes that took it", won, 1)
}

func TestMailOfErasedAccountsIsForgotten(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.ann.mail(note(), nil)
	o.ann.mail(note(), nil)
	tickets, _, err := o.ann.service.due(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.ann.service.claim(t.Context(), tickets[0]); err != nil {
		t.Fatal(err)
	}
	if err := o.ann.service.journal.Erase(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	if err := o.ann.service.reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.at = o.at.Add(claimFor)
	o.send()
	equal(t, "outbox", o.queued(), 0)
	equal(t, "account", o.countKeys("a1"), 0)
	equal(t, "bob's inbox", len(o.bob.inbox()), 0)
}

func TestTheOutboxRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	now := o.at
	o.options.Now = func() time.Time { return now }
	service := o.start(o.options)
	o.ann.service, o.bob.service = service, service
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- service.RunOutbox(ctx) }()
	hints, cancel := service.Subscribe("a2")
	defer cancel()
	o.ann.mail(note(), nil)
	select {
	case <-hints:
	case <-time.After(2 * time.Minute):
		t.Fatal("the message did not come")
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("outbox: %v", err)
	}
	equal(t, "bob's inbox", len(o.bob.inbox()), 1)
	equal(t, "outbox", o.queued(), 0)
}

func TestRepliesAreMadeOneLineWithACode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		result delivery.Result
		want   string
		status string
	}{
		{delivery.Result{Outcome: delivery.Failed, Reply: "550 5.7.1 no\r\n spam"}, "550 5.7.1 no spam", "5.7.1"},
		{delivery.Result{Outcome: delivery.Failed, Reply: "550 no"}, "550 no", "5.0.0"},
		{delivery.Result{Outcome: delivery.Failed}, "554 5.0.0", "5.0.0"},
		{delivery.Result{Outcome: delivery.Deferred, Reply: "connection refused"}, "451 4.0.0 connection refused", "4.0.0"},
		{delivery.Result{Outcome: delivery.Relayed}, "250 2.0.0", "2.0.0"},
		{delivery.Result{Outcome: delivery.Failed, Reply: "550 " + strings.Repeat("ä", 400)}, "550 " + strings.Repeat("ä", 254), "5.0.0"},
	} {
		equal(t, "reply", replyOf(&c.result), c.want)
		equal(t, "status", statusOf(c.want), c.status)
	}
	equal(t, "status of nothing", statusOf(""), "5.0.0")
}

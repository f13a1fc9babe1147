// Package bench measures the sync server as its clients meet it: over TLS, as a process of its own, on a disk, beside a
// peer on the same messages and the same machine in the same run.
package bench

import (
	"bytes"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkInbox measures what a person does all day, on 2,000 messages: filling the mailbox, listing all of it,
// opening its newest page, and asking what changed when nothing did.
func BenchmarkInbox(b *testing.B) {
	list := messages(2000)
	r := startRegion(b, 1)
	ours := r.user(b, 0, "user")
	before := r.written(b)
	begin := time.Now()
	r.fill(b, ours, list)
	b.ReportMetric(float64(len(list))/time.Since(begin).Seconds(), "ingest_per_s")
	b.ReportMetric(float64(r.written(b)-before)/float64(size(list)), "write_amplification")
	coldList(b, ours, len(list), rowProperties).report(b, "cold_list")
	open := openInbox(b, ours)
	b.ReportMetric(milliseconds(open), "open_inbox_2k_p50_ms")
	noop := changesWithoutAny(b, ours)
	b.ReportMetric(milliseconds(noop), "changes_noop_p50_ms")
	b.ReportMetric(milliseconds(changesOverHTTP2(b, ours)), "changes_noop_http2_p50_ms")

	peer := startCyrus(b)
	theirs := peer.mailbox(b, "user")
	begin = time.Now()
	dialIMAP(b, peer.imap, "user").appendAll(list)
	b.ReportMetric(float64(len(list))/time.Since(begin).Seconds(), "peer_ingest_per_s")
	theirOpen, theirNoop := openInbox(b, theirs), changesWithoutAny(b, theirs)
	b.ReportMetric(milliseconds(theirOpen), "peer_open_inbox_p50_ms")
	b.ReportMetric(milliseconds(theirNoop), "peer_changes_noop_p50_ms")
	b.ReportMetric(float64(theirOpen)/float64(open), "open_inbox_vs_peer")
}

// openInbox opens the newest page of the inbox again and again and returns the median.
func openInbox(b *testing.B, e *endpoint) time.Duration {
	b.Helper()
	return asked(b, e, 100, func(answers []answer) error {
		if bytes.Count(answers[1].Args, []byte(`"threadId"`)) != 50 {
			return fmt.Errorf("not 50 rows: %.200s", answers[1].Args)
		}
		return nil
	}, newest(e.inbox(b), 0, 50)...)
}

func changesWithoutAny(b *testing.B, e *endpoint) time.Duration {
	b.Helper()
	return asked(b, e, 500, func([]answer) error { return nil }, e.changes(b))
}

// changes asks what changed from now on.
func (e *endpoint) changes(tb testing.TB) call {
	tb.Helper()
	state := decode[struct{ State string }](tb, e.must(tb, call{"Email/get", object{"ids": []string{}}})[0]).State
	return call{"Email/changes", object{"sinceState": state}}
}

// changesOverHTTP2 is changesWithoutAny with the HTTP/2 client of Go's library, whose own part is larger.
func changesOverHTTP2(b *testing.B, e *endpoint) time.Duration {
	b.Helper()
	question := e.changes(b)
	return quantile(timed(b, 500, func() error {
		_, err := e.do(question)
		return err
	}), 0.5)
}

// cold is how a mailbox is read for the first time: the octets on the wire for each message, and the time.
type cold struct {
	bytesEach float64
	took      time.Duration
}

// coldList reads the rows of a whole inbox with some properties and counts them: while the client looks at a page, the
// server makes the next one, as it does when it streams an answer of IMAP.
func coldList(b *testing.B, e *endpoint, n int, properties []string) cold {
	b.Helper()
	const most, ahead = 500, 2
	inbox := e.inbox(b)
	var failed atomic.Pointer[error]
	var rows atomic.Int64
	before, begin := e.received.Load(), time.Now()
	each((n+most-1)/most, ahead, func(at int) {
		raw, err := e.prepare(page(inbox, at*most, most, properties)...)
		if err == nil {
			raw, err = e.request(http.MethodPost, e.api, "application/json", bytes.NewReader(raw))
		}
		if err != nil {
			failed.Store(&err)
		}
		rows.Add(int64(bytes.Count(raw, []byte(`"threadId"`))))
	})
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	if rows.Load() != int64(n) {
		b.Fatalf("%d of %d messages are listed", rows.Load(), n)
	}
	return cold{float64(e.received.Load()-before) / float64(n), time.Since(begin)}
}

// coldIMAP reads the same over a new connection of IMAP with compression (RFC 4978).
func coldIMAP(b *testing.B, c *imapClient, n int, items string) cold {
	b.Helper()
	c.compress()
	before, begin := c.received.Load(), time.Now()
	c.command("SELECT INBOX")
	if rows := c.list(items); rows < n {
		b.Fatalf("the peer lists %d of %d messages", rows, n)
	}
	return cold{float64(c.received.Load()-before) / float64(n), time.Since(begin)}
}

func (c cold) report(b *testing.B, name string) {
	b.Helper()
	b.ReportMetric(c.took.Seconds(), name+"_s")
	b.ReportMetric(c.bytesEach, name+"_bytes_per_message")
}

// BenchmarkLargeInbox opens the newest page of an inbox of 100,000 messages.
func BenchmarkLargeInbox(b *testing.B) {
	r := startRegion(b, 1)
	e := r.user(b, 0, "user")
	list := messages(1000)
	for range 100 {
		r.fill(b, e, list)
	}
	b.ReportMetric(milliseconds(openInbox(b, e)), "open_inbox_100k_p50_ms")
}

// BenchmarkColdSync reads a mailbox of 10,000 messages for the first time, beside the peer in the faster of its two ways,
// JMAP, and IMAP with compression, and beside Dovecot when that is there too. All show the same of each message. Without a preview, which IMAP has to read from the
// message, the same is told and not judged.
func BenchmarkColdSync(b *testing.B) {
	list := messages(10000)
	r := startRegion(b, 1)
	ours := r.user(b, 0, "user")
	r.fill(b, ours, list)
	got, plain := coldList(b, ours, len(list), rowProperties), coldList(b, ours, len(list), withoutPreview)
	peer := startCyrus(b)
	theirs := peer.mailbox(b, "user")
	dialIMAP(b, peer.imap, "user").fill(list)
	jmap, imap := coldList(b, theirs, len(list), rowProperties), coldIMAP(b, dialIMAP(b, peer.imap, "user"), len(list), imapPreview)
	plainIMAP := coldIMAP(b, dialIMAP(b, peer.imap, "user"), len(list), imapRow)
	got.report(b, "cold_sync_10k")
	jmap.report(b, "peer_jmap")
	imap.report(b, "peer_imap")
	plain.report(b, "plain")
	plainIMAP.report(b, "peer_imap_plain")
	best := cold{min(jmap.bytesEach, imap.bytesEach), min(jmap.took, imap.took)}
	if other, ok := coldDovecot(b, list); ok {
		best = cold{min(best.bytesEach, other.bytesEach), min(best.took, other.took)}
	}
	b.ReportMetric(best.took.Seconds()/got.took.Seconds(), "cold_sync_10k_vs_peer")
	b.ReportMetric(best.bytesEach/got.bytesEach, "cold_sync_bytes_vs_peer")
}

// coldDovecot reads the same from Dovecot, when it is there. It makes previews when they are first asked for, which is
// not what is measured.
func coldDovecot(b *testing.B, list [][]byte) (cold, bool) {
	b.Helper()
	d := startDovecot(b)
	if d == nil {
		return cold{}, false
	}
	c := d.dial(b)
	c.fill(list)
	c.command("SELECT INBOX")
	c.list(dovecotPreview)
	got, plain := coldIMAP(b, d.dial(b), len(list), dovecotPreview), coldIMAP(b, d.dial(b), len(list), imapRow)
	got.report(b, "dovecot_imap")
	plain.report(b, "dovecot_imap_plain")
	return got, true
}

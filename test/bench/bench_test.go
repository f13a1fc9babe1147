// Package bench measures the sync server as its clients meet it: over TLS, as a process of its own, on a disk, beside a
// peer on the same messages and the same machine in the same run.
package bench

import (
	"bytes"
	"fmt"
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
	bytesEach, took := coldList(b, ours, len(list))
	b.ReportMetric(bytesEach, "cold_list_bytes_per_message")
	b.ReportMetric(took.Seconds(), "cold_list_s")
	open := openInbox(b, ours)
	b.ReportMetric(milliseconds(open), "open_inbox_2k_p50_ms")
	noop := changesWithoutAny(b, ours)
	b.ReportMetric(milliseconds(noop), "changes_noop_p50_ms")

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
	calls := newest(e.inbox(b), 0, 50)
	return quantile(timed(b, 200, func() error {
		answers, err := e.do(calls...)
		if err == nil && bytes.Count(answers[1].Args, []byte(`"threadId"`)) != 50 {
			err = fmt.Errorf("not 50 rows: %.200s", answers[1].Args)
		}
		return err
	}), 0.5)
}

func changesWithoutAny(b *testing.B, e *endpoint) time.Duration {
	b.Helper()
	state := decode[struct{ State string }](b, e.must(b, call{"Email/get", object{"ids": []string{}}})[0]).State
	changes := call{"Email/changes", object{"sinceState": state}}
	return quantile(timed(b, 500, func() error { _, err := e.do(changes); return err }), 0.5)
}

// coldList reads the rows of a whole inbox and returns the octets on the wire for each message, and the time.
func coldList(b *testing.B, e *endpoint, n int) (bytesEach float64, took time.Duration) {
	b.Helper()
	const page = 500
	inbox := e.inbox(b)
	before, begin := e.received.Load(), time.Now()
	for at := 0; at < n; at += page {
		e.must(b, newest(inbox, at, page)...)
	}
	return float64(e.received.Load()-before) / float64(n), time.Since(begin)
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

// BenchmarkColdSync reads a mailbox of 10,000 messages for the first time, beside the peer's fastest way: IMAP with
// compression.
func BenchmarkColdSync(b *testing.B) {
	list := messages(10000)
	r := startRegion(b, 1)
	ours := r.user(b, 0, "user")
	r.fill(b, ours, list)
	bytesEach, took := coldList(b, ours, len(list))
	peer := startCyrus(b)
	theirs := peer.mailbox(b, "user")
	imap := dialIMAP(b, peer.imap, "user")
	imap.appendAll(list)
	jmapBytes, jmapTook := coldList(b, theirs, len(list))
	imap = dialIMAP(b, peer.imap, "user")
	imap.compress()
	before, begin := imap.received.Load(), time.Now()
	imap.command("SELECT INBOX")
	if rows := imap.list(); rows < len(list) {
		b.Fatalf("the peer lists %d of %d messages", rows, len(list))
	}
	imapTook, imapBytes := time.Since(begin), float64(imap.received.Load()-before)/float64(len(list))
	b.ReportMetric(took.Seconds(), "cold_sync_10k_s")
	b.ReportMetric(bytesEach, "cold_sync_10k_bytes_per_message")
	b.ReportMetric(jmapTook.Seconds(), "peer_jmap_s")
	b.ReportMetric(imapTook.Seconds(), "peer_imap_s")
	b.ReportMetric(jmapBytes, "peer_jmap_bytes_per_message")
	b.ReportMetric(imapBytes, "peer_imap_bytes_per_message")
	b.ReportMetric(min(jmapTook, imapTook).Seconds()/took.Seconds(), "cold_sync_10k_vs_peer")
	b.ReportMetric(min(jmapBytes, imapBytes)/bytesEach, "cold_sync_bytes_vs_peer")
}
